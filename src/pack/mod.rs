//! Pack: from the log to batches that are ready to be delivered.
//!
//! One packer a destination, on a thread of its own. It reads the log from its
//! cursor, sorts records into partitions, encodes and compresses them, and
//! commits objects and manifest as one batch by a single rename. The newest
//! manifest is cursor and chain head at once, so nothing else is stored and
//! nothing can disagree with it.

mod filter;
mod held;
mod lanes;
mod making;
pub mod manifest;
mod object;
mod options;
mod outbox;
mod packer;
mod packing;
pub mod partition;
pub mod plan;
mod signing;
mod source;
mod spool_source;

pub use filter::Filter;
pub use lanes::FoundGap;
pub use manifest::Manifest;
pub use options::PackOptions;
pub use outbox::{Batch, Expired, ExpiryCause, Outbox, OutboxError, OutboxLock};
pub use packer::{Opened, PackError, PackEvent, PackReport, Packer, PackerControl};
pub use packing::{Packing, Step};
pub use plan::Schedule;
pub use source::{LogFrame, LogItem, LogSource, Pending, Position, SourceError};
pub use spool_source::{OnCommit, SpoolSource};
