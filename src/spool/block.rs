//! The block: how frames stand in a segment that was compressed, `{number:020}.segz`.
//!
//! Such a file is a run of blocks and nothing else. Each says which segment it belongs to and
//! which bytes of it it holds, so that damage costs the blocks that it touches and no more.
//! The first block holds the segment's header alone; each other one holds whole frames. All
//! integers are little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | `ORSZ` |
//! | 4..8 | CRC-32 (IEEE) of bytes 8..64 |
//! | 8..24 | boot |
//! | 24..32 | number of the segment |
//! | 32..40 | bytes of the whole segment, uncompressed |
//! | 40..48 | where this block's bytes begin in it |
//! | 48..52 | how many they are |
//! | 52..56 | how many follow here, compressed |
//! | 56..60 | CRC-32 of those |
//! | 60..62 | version of this layout: 1, a frame of Zstandard (RFC 8878) |
//! | 62..64 | zero |

use std::ops::Range;

use uuid::Uuid;

use super::frame;
use super::segment::Id;

/// Bytes before the compressed ones.
pub(super) const HEADER: usize = 64;
/// A block is closed when it holds this many bytes: what one damaged bit can cost.
pub(super) const FULL: usize = 256 * 1024;
/// No block holds more, since frames are not cut.
pub(super) const LARGEST: usize = FULL + frame::size(frame::MAX_PAYLOAD);
/// What every block begins with.
pub(super) const MAGIC: &[u8; 4] = b"ORSZ";
const VERSION: u16 = 1;

/// What the head of a block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The segment.
    pub(super) id: Id,
    /// Bytes of the whole segment.
    pub(super) total: u64,
    /// Which of them this block holds.
    pub(super) plain: Range<u64>,
    /// Bytes that follow.
    pub(super) stored: u32,
    /// Their check value.
    pub(super) check: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0..4].copy_from_slice(MAGIC);
        out[8..24].copy_from_slice(self.id.boot.as_bytes());
        out[24..32].copy_from_slice(&self.id.number.to_le_bytes());
        out[32..40].copy_from_slice(&self.total.to_le_bytes());
        out[40..48].copy_from_slice(&self.plain.start.to_le_bytes());
        let length = u32::try_from(self.plain.end - self.plain.start).unwrap_or(u32::MAX);
        out[48..52].copy_from_slice(&length.to_le_bytes());
        out[52..56].copy_from_slice(&self.stored.to_le_bytes());
        out[56..60].copy_from_slice(&self.check.to_le_bytes());
        out[60..62].copy_from_slice(&VERSION.to_le_bytes());
        let check = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header; `None` if the bytes are too few, damaged, of another layout or of
    /// another segment.
    pub(super) fn decode(bytes: &[u8], id: Id) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER>()?;
        let long = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("within 64 bytes"));
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("within 64 bytes"));
        let sound = &bytes[0..4] == MAGIC
            && word(4) == crc32fast::hash(&bytes[8..])
            && bytes[60..62] == VERSION.to_le_bytes();
        if !sound {
            return None;
        }
        let found = Id { boot: Uuid::from_bytes(*bytes[8..].first_chunk()?), number: long(24) };
        let (total, from, length) = (long(32), long(40), word(48));
        let plain = from..from.checked_add(u64::from(length))?;
        let (stored, check) = (word(52), word(56));
        let believed = found == id
            && length > 0
            && length as usize <= LARGEST
            && stored as usize <= zstd::zstd_safe::compress_bound(LARGEST)
            && plain.end <= total;
        believed.then_some(Self { id, total, plain, stored, check })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_read_back_and_any_flipped_bit_is_noticed(
            boot: u128, number: u64, from in 0..1_u64 << 40, length in 1..LARGEST as u32, more in 0..1_u64 << 40,
            stored in 0..LARGEST as u32, check: u32, flip in 0..HEADER * 8,
        ) {
            let id = Id { boot: Uuid::from_u128(boot), number };
            let plain = from..from + u64::from(length);
            let header = Header { id, total: plain.end + more, plain, stored, check };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::decode(&bytes, id), Some(header));
            prop_assert_eq!(Header::decode(&bytes, Id { number: number ^ 1, ..id }), None);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert_eq!(Header::decode(&bytes, id), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>) {
            let _ = Header::decode(&bytes, Id { boot: Uuid::nil(), number: 1 });
        }
    }
}
