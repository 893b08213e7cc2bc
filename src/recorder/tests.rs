//! The recorder over a disk that breaks in every way, turned by hand.

mod hanging;
mod power;
mod reserved;
mod turns;

use super::*;
use crate::capture::commit::{Fate, Signal};
use crate::capture::ring::{self, Geometry, Identity, RingWriter, Slot};
use crate::record::wire::WIRE_VERSION;
use crate::record::{Field, RecordView, RecordWriter, SequenceSet};
use crate::spool::fs::Fs;
use crate::spool::sim::SimFs;
use crate::spool::{Cursor, Item, Options};
use std::path::Path;
use uuid::Uuid;

const DIR: &str = "/data/spool";

/// A process over a simulated machine: one lane, whose worker's end the test plays.
struct Process {
    writer: RingWriter,
    commits: Arc<Commits>,
    recorder: Recorder,
    clock: Clock,
}

fn machine(seed: u64) -> SimFs {
    let fs = SimFs::new(seed);
    fs.create_dir(Path::new("/data")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

fn spool(fs: Arc<dyn Fs>, boot: u128, segment_bytes: u64) -> Arc<Spool> {
    let options = Options { dir: DIR.into(), segment_bytes, ..Options::default() };
    Arc::new(Spool::open(&options, fs, Uuid::from_u128(boot), "gw-1").unwrap())
}

fn settings(clock: &Clock) -> Settings {
    Settings {
        sync_interval: Duration::from_secs(1),
        clock: clock.clone(),
        when_full: WhenFull::default(),
        refusing: Arc::default(),
        progress: Progress::new(["main"]),
        metrics: Families::new().unwrap(),
        supplements: Default::default(),
        journal: Journal::default(),
    }
}

impl Process {
    fn start(fs: &SimFs, segment_bytes: u64) -> Self {
        Self::start_on(Arc::new(fs.clone()), segment_bytes, Syncer::inline())
    }

    fn start_on(fs: Arc<dyn Fs>, segment_bytes: u64, syncer: Syncer) -> Self {
        Self::start_with(fs, segment_bytes, syncer, None)
    }

    /// With a ring in this folder, which outlives the process, or in memory of its own.
    fn start_with(fs: Arc<dyn Fs>, segment_bytes: u64, syncer: Syncer, ring_dir: Option<&Path>) -> Self {
        let spool = spool(fs, 1, segment_bytes);
        let identity = Identity { boot: Uuid::from_u128(1), instance: "gw-1".into(), lane: 0 };
        let geometry = Geometry::new(1 << 16, 32);
        let (writer, ring) = match ring_dir {
            None => ring::anonymous(&identity, geometry).unwrap(),
            Some(dir) => ring::create(&dir.join("lane-00.ring"), &identity, geometry).unwrap(),
        };
        let signal: Arc<Signal> = Arc::default();
        let commits = Commits::new(&signal);
        let lane = LaneEnd { number: 0, ring, commits: Arc::clone(&commits) };
        let clock = Clock::manual(1_000_000);
        let recorder = Recorder::begin(spool, vec![lane], settings(&clock), syncer).unwrap();
        Self { writer, commits, recorder, clock }
    }

    fn open(&mut self) -> (u64, Slot) {
        self.writer.open(&bytes_of(b"slot")).expect("there are more slots than the tests open")
    }

    /// Closes an exchange and waits for its record: the ticket, unless the ring had no room.
    fn close(&mut self, (sequence, slot): (u64, Slot)) -> Option<u64> {
        match self.writer.close(sequence, slot, &bytes_of(b"record"), 0) {
            ring::Pushed::Kept => Some(self.want()),
            ring::Pushed::Lost => None,
        }
    }

    /// Puts on its way to the disk that there is such an exchange: the ticket, if there is room.
    fn intend(&mut self, (sequence, _): (u64, Slot)) -> Option<u64> {
        self.writer.push_intent(sequence, &bytes_of(b"intent"), 0).then(|| self.want())
    }

    fn want(&self) -> u64 {
        self.commits.want(self.writer.position());
        self.writer.position()
    }
}

/// A record that says only which one it is.
fn bytes_of(what: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    RecordWriter::new(&mut bytes).bytes(Field::Path, what);
    bytes
}

/// What the next start finds without rings, as after a loss of power.
#[derive(Debug, Default)]
struct Found {
    records: SequenceSet,
    unknown: SequenceSet,
}

fn after_power_loss(fs: &SimFs) -> Found {
    let spool = spool(Arc::new(fs.clone()), 2, 1 << 20);
    for boot in spool.leftovers() {
        recover(&spool, boot, Path::new("/nowhere"), &Clock::manual(2_000_000)).unwrap();
    }
    let mut found = Found::default();
    let mut reader = spool.reader([Cursor::start(Uuid::from_u128(1))]);
    loop {
        match reader.next().unwrap() {
            Item::Data { header, payload, .. } if header.kind == crate::spool::frame::Kind::Record => {
                assert_eq!(header.version, WIRE_VERSION);
                assert!(found.records.insert(header.sequence), "{} is there twice", header.sequence);
                let record = RecordView::parse(payload).unwrap();
                if record.integer(Field::Outcome) == Some(crate::record::Outcome::Unknown as u64) {
                    found.unknown.insert(header.sequence);
                }
            }
            Item::Data { .. } | Item::Missing { .. } => {}
            Item::Lost { .. } => {}
            Item::EndOfLog => return found,
        }
    }
}
