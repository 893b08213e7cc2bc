//! Is what was delivered whole and unchanged? From the bucket alone, and as much
//! as one brings along: a public key, an anchor.
//!
//! Two verdicts. *Integrity*: each object is byte for byte what was signed, the
//! chain is whole, signatures hold, nothing foreign lies among the objects.
//! *Completeness*: each sequence of each boot is delivered, declared lost with a
//! cause, or still awaited.
//!
//! First the names that are there are summed, then each chain is read once from
//! its beginning while threads hash its objects; names that don't add up are
//! looked at again. Memory does not grow with the number of objects.

mod finding;
pub(crate) mod lines;
mod links;
mod objects;
mod reconcile;
mod report;
mod signers;
mod sums;
mod walk;

pub use finding::{Finding, FindingKind, Records};
pub use report::{BootReport, ChainReport, LaneReport, Report, SignerVerdict, Verdict};

use super::anchor::AnchorFile;
use super::chain::{ChainPlace, chains};
use super::note::Verifier;
use super::store::{EvidenceSource, ReadError};
use crate::format::time_text;
use links::{Follower, Links};
use objects::{Bench, Tally, work};
use signers::Signers;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use thiserror::Error;
use walk::Ground;

/// Objects that wait for a thread, at most.
const QUEUE: usize = 256;
/// After its day is older than `retention_days`, an object may stay this much
/// longer without making the day "partly absent": stores remove by their own clock.
const RETENTION_SLACK: u64 = 2 * DAY;
/// Microseconds of a day.
const DAY: u64 = 86_400 * 1_000_000;

/// What to hold the objects to.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The public keys that the reader trusts; empty: those that are published beside the objects.
    pub keys: Vec<Verifier>,
    /// Heads that were told to another place.
    pub anchor: Option<AnchorFile>,
    /// Judge as of this Unix time in microseconds.
    pub at: u64,
    /// Look at each line too.
    pub deep: bool,
    /// Threads that read objects, at least 1.
    pub threads: usize,
    /// Take a chain from wherever it begins: what was before is a note, not a finding.
    pub any_beginning: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Objects done.
    pub objects: u64,
    /// Objects there.
    pub of: u64,
    /// Bytes done.
    pub bytes: u64,
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Something is there and can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The anchor can't be read.
    #[error("cannot read the anchor {path}")]
    Anchor {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing to verify.
    #[error("neither manifests nor objects lie at {place}")]
    Nothing {
        /// Where.
        place: String,
    },
}

/// Counts what is done, for whoever watches.
struct Watch<'a> {
    tell: &'a (dyn Fn(Progress) + Sync),
    of: u64,
    objects: AtomicU64,
    bytes: AtomicU64,
}

/// Verifies all chains that lie in a source. `tell` hears of each object.
///
/// # Errors
/// [`VerifyError`] when something can't be read; what is wrong is in the report.
pub fn verify(
    source: &dyn EvidenceSource,
    options: &VerifyOptions,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Report, VerifyError> {
    let mut report = Report { at: time_text(options.at), deep: options.deep, ..Report::default() };
    let ground = Ground::survey(source)?;
    let mut places: Vec<ChainPlace> = Vec::new();
    for folder in &ground.manifests {
        places.extend(chains(source, folder, &mut |path| {
            report.find(reconcile::foreign(path, "it is no folder of a chain"));
        })?);
    }
    if places.is_empty() && ground.census.count() == 0 {
        return Err(VerifyError::Nothing { place: source.place() });
    }
    if ground.temporary > 0 {
        report.notes.push(format!("{} temporary files (names that begin with a dot)", ground.temporary));
    }
    report.signer = match (options.keys.is_empty(), ground.keys.is_empty()) {
        (false, _) => SignerVerdict::Pinned,
        (true, false) => SignerVerdict::NotPinned,
        (true, true) => SignerVerdict::NotChecked,
    };
    let watch =
        Watch { tell, of: ground.census.count(), objects: AtomicU64::new(0), bytes: AtomicU64::new(0) };
    let mut reconcile = reconcile::Reconcile::new(source, &ground);
    for place in &places {
        let (links, tallies) = one_chain(source, options, &ground, place, &watch, &mut report)?;
        finish_chain(options, place, links, tallies, &mut reconcile, &mut report);
    }
    reconcile.end(&places, &mut report)?;
    report.findings.sort_by(|a, b| (a.kind, &a.place).cmp(&(b.kind, &b.place)));
    Ok(report)
}

/// Reads a chain and, beside it, its objects.
fn one_chain(
    source: &dyn EvidenceSource,
    options: &VerifyOptions,
    ground: &Ground,
    place: &ChainPlace,
    watch: &Watch<'_>,
    report: &mut Report,
) -> Result<(Links, Vec<Tally>), VerifyError> {
    let (jobs, queue) = sync_channel(QUEUE);
    let bench = Bench { source, place, deep: options.deep, jobs: Mutex::new(queue), watch };
    let follower = Follower {
        source,
        place,
        signers: Signers::new(&options.keys, &ground.keys),
        keys: &options.keys,
        anchors: options.anchor.clone(),
        at: options.at,
        any_beginning: options.any_beginning,
        jobs,
        report,
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.max(1))
            .map(|_| scope.spawn(|| work(&bench, ground.census.sibling())))
            .collect();
        let links = follower.follow();
        let mut tallies = Vec::new();
        for thread in threads {
            let tally = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            tallies.push(tally?);
        }
        Ok((links?, tallies))
    })
}

