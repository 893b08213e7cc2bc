//! A segment's bytes, whichever of its two files they stand in.
//!
//! While both are there the plain one is read: the other one may still be on its way.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::compressed::Compressed;
use super::cursor::ReadError;
use super::fs::{File, Fs, read_full_at};
use super::retention::Segment;
use super::segment::{self, Id};

/// An open segment.
#[derive(Debug)]
pub(super) enum Content {
    Plain(Box<dyn File>),
    Compressed(Box<Compressed>),
}

impl Content {
    /// Opens a segment for reading.
    pub(super) fn open(fs: &dyn Fs, segments: &Path, id: Id) -> io::Result<Self> {
        match fs.open(&id.path(segments)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = fs.open(&id.compressed_path(segments))?;
                Ok(Self::Compressed(Box::new(Compressed::new(file, id))))
            }
            other => other.map(Self::Plain),
        }
    }

    /// Fills `buffer` from `offset` as far as the segment goes and says how many bytes that were.
    pub(super) fn read(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = match self {
            Self::Plain(file) => return read_full_at(&**file, buffer, offset),
            Self::Compressed(file) => file,
        };
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Bytes of the segment, uncompressed.
    pub(super) fn length(&mut self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => file.length(),
            Self::Compressed(file) => file.length(),
        }
    }

    /// Makes what is read here survive power loss.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.sync_data(),
            Self::Compressed(file) => file.sync_data(),
        }
    }

    /// Where the unit ends that cannot be read at `offset`, if it is more than what a disk gives up.
    pub(super) fn block_end(&self, offset: u64) -> Option<u64> {
        match self {
            Self::Plain(_) => None,
            Self::Compressed(file) => file.block_end(offset),
        }
    }

    /// See [`Compressed::damaged`].
    pub(super) fn damaged(&self, offset: u64) -> Option<(u64, Vec<u8>)> {
        match self {
            Self::Plain(_) => None,
            Self::Compressed(file) => file.damaged(offset),
        }
    }
}

/// The files that a segment may consist of.
pub(super) fn paths(segments: &Path, id: Id) -> [PathBuf; 3] {
    let compressed = id.compressed_path(segments);
    let making = unfinished(&compressed);
    [id.path(segments), compressed, making]
}

/// What a compressed segment is called while it is written.
pub(super) fn unfinished(compressed: &Path) -> PathBuf {
    compressed.with_extension("segz.tmp")
}

/// The files of a boot's segments, in the order of their numbers; none if the boot is not there.
pub(super) fn list(fs: &dyn Fs, segments: &Path, boot: Uuid) -> Result<Vec<Files>, ReadError> {
    let path = segments.join(boot.to_string());
    let names = match fs.list(&path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ReadError { operation: "list", path, source }),
    };
    let mut found: BTreeMap<u64, Files> = BTreeMap::new();
    for name in names {
        let whole = segment::number_of(&name);
        // One that is being made takes room already.
        let making = name.strip_suffix(segment::UNFINISHED).and_then(segment::number_of);
        if let Some(number) = whole.or(making) {
            let files = found.entry(number).or_insert(Files { number, plain: false, names: Vec::new() });
            files.plain |= name == segment::file_name(number);
            files.names.push(name);
        }
    }
    Ok(found.into_values().collect())
}

/// The files of one segment.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) number: u64,
    /// Whether the plain one is there.
    pub(super) plain: bool,
    names: Vec<String>,
}

impl Files {
    /// What they take; `None` if they went meanwhile.
    pub(super) fn measure(
        &self,
        fs: &dyn Fs,
        segments: &Path,
        boot: Uuid,
    ) -> Result<Option<Segment>, ReadError> {
        let id = Id { boot, number: self.number };
        let dir = segments.join(boot.to_string());
        let mut bytes = 0;
        let mut length = None;
        for name in &self.names {
            let path = dir.join(name);
            match fs.stat(&path) {
                Ok(stat) => {
                    bytes += stat.bytes;
                    if *name == segment::file_name(self.number) {
                        length = Some(stat.bytes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ReadError { operation: "look at", path, source }),
            }
        }
        let compressed = || Content::open(fs, segments, id).and_then(|mut content| content.length()).ok();
        let plain = length.or_else(compressed);
        Ok((bytes > 0 || plain.is_some()).then(|| Segment {
            id,
            bytes,
            plain: plain.unwrap_or(bytes),
            created: 0,
        }))
    }
}
