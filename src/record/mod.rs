//! The record: the final account of one exchange, as plain data.
//!
//! A record is written once, on the worker that served the exchange, as the
//! byte form of [`wire`]; everything behind the ring (spool, packer, encoders)
//! reads those bytes in place through [`RecordView`]. No step in between builds
//! a tree of values. Beside records the log knows intents (what is known of an
//! exchange before its end), gaps (declared losses) and marks (where a lane
//! stands), all defined here so that every later stage speaks of the same
//! things.

pub mod field;
mod gap;
mod id;
pub mod own;
mod ranges;
pub mod supplement;
pub mod wire;

pub use field::{CacheStatus, ErrorType, Field, InspectionError, Outcome};
pub use gap::{Gap, GapCause, LaneMark, Mark};
pub use id::{EventId, EventIds};
pub use own::{OWN_SOURCE, OwnValue};
pub use ranges::SequenceSet;
pub use wire::{RecordView, RecordWriter, Value, WireError};

/// The version of the attribute table that records of this build follow
/// (`schema.version`).
pub const SCHEMA_VERSION: &str = "1.0";

/// The lane number under which the gateway numbers its own records
/// (`log_source=onrecord`); shown as `self`.
pub const SELF_LANE: u16 = u16::MAX;
