//! What only bodies tell: looked into off the request path, within stated bounds.
//!
//! # What for
//! Some rows of a catalogue can't be read from heads alone: the id of what was created stands
//! in the response, the entities of a bulk call in the request, and `PUT …/published` is an
//! unpublish if its body says `remove`. A [`plan`](BodyPlans) says for each route of a source
//! what is wanted of which body; a route that wants nothing pays one load and one branch a
//! frame.
//!
//! # The way of a body
//! ```text
//! worker:     frame passes → copied into a Taken, within bytes and memory
//!             close        → record into the ring, with Field::Inspected; then the Job into the queue
//! inspector:  decode → select → meaning → supplement frame into the Outbox
//! recorder:   appends what the Outbox holds to the log, behind the records
//! packer:     holds an inspected record back until its supplement is read, in the same batch
//! ```
//! A worker copies, and does not keep the frames themselves: a frame is a slice of a read
//! buffer that can be far larger, and holding the one holds the other, so that the bound on
//! memory would be none. The copy ends where a body goes beyond its bound.
//!
//! # What always holds
//! * Nothing here answers a client or delays one. What can't be had (too large, not JSON, no
//!   memory, the process died) is told in `inspection.error`, never as an error.
//! * No byte of a body reaches ring, spool or object but the values at the pointers that the
//!   catalogue names; what it calls secret (`secret_pointers`) is never selected, even if
//!   another pointer goes there. Bodies live in this process's memory alone and die with it.
//! * Accounts are exact without it: a supplement has no sequence of its own, and a record
//!   counts whether its supplement comes or not.
//! * Memory for bodies is at most `memory` bytes, plus sixteen times `bytes` for the one body
//!   that is being decoded.

mod coding;
mod decode;
mod entities;
mod job;
mod meaning;
mod plan;
mod select;
mod states;
mod take;
mod thread;
mod wants;

pub use coding::Coding;
pub use job::{Job, Outbox, Queue, Reservation};
pub use plan::BodyPlans;
pub use select::each;
pub use take::{Bounds, Taken};
pub use thread::{Exchange, Inspector, Watch};
pub use wants::Wants;

/// So long what a release or an AI Action was seen to hold counts, in microseconds.
pub const COUNTS_FOR: u64 = 3_600_000_000;

/// Settings of inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of one body that are looked into at most, as sent; 0 looks into none.
    pub bytes: usize,
    /// Bytes of all bodies that wait or are on their way.
    pub memory: usize,
    /// Entities of one call that are named at most.
    pub resources: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { bytes: 64 * 1024, memory: 32 * 1024 * 1024, resources: 1000 }
    }
}

#[cfg(test)]
mod tests;
