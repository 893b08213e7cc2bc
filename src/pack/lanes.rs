//! The accounts of all lanes that one destination has heard of.
//!
//! Each sequence is accounted for once: delivered, filtered, or declared lost.
//! What a mark says is in the log and was not seen before it is lost, since a
//! mark stands behind all that it speaks of.

use super::manifest::{CursorEntry, ExpiredEntry, GapEntry, LaneEntry, Manifest, Totals};
use super::source::Position;
use crate::format::time_text;
use crate::record::{Gap, GapCause, Mark, SequenceSet};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    Filtered,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    taken: u64,
    accounted: SequenceSet,
    totals: Totals,
    batch: Batch,
}

/// What the batch in the making adds to a lane.
#[derive(Clone, Debug, Default)]
struct Batch {
    covered: SequenceSet,
    delivered: u64,
    filtered: u64,
    filtered_sequences: SequenceSet,
    gaps: Vec<GapEntry>,
}

#[derive(Clone, Debug, Default)]
struct Boot {
    instance: String,
    position: Position,
    closed: bool,
    /// Why something of this boot could not be read, until a mark tells what.
    lost: Option<GapCause>,
    /// Whether a frame of it was read in this chain.
    begun: bool,
    lanes: BTreeMap<u16, Lane>,
}

/// All lanes of all boots.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    boots: BTreeMap<Uuid, Boot>,
    /// Whose accounts these are.
    destination: String,
    /// Whether the chain has a manifest. Where marks of earlier versions don't say whom their
    /// boot began with: without one, what the first mark tells of is history, not a loss.
    continued: bool,
    /// What this batch declares and the log does not.
    found: Vec<FoundGap>,
}

/// A loss that a packer found out by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGap {
    /// The boot whose records are lost.
    pub boot: Uuid,
    /// What is lost; without sequences where an object was given up.
    pub gap: Gap,
    /// How many.
    pub records: u64,
}

impl Lanes {
    /// Goes on from the newest manifest.
    pub(super) fn resume(manifest: &Manifest) -> Self {
        let mut boots: BTreeMap<Uuid, Boot> = BTreeMap::new();
        for entry in &manifest.cursor {
            let boot = boots.entry(entry.boot).or_default();
            boot.position = Position { segment: entry.segment, offset: entry.offset };
            boot.begun = true;
        }
        for entry in &manifest.lanes {
            let boot = boots.entry(entry.boot).or_default();
            boot.instance.clone_from(&entry.instance);
            boot.closed = entry.closed;
            let lane = Lane {
                taken: entry.taken,
                accounted: entry.accounted.clone(),
                totals: entry.totals,
                batch: Batch::default(),
            };
            boot.lanes.insert(entry.lane, lane);
        }
        Self { boots, destination: manifest.destination.clone(), continued: true, found: Vec::new() }
    }

    /// Begins this destination's chain.
    pub(super) fn begin_chain(destination: &str) -> Self {
        Self { destination: destination.to_owned(), ..Self::default() }
    }

    /// Notes that all of a boot before this place was read.
    pub(super) fn read(&mut self, boot: Uuid, instance: Option<&str>, after: Position) {
        let boot = self.boots.entry(boot).or_default();
        boot.position = boot.position.max(after);
        if let Some(instance) = instance
            && boot.instance != instance
        {
            instance.clone_into(&mut boot.instance);
        }
    }

    /// Notes that something of a boot could not be read.
    pub(super) fn lost(&mut self, boot: Uuid, cause: GapCause) {
        self.boots.entry(boot).or_default().lost = Some(cause);
    }

    /// Whether a sequence still has to be accounted for.
    pub(super) fn is_new(&self, boot: Uuid, lane: u16, sequence: u64) -> bool {
        let lane = self.boots.get(&boot).and_then(|boot| boot.lanes.get(&lane));
        lane.is_none_or(|lane| !lane.accounted.contains(sequence))
    }

    /// Notes that an exchange is known to have begun.
    pub(super) fn intent(&mut self, boot: Uuid, lane: u16, sequence: u64) {
        self.lane(boot, lane).took(sequence);
    }

