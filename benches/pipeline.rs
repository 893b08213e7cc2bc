//! What a record costs behind the workers, and what it costs them to hand it over: into the ring,
//! from the ring into the spool, and from the spool into a committed batch (read, enriched, encoded
//! as `flat`, hashed, compressed, with its manifest). Nothing is delivered, and nobody asks.
//!
//! Rates are by the time that the thread had a core, not by the wall clock.
//! `cargo bench --bench pipeline -- [records] [rounds] [folder]`; the folder (the system's for
//! temporary files unless told otherwise) takes spool and outbox. Compression levels 1 to 9 are
//! compared behind the rounds, with their bytes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use onrecord::capture::commit::{Commits, Signal};
use onrecord::capture::ring::{self, Geometry, Identity, Pushed};
use onrecord::clock::Clock;
use onrecord::enrich::{add_meaning, session::Sessions};
use onrecord::evidence::keys::SigningKey;
use onrecord::format::{Enrichment, FormatOptions};
use onrecord::metrics::Families;
use onrecord::pack::{Filter, Opened, PackOptions, Packer, Schedule, SpoolSource, Step};
use onrecord::record::{Field, RecordView, RecordWriter};
use onrecord::recorder::{LaneEnd, Progress, Recorder, Settings, Syncer};
use onrecord::spool::fs::SystemFs;
use onrecord::spool::{Options, Spool};
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Records that go into the ring before the recorder has its turn.
const TURN: u64 = 2_000;
/// Where the made-up time begins, in Unix microseconds.
const START: u64 = 1_775_744_531_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with('-')).collect();
    let number =
        |place: usize, otherwise: u64| arguments.get(place).and_then(|t| t.parse().ok()).unwrap_or(otherwise);
    let (records, rounds) = (number(0, 300_000), number(1, 7));
    let folder = arguments.get(2).map_or_else(std::env::temp_dir, Into::into);
    let mut all: Vec<[f64; 3]> = (0..rounds).map(|_| round(&folder, records, 1).times).collect();
    println!("{records} records, {rounds} rounds; nanoseconds a record on a core: median (least to most)");
    for (place, what) in
        ["worker: into the ring", "recorder: ring to spool", "packer: spool to batch"].iter().enumerate()
    {
        all.sort_by(|a, b| a[place].total_cmp(&b[place]));
        let at = |index: usize| all[index][place];
        println!("{what:26} {:8.0} ({:.0} to {:.0})", at(all.len() / 2), at(0), at(all.len() - 1));
    }
    let mut behind: Vec<f64> = all.iter().map(|times| 1e9 / (times[1] + times[2])).collect();
    behind.sort_by(f64::total_cmp);
    println!("recorder and packer: {:.0} records a second on one core (median)", behind[behind.len() / 2]);
    for level in [1, 2, 3, 6, 9] {
        let measured = round(&folder, records.min(100_000), level);
        let times = measured.times;
        println!("gzip -{level}: packer {:6.0} ns, {:5.1} bytes a record", times[2], measured.bytes);
    }
}

struct Measured {
    /// Nanoseconds a record: worker, recorder, packer.
    times: [f64; 3],
    /// Bytes a record in the objects.
    bytes: f64,
}

fn round(folder: &Path, records: u64, level: u32) -> Measured {
    let made = tempfile::tempdir_in(folder).unwrap();
    let clock = Clock::manual(START);
    let boot = Uuid::now_v7();
    let options = Options { dir: made.path().join("spool"), bytes: Some(8 << 30), ..Options::default() };
    let spool = Arc::new(Spool::open(&options, Arc::new(SystemFs), boot, "bench").unwrap());
    let identity = Identity { boot, instance: "bench".to_owned(), lane: 0 };
    let (mut writer, reader) = ring::anonymous(&identity, Geometry::new(16 << 20, 4_096)).unwrap();
    let commits = Commits::new(&Arc::<Signal>::default());
    let progress = Progress::new(["main"]);
    let settings = Settings {
        sync_interval: Duration::from_secs(1),
        clock: clock.clone(),
        when_full: Default::default(),
        refusing: Arc::default(),
        progress: Arc::clone(&progress),
        metrics: Families::new().unwrap(),
        supplements: Default::default(),
        journal: Default::default(),
    };
    let end = LaneEnd { number: 0, ring: reader, commits };
    let mut recorder = Recorder::begin(Arc::clone(&spool), vec![end], settings, Syncer::inline()).unwrap();

    let (mut working, mut recording) = (Duration::ZERO, Duration::ZERO);
    let (mut head, mut record) = (Vec::new(), Vec::new());
    let mut sequence = 0;
    while sequence < records {
        let made: Vec<_> = (sequence..(sequence + TURN).min(records))
            .map(|sequence| {
                write(&mut head, &mut record, sequence);
                (head.clone(), record.clone())
            })
            .collect();
        sequence += made.len() as u64;
        let begun = on_core();
        for (head, record) in &made {
            let (sequence, slot) = writer.open(head).unwrap();
            assert_eq!(writer.close(sequence, slot, record, 0), Pushed::Kept);
        }
        working += on_core() - begun;
        clock.advance(Duration::from_millis(2));
        let begun = on_core();
        recorder.turn();
        recording += on_core() - begun;
    }
    let begun = on_core();
    assert!(recorder.finish());
    recording += on_core() - begun;

    let (packing, bytes) = pack(&spool, &clock, &progress, records, level);
    let each = |time: Duration| time.as_nanos() as f64 / records as f64;
    Measured { times: [each(working), each(recording), each(packing)], bytes: bytes as f64 / records as f64 }
}

