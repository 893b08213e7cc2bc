//! A segment: one file of the log, `segments/{boot}/{number:020}.seg`.
//!
//! It begins with 128 bytes which say what it is; frames follow from there, at
//! multiples of 8. All integers are little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | `ORSG` |
//! | 4..6 | version of this layout |
//! | 6 | bytes of the instance name |
//! | 7 | zero |
//! | 8..24 | boot |
//! | 24..32 | number |
//! | 32..40 | created, Unix microseconds |
//! | 40..48 | where the segment before it ends; `u64::MAX` if that was not known |
//! | 48..52 | bytes of the head: the marks that follow this header |
//! | 52..56 | bytes which were carried over from the segment before, right after the head |
//! | 56..60 | zero |
//! | 60..124 | instance, UTF-8, zeros behind it |
//! | 124..128 | CRC-32 (IEEE) of bytes 0..124 |
//!
//! A segment that has to wait is rewritten as blocks, `{number:020}.segz`;
//! places in it are told by the bytes it had before.
//!
//! The end of a segment is stated by its successor, because the file itself
//! can be longer: what was written behind a failed write or a failed fsync
//! stands in the successor once more, as its carried bytes.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Bytes of the header; the first frame begins here.
pub const HEADER: u64 = 128;
/// The longest instance name that is kept, in bytes; more is cut.
pub const MAX_INSTANCE: usize = 64;
/// What a segment under construction is called at its end.
pub(super) const UNFINISHED: &str = ".tmp";
const MAGIC: &[u8; 4] = b"ORSG";
const VERSION: u16 = 1;

/// Which segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The boot that wrote it.
    pub boot: Uuid,
    /// Its number in that boot, from 1.
    pub number: u64,
}

impl Id {
    /// The segment's file, below the folder of all boots.
    #[must_use]
    pub fn path(&self, segments: &Path) -> PathBuf {
        segments.join(self.boot.to_string()).join(file_name(self.number))
    }

    /// The file that it stands in once it was compressed.
    pub(super) fn compressed_path(&self, segments: &Path) -> PathBuf {
        self.path(segments).with_extension("segz")
    }
}

/// The name of the file with this number.
#[must_use]
pub fn file_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The number in a segment's file name, plain or compressed; `None` if the name is not a segment's.
#[must_use]
pub fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").or_else(|| name.strip_suffix(".segz"))?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The boot that a folder's name says; `None` if it is not a boot's.
#[must_use]
pub fn boot_of(name: &str) -> Option<Uuid> {
    let boot = Uuid::try_parse(name).ok()?;
    (boot.to_string() == name).then_some(boot)
}

/// What the first bytes of a segment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which segment it is.
    pub id: Id,
    /// Unix microseconds.
    pub created: u64,
    /// Where the segment before it ends, if that was known.
    pub previous_end: Option<u64>,
    /// Bytes of the marks at its head.
    pub head: u32,
    /// Bytes after the head which stood in the segment before, behind its end.
    pub carried: u32,
    /// The operator's name for the machine, at most [`MAX_INSTANCE`] bytes.
    pub instance: String,
}

impl Header {
    /// The header's bytes; a name that is too long is cut at a character.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER as usize] {
        let name = cut(&self.instance).as_bytes();
        let mut out = [0; HEADER as usize];
        out[0..4].copy_from_slice(MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6] = u8::try_from(name.len()).expect("cut to 64 bytes");
        out[8..24].copy_from_slice(self.id.boot.as_bytes());
        out[24..32].copy_from_slice(&self.id.number.to_le_bytes());
        out[32..40].copy_from_slice(&self.created.to_le_bytes());
        out[40..48].copy_from_slice(&self.previous_end.unwrap_or(u64::MAX).to_le_bytes());
        out[48..52].copy_from_slice(&self.head.to_le_bytes());
        out[52..56].copy_from_slice(&self.carried.to_le_bytes());
        out[60..60 + name.len()].copy_from_slice(name);
        let check = crc32fast::hash(&out[..124]);
        out[124..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header; `None` if the bytes are too few, damaged, or of another layout.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ HEADER as usize }>()?;
        let long = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("within 128 bytes"));
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("within 128 bytes"));
        let sound = &bytes[0..4] == MAGIC
            && bytes[4..6] == VERSION.to_le_bytes()
            && word(124) == crc32fast::hash(&bytes[..124]);
        if !sound {
            return None;
        }
        let name = bytes[60..124].get(..usize::from(bytes[6]))?;
        let boot = Uuid::from_bytes(*bytes[8..].first_chunk()?);
        Some(Self {
            id: Id { boot, number: long(24) },
            created: long(32),
            previous_end: Some(long(40)).filter(|end| *end != u64::MAX),
            head: word(48),
            carried: word(52),
            instance: String::from_utf8_lossy(name).into_owned(),
        })
    }
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_INSTANCE);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_read_back_and_any_flipped_bit_is_noticed(
            boot: u128, number: u64, created: u64, head: u32, carried: u32,
            previous_end in proptest::option::of(0..u64::MAX), instance in ".{0,40}", flip in 0..128_usize * 8,
        ) {
            let id = Id { boot: Uuid::from_u128(boot), number };
            let header = Header { id, created, previous_end, head, carried, instance };
            let mut bytes = header.encode();
            let read = Header::decode(&bytes).unwrap();
            prop_assert!(header.instance.starts_with(&read.instance));
            prop_assert_eq!(&Header { instance: read.instance.clone(), ..header }, &read);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert_eq!(Header::decode(&bytes), None);
        }
    }

    #[test]
    fn only_names_that_this_module_makes_are_taken_for_segments() {
        assert_eq!(number_of(&file_name(7)), Some(7));
        for name in ["7.seg", "00000000000000000007", "+0000000000000000007.seg", "99999999999999999999.seg"]
        {
            assert_eq!(number_of(name), None, "{name}");
        }
        assert_eq!(boot_of("not a boot"), None);
        assert_eq!(boot_of("019B0000000070008000000000000001"), None);
    }
}
