//! Takes up the log of a boot whose process has died.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use uuid::Uuid;

use super::content::Content;
use super::cursor::{Cursor, Damage, Item, ReadError};
use super::frame::{self, Kind};
use super::reader::{BootReader, list_segments, read_header};
use super::segment::{self, Id};
use super::store::Spool;
use super::writer::SegmentWriter;

/// The largest head that is looked at for marks, in bytes.
const MAX_HEAD: usize = frame::size(frame::MAX_PAYLOAD);
/// So often the disk is asked for the same bytes before recovery gives up for now.
const ATTEMPTS: u32 = 16;

/// A boot that was taken over.
#[derive(Debug)]
pub struct RecoveredBoot {
    /// The boot.
    pub boot: Uuid,
    /// The instance that wrote it; this process's own where no header can be read.
    pub instance: String,
    /// The payload of the last mark at the head of the newest segment that has
    /// one. `None`: the boot wrote nothing, or every head is damaged.
    pub mark: Option<Vec<u8>>,
    /// What could not be read of the segments that were read, the torn tail among it.
    pub lost: Vec<LostBytes>,
    /// Goes on with the boot's log, in a new segment: rotate it first. Leave it
    /// and call [`Spool::close_boot`] if the log has its last word already.
    pub writer: SegmentWriter,
}

/// Bytes that recovery could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostBytes {
    /// The segment.
    pub segment: u64,
    /// Which bytes of it.
    pub bytes: Range<u64>,
    /// What is wrong with them.
    pub why: Damage,
    /// Where they are kept, if they could be.
    pub kept: Option<PathBuf>,
}

/// Why a boot cannot be taken over at the moment.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Its lock is not held here.
    #[error("boot {0} is not this process's to recover")]
    NotHeld(Uuid),
    /// The disk does not give what it has.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Spool {
    /// Takes up the log of a dead boot: reads its newest segment with a good
    /// head and what follows it, gives every entry behind that head's marks to
    /// `entry` (later marks among them), and hands over the writer. Before this,
    /// readers see the boot as its files are; from here on up to its last good frame.
    /// What was read is on disk when this returns.
    ///
    /// Doing it again after a crash gives the same.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn recover_boot(
        &self,
        boot: Uuid,
        mut entry: impl FnMut(&frame::Header, &[u8]),
    ) -> Result<RecoveredBoot, RecoverError> {
        if boot == self.boot || !self.boots().contains(&boot) {
            return Err(RecoverError::NotHeld(boot));
        }
        self.remove_unfinished(boot)?;
        let numbers = list_segments(&*self.place.fs, &self.place.segments, boot)?;
        let head =
            numbers.iter().rev().find_map(|number| Some((*number, self.head(Id { boot, number: *number })?)));
        let (from, mark) = match head {
            Some((segment, Head { end, mark })) => (Cursor { boot, segment, offset: end }, Some(mark)),
            None => (Cursor::start(boot), None),
        };
        let mut reader = BootReader::new(self.place.clone(), from);
        let mut instance = String::new();
        let mut lost: Vec<LostBytes> = Vec::new();
        let mut attempts = 0;
        // Where the last good frame of the newest segment ends.
        let mut good = from;
        loop {
            match reader.next() {
                Ok(Item::EndOfLog) => break,
                Ok(Item::Data { at, header, payload, instance: name }) => {
                    if instance.is_empty() {
                        name.clone_into(&mut instance);
                    }
                    good = at;
                    entry(&header, payload);
                }
                Ok(Item::Lost { segment, bytes, why, kept, .. }) => {
                    lost.push(LostBytes { segment, bytes, why, kept });
                }
                Ok(Item::Missing { .. }) => {}
                Err(error) if attempts == ATTEMPTS => return Err(error.into()),
                Err(_) => {
                    attempts += 1;
                    continue;
                }
            }
            attempts = 0;
        }
        if instance.is_empty() {
            let known = numbers.iter().rev().find_map(|number| self.header(Id { boot, number: *number }));
            // A boot that died before its first segment lived on this machine, under its name most likely.
            instance = known.map_or_else(|| self.instance.clone(), |header| header.instance);
        }
        let newest = numbers.last().map(|number| {
            let at = reader.cursor();
            let end = if good.segment == *number { good.offset } else { segment::HEADER.min(at.offset) };
            (*number, end)
        });
        // A killed process may have left frames that only the page cache has. Who recovers says
        // that they are in the log, and lets go of the rings: so they have to be on disk first.
        for number in numbers.iter().filter(|number| **number >= from.segment) {
            self.sync_segment(Id { boot, number: *number })?;
        }
        let writer = self.writer_of(boot, &instance, newest);
        Ok(RecoveredBoot { boot, instance, mark, lost, writer })
    }

    fn sync_segment(&self, id: Id) -> Result<(), ReadError> {
        let path = id.path(&self.place.segments);
        let synced =
            Content::open(&*self.place.fs, &self.place.segments, id).and_then(|file| file.sync_data());
        synced.map_err(|source| ReadError { operation: "sync", path, source })
    }

    fn header(&self, id: Id) -> Option<segment::Header> {
        read_header(&*self.place.fs, id, &self.place.segments)
    }

    /// The marks at the head of a segment, if there is a good one.
    fn head(&self, id: Id) -> Option<Head> {
        let mut file = Content::open(&*self.place.fs, &self.place.segments, id).ok()?;
        let stated = self.header(id).map(|header| header.head as usize);
        let mut bytes = vec![0; stated.unwrap_or(MAX_HEAD).min(MAX_HEAD)];
        let length = file.read(&mut bytes, segment::HEADER).ok()?;
        bytes.truncate(length);
        let mut head = None;
        let mut at = 0;
        while let Ok((header, payload, size)) = frame::Header::decode(&bytes[at..]) {
            if header.kind != Kind::Mark {
                break;
            }
            at += size;
            head = Some(Head { end: segment::HEADER + at as u64, mark: payload.to_vec() });
        }
        head
    }

    /// A segment that has no name yet holds nothing that was promised.
    fn remove_unfinished(&self, boot: Uuid) -> Result<(), ReadError> {
        let dir = self.place.segments.join(boot.to_string());
        let names = match self.place.fs.list(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(ReadError { operation: "list", path: dir, source }),
            Ok(names) => names,
        };
        for name in names.iter().filter(|name| name.ends_with(segment::UNFINISHED)) {
            // It only takes room; the next start tries again.
            let _ = self.place.fs.remove_file(&dir.join(name));
        }
        Ok(())
    }
}

struct Head {
    end: u64,
    mark: Vec<u8>,
}
