//! The container as a [`Destination`].

use super::options::{AzureAuth, AzureOptions};
use super::{answer, identity, sas, shared_key};
use crate::clock::Clock;
use crate::deliver::content::{Also, check, outgoing};
use crate::deliver::destination::{BoxFuture, Cause, Created, Destination, Object, ObjectKind, PutError};
use crate::deliver::rest::{Rest, content_type, forget, limit};
use crate::deliver::token::Kept;
use crate::error_chain::Chain;
use crate::secret::{Secret, SecretRef};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::atomic::{AtomicU64, Ordering};

/// The version of the interface; from 2019-12-12 on one Put Blob takes up to 5,000 MiB.
const VERSION: &str = "2021-12-02";
/// What of a key is written as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'=');

/// A container that objects are created in.
pub struct AzureStore {
    options: AzureOptions,
    clock: Clock,
    rest: Rest,
    token: Kept,
    /// Unix microseconds at which the signature read last runs out; 0: not known.
    expires: AtomicU64,
}

impl AzureStore {
    /// A store in this container. Nothing is read or asked before the first attempt.
    #[must_use]
    pub fn new(options: &AzureOptions, clock: Clock) -> Self {
        let rest = Rest::new(&options.route);
        Self { options: options.clone(), clock, rest, token: Kept::default(), expires: AtomicU64::new(0) }
    }

    async fn put(&self, object: &Object<'_>) -> Result<Created, PutError> {
        let checked = check(object, u64::MAX, Also::Md5).await?;
        let key = utf8_percent_encode(object.key, PLAIN);
        let url = format!("{}/{key}", self.options.container);
        let unusable = |_| PutError::new(Cause::NotFound, "the container's URL or the key cannot be called");
        let mut uri: Uri = url.parse().map_err(|_| unusable(()))?;
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| match HeaderValue::try_from(value) {
            Ok(value) => {
                headers.insert(name, value);
                Ok(())
            }
            Err(_) => Err(unusable(())),
        };
        set(IF_NONE_MATCH.as_str(), "*".to_owned())?;
        set(CONTENT_LENGTH.as_str(), object.length.to_string())?;
        set(CONTENT_TYPE.as_str(), content_type(object.kind).to_owned())?;
        set("content-md5", STANDARD.encode(&checked.also))?;
        set("x-ms-blob-type", "BlockBlob".to_owned())?;
        set("x-ms-version", VERSION.to_owned())?;
        set("x-ms-date", http_date(self.clock.unix_microseconds()))?;
        if let Some(tier) = self.options.tier.as_ref().filter(|_| object.kind == ObjectKind::Records) {
            set("x-ms-access-tier", tier.clone())?;
        }
        let mut expired = false;
        match &self.options.auth {
            AzureAuth::Sas(place) => {
                let sas = sas::read(&resolve(place)?, &self.options.container)?;
                self.expires.store(sas.expires.unwrap_or(0), Ordering::Relaxed);
                expired = sas.expires.is_some_and(|end| end <= self.clock.unix_microseconds());
                let query = String::from_utf8_lossy(sas.query.expose());
                uri = format!("{url}?{query}").parse().map_err(|_| {
                    PutError::new(Cause::Credentials, "the shared access signature cannot stand in a URL")
                })?;
            }
            AzureAuth::Key(place) => {
                let value = shared_key::sign(&uri, &headers, &resolve(place)?)?;
                headers.insert(AUTHORIZATION, value);
            }
            AzureAuth::Identity { client_id } => {
                let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
                let ask = identity::token(&self.rest, &self.clock, client_id.as_deref(), &env);
                headers.insert(AUTHORIZATION, self.token.get(&self.clock, ask).await?.header()?);
            }
        }
        let body = outgoing(object.body, Vec::new(), Vec::new()).await?;
        let mut request = Request::put(uri).body(body).map_err(|_| unusable(()))?;
        *request.headers_mut() = headers;
        let answer = self.rest.send(request, limit(self.options.put_timeout, object.length)).await?;
        answer::judge(&answer, expired)
    }
}

fn resolve(place: &SecretRef) -> Result<Secret, PutError> {
    place.resolve().map_err(|error| PutError::new(Cause::Credentials, Chain(&error).to_string()))
}

/// `Sun, 22 Nov 2026 21:00:00 GMT` (RFC 9110, 5.6.7).
fn http_date(unix_microseconds: u64) -> String {
    let time = jiff::Timestamp::from_microsecond(i64::try_from(unix_microseconds).unwrap_or(i64::MAX));
    time.unwrap_or_default().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl Destination for AzureStore {
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
        self.options.container.clone()
    }

    fn credentials_expire(&self) -> Option<u64> {
        Some(self.expires.load(Ordering::Relaxed)).filter(|expires| *expires > 0)
    }
}

impl std::fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AzureStore").field("options", &self.options).finish_non_exhaustive()
    }
}
