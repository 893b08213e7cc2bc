//! Reads one boot's log, whatever has become of it.
//!
//! Damage is an answer, not an error: the reader says which bytes are lost,
//! keeps a copy of them, and goes on at the next frame. Only what the disk
//! refuses to give at the moment is an error.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::content::Content;
use super::cursor::{Cursor, Damage, Item, ReadError};
use super::frame::{self, FrameError, Kind};
use super::fs::Fs;
use super::segment::{self, Header, Id};
use super::tail::Tails;
use super::{quarantine, resync};

/// Bytes read at once.
const CHUNK: usize = 512 * 1024;
/// What a disk gives up when it cannot read.
const BLOCK: u64 = 4096;
/// So often a block may be refused before it is given up.
const REFUSALS: u32 = 4;

/// Where a spool's parts lie, and through what they are reached.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) tails: Arc<Tails>,
    pub(super) segments: PathBuf,
    pub(super) quarantine: PathBuf,
}

/// Reads one boot's log from a cursor on.
#[derive(Debug)]
pub struct BootReader {
    place: Place,
    boot: Uuid,
    instance: Option<String>,
    segment: u64,
    offset: u64,
    open: Option<Open>,
    buffer: Vec<u8>,
    buffer_at: u64,
    refusals: u32,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: Content,
    /// Where the segment ends, and whether that is for good.
    sealed: Option<(Sealed, bool)>,
}

#[derive(Clone, Copy, Debug)]
struct Sealed {
    end: u64,
    /// Bytes behind the end which stand in the next segment from this offset on.
    carried: Option<(u64, u64)>,
}

/// An item, with places in the buffer instead of bytes.
pub(super) enum Step {
    Data(frame::Header, Range<usize>),
    Lost { segment: u64, bytes: Range<u64>, why: Damage, kept: Option<PathBuf> },
    Missing(Range<u64>),
    End,
}

impl BootReader {
    pub(super) fn new(place: Place, from: Cursor) -> Self {
        Self {
            place,
            boot: from.boot,
            instance: None,
            segment: from.segment,
            offset: from.offset.next_multiple_of(frame::ALIGNMENT as u64),
            open: None,
            buffer: Vec::new(),
            buffer_at: 0,
            refusals: 0,
        }
    }

