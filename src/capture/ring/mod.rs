//! The ring: a lane's memory of what it captured, which outlives the process.
//!
//! One file a lane, fully allocated, mapped shared. A worker writes it, the
//! recorder reads it, and when the process is gone the next one reads what is
//! left. It holds three things:
//!
//! * **Counters.** `taken` (sequences given out), `head` (where the next frame
//!   goes), `lost` (closed exchanges that found no room), and the reader's `tail`.
//! * **The table of open exchanges.** A slot's state word is 0 when free and
//!   the sequence plus one when open; beside it stands the intent, the first
//!   fields of the record.
//! * **Frames** of closed records and of intents (see [`crate::spool::frame`]), never
//!   wrapped around the end: what does not fit there begins anew at the front. An intent
//!   accounts for nothing: its exchange is open until its record is here or lost.
//!
//! # Protocol
//! The writer publishes a birth in the order *intent, state word, `taken`*, and
//! a close in the order *frame, commit word, `head`* (or `lost`), *state word*.
//! Each step is a release store, so a reader that loads `taken`, then the state
//! words, then `head` knows: a sequence below `taken` that is neither open nor
//! below `head` was lost. That makes every loss exact, also after the death of
//! the process, since stores of a dead process stay in the mapping.
//!
//! # Why the `unsafe` here is sound
//! A `Mapping` is created from a file that this module has made or checked,
//! has allocated to its full length, and holds a lock against other processes'
//! writing; it unmaps only when the last handle is dropped, and every access is
//! at an offset derived from the checked [`Geometry`], so it lies inside. State
//! words and counters are only touched as atomics. Plain bytes are written by
//! one [`RingWriter`] (not `Clone`, every method takes `&mut self`) and read
//! either by one [`RingReader`] below a `head` that it loaded with acquire,
//! where the writer does not write again before `tail` has passed, or by
//! recovery, when the writer's process is dead.

mod mapping;
mod reader;
mod writer;

pub use mapping::{Geometry, INTENT_BYTES, Identity, RingError};
pub use reader::{Counters, RingGauge, RingReader};
pub use writer::{Pushed, RingWriter, Slot};

use mapping::Mapping;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Makes a ring file and returns its two ends.
///
/// # Errors
/// When the file exists, can't be made, or there is no room for all of it.
pub fn create(
    path: &Path,
    identity: &Identity,
    geometry: Geometry,
) -> Result<(RingWriter, RingReader), RingError> {
    Mapping::create(path, identity, geometry).map(ends)
}

/// Makes a ring in anonymous memory, which does not outlive the process.
///
/// # Errors
/// When there is no memory for it.
pub fn anonymous(identity: &Identity, geometry: Geometry) -> io::Result<(RingWriter, RingReader)> {
    Mapping::anonymous(identity, geometry).map(ends)
}

fn ends(mapping: Mapping) -> (RingWriter, RingReader) {
    let mapping = Arc::new(mapping);
    (RingWriter::new(Arc::clone(&mapping)), RingReader::new(mapping))
}

#[cfg(test)]
mod tests;
