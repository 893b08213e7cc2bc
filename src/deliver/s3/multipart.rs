//! Large objects in parts, completed on the condition that the key is free.

use super::answer::Answer;
use super::content;
use super::refusal;
use super::store::deadline;
use super::wishes::Wishes;
use crate::deliver::destination::{Cause, Created, Object, PutError};
use crate::deliver::rest::content_type;
use crate::deliver::rest::limit;
use crate::evidence::merkle::Hash;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

/// The smallest part that the protocol knows, but for the last one.
pub(super) const LEAST_PART: u64 = 5 * 1024 * 1024;
/// The usual size of a part: small, since each has to keep the deadline.
const USUAL_PART: u64 = 8 * 1024 * 1024;
/// An upload has at most so many parts.
const MOST_PARTS: u64 = 10_000;
/// Tidying up is not waited for any longer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The size of the parts of an object.
pub(super) fn part_bytes(length: u64) -> u64 {
    USUAL_PART.max(length.div_ceil(MOST_PARTS))
}

/// What is uploaded, and where to.
pub(super) struct Target<'a> {
    pub(super) client: &'a Client,
    pub(super) bucket: &'a str,
    pub(super) object: &'a Object<'a>,
    pub(super) wishes: &'a Wishes,
    /// For each request by itself.
    pub(super) deadline: Duration,
}

impl Target<'_> {
    /// Uploads part after part. What fails leaves no parts behind, as far as the store lets it.
    pub(super) async fn upload(&self, hashes: &[Hash], part_bytes: u64) -> Result<Created, PutError> {
        let upload = self.begin().await?;
        let done = self.fill(&upload.id, hashes, part_bytes).await;
        upload.end(matches!(done, Ok(Created::Created))).await;
        done
    }

    async fn begin(&self) -> Result<Upload, PutError> {
        let begin = self
            .client
            .create_multipart_upload()
            .bucket(self.bucket)
            .key(self.object.key)
            .content_type(content_type(self.object.kind))
            .set_storage_class(self.wishes.storage_class.clone())
            .set_server_side_encryption(self.wishes.encryption.clone())
            .set_ssekms_key_id(self.wishes.kms_key.clone())
            .set_tagging(self.wishes.tags.clone())
            .set_object_lock_mode(self.wishes.lock.mode.clone())
            .set_object_lock_retain_until_date(self.wishes.lock.until)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .customize()
            .interceptor(Answer::default());
        let mut upload = Upload {
            client: self.client.clone(),
            bucket: self.bucket.to_owned(),
            key: self.object.key.to_owned(),
            id: String::new(),
            over: true,
        };
        let limit = self.deadline;
        // A task of its own: whoever drops the attempt just now leaves an upload whose id is still on
        // its way, and its answer, which nobody takes any more, aborts it.
        let begun = tokio::spawn(async move {
            let begun = match deadline(limit, begin.send()).await? {
                Ok(begun) => begun,
                Err(error) => return Err(refusal::refuse(error)),
            };
            let id = begun.upload_id().filter(|id| !id.is_empty()).map(str::to_owned);
            upload.id = id.ok_or_else(|| {
                PutError::new(Cause::ServerError, "the store began an upload without giving it an id")
            })?;
            upload.over = false;
            Ok(upload)
        });
        begun
            .await
            .unwrap_or_else(|_| Err(PutError::new(Cause::Network, "the upload was broken off as it began")))
    }

    async fn fill(&self, id: &str, hashes: &[Hash], part_bytes: u64) -> Result<Created, PutError> {
        let mut parts = Vec::with_capacity(hashes.len());
        for (number, hash) in (1i32..).zip(hashes) {
            let offset = part_bytes * (parts.len() as u64);
            let length = part_bytes.min(self.object.length - offset);
            let hash = STANDARD.encode(hash);
            let put = self
                .client
                .upload_part()
                .bucket(self.bucket)
                .key(self.object.key)
                .upload_id(id)
                .part_number(number)
                .content_length(length.try_into().unwrap_or(i64::MAX))
                .checksum_sha256(&hash)
                .body(content::stream(self.object.body, offset, length).await?)
                .customize()
                .interceptor(Answer::default());
            let tag = match deadline(limit(self.deadline, length), put.send()).await? {
                Ok(part) => part.e_tag().map(str::to_owned),
                Err(error) => return Err(refusal::refuse(error)),
            };
            let tag = tag.filter(|tag| !tag.is_empty()).ok_or_else(|| {
                PutError::new(Cause::ServerError, "the store took a part without giving it an ETag")
            })?;
            parts.push(CompletedPart::builder().part_number(number).e_tag(tag).checksum_sha256(hash).build());
        }
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(self.bucket)
            .key(self.object.key)
            .upload_id(id)
            .if_none_match("*")
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .customize()
            .interceptor(Answer::default());
        match deadline(self.deadline, complete.send()).await? {
            // Its answer has a body, in which the library has looked for an error.
            Ok(output) => refusal::accept(output.e_tag(), b""),
            Err(error) => refusal::judge(error),
        }
    }
}

/// An upload that is under way. Dropped before its end, as at a shutdown, it is aborted in the background.
struct Upload {
    client: Client,
    bucket: String,
    key: String,
    id: String,
    over: bool,
}

impl Upload {
    async fn end(mut self, complete: bool) {
        self.over = true;
        if !complete {
            self.abort().await;
        }
    }

    /// Parts that are left cost money until the bucket's own rules remove them; nothing worse.
    fn abort(&self) -> impl Future<Output = ()> + Send + use<> {
        let abort = self.client.abort_multipart_upload();
        let abort = abort.bucket(&self.bucket).key(&self.key).upload_id(&self.id);
        async move {
            let abort = abort.customize().interceptor(Answer::default());
            let _ = tokio::time::timeout(ABORT_TIMEOUT, abort.send()).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.over, tokio::runtime::Handle::try_current()) {
            runtime.spawn(self.abort());
        }
    }
}
