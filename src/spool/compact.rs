//! Compresses segments that have to wait, so that a long outage fits into the spool.
//!
//! A segment that is still there some minutes after it was sealed waits for a destination that
//! does not take anything. It is rewritten as blocks beside itself, forced to disk, named, and
//! only then removed. While both files are there the plain one is read, and a death in between
//! costs nothing but that work. Only what passes every check is compressed: damage stays as it
//! is, for the readers to tell of.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::block::{self, FULL};
use super::content::{self, Files, unfinished};
use super::cursor::ReadError;
use super::format::{self, COMPRESSED, Format};
use super::frame::{FrameError, Header};
use super::fs::{File, Fs, exists, read_full_at, write_all_at};
use super::reader::read_header;
use super::segment::{self, Id};
use super::store::Spool;

/// Bytes read at once.
const CHUNK: usize = FULL;
/// How hard Zstandard tries: its own default.
const LEVEL: i32 = 3;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Which one.
    pub id: Id,
    /// Bytes that it had.
    pub before: u64,
    /// Bytes that it has now.
    pub after: u64,
}

/// Why a segment stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Something in it fails its check, or its end is not the one that its successor states.
    Damaged,
    /// It would not become smaller.
    NotWorthIt,
    /// It went meanwhile, or the next one cannot be read now.
    Gone,
    /// The process ends.
    Stopped,
}

/// Why compressing did not work this time. The segment is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The spool could not be looked through.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A call failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Compresses one segment after the other. Made for a thread of low priority.
#[derive(Debug)]
pub struct Compactor {
    /// How long a segment waits before it is worth the work.
    after: Duration,
    /// A block is closed at this size.
    block: usize,
    /// Those that are to stay as they are.
    skipped: BTreeSet<Id>,
}

impl Compactor {
    /// Compresses what waits for longer than this after it was sealed.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self { after, block: FULL, skipped: BTreeSet::new() }
    }

    /// Makes blocks of this size, at most 256 KiB: smaller ones save less room, and are for tests
    /// which want many of them.
    #[must_use]
    pub fn with_blocks_of(mut self, bytes: usize) -> Self {
        self.block = bytes.clamp(1, FULL);
        self
    }

    /// Compresses the oldest segment that waits, if there is one; `None`: there is nothing to do
    /// now. `now` is in Unix microseconds. Ends early when `stop` is set, and leaves the segment.
    ///
    /// # Errors
    /// [`CompactError`]: try again later, not at once, since it may be that there is no room.
    pub fn step(
        &mut self,
        spool: &Spool,
        now: u64,
        stop: &AtomicBool,
    ) -> Result<Option<Compacted>, CompactError> {
        let waiting = spool.waiting(now.saturating_sub(micros(self.after)))?;
        self.skipped.retain(|id| waiting.contains(id));
        for id in waiting {
            if self.skipped.contains(&id) {
                continue;
            }
            match spool.compress(id, self.block, stop)? {
                Ok(compacted) => return Ok(Some(compacted)),
                Err(Skip::Stopped) => return Ok(None),
                Err(Skip::Gone) => {}
                Err(reason) => {
                    tracing::debug!(boot = %id.boot, segment = id.number, ?reason, "a segment is not compressed");
                    self.skipped.insert(id);
                }
            }
        }
        Ok(None)
    }
}

impl Spool {
    /// The plain segments that were sealed before this time, oldest first.
    fn waiting(&self, before: u64) -> Result<Vec<Id>, ReadError> {
        let mut waiting = Vec::new();
        let fs = &*self.place.fs;
        let tails = self.tails().all();
        for boot in self.boots() {
            let Some(tail) = tails.get(&boot) else { continue };
            for Files { number, plain, .. } in content::list(fs, &self.place.segments, boot)? {
                let id = Id { boot, number };
                // It was sealed when its successor began.
                let next = || read_header(fs, Id { number: number + 1, ..id }, &self.place.segments);
                match (plain && number < tail.segment).then(next).flatten() {
                    Some(next) if next.created > before => break,
                    Some(_) => waiting.push(id),
                    None => {}
                }
            }
        }
        Ok(waiting)
    }

    /// Compresses a sealed segment. Whatever happens in between, one of its two files is whole
    /// and on disk.
    fn compress(
        &self,
        id: Id,
        block: usize,
        stop: &AtomicBool,
    ) -> Result<Result<Compacted, Skip>, CompactError> {
        let fs = &*self.place.fs;
        let (plain, compressed) = (id.path(&self.place.segments), id.compressed_path(&self.place.segments));
        let next = read_header(fs, Id { number: id.number + 1, ..id }, &self.place.segments);
        let Some(next) = next else { return Ok(Err(Skip::Gone)) };
        let file = match fs.open(&plain) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Skip::Gone)),
            other => other.map_err(failed("open", &plain))?,
        };
        let total = file.length().map_err(failed("measure", &plain))?;
        if next.previous_end != Some(total) {
            return Ok(Err(Skip::Damaged));
        }
        self.raise_format()?;
        let making = unfinished(&compressed);
        let written = Blocks::create(fs, id, total, &making)
            .and_then(|mut blocks| blocks.write_all(&*file, block, stop));
        let after = match written {
            Ok(Ok(after)) => after,
            Ok(Err(reason)) => {
                let _ = fs.remove_file(&making);
                return Ok(Err(reason));
            }
            Err(error) => {
                // Its room is needed; what cannot be removed now goes at the next start.
                let _ = fs.remove_file(&making);
                return Err(error);
            }
        };
        let naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        if !exists(fs, &plain).map_err(failed("look at", &plain))? {
            let _ = fs.remove_file(&making);
            return Ok(Err(Skip::Gone));
        }
        fs.rename(&making, &compressed).map_err(failed("name", &compressed))?;
        drop(naming);
        let dir = self.boot_dir(id.boot);
        fs.sync_dir(&dir).map_err(failed("make durable the names in", &dir))?;
        match fs.remove_file(&plain) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &plain)(error));
            }
            _ => {}
        }
        Ok(Ok(Compacted { id, before: total, after }))
    }
}

