//! The bytes of an object on their way to a bucket: streamed from the file.

use crate::deliver::content::CHUNK;
use crate::deliver::destination::{Body, Cause, PutError};
use aws_sdk_s3::primitives::{ByteStream, Length};

/// A stream of a part of an object, or of all of it, for one attempt.
pub(super) async fn stream(body: Body<'_>, offset: u64, length: u64) -> Result<ByteStream, PutError> {
    match body {
        Body::Bytes(bytes) => {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(bytes.len());
            Ok(ByteStream::from(bytes[from..to].to_vec()))
        }
        Body::File(path) => {
            let stream = ByteStream::read_from()
                .path(path)
                .offset(offset)
                .length(Length::Exact(length))
                .buffer_size(CHUNK)
                .build()
                .await;
            stream.map_err(|error| {
                let words = format!("cannot open {}: {}", path.display(), crate::error_chain::Chain(&error));
                PutError::new(Cause::ServerError, words)
            })
        }
    }
}
