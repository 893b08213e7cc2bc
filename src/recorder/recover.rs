//! Takes up what a dead process left: its rings and the end of its log.
//!
//! For each boot whose lock is free: the log tells which sequences it accounts for and how
//! far each ring was drained; the rest of the ring goes into the log; an exchange that was
//! open becomes a record whose end nobody saw, and so does one of which the log has an intent
//! and nothing more (after a loss of power there is no ring); what is neither is a gap. Where
//! the rings are lost too, the gap goes up to what was reserved: a bound, not a number. Then the
//! boot's log gets its last word. Doing it again after a crash in the middle gives the same,
//! since everything is decided by what the log holds already.

use super::ENTRY_VERSION;
use super::lane::unknown_frame;
use crate::capture::ring::{RingError, RingReader};
use crate::clock::Clock;
use crate::error_chain::Chain;
use crate::record::{Gap, GapCause, LaneMark, Mark};
use crate::spool::frame::{self, Header, Kind, NO_POSITION};
use crate::spool::{AppendError, RecoverError, RotateError, SegmentWriter, Spool, SyncError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use uuid::Uuid;

/// What recovery of one boot brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that were still in the rings.
    pub from_rings: u64,
    /// Exchanges that were in flight, now on record as `unknown`.
    pub unknown: u64,
    /// Sequences declared lost.
    pub declared: u64,
    /// The same as gaps.
    pub gaps: Vec<Gap>,
    /// Whether the number of lost ones is exact.
    pub exact: bool,
    /// Whether the boot had ended cleanly.
    pub was_closed: bool,
}

