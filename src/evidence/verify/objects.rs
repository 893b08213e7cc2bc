//! The objects of one chain: hashed, and with `--deep` read line by line, by
//! several threads, while the chain's manifests are read.

use super::finding::{Finding, FindingKind, Records};
use super::lines::{self, Lines, Rows, day};
use super::report::Report;
use super::walk::Census;
use super::{Progress, Watch};
use crate::evidence::chain::ChainPlace;
use crate::evidence::merkle;
use crate::evidence::store::{EvidenceSource, ReadError};
use crate::pack::manifest::{Manifest, ObjectEntry, lane_text};
use crate::record::SequenceSet;
use aws_lc_rs::digest;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

const BUFFER: usize = 256 * 1024;
/// Missing objects of a day that are named; the others are counted.
const NAMED_A_DAY: usize = 20;
/// Altered objects that are compared with all others, to tell a swap.
const MAX_ALTERED: usize = 1000;

/// One batch, shared by the jobs for its objects.
pub(super) struct Batch {
    pub(super) manifest: Manifest,
    /// When it was packed, in Unix microseconds.
    pub(super) packed: u64,
    seen: Mutex<Seen>,
}

struct Seen {
    sequences: BTreeMap<(Uuid, u16), SequenceSet>,
    /// Objects that are still to be read.
    left: usize,
    /// Whether all that were read so far are as signed.
    whole: bool,
}

impl Batch {
    pub(super) fn new(manifest: Manifest, packed: u64) -> Self {
        let left = manifest.objects.len();
        Self { manifest, packed, seen: Mutex::new(Seen { sequences: BTreeMap::new(), left, whole: true }) }
    }
}

/// One object to be looked at.
pub(super) struct Job {
    pub(super) batch: Arc<Batch>,
    pub(super) index: usize,
}

/// What one thread has found.
pub(super) struct Tally {
    pub(super) report: Report,
    /// The names that are there as signed manifests say.
    pub(super) named: Census,
    pub(super) days: BTreeMap<String, Day>,
    pub(super) altered: Vec<(Finding, String)>,
}

/// The objects of one day.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) absent: u64,
    /// When the earliest of those that are there was packed.
    pub(super) earliest: Option<u64>,
    pub(super) missing: Vec<Missing>,
}

/// An object that is not there.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) path: String,
    pub(super) detail: String,
    pub(super) records: Vec<Records>,
}

/// What all threads share.
pub(super) struct Bench<'a> {
    pub(super) source: &'a dyn EvidenceSource,
    pub(super) place: &'a ChainPlace,
    pub(super) deep: bool,
    pub(super) jobs: Mutex<Receiver<Job>>,
    pub(super) watch: &'a Watch<'a>,
}

/// Works until there are no more jobs.
pub(super) fn work(bench: &Bench<'_>, census: Census) -> Result<Tally, ReadError> {
    let mut tally =
        Tally { report: Report::default(), named: census, days: BTreeMap::new(), altered: Vec::new() };
    let mut buffer = vec![0; BUFFER];
    let mut failure = None;
    loop {
        let job = bench.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { batch, index }) = job else { return failure.map_or(Ok(tally), Err) };
        if failure.is_some() {
            // Whoever hands out jobs must not wait for this thread.
            continue;
        }
        let entry = &batch.manifest.objects[index];
        let path = bench.place.object(&batch.manifest, &entry.key);
        let lines = match object(bench, &batch, entry, &path, &mut buffer, &mut tally) {
            Ok(lines) => lines,
            Err(error) => {
                failure = Some(error);
                continue;
            }
        };
        bench.watch.object(entry.bytes);
        if bench.deep {
            sequences(&batch, lines, &path, &mut tally.report);
        }
    }
}

/// Looks at one object; returns its lines' sequences where it is as signed.
fn object(
    bench: &Bench<'_>,
    batch: &Batch,
    entry: &ObjectEntry,
    path: &str,
    buffer: &mut [u8],
    tally: &mut Tally,
) -> Result<Option<Lines>, ReadError> {
    let day = tally.days.entry(day(&entry.key).unwrap_or_default()).or_default();
    let Some(reader) = bench.source.open(path)? else {
        day.absent += 1;
        if day.missing.len() < NAMED_A_DAY {
            day.missing.push(missing(batch, entry, path));
        }
        return Ok(None);
    };
    tally.named.add(path);
    day.earliest = Some(day.earliest.map_or(batch.packed, |earliest| earliest.min(batch.packed)));
    let mut reader = Hashing { reader, hash: digest::Context::new(&digest::SHA256), bytes: 0, failed: false };
    let mut read = None;
    let rows = Rows::of(&batch.manifest.format);
    if bench.deep && rows != Rows::Columns {
        read = Some(if entry.key.ends_with(".gz") {
            let gzip = flate2::read::MultiGzDecoder::new(&mut reader);
            lines::read(&mut BufReader::with_capacity(BUFFER, gzip), &entry.key, rows)
        } else {
            lines::read(&mut BufReader::with_capacity(BUFFER, &mut reader), &entry.key, rows)
        });
    }
    let failed = |source| ReadError { operation: "read", place: path.to_owned(), source };
    if reader.failed
        && let Some(Err(error)) = read
    {
        return Err(failed(error));
    }
    while reader.read(buffer).map_err(failed)? > 0 {}
    let (bytes, hash) = (reader.bytes, merkle::hex(&merkle::finish(reader.hash)));
    let lines = read.and_then(Result::ok);
    let as_signed = |lines: &Lines| {
        lines.tree.size() == entry.records && merkle::hex(&lines.tree.root()) == entry.records_root
    };
    let find = |kind, detail: String| {
        let records = records(batch, entry);
        Finding { kind, place: path.to_owned(), detail, records }
    };
    if hash != entry.sha256 || bytes != entry.bytes {
        let finding = match &lines {
            Some(lines) if as_signed(lines) => find(
                FindingKind::ObjectAltered,
                "it was packed anew: its records are those that were signed".to_owned(),
            ),
            Some(_) => {
                find(FindingKind::RecordsAltered, "its records are not those that were signed".to_owned())
            }
            None if bench.deep && rows != Rows::Columns => find(
                FindingKind::ObjectAltered,
                "its bytes are not those that were signed, and can't be unpacked".to_owned(),
            ),
            None => find(FindingKind::ObjectAltered, "its bytes are not those that were signed".to_owned()),
        };
        if tally.altered.len() < MAX_ALTERED {
            tally.altered.push((finding, hash));
        } else {
            tally.report.find(finding);
        }
        return Ok(None);
    }
    tally.report.objects += 1;
    tally.report.bytes += bytes;
    tally.report.records = tally.report.records.saturating_add(entry.records);
    let Some(lines) = lines else { return Ok(None) };
    if !as_signed(&lines) {
        let detail = "its lines are not those of the signed records_root".to_owned();
        tally.report.find(find(FindingKind::RecordsAltered, detail));
        return Ok(None);
    }
    for (kind, (first, count)) in &lines.wrong {
        let detail = if *count == 1 { first.clone() } else { format!("{first}; {count} lines in all") };
        tally.report.find(Finding { records: Vec::new(), ..find(*kind, detail) });
    }
    // Without numbers, nothing can be said of sequences.
    Ok(rows.are_numbered().then_some(lines))
}