/// Adds up what the threads found; judges by retention what is not there.
fn finish_chain(
    options: &VerifyOptions,
    place: &ChainPlace,
    links: Links,
    tallies: Vec<Tally>,
    reconcile: &mut reconcile::Reconcile<'_>,
    report: &mut Report,
) {
    let mut days = std::collections::BTreeMap::<String, objects::Day>::new();
    for tally in tallies {
        report.absorb(tally.report);
        reconcile.named(&tally.named, tally.altered);
        for (day, found) in tally.days {
            days.entry(day).or_default().absorb(found);
        }
    }
    for path in &links.excused {
        if let Some(day) = lines::day(path).and_then(|day| days.get_mut(&day)) {
            day.absent = day.absent.saturating_sub(1);
            day.missing.retain(|missing| missing.path != *path);
        }
    }
    for (name, day) in days.into_iter().filter(|(_, day)| day.absent > 0) {
        let keep = links.retention_days.map(|days| u64::from(days).saturating_mul(DAY));
        let end = unix_microseconds(&format!("{name}T00:00:00Z")).map(|start| start + DAY);
        let is_old = matches!((keep, end), (Some(keep), Some(end)) if end.saturating_add(keep) < options.at);
        if !is_old {
            let more = day.absent - (day.missing.len() as u64).min(day.absent);
            for missing in day.missing {
                report.find(Finding {
                    kind: FindingKind::ObjectMissing,
                    place: missing.path,
                    detail: missing.detail,
                    records: missing.records,
                });
            }
            if more > 0 {
                let detail = format!("{more} objects more of {name} are not there");
                let place = place.folder.clone();
                report.find(Finding { kind: FindingKind::ObjectMissing, place, detail, records: Vec::new() });
            }
            continue;
        }
        let due = |packed: u64| {
            packed.saturating_add(keep.unwrap_or(0)).saturating_add(RETENTION_SLACK) < options.at
        };
        if day.earliest.is_some_and(due) {
            let detail = format!(
                "{} objects of {name} are not there and others are: retention takes whole days",
                day.absent
            );
            let records = day.missing.into_iter().next().map(|missing| missing.records).unwrap_or_default();
            let place = place.folder.clone();
            report.find(Finding { kind: FindingKind::DayPartlyAbsent, place, detail, records });
        } else {
            report.expired += day.absent;
        }
    }
    reconcile.chain(place, &links);
    report.chains.push(links.report);
}

/// The folders of manifests in a source, and the public keys that are published there.
pub(crate) fn survey(source: &dyn EvidenceSource) -> Result<(Vec<String>, Vec<Verifier>), ReadError> {
    Ground::survey(source).map(|ground| (ground.manifests, ground.keys))
}

/// Unix microseconds of an RFC 3339 time.
pub(crate) fn unix_microseconds(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond()).ok()
}
