//! The bytes of an object, checked against their hash before they are sent.

use super::destination::{Advice, Body, Cause, Object, PutError};
use crate::egress::{self, Outgoing};
use crate::evidence::merkle::{self, Hash};
use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use md5::{Digest as _, Md5};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt as _;

/// Read from the file at once; with the number of uploads it bounds the memory.
pub(super) const CHUNK: usize = 128 * 1024;

/// A checksum that a store wants beside SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Also {
    /// None.
    Nothing,
    /// MD5, for Azure.
    Md5,
    /// CRC32C (Castagnoli), for Google; big-endian.
    Crc32c,
}

/// What is read and hashed of an object.
pub(super) struct Checked {
    /// SHA-256 of each part, in order.
    pub(super) parts: Vec<Hash>,
    /// The other checksum, of the whole.
    pub(super) also: Vec<u8>,
}

/// Reads an object once: it has to be what was packed. Gives the hashes of its parts.
///
/// Stores that ignore checksums would take damaged bytes, so this is not left to them.
pub(super) async fn check(object: &Object<'_>, part_bytes: u64, also: Also) -> Result<Checked, PutError> {
    let (length, sha256) = (object.length, object.sha256);
    match object.body {
        Body::Bytes(bytes) => {
            let whole = merkle::sha256(bytes);
            if whole != sha256 || bytes.len() as u64 != length {
                return Err(changed());
            }
            let mut sum = Sum::of(also);
            sum.update(bytes);
            let parts = bytes.chunks(part_size(part_bytes)).map(merkle::sha256).collect();
            Ok(Checked { parts, also: sum.finish() })
        }
        Body::File(path) => {
            let path = path.to_owned();
            let task = tokio::task::spawn_blocking(move || read(&path, length, &sha256, part_bytes, also));
            task.await.unwrap_or_else(|error| Err(PutError::new(Cause::ServerError, error.to_string())))
        }
    }
}

/// An object's bytes for one request, with others before and after them.
pub(super) async fn outgoing(body: Body<'_>, before: Vec<u8>, after: Vec<u8>) -> Result<Outgoing, PutError> {
    let path = match body {
        Body::Bytes(bytes) => return Ok(egress::bytes([&before, bytes, &after].concat())),
        Body::File(path) => path,
    };
    let file = tokio::fs::File::open(path).await.map_err(|error| unreadable(path, &error))?;
    let ends = [Bytes::from(before), Bytes::from(after)];
    let read = stream::unfold((file, ends, 0), |(mut file, mut ends, mut step)| async move {
        loop {
            match step {
                0 | 2 => {
                    let bytes = std::mem::take(&mut ends[step / 2]);
                    step += 1;
                    if !bytes.is_empty() {
                        return Some((Ok(Frame::data(bytes)), (file, ends, step)));
                    }
                }
                1 => {
                    let mut chunk = vec![0; CHUNK];
                    match file.read(&mut chunk).await {
                        Ok(0) => step += 1,
                        Ok(count) => {
                            chunk.truncate(count);
                            return Some((Ok(Frame::data(chunk.into())), (file, ends, step)));
                        }
                        Err(error) => {
                            let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
                            return Some((Err(error), (file, ends, 3)));
                        }
                    }
                }
                _ => return None,
            }
        }
    });
    Ok(StreamBody::new(read).boxed_unsync())
}

enum Sum {
    Nothing,
    Md5(Box<Md5>),
    Crc32c(u32),
}

impl Sum {
    fn of(also: Also) -> Self {
        match also {
            Also::Nothing => Self::Nothing,
            Also::Md5 => Self::Md5(Box::default()),
            Also::Crc32c => Self::Crc32c(!0),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Md5(sum) => sum.update(bytes),
            Self::Crc32c(sum) => {
                for byte in bytes {
                    *sum = CRC32C[usize::from((*sum as u8) ^ byte)] ^ (*sum >> 8);
                }
            }
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Md5(sum) => sum.finalize().to_vec(),
            Self::Crc32c(sum) => (!sum).to_be_bytes().to_vec(),
        }
    }
}

/// Of each byte, for the reflected polynomial 0x82F63B78 (RFC 3720, appendix B.4).
static CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82F6_3B78 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

fn part_size(part_bytes: u64) -> usize {
    usize::try_from(part_bytes).unwrap_or(usize::MAX).max(1)
}

fn read(
    path: &PathBuf,
    length: u64,
    sha256: &Hash,
    part_bytes: u64,
    also: Also,
) -> Result<Checked, PutError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut whole = digest::Context::new(&digest::SHA256);
    let mut sum = Sum::of(also);
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
            sum.update(bytes);
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
    Ok(Checked { parts, also: sum.finish() })
}

fn changed() -> PutError {
    let words = "the bytes in the outbox are not those that were packed".to_owned();
    PutError { cause: Cause::ServerError, words, advice: Advice::GiveUp }
}

fn unreadable(path: &Path, error: &io::Error) -> PutError {
    PutError::new(Cause::ServerError, format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        let sum = |also| {
            let mut sum = Sum::of(also);
            sum.update(b"1234");
            sum.update(b"56789");
            sum.finish()
        };
        assert_eq!(sum(Also::Crc32c), 0xE306_9283_u32.to_be_bytes());
        let md5 =
            [0x25, 0xf9, 0xe7, 0x94, 0x32, 0x3b, 0x45, 0x38, 0x85, 0xf5, 0x18, 0x1f, 0x1b, 0x62, 0x4d, 0x0b];
        assert_eq!(sum(Also::Md5), md5);
    }
}