/// Packs all of it; the time on a core, and the objects' bytes.
fn pack(
    spool: &Arc<Spool>,
    clock: &Clock,
    progress: &Arc<Progress>,
    records: u64,
    level: u32,
) -> (Duration, u64) {
    let progress = Arc::clone(progress);
    let advance = Box::new(move |cursors| progress.advance("main", cursors));
    let source = SpoolSource::new(Arc::clone(spool), clock.clone(), advance);
    let options = PackOptions {
        destination: "main".to_owned(),
        instance: "bench".to_owned(),
        boot: spool.boot(),
        spool: spool.dir().to_owned(),
        prefix: String::new(),
        sources: Vec::new(),
        own_records: true,
        format: FormatOptions::default(),
        filter: Filter::default(),
        schedule: Schedule::default(),
        interval: Duration::from_secs(180),
        object_bytes: 64 << 20,
        heartbeat: Duration::from_secs(60),
        retention_days: None,
        level,
        signer: "onrecord/bench".to_owned(),
    };
    let key = Arc::new(SigningKey::from_seed(&[7; 32]).unwrap());
    let mut sessions = Sessions::new(30_000_000);
    let enrich = move |record: &RecordView<'_>, out: &mut Enrichment| add_meaning(&mut sessions, record, out);
    let packer = Packer::new(options, key, clock.clone(), Box::new(source)).with_enrich(Box::new(enrich));
    let control = packer.control();
    let Opened::Packing(mut packing) = packer.open() else { panic!("the outbox is new") };
    control.stop();
    let (mut packed, mut bytes) = (0, 0);
    let begun = on_core();
    loop {
        let step = packing.step();
        for batch in packing.outbox().waiting() {
            packed += batch.manifest.records();
            bytes += batch.manifest.objects.iter().map(|object| object.bytes).sum::<u64>();
            packing.outbox().delivered(batch.manifest.number).unwrap();
        }
        match step {
            Step::Packed => {}
            Step::Ended => break,
            Step::Wait(time) | Step::Gather(time) | Step::NoRoom(time) => {
                clock.advance(time.max(Duration::from_millis(1)))
            }
            Step::Failed => panic!("a batch could not be packed"),
        }
    }
    let time = on_core() - begun;
    assert_eq!(packed, records, "all of them are packed once");
    (time, bytes)
}

/// A read of one of many entries, as the SDKs send it: what is known at its beginning, and all of it.
fn write(head: &mut Vec<u8>, record: &mut Vec<u8>, sequence: u64) {
    let now = START + sequence * 10;
    head.clear();
    let mut writer = RecordWriter::new(head);
    let id = (u128::from(now / 1000) << 80) | (0x7 << 76) | (0x2 << 62) | u128::from(fastrand::u64(..) >> 2);
    writer.bytes(Field::EventId, &id.to_be_bytes());
    writer.integer(Field::Start, now);
    writer.text(Field::Source, "cda");
    writer.text(Field::Namespace, "contentful");
    writer.text(Field::Method, "GET");
    writer.text(Field::Route, "/spaces/:space_id/environments/:environment_id/entries/:entry_id");
    let entry = sequence % 3_000;
    writer.text(
        Field::Path,
        &format!("/spaces/p4lm9x2q7rts/environments/master/entries/5KsDBWseXY6Qeguc{entry:04}"),
    );
    record.clone_from(head);
    let mut writer = RecordWriter::new(record);
    writer.text(Field::Query, "content_type=page&locale=en-US");
    writer.text(Field::Organization, "6lZ5kYqYb1mXz3kYqYb1mX");
    writer.text(Field::Space, "p4lm9x2q7rts");
    writer.text(Field::Environment, "master");
    writer.text(Field::ResourceId, &format!("5KsDBWseXY6Qeguc{entry:04}"));
    writer.text(Field::ResourceType, "Entry");
    writer.text(Field::UserAgent, "contentful.js/10.6.1 (linux; node/v20.11.0)");
    writer.text(Field::UserAgentProduct, "sdk contentful.js/10.6.0; platform node.js/v20.11.0; os Linux;");
    writer.integer(Field::ProtocolVersion, 11);
    writer.text(Field::ActorAuthentication, "bearer");
    writer.bytes(Field::CredentialId, &u128::from(sequence % 40).to_be_bytes());
    writer.text(Field::CredentialKey, "default");
    writer.text(Field::ActorType, "anonymous");
    writer.text(Field::UpstreamRequestId, &Uuid::from_u128(id).to_string());
    writer.integer(Field::Duration, 900 + sequence % 700);
    writer.integer(Field::Status, 200);
    writer.integer(Field::ResponseBodySize, 1_024 + sequence % 4_000);
    writer.integer(Field::Outcome, 1);
    writer.text(Field::UpstreamAddress, "198.51.100.4:443");
    writer.integer(Field::UpstreamAttempts, 1);
    writer.integer(Field::UpstreamDuration, 700 + sequence % 600);
    writer.text(Field::Action, "read");
}

/// How long this thread has had a core.
fn on_core() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
