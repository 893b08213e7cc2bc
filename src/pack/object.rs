//! One object in the making: rows in, a file out.
//!
//! gzip gets no time, no name and a fixed system byte, and the compressor is
//! fed in blocks of one size, so that equal lines give equal bytes. A small
//! partition stays in memory until the batch ends: a compressor and an open
//! file cost more than its lines, and there may be hundreds of them.

use super::manifest::{LaneCount, ObjectEntry};
use crate::evidence::merkle::{self, Hash, Tree};
use crate::format::{Framing, Layout, time_text};
use crate::spool::fs::{self, Fs};
use aws_lc_rs::digest;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The compressor is fed in blocks of this many bytes.
const BLOCK: usize = 128 * 1024;

/// An object that still takes lines.
#[derive(Debug)]
pub(super) struct OpenObject {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    /// gzip level; `None`: not compressed.
    level: Option<u32>,
    framing: Framing,
    /// Whether rows are kept until the end.
    collects: bool,
    block: Vec<u8>,
    stream: Option<Stream>,
    tree: Tree,
    uncompressed: u64,
    first: u64,
    last: u64,
    lanes: BTreeMap<(Uuid, u16), u64>,
}

/// A finished file: what the manifest says of it, and the hash that goes into its key.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) entry: ObjectEntry,
    pub(super) hash: Hash,
    /// Unix microseconds of the earliest start.
    pub(super) first: u64,
}

impl OpenObject {
    pub(super) fn new(fs: Arc<dyn Fs>, path: &Path, level: Option<u32>, framing: &Framing) -> Self {
        Self {
            fs,
            path: path.to_owned(),
            level,
            framing: framing.clone(),
            collects: matches!(framing, Framing::Columns(_)),
            block: Vec::new(),
            stream: None,
            tree: Tree::new(),
            uncompressed: 0,
            first: u64::MAX,
            last: 0,
            lanes: BTreeMap::new(),
        }
    }

    /// Adds one row, a line with its newline.
    pub(super) fn push(&mut self, row: &[u8], start: u64, boot: Uuid, lane: u16) -> io::Result<()> {
        let framing = std::mem::replace(&mut self.framing, Framing::Array);
        let before = if self.tree.size() == 0 { framing.head() } else { framing.between() };
        let written = self.append(before).and_then(|()| self.append(row));
        self.framing = framing;
        self.tree.push(row.strip_suffix(b"\n").unwrap_or(row));
        self.first = self.first.min(start);
        self.last = self.last.max(start);
        *self.lanes.entry((boot, lane)).or_default() += 1;
        written
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.uncompressed += bytes.len() as u64;
        // Columns are made of all rows at once, when they are all there.
        if self.collects {
            self.block.extend_from_slice(bytes);
            return Ok(());
        }
        let mut rest = bytes;
        while self.block.len() + rest.len() >= BLOCK {
            let (head, tail) = rest.split_at(BLOCK - self.block.len());
            self.block.extend_from_slice(head);
            rest = tail;
            self.write_block()?;
        }
        self.block.extend_from_slice(rest);
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let file = HashingFile::create(&*self.fs, &self.path)?;
            self.stream = Some(match self.level {
                Some(level) => Stream::Gzip(Gzip::new(file, level)?),
                None => Stream::Plain(file),
            });
        }
        match &mut self.stream {
            Some(Stream::Gzip(stream)) => stream.write_all(&self.block)?,
            Some(Stream::Plain(stream)) => stream.write_all(&self.block)?,
            None => {}
        }
        self.block.clear();
        Ok(())
    }

    /// Writes the columns of the rows that were collected.
    fn write_columns(&mut self, layout: &Layout) -> io::Result<HashingFile> {
        let file = HashingFile::create(&*self.fs, &self.path)?;
        layout.write(&self.block, file)
    }

    /// Writes what is left and syncs the file.
    pub(super) fn finish(mut self) -> io::Result<Finished> {
        let framing = std::mem::replace(&mut self.framing, Framing::Array);
        if let Framing::Columns(layout) = &framing {
            let file = self.write_columns(layout)?;
            return self.finished(file);
        }
        self.append(framing.tail())?;
        self.write_block()?;
        let file = match self.stream.take() {
            Some(Stream::Gzip(stream)) => stream.finish()?,
            Some(Stream::Plain(file)) => file,
            None => unreachable!("write_block opens the stream"),
        };
        self.finished(file)
    }

    fn finished(self, file: HashingFile) -> io::Result<Finished> {
        let (hash, bytes) = file.finish()?;
        let lane = |((boot, lane), records)| LaneCount { boot, lane, records };
        let entry = ObjectEntry {
            key: String::new(),
            sha256: merkle::hex(&hash),
            bytes,
            uncompressed_bytes: self.uncompressed,
            records: self.tree.size(),
            first: time_text(self.first),
            last: time_text(self.last),
            records_root: merkle::hex(&self.tree.root()),
            lanes: self.lanes.into_iter().map(lane).collect(),
        };
        Ok(Finished { entry, hash, first: self.first })
    }
}

