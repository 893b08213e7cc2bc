//! The recorder's end of a ring, and recovery's.

use super::mapping::{INTENT_LENGTH, Identity, Mapping, RingError, SLOT_BYTES};
use crate::spool::frame::{self, Header, Kind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The recorder's end of a ring, and what recovery reads of a dead process's.
#[derive(Debug)]
pub struct RingReader {
    mapping: Arc<Mapping>,
    tail: u64,
}

/// A look at a ring's counters from any thread, whatever its two ends are doing.
#[derive(Clone, Debug)]
pub struct RingGauge(Arc<Mapping>);

impl RingGauge {
    /// Bytes of frames that wait in the ring.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        // The tail first: it only follows the head.
        let tail = self.0.tail().load(Ordering::Acquire);
        self.0.head().load(Ordering::Acquire).saturating_sub(tail)
    }

    /// Bytes for frames.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.geometry.data_bytes as u64
    }
}

/// What a ring's counters say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sequences given out.
    pub taken: u64,
    /// Position behind the newest frame.
    pub head: u64,
    /// Position up to which frames were drained.
    pub tail: u64,
    /// Closed exchanges that found no room.
    pub lost: u64,
}

impl RingReader {
    pub(super) fn new(mapping: Arc<Mapping>) -> Self {
        let tail = mapping.tail().load(Ordering::Acquire);
        Self { mapping, tail }
    }

    /// Opens a dead process's ring, to recover it. The caller holds that process's lock.
    ///
    /// # Errors
    /// When it can't be read or is not a ring of this version.
    pub fn open(path: &Path) -> Result<(Self, Identity), RingError> {
        let (mapping, identity) = Mapping::open(path)?;
        Ok((Self::new(Arc::new(mapping)), identity))
    }

    /// Whether the machine has not been restarted since the ring was made. If it
    /// has, the counters are bounds only.
    #[must_use]
    pub fn same_machine_start(&self) -> bool {
        self.mapping.same_machine_start()
    }

    /// The counters, `taken` first, as the protocol wants.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            taken: self.mapping.taken().load(Ordering::Acquire),
            lost: self.mapping.lost().load(Ordering::Acquire),
            head: self.mapping.head().load(Ordering::Acquire),
            tail: self.tail,
        }
    }

    /// A look at the counters for others.
    #[must_use]
    pub fn gauge(&self) -> RingGauge {
        RingGauge(Arc::clone(&self.mapping))
    }

    /// Calls `each` with the sequence of every open exchange. Costs what the most exchanges cost
    /// that were ever open at once, not what the table could hold.
    pub fn open_sequences(&self, mut each: impl FnMut(u64)) {
        for slot in 0..self.mapping.slots_used.load(Ordering::Acquire) {
            let state = self.mapping.state(slot).load(Ordering::Acquire);
            if state != 0 {
                each(state - 1);
            }
        }
    }

    /// The intents of open exchanges: only when the writer's process is dead.
    #[must_use]
    pub fn intents(&self) -> Vec<(u64, &[u8])> {
        let mut intents = Vec::new();
        for slot in 0..self.mapping.geometry.slots {
            let state = self.mapping.state(slot).load(Ordering::Acquire);
            if state != 0 {
                let at = self.mapping.geometry.slots_at() + slot * SLOT_BYTES;
                let length = self.mapping.read(at, INTENT_LENGTH);
                let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
                let length = length.min(SLOT_BYTES - INTENT_LENGTH);
                intents.push((state - 1, self.mapping.read(at + INTENT_LENGTH, length)));
            }
        }
        intents
    }

    /// The next run of frames from `position` (at or behind `tail`) up to `head`, in one piece: the bytes, and the
    /// position at which the run begins. Empty when there is none. Pads are not in it.
    #[must_use]
    pub fn run(&self, position: u64, head: u64) -> (u64, &[u8]) {
        let data_bytes = self.mapping.geometry.data_bytes as u64;
        let data_at = self.mapping.geometry.data_at();
        let mut position = position;
        while position < head {
            let offset = (position % data_bytes) as usize;
            let to_end = (data_bytes as usize - offset).min((head - position) as usize);
            if to_end < frame::HEADER {
                position += to_end as u64;
                continue;
            }
            let bytes = self.mapping.read(data_at + offset, to_end);
            let mut end = 0;
            while let Some((header, size)) = Header::peek(&bytes[end..]) {
                if header.kind == Kind::Pad {
                    break;
                }
                end += size;
            }
            if end == 0 {
                // A pad (or damage, which recovery meets again with its checks): on with the front.
                position += to_end as u64;
                continue;
            }
            return (position, &bytes[..end]);
        }
        (position, &[])
    }

    /// Gives room back: everything before `position` is in the spool.
    pub fn advance(&mut self, position: u64) {
        self.tail = position;
        self.mapping.tail().store(position, Ordering::Release);
    }
}
