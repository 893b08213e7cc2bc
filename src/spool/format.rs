//! The two small files at the top of a spool: what it is, and its id.
//!
//! The id stands in both, each with a check value, so that damage to either
//! costs nothing.

use std::io;
use std::path::Path;

use uuid::Uuid;

use super::fs::{Fs, read_full_at, write_all_at};

/// The layout of a spool in which no segment was ever compressed.
pub(super) const PLAIN: u32 = 1;
/// The layout in which segments can be compressed; else as before. A program that does not know
/// it must not open such a spool: it would take those segments for released ones.
pub(super) const COMPRESSED: u32 = 2;

/// Whether this program reads a layout.
pub(super) const fn is_known(version: u32) -> bool {
    matches!(version, PLAIN | COMPRESSED)
}

/// What the `format` file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) version: u32,
    pub(super) id: Uuid,
    /// The default bound of all segments in bytes, chosen at the first start.
    pub(super) bytes: u64,
}

impl Format {
    pub(super) fn encode(&self) -> String {
        let Self { version, id, bytes } = self;
        checked(format!("onrecord spool\nversion = {version}\nid = {id}\nbytes = {bytes}\n"))
    }

    /// `None` if the text is damaged. A later version's text still tells its version.
    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let text = verified(text)?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        let version = value("version")?.parse().ok()?;
        let known = is_known(version);
        Some(Self {
            version,
            id: value("id").and_then(|id| Uuid::try_parse(id).ok()).or((!known).then_some(Uuid::nil()))?,
            bytes: value("bytes").and_then(|bytes| bytes.parse().ok()).or((!known).then_some(0))?,
        })
    }
}

pub(super) fn encode_id(id: Uuid) -> String {
    checked(format!("{id}\n"))
}

pub(super) fn decode_id(text: &[u8]) -> Option<Uuid> {
    Uuid::try_parse(verified(text)?.lines().next()?).ok()
}

fn checked(mut text: String) -> String {
    let check = crc32fast::hash(text.as_bytes());
    text.push_str(&format!("check = {check:08x}\n"));
    text
}

fn verified(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (body, check) = text.strip_suffix('\n')?.rsplit_once("check = ")?;
    (u32::from_str_radix(check, 16).ok()? == crc32fast::hash(body.as_bytes())).then_some(body)
}

/// The first 4 KiB of a small file; `None` if there is no such file.
pub(super) fn read(fs: &dyn Fs, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match fs.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = vec![0; 4096];
    let length = read_full_at(&*file, &mut bytes, 0)?;
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// Replaces a small file in one step; `mark` keeps two processes' attempts apart.
pub(super) fn replace(fs: &dyn Fs, path: &Path, mark: Uuid, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension(format!("{mark}.tmp"));
    let file = match fs.create_new(&unfinished) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs.remove_file(&unfinished)?;
            fs.create_new(&unfinished)?
        }
        other => other?,
    };
    write_all_at(&*file, text.as_bytes(), 0)?;
    file.sync_data()?;
    fs.rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_any_flipped_bit_is_noticed() {
        let format = Format { version: PLAIN, id: Uuid::from_u128(7), bytes: 12345 };
        let text = format.encode().into_bytes();
        assert_eq!(Format::decode(&text), Some(format.clone()));
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The check value's own letters mean the same in either case.
            assert!(Format::decode(&damaged).is_none_or(|read| read == format), "bit {bit}");
        }
        assert_eq!(decode_id(encode_id(format.id).as_bytes()), Some(format.id));
        assert_eq!(decode_id(b""), None);
    }

    #[test]
    fn a_later_version_is_recognised_whatever_else_it_says() {
        let later = checked("onrecord spool\nversion = 3\ncolour = blue\n".to_owned());
        assert_eq!(Format::decode(later.as_bytes()).map(|format| format.version), Some(3));
    }
}
