//! The bucket as a [`Destination`]: objects in one put.

use super::answer::Answer;
use super::content;
use super::multipart;
use super::options::S3Options;
use super::refusal;
use super::wishes::Wishes;
use crate::bucket::{ConnectError, connect};
use crate::clock::Clock;
use crate::deliver::content::{Also, check};
use crate::deliver::destination::{BoxFuture, Cause, Created, Destination, Object, PutError};
use crate::deliver::rest::{content_type, limit, words};
use crate::error_chain::Chain;
use aws_sdk_s3::Client;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The destination's state machine retries, not the library.
const ATTEMPTS: u32 = 1;

/// A bucket that objects are created in.
pub struct S3Store {
    options: S3Options,
    clock: Clock,
    /// Made at the first attempt, and anew after a refusal that other credentials would mend.
    client: Mutex<Option<Client>>,
}

impl S3Store {
    /// A store in this bucket. Nothing is read or asked before the first attempt.
    /// `clock` is that of the signatures.
    #[must_use]
    pub fn new(options: &S3Options, clock: Clock) -> Self {
        Self { options: options.clone(), clock, client: Mutex::default() }
    }

    async fn client(&self) -> Result<Client, PutError> {
        if let Some(client) = &*self.lock() {
            return Ok(client.clone());
        }
        let connecting = Box::pin(connect(&self.options.bucket, &self.clock, ATTEMPTS));
        let client = deadline(self.options.put_timeout, connecting).await?.map_err(|error| {
            let cause = match &error {
                ConnectError::Key(_) => Cause::Credentials,
                ConnectError::Egress(_) => Cause::Tls,
                ConnectError::NoRegion => Cause::WrongRegion,
            };
            PutError::new(cause, Chain(&error).to_string())
        })?;
        Ok(self.lock().get_or_insert(client).clone())
    }

    async fn put(&self, client: &Client, object: &Object<'_>) -> Result<Created, PutError> {
        let wishes = Wishes::of(&self.options, object.kind, self.clock.unix_microseconds());
        let put = self.put_as(client, object, &wishes).await;
        put.map_err(|error| self.explain(wishes.lock.explain(error)))
    }

    async fn put_as(
        &self,
        client: &Client,
        object: &Object<'_>,
        wishes: &Wishes,
    ) -> Result<Created, PutError> {
        let whole = check(object, self.part_bytes(object.length), Also::Nothing).await?;
        if object.length > self.options.multipart_bytes {
            let target = multipart::Target {
                client,
                bucket: &self.options.bucket.name,
                object,
                wishes,
                deadline: self.options.put_timeout,
            };
            return target.upload(&whole.parts, self.part_bytes(object.length)).await;
        }
        let answer = Answer::default();
        let body = content::stream(object.body, 0, object.length).await?;
        let put = client
            .put_object()
            .bucket(&self.options.bucket.name)
            .key(object.key)
            .if_none_match("*")
            .content_length(object.length.try_into().unwrap_or(i64::MAX))
            .content_type(content_type(object.kind))
            .set_storage_class(wishes.storage_class.clone())
            .set_server_side_encryption(wishes.encryption.clone())
            .set_ssekms_key_id(wishes.kms_key.clone())
            .set_tagging(wishes.tags.clone())
            .set_object_lock_mode(wishes.lock.mode.clone())
            .set_object_lock_retain_until_date(wishes.lock.until)
            .checksum_sha256(STANDARD.encode(object.sha256))
            .body(body)
            .customize()
            .interceptor(answer.clone());
        match deadline(limit(self.options.put_timeout, object.length), put.send()).await? {
            Ok(output) => refusal::accept(output.e_tag(), &answer.body()),
            Err(error) => refusal::judge(error),
        }
    }

    /// Says of a role that is refused what there is to look at: who asks is told no reason.
    fn explain(&self, mut error: PutError) -> PutError {
        if let Some(role) = &self.options.bucket.role
            && error.words.starts_with("no credentials: AccessDenied")
        {
            let hint = "does the role exist, does its trust policy name this gateway's identity, and is external_id the one that it wants?";
            error.words = words(&format!("{} (role {}: {hint})", error.words, role.arn));
        }
        error
    }

    /// Parts are small enough for their deadline, and few enough for the protocol.
    fn part_bytes(&self, length: u64) -> u64 {
        multipart::part_bytes(length).min(self.options.multipart_bytes).max(multipart::LEAST_PART)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination for S3Store {
    fn create<'a>(&'a self, object: Object<'a>) -> BoxFuture<'a, Result<Created, PutError>> {
        Box::pin(async move {
            let client = self.client().await?;
            let result = Box::pin(self.put(&client, &object)).await;
            if result.as_ref().is_err_and(|error| mended_by_a_new_client(error.cause)) {
                *self.lock() = None;
            }
            result
        })
    }

    fn place(&self) -> String {
        self.options.bucket.place()
    }
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Store").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Whether keys, profiles and trusted authorities are worth to be read again.
fn mended_by_a_new_client(cause: Cause) -> bool {
    use Cause as C;
    matches!(
        cause,
        C::Credentials
            | C::Permission
            | C::NotFound
            | C::WrongRegion
            | C::ExpiredToken
            | C::ClockSkew
            | C::Tls
    )
}

/// Waits for at most this long. What is dropped closes its connection.
pub(super) async fn deadline<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, PutError> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let words = format!("no answer within {}", refusal::show(limit));
        PutError::new(Cause::Network, words)
    })
}