/// Why a boot could not be recovered now. Nothing of it is touched; the next start tries again.
#[derive(Debug, Error)]
pub enum RecoverBootError {
    /// Its log can't be read.
    #[error("cannot read the log of an earlier boot")]
    Read(#[from] RecoverError),
    /// Its log can't be continued.
    #[error("cannot continue the log of an earlier boot")]
    Rotate(#[from] RotateError),
    /// Its log can't be continued.
    #[error("cannot continue the log of an earlier boot")]
    Append(#[from] AppendError),
    /// Its log can't be made durable.
    #[error("cannot make durable the log of an earlier boot")]
    Sync(#[from] SyncError),
    /// The ring directory can't be read.
    #[error("cannot list {path}")]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Recovers one boot. `rings` is the directory of all rings.
///
/// # Errors
/// [`RecoverBootError`].
pub fn recover(
    spool: &Spool,
    boot: Uuid,
    rings: &Path,
    clock: &Clock,
) -> Result<Recovered, RecoverBootError> {
    let mut log = Log::default();
    let found = spool.recover_boot(boot, |header, payload| log.entry(header, payload))?;
    if let Some(head) = found.mark.as_deref().and_then(|bytes| Mark::from_bytes(bytes).ok()) {
        log.mark(head);
    }
    let ring_dir = rings.join(boot.to_string());
    if log.closed {
        spool.close_boot(boot);
        remove_rings(&ring_dir);
        return Ok(Recovered { was_closed: true, exact: true, ..Recovered::default() });
    }
    let damaged = !found.lost.is_empty();
    let mut writer = found.writer;
    writer.rotate(&mark_frame(&log.current(false)), clock.unix_microseconds())?;
    let mut recovered = Recovered { exact: true, ..Recovered::default() };
    let mut sure = BTreeSet::new();
    for path in ring_files(&ring_dir)? {
        match RingReader::open(&path) {
            Ok((ring, identity)) if identity.boot == boot => {
                let intents = log.intents.entry(identity.lane).or_default();
                let lane = log.lanes.entry(identity.lane).or_insert_with(|| no_mark(identity.lane));
                take_ring(&ring, (lane, intents), &mut writer, clock, damaged, &mut recovered)?;
                if ring.same_machine_start() {
                    sure.insert(identity.lane);
                }
            }
            Ok(_) => {
                tracing::warn!(path = %path.display(), "a ring of another boot lies here; it is left alone")
            }
            Err(error @ RingError::Unusable { .. }) | Err(error @ RingError::Io { .. }) => {
                recovered.exact = false;
                tracing::warn!(error = %Chain(&error), "a ring cannot be read");
            }
        }
    }
    for lane in log.lanes.values_mut() {
        let intents = log.intents.remove(&lane.lane).unwrap_or_default();
        take_intents(lane, &intents, &mut writer, &mut recovered)?;
        // Without a ring, or with one whose counters are bounds only: what was reserved and
        // nobody accounts for. That is never too small, and seldom exact.
        if !sure.contains(&lane.lane) {
            lane.taken = lane.taken.max(lane.reserved);
        }
        declare_rest(lane, GapCause::UncleanEnd, false, &mut writer, clock, &mut recovered)?;
    }
    writer.append(&mark_frame(&log.current(true)))?;
    writer.close()?;
    remove_rings(&ring_dir);
    Ok(recovered)
}

/// What a boot's log accounts for.
#[derive(Debug, Default)]
struct Log {
    lanes: BTreeMap<u16, LaneMark>,
    /// By lane and sequence; those of exchanges that have a record among them.
    intents: BTreeMap<u16, Intents>,
    closed: bool,
    /// Whom the boot began with, where its marks say so.
    destinations: Option<Vec<String>>,
}

type Intents = BTreeMap<u64, Vec<u8>>;

fn no_mark(lane: u16) -> LaneMark {
    LaneMark { lane, ..LaneMark::default() }
}

impl Log {
    fn lane(&mut self, number: u16) -> &mut LaneMark {
        self.lanes.entry(number).or_insert_with(|| no_mark(number))
    }

    fn entry(&mut self, header: &Header, payload: &[u8]) {
        match header.kind {
            Kind::Record | Kind::Intent => {
                if header.kind == Kind::Intent {
                    let intents = self.intents.entry(header.lane).or_default();
                    intents.insert(header.sequence, payload.to_vec());
                } else {
                    self.lane(header.lane).accounted.insert(header.sequence);
                    self.intents.entry(header.lane).or_default().remove(&header.sequence);
                }
                let lane = self.lane(header.lane);
                lane.taken = lane.taken.max(header.sequence + 1);
                if header.position != NO_POSITION {
                    let end = header.position + frame::size(header.length as usize) as u64;
                    lane.position = lane.position.max(end);
                }
            }
            Kind::Gap => {
                if let Ok(gap) = Gap::from_bytes(payload) {
                    let lane = self.lane(gap.lane);
                    lane.taken = lane.taken.max(gap.sequences.last().map_or(0, |last| last + 1));
                    lane.accounted.union(&gap.sequences);
                }
            }
            Kind::Mark => {
                if let Ok(mark) = Mark::from_bytes(payload) {
                    self.mark(mark);
                }
            }
            // A supplement speaks of a record that is counted by itself.
            Kind::Supplement | Kind::Pad => {}
        }
    }

    fn mark(&mut self, mark: Mark) {
        self.closed |= mark.closed;
        self.destinations = mark.destinations.or(self.destinations.take());
        for known in mark.lanes {
            let lane = self.lane(known.lane);
            lane.taken = lane.taken.max(known.taken);
            lane.reserved = lane.reserved.max(known.reserved);
            lane.position = lane.position.max(known.position);
            lane.accounted.union(&known.accounted);
        }
    }

    fn current(&self, closed: bool) -> Mark {
        let destinations = self.destinations.clone();
        Mark { lanes: self.lanes.values().cloned().collect(), closed, destinations }
    }
}

fn take_ring(
    ring: &RingReader,
    (lane, intents): (&mut LaneMark, &mut Intents),
    writer: &mut SegmentWriter,
    clock: &Clock,
    damaged: bool,
    recovered: &mut Recovered,
) -> Result<(), RecoverBootError> {
    let counters = ring.counters();
    lane.taken = lane.taken.max(counters.taken);
    let mut position = lane.position.max(counters.tail);
    let mut broken = false;
    loop {
        let (at, run) = ring.run(position, counters.head);
        if run.is_empty() {
            break;
        }
        let mut end = 0;
        while end < run.len() {
            match Header::decode(&run[end..]) {
                Ok((header, payload, size)) if header.kind == Kind::Intent => {
                    intents.insert(header.sequence, payload.to_vec());
                    lane.taken = lane.taken.max(header.sequence + 1);
                    end += size;
                }
                Ok((header, _, size)) => {
                    if lane.accounted.insert(header.sequence) {
                        writer.append(&run[end..end + size])?;
                        recovered.from_rings += 1;
                        lane.taken = lane.taken.max(header.sequence + 1);
                    }
                    end += size;
                }
                Err(_) => {
                    // The header's length was believable (the run is made of such frames):
                    // its neighbours are still readable.
                    broken = true;
                    end += Header::peek(&run[end..]).map_or(run.len() - end, |(_, size)| size);
                }
            }
        }
        position = at + run.len() as u64;
    }
    lane.position = lane.position.max(position);
    if !ring.same_machine_start() {
        // Memory of another start of the machine: what is readable is taken, no number is sure.
        recovered.exact = false;
        return Ok(());
    }
    for (sequence, intent) in ring.intents() {
        if !lane.accounted.insert(sequence) {
            continue;
        }
        lane.taken = lane.taken.max(sequence + 1);
        // One that was meant for the log says more than a slot has room for.
        let intent = intents.get(&sequence).map_or(intent, Vec::as_slice);
        writer.append(&unknown_frame(lane.lane, sequence, intent))?;
        recovered.unknown += 1;
    }
    take_intents(lane, intents, writer, recovered)?;
    let cause = match counters.lost {
        _ if broken || damaged => GapCause::Corruption,
        0 => GapCause::UncleanEnd,
        _ => GapCause::RingFull,
    };
    declare_rest(lane, cause, true, writer, clock, recovered)
}

/// Exchanges of which the intent is all that is left.
fn take_intents(
    lane: &mut LaneMark,
    intents: &Intents,
    writer: &mut SegmentWriter,
    recovered: &mut Recovered,
) -> Result<(), RecoverBootError> {
    for (&sequence, intent) in intents {
        if lane.accounted.insert(sequence) {
            writer.append(&unknown_frame(lane.lane, sequence, intent))?;
            recovered.unknown += 1;
        }
    }
    Ok(())
}

fn declare_rest(
    lane: &mut LaneMark,
    cause: GapCause,
    exact: bool,
    writer: &mut SegmentWriter,
    clock: &Clock,
    recovered: &mut Recovered,
) -> Result<(), RecoverBootError> {
    let sequences = lane.accounted.missing_below(lane.taken);
    if sequences.is_empty() {
        return Ok(());
    }
    recovered.declared += sequences.count();
    recovered.exact &= exact;
    let gap = Gap { lane: lane.lane, sequences, cause, exact, noticed: clock.unix_microseconds() };
    let mut bytes = Vec::new();
    frame::append(&mut bytes, Kind::Gap, ENTRY_VERSION, lane.lane, 0, &gap.to_bytes());
    writer.append(&bytes)?;
    lane.accounted.union(&gap.sequences);
    recovered.gaps.push(gap);
    Ok(())
}

fn mark_frame(mark: &Mark) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, Kind::Mark, ENTRY_VERSION, 0, 0, &mark.to_bytes());
    bytes
}

fn ring_files(dir: &Path) -> Result<Vec<PathBuf>, RecoverBootError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| RecoverBootError::List { path: dir.to_owned(), source })?,
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ring"))
        .collect();
    files.sort_unstable();
    Ok(files)
}

/// The log has everything: the rings are of no more use.
fn remove_rings(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %dir.display(), error = %Chain(&error), "cannot remove rings");
    }
}
