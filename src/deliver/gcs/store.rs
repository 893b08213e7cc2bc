//! The bucket as a [`Destination`].

use super::options::GcsOptions;
use super::{answer, credentials};
use crate::clock::Clock;
use crate::deliver::content::{Also, check, outgoing};
use crate::deliver::destination::{BoxFuture, Cause, Created, Destination, Object, ObjectKind, PutError};
use crate::deliver::rest::{Rest, content_type, forget, limit};
use crate::deliver::token::{Kept, Token};
use crate::error_chain::Chain;
use crate::secret::SecretRef;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};

const GOOGLE: &str = "https://storage.googleapis.com";

/// A bucket that objects are created in.
pub struct GcsStore {
    options: GcsOptions,
    clock: Clock,
    rest: Rest,
    token: Kept,
}

impl GcsStore {
    /// A store in this bucket. Nothing is read or asked before the first attempt.
    #[must_use]
    pub fn new(options: &GcsOptions, clock: Clock) -> Self {
        Self { options: options.clone(), clock, rest: Rest::new(&options.route), token: Kept::default() }
    }

    async fn put(&self, object: &Object<'_>) -> Result<Created, PutError> {
        let checked = check(object, u64::MAX, Also::Crc32c).await?;
        let crc32c = STANDARD.encode(&checked.also);
        let kind = content_type(object.kind);
        let mut about = serde_json::json!({ "name": object.key, "contentType": kind, "crc32c": crc32c });
        if let Some(class) =
            self.options.storage_class.as_ref().filter(|_| object.kind == ObjectKind::Records)
        {
            about["storageClass"] = class.as_str().into();
        }
        // Its hash can't stand in the object itself.
        let boundary: String = object.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let before = format!(
            "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{about}\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
        );
        let after = format!("\r\n--{boundary}--\r\n");
        let endpoint = self.options.endpoint.as_deref().unwrap_or(GOOGLE);
        let bucket = &self.options.bucket;
        let url =
            format!("{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=multipart&ifGenerationMatch=0");
        let length = object.length + before.len() as u64 + after.len() as u64;
        let mut request = Request::post(url)
            .header(CONTENT_TYPE, format!("multipart/related; boundary={boundary}"))
            .header(CONTENT_LENGTH, length);
        if let Some(token) = self.token().await? {
            request = request.header(AUTHORIZATION, token.header()?);
        }
        let body = outgoing(object.body, before.into_bytes(), after.into_bytes()).await?;
        let request = request
            .body(body)
            .map_err(|_| PutError::new(Cause::NotFound, "the endpoint or bucket cannot be called"))?;
        let answer = self.rest.send(request, limit(self.options.put_timeout, length)).await?;
        answer::judge(&answer, &crc32c)
    }

    async fn token(&self) -> Result<Option<Token>, PutError> {
        let place = self.options.credentials.clone().or_else(|| {
            let file = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").filter(|file| !file.is_empty());
            file.map(|file| SecretRef::File(file.into()))
        });
        let emulator = self.options.endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
        if emulator && self.options.credentials.is_none() {
            return Ok(None);
        }
        let ask = async {
            let Some(place) = place else {
                return credentials::by_machine(&self.rest, &self.clock).await;
            };
            let text = place
                .resolve()
                .map_err(|error| PutError::new(Cause::Credentials, Chain(&error).to_string()))?;
            credentials::by_file(&self.rest, &self.clock, &text).await
        };
        self.token.get(&self.clock, Box::pin(ask)).await.map(Some)
    }
}

impl Destination for GcsStore {
    fn create<'a>(&'a self, object: Object<'a>) -> BoxFuture<'a, Result<Created, PutError>> {
        Box::pin(async move {
            let result = Box::pin(self.put(&object)).await;
            if let Err(error) = &result {
                forget(error, &self.token, &self.rest).await;
            }
            result
        })
    }

    fn place(&self) -> String {
        match &self.options.endpoint {
            Some(endpoint) => format!("gs://{} at {endpoint}", self.options.bucket),
            None => format!("gs://{}", self.options.bucket),
        }
    }
}

impl std::fmt::Debug for GcsStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GcsStore").field("options", &self.options).finish_non_exhaustive()
    }
}
