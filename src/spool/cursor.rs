//! What readers say: places in the log, and what stands there.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use uuid::Uuid;

use super::frame::Header;

/// A place in one boot's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// The boot.
    pub boot: Uuid,
    /// The segment; 0 stands before the first one, whichever that is.
    pub segment: u64,
    /// Bytes from the beginning of the segment's file.
    pub offset: u64,
}

impl Cursor {
    /// Before everything that is there of this boot.
    #[must_use]
    pub const fn start(boot: Uuid) -> Self {
        Self { boot, segment: 0, offset: 0 }
    }
}

/// What a reader meets. `at` is where to go on behind it.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An entry.
    Data {
        /// Behind it.
        at: Cursor,
        /// Its frame's header.
        header: Header,
        /// What it holds.
        payload: &'a [u8],
        /// The instance that wrote it; empty where no header of the boot can be read.
        instance: &'a str,
    },
    /// Bytes that are no entry, though there should be one.
    Lost {
        /// Behind them.
        at: Cursor,
        /// The segment that they stand in.
        segment: u64,
        /// Which bytes of it.
        bytes: Range<u64>,
        /// What is wrong with them.
        why: Damage,
        /// Where they are kept; `None` if there is nothing to keep or it could not be written.
        kept: Option<PathBuf>,
    },
    /// Segments that are not there any more: released, or removed by somebody.
    Missing {
        /// At the head of the first one that is there.
        at: Cursor,
        /// Their numbers.
        segments: Range<u64>,
    },
    /// Everything has been read. More may come later; ask again.
    EndOfLog,
}

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// They fail their check.
    Corrupt,
    /// The segment ends inside a frame.
    TornTail,
    /// The file is shorter than it was.
    Truncated,
    /// The disk refuses to give them.
    Unreadable,
}

/// Why reading did not work this time. Ask again: the reader stays where it
/// is, and after a few refusals it gives the block up as [`Damage::Unreadable`].
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}")]
pub struct ReadError {
    /// What was tried.
    pub operation: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's words.
    pub source: io::Error,
}
