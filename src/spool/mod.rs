//! The spool: the local, crash-safe store of what is captured and not yet
//! packed by every destination.
//!
//! It knows frames, never records. One log a boot, in segments
//! ([`segment`]) which one [`SegmentWriter`] writes and any number of
//! [`Reader`]s read while it does. What is there is derived from the files
//! alone; no ledger beside them can disagree.
//!
//! - A segment appears by a rename, complete with the marks at its head; from
//!   then on it only grows. Its end is stated by its successor.
//! - What is appended survives the process at once, and power loss from the
//!   next sync. A file whose fsync failed is not trusted again.
//! - Readers do not fail on damage: they say what is lost and go on.
//! - A segment that has to wait for long is compressed ([`Compactor`]); it keeps its places,
//!   and nobody who reads it sees a difference.
//! - Nothing is in the log twice, unless power was lost in the moment between
//!   a failed fsync and the copy that repairs it.

mod block;
mod compact;
mod compressed;
mod content;
mod cursor;
mod format;
pub mod frame;
pub mod fs;
mod log;
mod options;
mod quarantine;
mod reader;
mod recover;
mod resync;
pub mod retention;
pub mod segment;
pub mod sim;
mod store;
mod sync;
mod tail;
mod writer;

pub use compact::{CompactError, Compacted, Compactor, Skip};
pub use cursor::{Cursor, Damage, Item, ReadError};
pub use log::Reader;
pub use options::{Options, WhenFull};
pub use reader::BootReader;
pub use recover::{LostBytes, RecoverError, RecoveredBoot};
pub use store::{OpenError, RemoveError, Spool};
pub use sync::{SyncDone, SyncJob};
pub use tail::{Tail, Tails};
pub use writer::{AppendError, Appended, RotateError, Rotated, SegmentWriter, SyncError};

#[cfg(test)]
mod tests;
