//! Records that wait for their supplements.
//!
//! The record of an exchange whose bodies are looked into comes before its supplement in the
//! log, by moments. It is counted when it is read and encoded when its supplement is, or at
//! the end of the batch: a batch never waits long, and what came too late is told.

use super::source::LogFrame;
use crate::record::supplement::merge;
use crate::record::{Field, InspectionError, RecordWriter};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Bytes of records that are held back at most; beyond it, the oldest go without supplement.
const MOST_BYTES: usize = 64 << 20;

/// A record that is held back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) boot: Uuid,
    pub(super) instance: String,
    pub(super) lane: u16,
    pub(super) sequence: u64,
    /// The record's bytes, with its supplement once [`Waiting::complete`] gave it out.
    pub(super) record: Vec<u8>,
}

/// The records that wait, by boot, lane and sequence.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    held: BTreeMap<(Uuid, u16, u64), Held>,
    bytes: usize,
}

impl Waiting {
    /// Holds this frame's record back; gives out one that has to go for it.
    pub(super) fn hold(&mut self, frame: &LogFrame<'_>) -> Option<Held> {
        let (lane, sequence) = (frame.header.lane, frame.header.sequence);
        let held = Held {
            boot: frame.boot,
            instance: frame.instance.to_owned(),
            lane,
            sequence,
            record: frame.payload.to_vec(),
        };
        self.bytes += held.record.len();
        self.held.insert((frame.boot, lane, sequence), held);
        if self.bytes > MOST_BYTES { self.give_up() } else { None }
    }

    /// The record that this supplement belongs to, completed; `None` if it does not wait.
    pub(super) fn complete(&mut self, frame: &LogFrame<'_>) -> Option<Held> {
        let held = self.held.remove(&(frame.boot, frame.header.lane, frame.header.sequence))?;
        self.bytes -= held.record.len();
        let mut merged = Vec::with_capacity(held.record.len() + frame.payload.len());
        Some(match merge(frame.payload, &held.record, &mut merged) {
            Ok(()) => Held { record: merged, ..held },
            Err(_) => lost(held),
        })
    }

    /// The oldest record, which says that its supplement is missing.
    pub(super) fn give_up(&mut self) -> Option<Held> {
        let (_, held) = self.held.pop_first()?;
        self.bytes -= held.record.len();
        Some(lost(held))
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether a record of this boot waits.
    pub(super) fn has(&self, boot: Uuid) -> bool {
        self.held.range((boot, 0, 0)..=(boot, u16::MAX, u64::MAX)).next().is_some()
    }
}

fn lost(mut held: Held) -> Held {
    RecordWriter::new(&mut held.record).integer(Field::InspectionError, InspectionError::Lost as u64);
    held
}