/// Holds the sequences of an object to what its batch covers.
fn sequences(batch: &Batch, lines: Option<Lines>, path: &str, report: &mut Report) {
    let mut seen = batch.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.left -= 1;
    let mut find = |kind, detail: &str, boot, lane, among: SequenceSet| {
        let records = vec![Records { boot, lane: lane_text(lane), count: among.count(), among }];
        report.find(Finding { kind, place: path.to_owned(), detail: detail.to_owned(), records });
    };
    let Some(lines) = lines else {
        seen.whole = false;
        return;
    };
    for ((boot, lane), sequences) in &lines.sequences {
        let covered = covered(&batch.manifest, *boot, *lane);
        let stray = sequences.difference(&covered);
        if !stray.is_empty() {
            let detail = "sequences that the manifest does not cover as delivered";
            find(FindingKind::RecordUnaccounted, detail, *boot, *lane, stray);
        }
        let all = seen.sequences.entry((*boot, *lane)).or_default();
        let fresh = sequences.difference(all);
        let again = sequences.difference(&fresh);
        if !again.is_empty() {
            let detail = "sequences that another object of the batch holds too";
            find(FindingKind::RecordRepeated, detail, *boot, *lane, again);
        }
        all.union(sequences);
    }
    if seen.left == 0 && seen.whole {
        for lane in &batch.manifest.lanes {
            let id = (lane.boot, lane.lane);
            let found = seen.sequences.get(&id).map_or(0, SequenceSet::count);
            if found != lane.delivered {
                let detail =
                    format!("the batch's objects hold {found} records, its manifest says {}", lane.delivered);
                find(FindingKind::RecordUnaccounted, &detail, lane.boot, lane.lane, lane.covered.clone());
            }
        }
    }
}

/// What a manifest covers of a lane, its declared losses and what was filtered taken off.
fn covered(manifest: &Manifest, boot: Uuid, lane: u16) -> SequenceSet {
    let entry = manifest.lanes.iter().find(|entry| entry.boot == boot && entry.lane == lane);
    let Some(entry) = entry else { return SequenceSet::new() };
    let taken = entry.covered.difference(&entry.filtered_sequences);
    entry.gaps.iter().fold(taken, |rest, gap| rest.difference(&gap.sequences))
}

fn missing(batch: &Batch, entry: &ObjectEntry, path: &str) -> Missing {
    let ObjectEntry { records: count, first, last, .. } = entry;
    let detail = format!(
        "it is not there; manifest {} names it with {count} records from {first} to {last}",
        batch.manifest.number
    );
    Missing { path: path.to_owned(), detail, records: records(batch, entry) }
}

/// The records that an object was signed with.
fn records(batch: &Batch, entry: &ObjectEntry) -> Vec<Records> {
    let lanes = entry.lanes.iter();
    let lane = |lane: &crate::pack::manifest::LaneCount| Records {
        boot: lane.boot,
        lane: lane_text(lane.lane),
        count: lane.records,
        among: covered(&batch.manifest, lane.boot, lane.lane),
    };
    lanes.map(lane).collect()
}

struct Hashing {
    reader: Box<dyn Read + Send>,
    hash: digest::Context,
    bytes: u64,
    /// Whether reading itself failed, which is not the object's fault.
    failed: bool,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer).inspect_err(|_| self.failed = true)?;
        self.hash.update(&buffer[..length]);
        self.bytes += length as u64;
        Ok(length)
    }
}

impl Day {
    pub(super) fn absorb(&mut self, other: Self) {
        self.absent += other.absent;
        self.earliest = match (self.earliest, other.earliest) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let room = NAMED_A_DAY.saturating_sub(self.missing.len());
        self.missing.extend(other.missing.into_iter().take(room));
    }
}

impl Watch<'_> {
    fn object(&self, bytes: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let objects = self.objects.fetch_add(1, Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        (self.tell)(Progress { objects, of: self.of, bytes });
    }
}
