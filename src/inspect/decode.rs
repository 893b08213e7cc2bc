//! Content codings, undone within a bound.

use super::coding::Coding;
use crate::record::InspectionError;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// The largest window that a decoder may allocate for a zstd body (RFC 9659).
const ZSTD_WINDOW: u64 = 8 << 20;
/// How a zstd frame begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Buffer of the brotli decoder.
const BROTLI_BUFFER: usize = 4096;

/// Undoes a coding into `out`, which comes in empty. Never holds more than `limit` bytes and a
/// decoder's window.
///
/// # Errors
/// The bytes are not what the coding says, decode to more than `limit`, or need more memory.
pub(super) fn decode(
    body: &[u8],
    coding: Coding,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), InspectionError> {
    match coding {
        Coding::Identity => {
            out.extend_from_slice(body);
            Ok(())
        }
        Coding::Gzip => read(MultiGzDecoder::new(body), limit, out),
        Coding::Deflate => read(ZlibDecoder::new(body), limit, out).or_else(|error| {
            if error == InspectionError::TooLarge {
                return Err(error);
            }
            out.clear();
            read(DeflateDecoder::new(body), limit, out)
        }),
        Coding::Brotli => read(brotli_decompressor::Decompressor::new(body, BROTLI_BUFFER), limit, out),
        Coding::Zstd => {
            if zstd_window(body).ok_or(InspectionError::BadCoding)? > ZSTD_WINDOW {
                return Err(InspectionError::TooLarge);
            }
            let decoder = ruzstd::decoding::StreamingDecoder::new(body);
            read(decoder.map_err(|_| InspectionError::BadCoding)?, limit, out)
        }
        Coding::Unknown => Err(InspectionError::UnknownCoding),
    }
}

fn read(decoder: impl Read, limit: usize, out: &mut Vec<u8>) -> Result<(), InspectionError> {
    let read = decoder.take(limit as u64 + 1).read_to_end(out);
    read.map_err(|_| InspectionError::BadCoding)?;
    if out.len() > limit { Err(InspectionError::TooLarge) } else { Ok(()) }
}

/// The window that a zstd frame asks for (RFC 8878 §3.1.1.1).
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.strip_prefix(&ZSTD_MAGIC)?.first()?;
    if descriptor & 0x20 == 0 {
        let window = *frame.get(5)?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: the window is the content, whose size stands behind the dictionary's id.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let bytes = |count: usize| {
        let field = frame.get(at..at + count)?;
        Some(field.iter().rev().fold(0u64, |size, byte| size << 8 | u64::from(*byte)))
    };
    match descriptor >> 6 {
        0 => bytes(1),
        1 => bytes(2).map(|size| size + 256),
        2 => bytes(4),
        _ => bytes(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn decoded(body: &[u8], coding: Coding, limit: usize) -> Result<Vec<u8>, InspectionError> {
        let mut out = Vec::new();
        decode(body, coding, limit, &mut out).map(|()| out)
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_coding_is_undone() {
        let plain = b"{\"sys\":{\"id\":\"e1\"}}".repeat(40);
        assert_eq!(decoded(&gzip(&plain), Coding::Gzip, 1000).unwrap(), plain);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&plain).unwrap();
        assert_eq!(decoded(&zlib.finish().unwrap(), Coding::Deflate, 1000).unwrap(), plain);
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        bare.write_all(&plain).unwrap();
        assert_eq!(decoded(&bare.finish().unwrap(), Coding::Deflate, 1000).unwrap(), plain);
        let zstd = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(decoded(&zstd, Coding::Zstd, 1000).unwrap(), plain);
        // "hello" by another encoder, as two metablocks.
        let brotli = [0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];
        assert_eq!(decoded(&brotli, Coding::Brotli, 1000).unwrap(), b"hello");
        assert_eq!(decoded(&plain, Coding::Identity, 1000).unwrap(), plain);
    }

    #[test]
    fn a_bomb_stops_at_the_bound_in_every_coding() {
        let bomb = gzip(&vec![b'a'; 4 << 20]);
        assert!(bomb.len() < 8 << 10);
        assert_eq!(decoded(&bomb, Coding::Gzip, 1 << 20), Err(InspectionError::TooLarge));
        // A window of 3.75 GiB, and a single segment of 2 EiB.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xaf, 0, 0, 0];
        assert_eq!(decoded(&window, Coding::Zstd, 1000), Err(InspectionError::TooLarge));
        let segment = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0];
        assert_eq!(decoded(&segment, Coding::Zstd, 1000), Err(InspectionError::TooLarge));
    }

    #[test]
    fn bytes_of_another_kind_are_told_and_not_panicked_over() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            for body in [&b"{\"a\":1}"[..], &gzip(b"x")[..8], &[0xff; 100], &[0x28, 0xb5, 0x2f, 0xfd]] {
                assert_eq!(decoded(body, coding, 1000), Err(InspectionError::BadCoding), "{coding:?}");
            }
        }
        assert_eq!(decoded(b"x", Coding::Unknown, 10), Err(InspectionError::UnknownCoding));
    }
}
