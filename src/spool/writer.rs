//! Writes one boot's log, segment by segment.
//!
//! A segment appears by a rename, with its head and what was carried over
//! already on disk: one that has a name can be recovered from. After that it
//! only grows. Where a write fails, the file is cut back to its last whole
//! frame; where that fails too, or an fsync does, the file is not trusted
//! again: it is sealed where it was last known to be good, and the next
//! segment begins with a copy of what was written behind that point.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::Options;
use super::frame;
use super::fs::{File, Fs, is_full, read_full_at, write_all_at};
use super::segment::{self, Header, Id};
use super::sync::{SyncDone, SyncJob};
use super::tail::{Tail, Tails};

/// The writer of one boot's log. It has no segment at first: the first
/// [`SegmentWriter::rotate`] makes one.
#[derive(Debug)]
pub struct SegmentWriter {
    fs: Arc<dyn Fs>,
    tails: Arc<Tails>,
    segments: PathBuf,
    boot: Uuid,
    instance: String,
    seal_bytes: u64,
    seal_age: u64,
    /// The newest segment's number; 0 before the first.
    number: u64,
    created: u64,
    file: Option<Arc<dyn File>>,
    /// Behind the last whole frame.
    length: u64,
    /// Behind the last byte that is on disk for sure.
    synced: u64,
    /// Behind the marks at the head.
    head_end: u64,
    trusted: bool,
    /// Fsyncs that were begun and whose end is not known yet.
    syncing: u32,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The segment.
    pub segment: u64,
    /// Where the frames begin in it.
    pub from: u64,
    /// Where they end.
    pub to: u64,
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The new segment.
    pub segment: u64,
    /// Bytes that were copied from behind the point up to which the segment before it is trusted.
    pub carried: u64,
    /// What of those could not be read any more: a range of the segment before.
    pub lost: Option<Range<u64>>,
}