    /// Where the reader stands: behind the last item.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { boot: self.boot, segment: self.segment, offset: self.offset }
    }

    /// The next item. Bounded in time: damage of any size comes in pieces.
    ///
    /// # Errors
    /// [`ReadError`]; ask again.
    #[expect(clippy::should_implement_trait, reason = "an item borrows from the reader")]
    pub fn next(&mut self) -> Result<Item<'_>, ReadError> {
        let step = self.step()?;
        Ok(self.item(step))
    }

    pub(super) fn item(&self, step: Step) -> Item<'_> {
        let at = self.cursor();
        match step {
            Step::Data(header, payload) => {
                let instance = self.instance.as_deref().unwrap_or_default();
                Item::Data { at, header, payload: &self.buffer[payload], instance }
            }
            Step::Lost { segment, bytes, why, kept } => Item::Lost { at, segment, bytes, why, kept },
            Step::Missing(segments) => Item::Missing { at, segments },
            Step::End => Item::EndOfLog,
        }
    }

    /// Gives the buffer's memory back, until something is read again.
    pub(super) fn rest(&mut self) {
        self.buffer = Vec::new();
        self.open = None;
    }

    pub(super) fn step(&mut self) -> Result<Step, ReadError> {
        loop {
            if self.open.is_none() {
                match self.enter()? {
                    Entered::Here => {}
                    Entered::Jumped(segments) => return Ok(Step::Missing(segments)),
                    Entered::Nothing => return Ok(Step::End),
                }
            }
            let (end, sealed) = self.end()?;
            if self.offset < end {
                match self.frame(end) {
                    Ok(Some(step)) => return Ok(step),
                    Ok(None) => continue,
                    Err(error) => return self.refused(end, error),
                }
            }
            let Some(sealed) = sealed else { return Ok(Step::End) };
            if !self.leave(sealed)? {
                return Ok(Step::End);
            }
        }
    }

    /// Opens the segment that the cursor names, or the first one behind it.
    fn enter(&mut self) -> Result<Entered, ReadError> {
        let tail = self.place.tails.of(self.boot);
        let numbers = self.numbers()?;
        let found = numbers.iter().copied().find(|number| *number >= self.segment);
        // A segment that the writer has not announced yet is not complete.
        let Some(number) = found.filter(|number| tail.is_none_or(|tail| *number <= tail.segment)) else {
            return Ok(Entered::Nothing);
        };
        let id = Id { boot: self.boot, number };
        let path = id.path(&self.place.segments);
        let file = match Content::open(&*self.place.fs, &self.place.segments, id) {
            Ok(file) => file,
            // Released in this moment: the next look finds its successor.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entered::Nothing),
            Err(source) => return Err(ReadError { operation: "open", path, source }),
        };
        if self.instance.is_none() {
            self.instance = self.find_instance(number, &numbers);
        }
        let wanted = std::mem::replace(&mut self.segment, number);
        if wanted != number {
            self.offset = 0;
        }
        self.offset = self.offset.max(segment::HEADER);
        self.open = Some(Open { path, file, sealed: None });
        self.buffer.clear();
        Ok(if wanted == number || wanted == 0 { Entered::Here } else { Entered::Jumped(wanted..number) })
    }

    /// Where the open segment ends at the moment, and whether that is for good.
    fn end(&mut self) -> Result<(u64, Option<Sealed>), ReadError> {
        let tail = self.place.tails.of(self.boot);
        if let Some(tail) = tail.filter(|tail| tail.segment == self.segment) {
            return Ok((tail.length, None));
        }
        let id = Id { boot: self.boot, number: self.segment + 1 };
        let Some(open) = &mut self.open else { return Ok((0, None)) };
        if let Some((sealed, _)) = open.sealed.filter(|(sealed, sure)| *sure || self.offset < sealed.end) {
            return Ok((sealed.end, Some(sealed)));
        }
        let next = read_header(&*self.place.fs, id, &self.place.segments);
        let sealed = match next.as_ref().and_then(|next| Some((next, next.previous_end?))) {
            Some((next, end)) => {
                let carried = (segment::HEADER + u64::from(next.head), u64::from(next.carried));
                Sealed { end, carried: Some(carried) }
            }
            None => {
                let failed = |source| ReadError { operation: "measure", path: open.path.clone(), source };
                Sealed { end: open.file.length().map_err(failed)?, carried: None }
            }
        };
        // Without a writer and a successor the end is only where it is now.
        open.sealed = Some((sealed, next.is_some() || tail.is_some()));
        Ok((sealed.end, Some(sealed)))
    }

    /// Goes on to the next segment; `false` if there is none yet.
    fn leave(&mut self, sealed: Sealed) -> Result<bool, ReadError> {
        let tail = self.place.tails.of(self.boot);
        let next = self.numbers()?.into_iter().find(|number| *number > self.segment);
        let Some(next) = next.filter(|number| tail.is_none_or(|tail| *number <= tail.segment)) else {
            return Ok(false);
        };
        let behind = self.offset.saturating_sub(sealed.end);
        self.offset = match sealed.carried {
            // What was read behind the end stands in the next segment once more: it is passed over there.
            Some((at, bytes)) if next == self.segment + 1 && behind > 0 => at + behind.min(bytes),
            _ => 0,
        };
        self.segment += 1;
        self.open = None;
        Ok(true)
    }

    /// The frame at the cursor, or what is lost in its place; `None` for one that holds nothing.
    fn frame(&mut self, end: u64) -> Result<Option<Step>, ReadError> {
        let left = usize::try_from(end - self.offset).unwrap_or(usize::MAX);
        let mut need = left.min(frame::HEADER);
        loop {
            let have = self.fill(need, left)?;
            if have == 0 {
                return Ok(Some(self.lost(end - self.offset, Damage::Truncated)));
            }
            let start = self.buffered();
            let bytes = &self.buffer[start..start + have.min(left)];
            let complete = have < need || bytes.len() == left;
            let error = match frame::Header::decode(bytes) {
                Ok((header, payload, size)) => {
                    let payload = start + frame::HEADER..start + frame::HEADER + payload.len();
                    self.offset += size as u64;
                    self.refusals = 0;
                    return Ok((header.kind != Kind::Pad).then_some(Step::Data(header, payload)));
                }
                Err(FrameError::Incomplete) if !complete => {
                    let wanted = frame::HEADER + stated_length(bytes);
                    need = wanted.next_multiple_of(frame::ALIGNMENT).max(need + 1).min(left);
                    continue;
                }
                Err(error) => error,
            };
            let bytes = resync::damaged(bytes, complete) as u64;
            let torn = complete && error == FrameError::Incomplete && bytes == have.min(left) as u64;
            let why = if torn { Damage::TornTail } else { Damage::Corrupt };
            return Ok(Some(self.lost(bytes, why)));
        }
    }

    /// Passes over so many bytes and keeps them, if there are any to keep.
    fn lost(&mut self, count: u64, why: Damage) -> Step {
        let bytes = self.offset..self.offset + count;
        let start = self.buffered().min(self.buffer.len());
        let held = &self.buffer[start..];
        let held = &held[..held.len().min(usize::try_from(count).unwrap_or(usize::MAX))];
        let id = Id { boot: self.boot, number: self.segment };
        let worth = matches!(why, Damage::Corrupt | Damage::TornTail);
        let Place { fs, quarantine, .. } = &self.place;
        let kept = worth.then(|| quarantine::keep(&**fs, quarantine, id, bytes.start, held)).flatten();
        self.offset = bytes.end;
        self.refusals = 0;
        Step::Lost { segment: self.segment, bytes, why, kept }
    }

    fn refused(&mut self, end: u64, error: ReadError) -> Result<Step, ReadError> {
        if let Some((next, bytes)) = self.open.as_ref().and_then(|open| open.file.damaged(self.offset)) {
            // A block of a compressed segment: its bytes are kept as they stand in the file.
            self.buffer = bytes;
            self.buffer_at = self.offset;
            let why = if self.buffer.is_empty() { Damage::Truncated } else { Damage::Corrupt };
            let step = self.lost(next.min(end) - self.offset, why);
            self.buffer.clear();
            return Ok(step);
        }
        self.refusals += 1;
        if self.refusals < REFUSALS {
            return Err(error);
        }
        self.buffer.clear();
        let block = self.open.as_ref().and_then(|open| open.file.block_end(self.offset));
        let next = block.unwrap_or((self.offset / BLOCK + 1) * BLOCK);
        Ok(self.lost(next.min(end) - self.offset, Damage::Unreadable))
    }

    /// Sees to it that `need` bytes from the cursor on are in the buffer, unless
    /// the file ends before, and says how many there are.
    fn fill(&mut self, need: usize, left: usize) -> Result<usize, ReadError> {
        let start = self.buffered();
        let have = self.buffer.len().saturating_sub(start);
        if have >= need {
            return Ok(have);
        }
        let Some(open) = &mut self.open else { return Ok(0) };
        self.buffer.drain(..start.min(self.buffer.len()));
        self.buffer_at = self.offset;
        let have = self.buffer.len();
        let from = self.offset + have as u64;
        let mut failed = None;
        // A block further on that cannot be read must not cost the ones before it.
        for wanted in [need.max(CHUNK).min(left), need] {
            self.buffer.resize(wanted.max(have), 0);
            match open.file.read(&mut self.buffer[have..], from) {
                Ok(read) => {
                    self.buffer.truncate(have + read);
                    return Ok(self.buffer.len());
                }
                Err(source) => failed = Some(source),
            }
        }
        self.buffer.truncate(have);
        let source = failed.unwrap_or_else(|| io::ErrorKind::Other.into());
        Err(ReadError { operation: "read", path: open.path.clone(), source })
    }

    /// Where the cursor stands in the buffer.
    fn buffered(&self) -> usize {
        match self.offset.checked_sub(self.buffer_at).and_then(|start| usize::try_from(start).ok()) {
            Some(start) => start.min(self.buffer.len()),
            None => self.buffer.len(),
        }
    }

    fn numbers(&self) -> Result<Vec<u64>, ReadError> {
        list_segments(&*self.place.fs, &self.place.segments, self.boot)
    }

    fn find_instance(&self, number: u64, numbers: &[u64]) -> Option<String> {
        let instance = |number| {
            let id = Id { boot: self.boot, number };
            read_header(&*self.place.fs, id, &self.place.segments).map(|header| header.instance)
        };
        instance(number).or_else(|| numbers.iter().rev().find_map(|number| instance(*number)))
    }
}

enum Entered {
    Here,
    Jumped(Range<u64>),
    Nothing,
}

/// The numbers of a boot's segments, rising; none if the boot is not there.
pub(super) fn list_segments(fs: &dyn Fs, segments: &Path, boot: Uuid) -> Result<Vec<u64>, ReadError> {
    let path = segments.join(boot.to_string());
    match fs.list(&path) {
        Ok(names) => {
            let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number_of(name)).collect();
            // One that is being compressed has two files.
            numbers.dedup();
            Ok(numbers)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(ReadError { operation: "list", path, source }),
    }
}

/// A segment's header, if it is there, can be read and is this segment's.
pub(super) fn read_header(fs: &dyn Fs, id: Id, segments: &Path) -> Option<Header> {
    let mut file = Content::open(fs, segments, id).ok()?;
    let mut bytes = [0; segment::HEADER as usize];
    file.read(&mut bytes, 0).ok()?;
    Header::decode(&bytes).filter(|header| header.id == id)
}

fn stated_length(bytes: &[u8]) -> usize {
    let length = bytes.get(8..12).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    length.min(frame::MAX_PAYLOAD)
}
