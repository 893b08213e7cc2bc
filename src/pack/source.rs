//! The log as a packer sees it.

use crate::record::GapCause;
use crate::spool::frame::Header;
use std::time::Duration;
use uuid::Uuid;

/// A place in one boot's segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Segment number.
    pub segment: u64,
    /// Bytes from the segment file's beginning.
    pub offset: u64,
}

/// One frame of the log.
#[derive(Clone, Debug)]
pub struct LogFrame<'a> {
    /// The boot that wrote it.
    pub boot: Uuid,
    /// The instance that the boot belongs to.
    pub instance: &'a str,
    /// The place behind it: where reading goes on.
    pub after: Position,
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: &'a [u8],
}

/// What reading the log gives.
#[derive(Clone, Debug)]
pub enum LogItem<'a> {
    /// A frame.
    Frame(LogFrame<'a>),
    /// Something of this boot is gone or unreadable. Which sequences it held is
    /// told by the next mark, which names all that were in the log.
    Lost {
        /// The boot.
        boot: Uuid,
        /// The instance, where it is known.
        instance: Option<String>,
        /// The place behind what was lost.
        after: Position,
        /// Why.
        cause: GapCause,
    },
    /// The end, for now.
    End,
}

/// What waits behind a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Bytes in the spool.
    pub bytes: u64,
    /// Age of the oldest; `None` when nothing waits.
    pub oldest: Option<Duration>,
}

/// Why the log can't be read at the moment.
#[derive(Debug, thiserror::Error)]
#[error("the spool cannot be read: {0}")]
pub struct SourceError(#[from] pub std::io::Error);

/// A reader of the log with a cursor for each boot. Boots come in the order of
/// their UUIDs, each boot's frames in the order in which they were written.
pub trait LogSource: Send {
    /// Goes to these places; boots that are not named are read from their beginning.
    fn seek(&mut self, cursor: &[(Uuid, Position)]);

    /// The next item.
    ///
    /// # Errors
    /// When the disk fails; the call may be repeated.
    fn next(&mut self) -> Result<LogItem<'_>, SourceError>;

    /// What waits behind the newest committed place.
    fn pending(&mut self) -> Pending;

    /// Waits for more to read, at most this long.
    fn wait(&mut self, timeout: Duration);

    /// Whether the boot still has a place in the spool.
    fn exists(&self, boot: Uuid) -> bool;

    /// All before these places is packed for good and may be deleted.
    fn committed(&mut self, cursor: &[(Uuid, Position)]);
}