/// Why frames were not appended. None of them is in the log then; should the
/// process die before the next sync or rotation, recovery may find some of
/// them after all, but never twice.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no segment that can be written: rotate first.
    #[error("no segment is open for writing")]
    NeedsSegment,
    /// The bytes are not whole frames: their number is no multiple of 8.
    #[error("{0} bytes are not a run of whole frames")]
    NotFrames(usize),
    /// The disk or the quota is full.
    #[error("no room to append to {path}")]
    Full {
        /// The segment.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot append to {path}")]
    Io {
        /// The segment.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Why written frames are not known to be on disk.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The file is not trusted again, because the system forgets what it failed
    /// to write: these bytes have to be written once more, which the next
    /// [`SegmentWriter::rotate`] does.
    #[error("fsync of {path} failed; bytes {} to {} go to a new segment", unsynced.start, unsynced.end)]
    Poisoned {
        /// The segment.
        path: PathBuf,
        /// What was written since the last fsync that worked.
        unsynced: Range<u64>,
        /// The system's words.
        source: io::Error,
    },
    /// An earlier failure already said so: rotate first.
    #[error("no segment is open for writing")]
    NeedsSegment,
}

/// Why there is no new segment. The writer is as it was, or needs a segment.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The disk or the quota is full.
    #[error("no room for the new segment {path}")]
    Full {
        /// The segment.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {operation} the new segment {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The segment.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl SegmentWriter {
    /// A writer whose first segment will have the number `newest + 1`.
    ///
    /// `newest` is the last segment that exists and where its good bytes end,
    /// or `None` for a boot without segments.
    #[must_use]
    pub fn open(
        fs: Arc<dyn Fs>,
        tails: Arc<Tails>,
        segments: &Path,
        boot: Uuid,
        instance: &str,
        options: &Options,
        newest: Option<(u64, u64)>,
    ) -> Self {
        let (number, length) = newest.unwrap_or((0, 0));
        tails.publish(boot, Tail { segment: number, length, closed: false });
        Self {
            fs,
            tails,
            segments: segments.to_owned(),
            boot,
            instance: instance.to_owned(),
            // Offsets behind the head travel as 32 bits in a header.
            seal_bytes: options.segment_bytes.min(1 << 30),
            seal_age: u64::try_from(options.segment_age.as_micros()).unwrap_or(u64::MAX),
            number,
            created: 0,
            file: None,
            length,
            synced: length,
            head_end: length,
            trusted: false,
            syncing: 0,
        }
    }

    /// Appends a run of whole frames. Readers see them at once; they survive
    /// the process from here, and power loss from the next [`SegmentWriter::sync`].
    ///
    /// # Errors
    /// [`AppendError`]; then none of the frames is in the log, and
    /// [`SegmentWriter::needs_segment`] says whether to rotate before trying again.
    pub fn append(&mut self, frames: &[u8]) -> Result<Appended, AppendError> {
        if !frames.len().is_multiple_of(frame::ALIGNMENT) {
            return Err(AppendError::NotFrames(frames.len()));
        }
        let Some(file) = self.file.as_deref().filter(|_| self.trusted) else {
            return Err(AppendError::NeedsSegment);
        };
        if let Err(source) = write_all_at(file, frames, self.length) {
            // What was written of a frame must not stay: the next run would come behind it.
            // And power loss must not bring it back under frames that come later. Which of two
            // fsyncs at once is told of an error is the system's choice: then it is not trusted.
            let cut = file.set_len(self.length);
            self.trusted = self.syncing == 0 && cut.and_then(|()| file.sync_data()).is_ok();
            if self.trusted {
                self.synced = self.length;
            }
            let path = self.path();
            return Err(match is_full(&source) {
                true => AppendError::Full { path, source },
                false => AppendError::Io { path, source },
            });
        }
        let from = self.length;
        self.length += frames.len() as u64;
        self.publish(false);
        Ok(Appended { segment: self.number, from, to: self.length })
    }

    /// Makes everything that was appended survive power loss; nothing to do is success.
    ///
    /// # Errors
    /// [`SyncError`]: rotate, which writes the named bytes once more.
    pub fn sync(&mut self) -> Result<(), SyncError> {
        match self.begin_sync()? {
            Some(job) => {
                let done = job.run();
                self.end_sync(done)
            }
            None => Ok(()),
        }
    }

    /// The fsync that would make everything that was appended survive power loss, to be run
    /// wherever it may block, and its outcome to be given to [`SegmentWriter::end_sync`].
    /// Appending goes on meanwhile; what comes then is not in this one. `None`: there is
    /// nothing to do.
    ///
    /// # Errors
    /// [`SyncError::NeedsSegment`].
    pub fn begin_sync(&mut self) -> Result<Option<SyncJob>, SyncError> {
        match &self.file {
            None if self.synced == self.length => Ok(None),
            Some(_) if self.trusted && self.synced == self.length => Ok(None),
            Some(file) if self.trusted => {
                self.syncing += 1;
                Ok(Some(SyncJob::new(Arc::clone(file), self.number, self.synced..self.length)))
            }
            _ => Err(SyncError::NeedsSegment),
        }
    }

    /// Takes the outcome of an fsync.
    ///
    /// # Errors
    /// [`SyncError`]: rotate, which writes the named bytes once more.
    pub fn end_sync(&mut self, done: SyncDone) -> Result<(), SyncError> {
        self.syncing = self.syncing.saturating_sub(1);
        if done.segment != self.number {
            // Its successor has whatever was not on disk when it was sealed.
            return Ok(());
        }
        match done.result {
            Ok(()) => {
                self.synced = self.synced.max(done.bytes.end);
                Ok(())
            }
            Err(source) => {
                self.trusted = false;
                self.synced = self.synced.min(done.bytes.start);
                let unsynced = self.synced..self.length;
                Err(SyncError::Poisoned { path: self.path(), unsynced, source })
            }
        }
    }

    /// Whether an fsync was begun whose outcome is not known yet.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        self.syncing > 0
    }

    /// Seals the segment and begins the next one with these marks (and what else
    /// belongs at its head), then with whatever of the old one is not known to be on disk.
    /// All of it is on disk when this returns. Not to be called while an fsync runs: that
    /// one may hang, and this would hang with it.
    ///
    /// # Errors
    /// [`RotateError`]; the log goes on where it was if
    /// [`SegmentWriter::needs_segment`] is false, else rotate again later. The
    /// marks may be there although this failed; giving them again does no harm.
    pub fn rotate(&mut self, head: &[u8], now: u64) -> Result<Rotated, RotateError> {
        // A failure is not lost: what it leaves unsynced is carried over.
        let _ = self.sync();
        let id = Id { boot: self.boot, number: self.number + 1 };
        let path = id.path(&self.segments);
        let failed = |operation| {
            let path = path.clone();
            move |source: io::Error| match is_full(&source) {
                true => RotateError::Full { path, source },
                false => RotateError::Io { operation, path, source },
            }
        };
        let unsynced = self.synced..self.length;
        let carried = self.read_back(unsynced.clone());
        let lost = (carried.len() as u64) < unsynced.end - unsynced.start;
        let lost = lost.then(|| unsynced.start + carried.len() as u64..unsynced.end);
        let header = Header {
            id,
            created: now,
            previous_end: (self.number > 0).then_some(self.synced),
            head: short(head.len()),
            carried: short(carried.len()),
            instance: self.instance.clone(),
        };
        let unfinished = path.with_extension(&segment::UNFINISHED[1..]);
        let mut bytes = Vec::with_capacity(segment::HEADER as usize + head.len() + carried.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(&carried);
        let file = match self.write_new(&unfinished, &bytes) {
            Ok(file) => file,
            Err(error) => {
                // Its room is needed; what cannot be removed now goes at the next start.
                let _ = self.fs.remove_file(&unfinished);
                return Err(failed("write")(error));
            }
        };
        self.fs.rename(&unfinished, &path).map_err(failed("name"))?;
        self.number = id.number;
        self.created = now;
        self.file = Some(file);
        self.length = bytes.len() as u64;
        self.head_end = segment::HEADER + head.len() as u64;
        let dir = self.segments.join(self.boot.to_string());
        let named = self.fs.sync_dir(&dir);
        self.trusted = named.is_ok();
        // Without its name on disk nothing of it is; the next one then holds all behind the head.
        self.synced = if self.trusted { self.length } else { self.head_end };
        // A reader must not get to a number which power loss could give to another segment.
        named.map_err(failed("make durable the name of"))?;
        self.publish(false);
        Ok(Rotated { segment: id.number, carried: carried.len() as u64, lost })
    }

    /// Whether the segment should be sealed now, for its size or its age. One
    /// that holds nothing but its head does not age. `now` is Unix microseconds.
    #[must_use]
    pub fn needs_rotation(&self, now: u64) -> bool {
        let old = now.saturating_sub(self.created) >= self.seal_age && self.length > self.head_end;
        self.needs_segment() || self.length >= self.seal_bytes || old
    }

    /// Whether nothing can be appended before the next [`SegmentWriter::rotate`].
    #[must_use]
    pub fn needs_segment(&self) -> bool {
        !self.trusted
    }

    /// Bytes appended that power loss could still take.
    #[must_use]
    pub fn unsynced(&self) -> u64 {
        self.length - self.synced
    }

    /// The segment that is being written, and how long it is; number 0 before the first.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        (self.number, self.length)
    }

    /// Syncs, and says that this boot will write nothing more.
    ///
    /// # Errors
    /// [`SyncError`]; the boot is then not closed.
    pub fn close(&mut self) -> Result<(), SyncError> {
        self.sync()?;
        self.publish(true);
        Ok(())
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<Arc<dyn File>> {
        let file = match self.fs.create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.fs.remove_file(path)?;
                self.fs.create_new(path)?
            }
            other => other?,
        };
        write_all_at(&*file, bytes, 0)?;
        file.sync_data()?;
        Ok(Arc::from(file))
    }

    /// As much of this range as the system still gives: after a failed fsync it
    /// usually keeps the bytes in memory.
    fn read_back(&self, range: Range<u64>) -> Vec<u8> {
        let Some(file) = self.file.as_deref() else { return Vec::new() };
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        let mut filled = 0;
        for piece in bytes.chunks_mut(64 * 1024) {
            let read = read_full_at(file, piece, range.start + filled as u64).unwrap_or(0);
            filled += read;
            if read < piece.len() {
                break;
            }
        }
        bytes.truncate(filled / frame::ALIGNMENT * frame::ALIGNMENT);
        bytes
    }

    fn publish(&self, closed: bool) {
        self.tails.publish(self.boot, Tail { segment: self.number, length: self.length, closed });
    }

    fn path(&self) -> PathBuf {
        Id { boot: self.boot, number: self.number }.path(&self.segments)
    }
}

fn short(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