    /// Accounts for a record.
    pub(super) fn record(&mut self, boot: Uuid, lane: u16, sequence: u64, fate: Fate) {
        let lane = self.lane(boot, lane);
        lane.took(sequence);
        if !lane.accounted.insert(sequence) {
            return;
        }
        lane.batch.covered.insert(sequence);
        match fate {
            Fate::Delivered => {
                lane.batch.delivered += 1;
                lane.totals.delivered += 1;
            }
            Fate::Filtered => {
                lane.batch.filtered += 1;
                lane.batch.filtered_sequences.insert(sequence);
                lane.totals.filtered += 1;
            }
        }
    }

    /// Takes back that a record of this batch is delivered: what was found out about it since
    /// says that the destination does not take it.
    pub(super) fn withdraw(&mut self, boot: Uuid, lane: u16, sequence: u64) {
        let lane = self.lane(boot, lane);
        lane.batch.delivered -= 1;
        lane.totals.delivered -= 1;
        lane.batch.filtered += 1;
        lane.totals.filtered += 1;
        lane.batch.filtered_sequences.insert(sequence);
    }

    /// Declares of a loss what is not accounted for; returns how much that is.
    pub(super) fn gap(&mut self, boot: Uuid, gap: &Gap) -> u64 {
        self.lane(boot, gap.lane).declare(&gap.sequences, gap.cause, gap.exact, gap.noticed)
    }

    /// Takes over where lanes stand, and declares what was in the log and was
    /// not seen; returns the declared causes with their counts. Where this is the first that is
    /// read of a boot that began without this destination, what is gone was never meant for it.
    pub(super) fn mark(&mut self, boot: Uuid, mark: &Mark, now: u64) -> Vec<(GapCause, u64)> {
        let meant = match &mark.destinations {
            Some(destinations) => destinations.contains(&self.destination),
            None => self.continued,
        };
        let id = boot;
        let boot = self.boots.entry(id).or_default();
        let history = !meant && !boot.begun && boot.lost.is_none();
        boot.begun = true;
        // Without a notice of what went wrong, a segment was released before it was read.
        let cause = boot.lost.take().unwrap_or(GapCause::SpoolFull);
        let mut declared = Vec::new();
        for standing in &mark.lanes {
            let lane = boot.lanes.entry(standing.lane).or_default();
            lane.taken = lane.taken.max(standing.taken);
            if history {
                lane.before(&standing.accounted);
            } else {
                declared.extend(lane.lose(standing.lane, &standing.accounted, cause, now));
            }
        }
        if mark.closed {
            declared.extend(boot.end(now));
        }
        self.found(id, declared)
    }

    /// Notes what was found out here; returns the causes with their counts.
    fn found(&mut self, boot: Uuid, gaps: Vec<Gap>) -> Vec<(GapCause, u64)> {
        let found = gaps.into_iter().map(|gap| FoundGap { boot, records: gap.sequences.count(), gap });
        let before = self.found.len();
        self.found.extend(found);
        self.found[before..].iter().map(|found| (found.gap.cause, found.records)).collect()
    }

    /// What this batch declares and the log does not.
    pub(super) fn take_found(&mut self) -> Vec<FoundGap> {
        std::mem::take(&mut self.found)
    }

    /// Notes that a frame of the boot was read, so that later marks tell of losses.
    pub(super) fn begin(&mut self, boot: Uuid) {
        self.boots.entry(boot).or_default().begun = true;
    }

    /// Moves the records of an object that will never arrive from delivered to declared.
    pub(super) fn expire(&mut self, expired: &ExpiredEntry, now: u64) {
        for count in &expired.lanes {
            let sequences = SequenceSet::new();
            let gap = Gap { lane: count.lane, sequences, cause: expired.cause, exact: true, noticed: now };
            self.found.push(FoundGap { boot: count.boot, gap, records: count.records });
            // A boot that is over and forgotten stays so; its records are named in `expired`.
            let lane = self.boots.get_mut(&count.boot).and_then(|boot| boot.lanes.get_mut(&count.lane));
            let Some(totals) = lane.map(|lane| &mut lane.totals) else { continue };
            let moved = count.records.min(totals.delivered);
            totals.delivered -= moved;
            totals.declared += moved;
        }
    }

