//! The worker's end of a ring.

use super::mapping::{INTENT_LENGTH, Mapping, SLOT_BYTES};
use crate::spool::frame::{self, Header, Kind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The worker's end of a ring.
#[derive(Debug)]
pub struct RingWriter {
    mapping: Arc<Mapping>,
    taken: u64,
    head: u64,
    /// The reader's tail as last seen: it is loaded anew only when the ring looks full.
    tail: u64,
    lost: u64,
    /// Given out last in, first out, so that a quiet lane keeps to the front of the table.
    free: Vec<u32>,
    slots_used: usize,
}

/// An open exchange's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// Whether a record found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// It is in the ring.
    Kept,
    /// It is lost and counted.
    Lost,
}

impl RingWriter {
    pub(super) fn new(mapping: Arc<Mapping>) -> Self {
        let free = (0..mapping.geometry.slots as u32).rev().collect();
        Self { mapping, taken: 0, head: 0, tail: 0, lost: 0, free, slots_used: 0 }
    }

    /// The sequence that the next birth gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.taken
    }

    /// The position behind the newest frame: the ticket of whoever has just closed a record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.head
    }

    /// Takes a sequence and opens a slot with this intent (cut at the slot's size).
    /// `None` when every slot is taken; then no sequence was taken either.
    #[inline]
    pub fn open(&mut self, intent: &[u8]) -> Option<(u64, Slot)> {
        let slot = self.free.pop()?;
        let sequence = self.taken;
        let at = self.mapping.geometry.slots_at() + slot as usize * SLOT_BYTES;
        let intent = &intent[..intent.len().min(SLOT_BYTES - INTENT_LENGTH)];
        self.mapping.write(at, &(intent.len() as u32).to_le_bytes());
        self.mapping.write(at + INTENT_LENGTH, intent);
        if slot as usize >= self.slots_used {
            // Before `taken`: who sees the sequence counted also looks at its slot.
            self.slots_used = slot as usize + 1;
            self.mapping.slots_used.store(self.slots_used, Ordering::Release);
        }
        self.mapping.state(slot as usize).store(sequence + 1, Ordering::Release);
        self.publish_taken();
        Some((sequence, Slot(slot)))
    }

    /// Writes the record of an open exchange and frees its slot.
    #[inline]
    pub fn close(&mut self, sequence: u64, slot: Slot, record: &[u8], lane: u16) -> Pushed {
        let pushed = self.push(sequence, record, lane);
        self.mapping.state(slot.0 as usize).store(0, Ordering::Release);
        self.free.push(slot.0);
        pushed
    }

    /// Takes a sequence for an exchange that is over at its birth, and writes its record.
    pub fn record_closed(&mut self, record: &[u8], lane: u16) -> (u64, Pushed) {
        let sequence = self.taken;
        let pushed = self.push(sequence, record, lane);
        // Only now, so that a reader who sees it counted also finds it in the ring or lost.
        self.publish_taken();
        (sequence, pushed)
    }

    /// Writes what is known of an open exchange as an entry of its own, which the recorder
    /// takes to the disk. False when there is no room, which loses nothing: the exchange's
    /// slot holds on.
    pub fn push_intent(&mut self, sequence: u64, intent: &[u8], lane: u16) -> bool {
        self.push_frame(Kind::Intent, sequence, intent, lane)
    }

    fn publish_taken(&mut self) {
        self.taken += 1;
        self.mapping.taken().store(self.taken, Ordering::Release);
    }

    #[inline]
    fn push(&mut self, sequence: u64, record: &[u8], lane: u16) -> Pushed {
        if self.push_frame(Kind::Record, sequence, record, lane) {
            return Pushed::Kept;
        }
        self.lost += 1;
        self.mapping.lost().store(self.lost, Ordering::Release);
        Pushed::Lost
    }

    #[inline]
    fn push_frame(&mut self, kind: Kind, sequence: u64, record: &[u8], lane: u16) -> bool {
        let geometry = self.mapping.geometry;
        let size = frame::size(record.len());
        if size > geometry.frame_limit() || !self.make_room(size) {
            return false;
        }
        let header = Header {
            kind,
            version: crate::record::wire::WIRE_VERSION,
            lane,
            position: self.head,
            sequence,
            length: record.len() as u32,
        };
        self.write_frame(&header, record);
        self.head += size as u64;
        self.mapping.head().store(self.head, Ordering::Release);
        true
    }

    /// Sees to it that `size` bytes at `head` are free and lie in one piece.
    fn make_room(&mut self, size: usize) -> bool {
        let data_bytes = self.mapping.geometry.data_bytes;
        let offset = (self.head % data_bytes as u64) as usize;
        let to_end = data_bytes - offset;
        let skip = if size > to_end { to_end } else { 0 };
        let needed = (skip + size) as u64;
        if self.head + needed - self.tail > data_bytes as u64 {
            self.tail = self.mapping.tail().load(Ordering::Acquire);
            if self.head + needed - self.tail > data_bytes as u64 {
                return false;
            }
        }
        if skip > 0 {
            if skip >= frame::HEADER {
                let pad = Header {
                    kind: Kind::Pad,
                    version: 0,
                    lane: 0,
                    position: self.head,
                    sequence: 0,
                    length: 0,
                };
                self.write_frame(&pad, &[]);
            }
            self.head += skip as u64;
        }
        true
    }

    fn write_frame(&self, header: &Header, payload: &[u8]) {
        let at =
            self.mapping.geometry.data_at() + (self.head % self.mapping.geometry.data_bytes as u64) as usize;
        let encoded = header.encode(payload);
        self.mapping.write(at, &encoded[..4]);
        self.mapping.write(at + 8, &encoded[8..]);
        self.mapping.write(at + frame::HEADER, payload);
        let end = frame::HEADER + payload.len();
        self.mapping.write(at + end, &[0; frame::ALIGNMENT][..frame::size(payload.len()) - end]);
        self.mapping.commit_word(at).store(frame::COMMITTED, Ordering::Release);
    }
}
