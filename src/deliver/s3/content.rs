//! The bytes of an object on their way: checked against their hash before they
//! are sent, then streamed from the file.

use crate::deliver::destination::{Advice, Body, Cause, Object, PutError};
use crate::evidence::merkle::{self, Hash};
use aws_lc_rs::digest;
use aws_sdk_s3::primitives::{ByteStream, Length};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Read from the file at once; with the number of uploads it bounds the memory.
const CHUNK: usize = 128 * 1024;

/// What is read and hashed of an object.
pub(super) struct Checked {
    /// SHA-256 of each part, in order.
    pub(super) parts: Vec<Hash>,
}

/// Reads an object once: it has to be what was packed. Gives the hashes of its parts.
///
/// Stores that ignore checksums would take damaged bytes, so this is not left to them.
pub(super) async fn check(object: &Object<'_>, part_bytes: u64) -> Result<Checked, PutError> {
    let (length, sha256) = (object.length, object.sha256);
    match object.body {
        Body::Bytes(bytes) => {
            let whole = merkle::sha256(bytes);
            if whole != sha256 || bytes.len() as u64 != length {
                return Err(changed());
            }
            Ok(Checked { parts: bytes.chunks(part_size(part_bytes)).map(merkle::sha256).collect() })
        }
        Body::File(path) => {
            let path = path.to_owned();
            let task = tokio::task::spawn_blocking(move || read(&path, length, &sha256, part_bytes));
            task.await.unwrap_or_else(|error| Err(PutError::new(Cause::ServerError, error.to_string())))
        }
    }
}

fn part_size(part_bytes: u64) -> usize {
    usize::try_from(part_bytes).unwrap_or(usize::MAX).max(1)
}

fn read(path: &PathBuf, length: u64, sha256: &Hash, part_bytes: u64) -> Result<Checked, PutError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut whole = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut parts = Vec::new();
    let mut total = 0;
    loop {
        let mut part = digest::Context::new(&digest::SHA256);
        let mut left = part_bytes.max(1);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let bytes = match file.read(&mut buffer[..most]) {
                Ok(0) => break,
                Ok(count) => &buffer[..count],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(path, &error)),
            };
            whole.update(bytes);
            part.update(bytes);
            left -= bytes.len() as u64;
            total += bytes.len() as u64;
        }
        if left == part_bytes.max(1) {
            break;
        }
        parts.push(merkle::finish(part));
    }
    if merkle::finish(whole) != *sha256 || total != length {
        return Err(changed());
    }
    Ok(Checked { parts })
}

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

fn changed() -> PutError {
    let words = "the bytes in the outbox are not those that were packed".to_owned();
    PutError { cause: Cause::ServerError, words, advice: Advice::GiveUp }
}

fn unreadable(path: &Path, error: &io::Error) -> PutError {
    PutError::new(Cause::ServerError, format!("cannot read {}: {error}", path.display()))
}