impl Spool {
    /// Says in the format file that there may be compressed segments, before there is one.
    fn raise_format(&self) -> Result<(), CompactError> {
        let (fs, dir) = (&*self.place.fs, self.dir());
        let path = dir.join("format");
        let text = format::read(fs, &path).map_err(failed("read", &path))?;
        // A damaged one is written anew at the next start, and says so then.
        let found = text.as_deref().and_then(Format::decode);
        let Some(found) = found.filter(|found| found.version < COMPRESSED) else { return Ok(()) };
        let raised = Format { version: COMPRESSED, ..found };
        format::replace(fs, &path, self.boot, &raised.encode()).map_err(failed("write", &path))?;
        fs.sync_dir(dir).map_err(failed("make durable the names in", dir))
    }
}

/// The compressed file while it is written.
struct Blocks<'a> {
    id: Id,
    total: u64,
    path: &'a Path,
    file: Box<dyn File>,
    at: u64,
    compressor: zstd::bulk::Compressor<'static>,
}

impl<'a> Blocks<'a> {
    fn create(fs: &dyn Fs, id: Id, total: u64, path: &'a Path) -> Result<Self, CompactError> {
        let file = match fs.create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs.remove_file(path).and_then(|()| fs.create_new(path))
            }
            other => other,
        };
        let file = file.map_err(failed("create", path))?;
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(failed("prepare", path))?;
        Ok(Self { id, total, path, file, at: 0, compressor })
    }

    /// Writes the whole segment, which is on disk when this returns, and says how many bytes it takes.
    fn write_all(
        &mut self,
        plain: &dyn File,
        block: usize,
        stop: &AtomicBool,
    ) -> Result<Result<u64, Skip>, CompactError> {
        let mut header = [0; segment::HEADER as usize];
        let read = read_full_at(plain, &mut header, 0).map_err(failed("read for", self.path))?;
        if segment::Header::decode(&header[..read]).is_none_or(|header| header.id != self.id) {
            return Ok(Err(Skip::Damaged));
        }
        self.push(0, &header)?;
        let mut buffer = Vec::new();
        // Where the buffer begins in the segment, and how much of it is whole frames.
        let (mut at, mut whole) = (segment::HEADER, 0);
        loop {
            match Header::decode(&buffer[whole..]) {
                Ok((_, _, size)) => whole += size,
                Err(FrameError::Incomplete) => {
                    let have = buffer.len();
                    let from = at + have as u64;
                    let more = usize::try_from(self.total - from).unwrap_or(usize::MAX).min(CHUNK);
                    if more == 0 && whole == have {
                        break;
                    }
                    buffer.resize(have + more, 0);
                    let read = read_full_at(plain, &mut buffer[have..], from)
                        .map_err(failed("read for", self.path))?;
                    if read < more || more == 0 {
                        return Ok(Err(Skip::Damaged));
                    }
                    continue;
                }
                Err(FrameError::NotAFrame | FrameError::Checksum) => return Ok(Err(Skip::Damaged)),
            }
            if whole >= block {
                self.push(at, &buffer[..whole])?;
                buffer.drain(..whole);
                at += whole as u64;
                whole = 0;
                if self.at >= self.total {
                    return Ok(Err(Skip::NotWorthIt));
                }
                if stop.load(Ordering::Acquire) {
                    return Ok(Err(Skip::Stopped));
                }
            }
        }
        if whole > 0 {
            self.push(at, &buffer)?;
        }
        if self.at >= self.total {
            return Ok(Err(Skip::NotWorthIt));
        }
        self.file.sync_data().map_err(failed("sync", self.path))?;
        Ok(Ok(self.at))
    }

    /// Writes these bytes of the segment, which begin at `from`, as one block.
    fn push(&mut self, from: u64, bytes: &[u8]) -> Result<(), CompactError> {
        let packed = self.compressor.compress(bytes).map_err(failed("compress", self.path))?;
        // The plain bytes are about to go: so it is seen first that they come back.
        let back = zstd::bulk::decompress(&packed, bytes.len()).map_err(failed("check", self.path))?;
        if back != bytes {
            return Err(failed("check", self.path)(io::ErrorKind::InvalidData.into()));
        }
        let plain: Range<u64> = from..from + bytes.len() as u64;
        let stored = u32::try_from(packed.len()).unwrap_or(u32::MAX);
        let check = crc32fast::hash(&packed);
        let header = block::Header { id: self.id, total: self.total, plain, stored, check };
        let write = |bytes: &[u8], at| write_all_at(&*self.file, bytes, at);
        write(&header.encode(), self.at)
            .and_then(|()| write(&packed, self.at + block::HEADER as u64))
            .map_err(failed("write", self.path))?;
        self.at += (block::HEADER + packed.len()) as u64;
        Ok(())
    }
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CompactError + 'a {
    move |source| CompactError::Io { operation, path: path.to_owned(), source }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