/// Where blocks go.
#[derive(Debug)]
enum Stream {
    Gzip(Gzip<HashingFile>),
    Plain(HashingFile),
}

/// A gzip member (RFC 1952) whose header is fixed to the last byte.
#[derive(Debug)]
struct Gzip<W: Write> {
    deflate: DeflateEncoder<W>,
    crc: Crc,
}

impl<W: Write> Gzip<W> {
    fn new(mut out: W, level: u32) -> io::Result<Self> {
        // Magic, deflate, no flags, no time, no hint, system unknown.
        out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
        Ok(Self { deflate: DeflateEncoder::new(out, Compression::new(level)), crc: Crc::new() })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.deflate.write_all(bytes)
    }

    fn finish(self) -> io::Result<W> {
        let mut out = self.deflate.finish()?;
        out.write_all(&self.crc.sum().to_le_bytes())?;
        out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(out)
    }
}

/// A file that is written from its beginning to its end.
struct Growing {
    file: Box<dyn fs::File>,
    length: u64,
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.length)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that knows the hash and the length of what went into it.
struct HashingFile {
    file: BufWriter<Growing>,
    hash: digest::Context,
    bytes: u64,
}

impl std::fmt::Debug for HashingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashingFile").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl HashingFile {
    fn create(fs: &dyn Fs, path: &Path) -> io::Result<Self> {
        let file = Growing { file: fs.create_new(path)?, length: 0 };
        let file = BufWriter::with_capacity(64 * 1024, file);
        Ok(Self { file, hash: digest::Context::new(&digest::SHA256), bytes: 0 })
    }

    fn finish(self) -> io::Result<(Hash, u64)> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.file.sync_data()?;
        Ok((merkle::finish(self.hash), self.bytes))
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::fs::SystemFs;
    use std::io::Read as _;

    fn object(path: &Path, lines: &[Vec<u8>]) -> Finished {
        let mut object =
            OpenObject::new(Arc::new(SystemFs), path, Some(1), &Framing::Lines { head: Vec::new() });
        for (index, line) in lines.iter().enumerate() {
            object.push(line, 1_000_000 * index as u64, Uuid::nil(), (index % 2) as u16).unwrap();
        }
        object.finish().unwrap()
    }

    #[test]
    fn lines_come_back_from_the_file_and_equal_lines_give_equal_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        for count in [1usize, 3, 2000] {
            let lines: Vec<Vec<u8>> = (0..count)
                .map(|n| {
                    format!("{{\"n\":{n},\"x\":\"{}\"}}\n", "ab".repeat(random.usize(..200))).into_bytes()
                })
                .collect();
            let (a, b) = (dir.path().join(format!("{count}a")), dir.path().join(format!("{count}b")));
            let (first, second) = (object(&a, &lines), object(&b, &lines));
            let bytes = std::fs::read(&a).unwrap();
            assert_eq!(bytes, std::fs::read(&b).unwrap());
            assert_eq!(first.entry, second.entry);
            assert_eq!(first.hash, merkle::sha256(&bytes));
            assert_eq!(first.entry.bytes, bytes.len() as u64);
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
            assert_eq!(text, lines.concat());
            assert_eq!(first.entry.uncompressed_bytes, text.len() as u64);
            assert_eq!(first.entry.records, count as u64);
            let mut tree = Tree::new();
            lines.iter().for_each(|line| tree.push(line.strip_suffix(b"\n").unwrap()));
            assert_eq!(first.entry.records_root, merkle::hex(&tree.root()));
            assert_eq!(first.entry.first, "1970-01-01T00:00:00.000000Z");
        }
    }
}