    /// Forgets boots that are over and were stated as such in a manifest, once
    /// the spool has forgotten them too: before, they would be read again.
    /// One that vanished without an end has nothing more to say: what it leaves
    /// open is declared, and the causes with their counts are returned.
    pub(super) fn forget(
        &mut self,
        own: Uuid,
        now: u64,
        exists: impl Fn(Uuid) -> bool,
    ) -> Vec<(GapCause, u64)> {
        self.boots.retain(|&id, boot| !boot.closed || exists(id));
        let gone = self.boots.iter_mut().filter(|(id, boot)| **id != own && !boot.closed && !exists(**id));
        let gone: Vec<_> = gone.map(|(id, boot)| (*id, boot.end(now))).collect();
        gone.into_iter().flat_map(|(id, gaps)| self.found(id, gaps)).collect()
    }

    /// Begins a new batch; the sums stay.
    pub(super) fn next_batch(&mut self) {
        for lane in self.boots.values_mut().flat_map(|boot| boot.lanes.values_mut()) {
            lane.batch = Batch::default();
        }
    }

    /// Notes that a manifest was committed.
    pub(super) fn committed(&mut self) {
        self.continued = true;
    }

    pub(super) fn entries(&self) -> Vec<LaneEntry> {
        let lanes =
            self.boots.iter().flat_map(|(&id, boot)| boot.lanes.iter().map(move |lane| (id, boot, lane)));
        lanes
            .map(|(id, boot, (&number, lane))| LaneEntry {
                instance: boot.instance.clone(),
                boot: id,
                lane: number,
                taken: lane.taken,
                open: lane.taken.saturating_sub(lane.accounted.count()),
                closed: boot.closed,
                covered: lane.batch.covered.clone(),
                delivered: lane.batch.delivered,
                filtered: lane.batch.filtered,
                filtered_sequences: lane.batch.filtered_sequences.clone(),
                gaps: lane.batch.gaps.clone(),
                accounted: lane.accounted.clone(),
                totals: lane.totals,
            })
            .collect()
    }

    pub(super) fn cursor(&self) -> Vec<CursorEntry> {
        let entry = |(&boot, state): (&Uuid, &Boot)| CursorEntry {
            boot,
            segment: state.position.segment,
            offset: state.position.offset,
        };
        self.boots.iter().map(entry).collect()
    }

    fn lane(&mut self, boot: Uuid, lane: u16) -> &mut Lane {
        self.boots.entry(boot).or_default().lanes.entry(lane).or_default()
    }
}

impl Boot {
    /// Nothing more will come: what is still open is lost.
    fn end(&mut self, now: u64) -> Vec<Gap> {
        self.closed = true;
        let close = |(number, lane): (&u16, &mut Lane)| {
            let rest = lane.accounted.missing_below(lane.taken);
            lane.lose(*number, &rest, GapCause::UncleanEnd, now)
        };
        self.lanes.iter_mut().filter_map(close).collect()
    }
}

impl Lane {
    fn took(&mut self, sequence: u64) {
        self.taken = self.taken.max(sequence.saturating_add(1));
    }

    /// Declares of a loss what is not accounted for; returns that, if there is any.
    fn lose(&mut self, number: u16, sequences: &SequenceSet, cause: GapCause, noticed: u64) -> Option<Gap> {
        let rest = sequences.difference(&self.accounted);
        self.declare(&rest, cause, true, noticed);
        (!rest.is_empty()).then_some(Gap { lane: number, sequences: rest, cause, exact: true, noticed })
    }

    fn declare(&mut self, sequences: &SequenceSet, cause: GapCause, exact: bool, noticed: u64) -> u64 {
        let rest = sequences.difference(&self.accounted);
        let count = rest.count();
        let Some(last) = rest.last() else { return 0 };
        self.took(last);
        self.accounted.union(&rest);
        self.batch.covered.union(&rest);
        self.totals.declared += count;
        let noticed = time_text(noticed);
        self.batch.gaps.push(GapEntry { sequences: rest, count, cause, exact, noticed });
        count
    }

    /// What was accounted for in a boot that began without this destination was never meant for it.
    fn before(&mut self, sequences: &SequenceSet) {
        let rest = sequences.difference(&self.accounted);
        let count = rest.count();
        let Some(last) = rest.last() else { return };
        self.took(last);
        self.accounted.union(&rest);
        self.batch.covered.union(&rest);
        self.batch.filtered += count;
        self.totals.filtered += count;
    }
}
