//! One lane as the recorder sees it: how far its ring is drained, and which of its
//! sequences are accounted for.

use super::reserve::Reserve;
use super::{ENTRY_VERSION, LaneEnd, LaneStatus};
use crate::capture::commit::Commits;
use crate::capture::ring::RingReader;
use crate::record::wire::WIRE_VERSION;
use crate::record::{Field, Gap, GapCause, LaneMark, Outcome, RecordWriter, SequenceSet};
use crate::spool::frame::{self, Header, Kind};
use crate::spool::{AppendError, SegmentWriter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes appended at once at most, so that one full ring does not hold up the others.
const RUN_BYTES: usize = 1024 * 1024;

/// The drained end of one lane.
#[derive(Debug)]
pub(super) struct LaneTail {
    number: u16,
    ring: RingReader,
    commits: Arc<Commits>,
    position: u64,
    /// `taken` as last seen, before the ring was drained.
    taken: u64,
    open: u64,
    accounted: SequenceSet,
    /// What is in the log of exchanges that are open. As many as there are slots, at most.
    intents: BTreeMap<u64, Vec<u8>>,
    declared: u64,
    lost_seen: u64,
    reserve: Reserve,
}

/// What one look at a lane moved.
#[derive(Clone, Debug, Default)]
pub(super) struct Drained {
    /// Bytes of frames.
    pub bytes: u64,
    /// What was declared lost.
    pub gap: Option<Gap>,
}

impl LaneTail {
    pub(super) fn new(end: LaneEnd) -> Self {
        let LaneEnd { number, ring, commits } = end;
        Self {
            number,
            position: ring.counters().tail,
            ring,
            commits,
            taken: 0,
            open: 0,
            accounted: SequenceSet::new(),
            intents: BTreeMap::new(),
            declared: 0,
            lost_seen: 0,
            reserve: Reserve::default(),
        }
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Bytes of frames that its ring can hold.
    pub(super) fn ring_bytes(&self) -> u64 {
        self.ring.gauge().bytes()
    }

    /// Moves everything that is in the ring now into the log, and declares what was lost.
    pub(super) fn drain(
        &mut self,
        writer: &mut SegmentWriter,
        cause: GapCause,
        noticed: u64,
    ) -> Result<Drained, AppendError> {
        // The order is the ring's protocol: taken, open exchanges, then head. What is below
        // `taken`, not open and not in the ring up to `head` is lost.
        let before = self.ring.counters();
        let mut open = SequenceSet::new();
        self.ring.open_sequences(|sequence| {
            open.insert(sequence);
        });
        let head = self.ring.counters().head;
        let mut drained = Drained::default();
        loop {
            let (at, run) = self.ring.run(self.position, head);
            if run.is_empty() {
                // Behind a pad, perhaps.
                self.position = at;
                self.ring.advance(at);
                break;
            }
            let bytes = whole_frames(run, RUN_BYTES);
            writer.append(&run[..bytes])?;
            let mut rest = &run[..bytes];
            while let Some((header, size)) = Header::peek(rest) {
                // An intent says that an exchange began, and accounts for nothing.
                if header.kind == Kind::Intent {
                    let payload = &rest[frame::HEADER..frame::HEADER + header.length as usize];
                    self.intents.insert(header.sequence, payload.to_vec());
                } else {
                    self.accounted.insert(header.sequence);
                    self.intents.remove(&header.sequence);
                }
                rest = &rest[size..];
            }
            drained.bytes += bytes as u64;
            self.position = at + bytes as u64;
            self.ring.advance(self.position);
        }
        self.taken = before.taken.max(self.accounted.last().map_or(0, |last| last + 1));
        self.open = open.difference(&self.accounted).count();
        if before.lost != self.lost_seen {
            drained.gap = self.declare(before.taken, &open, writer, cause, noticed)?;
            self.lost_seen = before.lost;
        }
        Ok(drained)
    }

    fn declare(
        &mut self,
        taken: u64,
        open: &SequenceSet,
        writer: &mut SegmentWriter,
        cause: GapCause,
        noticed: u64,
    ) -> Result<Option<Gap>, AppendError> {
        let mut sequences = self.accounted.missing_below(taken).difference(open);
        let known: Vec<u64> =
            self.intents.keys().copied().filter(|sequence| sequences.contains(*sequence)).collect();
        for sequence in known {
            // The record is lost, but not that there was an exchange.
            writer.append(&unknown_frame(self.number, sequence, &self.intents[&sequence]))?;
            self.accounted.insert(sequence);
            self.intents.remove(&sequence);
        }
        sequences = sequences.difference(&self.accounted);
        if sequences.is_empty() {
            return Ok(None);
        }
        let gap = Gap { lane: self.number, sequences, cause, exact: true, noticed };
        let mut bytes = Vec::new();
        frame::append(&mut bytes, Kind::Gap, ENTRY_VERSION, self.number, 0, &gap.to_bytes());
        writer.append(&bytes)?;
        self.accounted.union(&gap.sequences);
        self.declared += gap.sequences.count();
        Ok(Some(gap))
    }

    pub(super) fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Whether somebody waits for what is not on disk, be it in the log or still in the ring.
    pub(super) fn is_wanted(&self) -> bool {
        self.commits.wanted() > self.commits.durable()
    }

    /// Whether an fsync would bring somebody nearer to what he waits for.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_wanted() && self.position > self.commits.durable()
    }

    /// Everything before this position is on disk.
    pub(super) fn committed(&self, position: u64) {
        self.commits.publish(position);
    }

    /// Everything that was taken from the ring is on disk.
    pub(super) fn committed_all(&self) {
        self.commits.publish(self.position);
    }

    /// Of what was taken from the ring and is not on disk, some is lost.
    pub(super) fn lost(&self) {
        self.commits.publish_lost(self.position);
    }

    pub(super) fn mark(&self) -> LaneMark {
        LaneMark {
            lane: self.number,
            taken: self.taken,
            position: self.position,
            accounted: self.accounted.clone(),
            reserved: self.reserve.end(),
        }
    }

    /// The intents of open exchanges, for the head of a new segment: recovery reads no older one.
    pub(super) fn append_intents(&self, out: &mut Vec<u8>) {
        for (&sequence, intent) in &self.intents {
            frame::append(out, Kind::Intent, WIRE_VERSION, self.number, sequence, intent);
        }
    }

    /// Looks whether more sequences have to be reserved, by what the ring says now: also while
    /// it can't be drained.
    pub(super) fn reserve(&mut self, now: Duration) {
        self.reserve.look(self.ring.counters().taken, now);
    }

    /// Up to where sequences are to be reserved.
    pub(super) fn reserved(&self) -> u64 {
        self.reserve.end()
    }

    /// The reservation, as far as it is on disk, says so from now on.
    pub(super) fn reserved_on_disk(&mut self, reserved: u64) {
        self.reserve.on_disk(reserved);
    }

    /// Whether what is reserved on disk gets short.
    pub(super) fn is_reserve_short(&self) -> bool {
        self.reserve.is_short()
    }

    /// Whether nothing is in the ring that is not in the log.
    pub(super) fn is_drained(&self) -> bool {
        self.ring.counters().head == self.position
    }

    pub(super) fn status(&self) -> LaneStatus {
        let accounted = self.accounted.count();
        // Of one moment: everything taken that is neither accounted nor open is in the ring.
        LaneStatus {
            lane: self.number,
            taken: self.taken,
            open: self.open,
            recorded: accounted - self.declared,
            declared: self.declared,
            in_ring: self.taken.saturating_sub(accounted + self.open),
            reserved: self.reserve.durable(),
        }
    }
}

/// The record of an exchange of which only the intent is known.
pub(super) fn unknown_frame(lane: u16, sequence: u64, intent: &[u8]) -> Vec<u8> {
    let mut record = intent.to_vec();
    RecordWriter::new(&mut record).integer(Field::Outcome, Outcome::Unknown as u64);
    let mut bytes = Vec::new();
    frame::append(&mut bytes, Kind::Record, WIRE_VERSION, lane, sequence, &record);
    bytes
}

/// Length of the whole frames at the head of `run`, at most `limit` unless the first alone is longer.
fn whole_frames(run: &[u8], limit: usize) -> usize {
    if run.len() <= limit {
        return run.len();
    }
    let mut end = 0;
    while let Some((_, size)) = Header::peek(&run[end..]) {
        if end > 0 && end + size > limit {
            break;
        }
        end += size;
    }
    end
}
