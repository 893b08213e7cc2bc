//! A long outage on a real disk: so many hours in which no destination takes anything, by a clock
//! that is set, and then the way back.
//!
//! Everything between the ring and the store is the gateway's own: recorder, segments and their
//! compression, packer, outbox, shipper. It is stepped by one thread. During the outage the clock
//! goes ten seconds at a time. After it, it goes as fast as the work took, and records keep coming
//! at the same rate. The store looks into each object and notes which sequences it holds; the time
//! for that is the measurement's own and does not count.

use onrecord::capture::commit::{Commits, Signal};
use onrecord::capture::ring::{self, Geometry, Identity, Pushed, RingWriter};
use onrecord::clock::Clock;
use onrecord::deliver::{
    Body, BoxFuture, Cause, Created, Destination, Next, Object, ObjectKind, Outcome, PutError, Shipper,
};
use onrecord::evidence::keys::SigningKey;
use onrecord::format::FormatOptions;
use onrecord::metrics::Families;
use onrecord::pack::{Filter, Opened, PackOptions, Packer, Packing, Schedule, SpoolSource, Step};
use onrecord::record::{EventIds, Field, RecordWriter};
use onrecord::recorder::{LaneEnd, Progress, Recorder, Settings, Syncer};
use onrecord::spool::fs::SystemFs;
use onrecord::spool::{Compactor, Options, Spool};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How far the clock goes at once while the store is out.
const STRIDE: Duration = Duration::from_secs(10);
/// Records that go into the ring before the recorder has its turn.
const TURN: u64 = 2_000;
/// Where the clock begins, in Unix microseconds.
const START: u64 = 1_775_744_531_000_000;
/// So many steps without anything to do mean that it stands still.
const PATIENCE: u32 = 30_000;

/// What is to be lived through.
#[derive(Clone, Debug)]
pub struct Outage {
    /// How long the store takes nothing.
    pub length: Duration,
    /// Records a second.
    pub rate: u64,
    /// The bound of the spool, in bytes.
    pub spool_bytes: u64,
    /// A folder that is not there yet, for the spool. It is left for whoever made the call to remove.
    pub folder: PathBuf,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Records that were taken during the outage.
    pub waited: u64,
    /// Those that came while it was caught up with.
    pub came: u64,
    /// Records that arrived, each counted once.
    pub arrived: u64,
    /// Records that arrived again.
    pub again: u64,
    /// Bytes of the segments at the end of the outage, as they were written.
    pub plain: u64,
    /// The most that they took on the disk at any time.
    pub peak: u64,
    /// How long the outage took to be played.
    pub played: Duration,
    /// How long it took until everything that waited had arrived, from the store's first answer on.
    pub caught_up: Duration,
    /// Objects that were sent.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Report {
    /// Records a second while it was caught up with.
    #[must_use]
    pub fn rate(&self) -> f64 {
        (self.waited + self.came) as f64 / self.caught_up.as_secs_f64().max(1e-9)
    }

    /// Whether all that was taken arrived, once.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.arrived == self.waited + self.came && self.again == 0
    }
}

/// Lives through it.
///
/// # Errors
/// What went wrong, in words. A loss is none of these: the report tells of it.
pub fn run(outage: &Outage) -> Result<Report, String> {
    let mut world = World::new(outage)?;
    let begun = Instant::now();
    let mut peak = 0;
    let mut left = outage.length;
    while !left.is_zero() {
        let stride = left.min(STRIDE);
        left -= stride;
        world.pass(stride, outage.rate)?;
        world.compress()?;
        world.pack()?;
        world.ship();
        peak = world.segments()?.0.max(peak);
    }
    let played = begun.elapsed();
    let waited = world.taken;
    let plain = world.segments()?.1;

    world.store.seen().out = false;
    let pause = world.ship_at.saturating_sub(world.clock.monotonic());
    world.pass(pause, outage.rate)?;
    let begun = world.clock.monotonic();
    world.catch_up(outage.rate, waited)?;
    let caught_up = world.clock.monotonic() - begun;
    world.finish()?;
    let seen = world.store.seen();
    Ok(Report {
        waited,
        came: world.taken - waited,
        arrived: seen.arrived,
        again: seen.again,
        plain,
        peak,
        played,
        caught_up,
        objects: seen.objects,
        bytes: seen.bytes,
    })
}

struct World {
    clock: Clock,
    spool: Arc<Spool>,
    ring: RingWriter,
    ids: EventIds,
    random: fastrand::Rng,
    recorder: Option<Recorder>,
    compactor: Compactor,
    packing: Packing,
    control: onrecord::pack::PackerControl,
    shipper: Shipper,
    attempt: Option<BoxFuture<'static, Outcome>>,
    ship_at: Duration,
    store: Arc<Store>,
    taken: u64,
    /// What is owed of a record, in records times microseconds a second.
    owed: u64,
}

impl World {
    fn new(outage: &Outage) -> Result<Self, String> {
        let words = |error: &dyn std::error::Error| onrecord::error_chain::Chain(error).to_string();
        let clock = Clock::manual(START);
        let mut random = fastrand::Rng::with_seed(72);
        let boot = Uuid::from_u128((u128::from(START / 1000) << 80) | (0x7 << 76) | (0x2 << 62));
        let options =
            Options { dir: outage.folder.clone(), bytes: Some(outage.spool_bytes), ..Options::default() };
        let spool = Spool::open(&options, Arc::new(SystemFs), boot, "gw-1").map_err(|error| words(&error))?;
        let spool = Arc::new(spool);
        let identity = Identity { boot, instance: "gw-1".to_owned(), lane: 0 };
        let (ring, reader) =
            ring::anonymous(&identity, Geometry::new(16 << 20, 4_096)).map_err(|error| error.to_string())?;
        let progress = Progress::new(["main"]);
        let settings = Settings {
            sync_interval: options.sync_interval,
            clock: clock.clone(),
            when_full: options.when_full,
            refusing: Arc::default(),
            progress: Arc::clone(&progress),
            metrics: Families::new().map_err(|error| error.to_string())?,
            supplements: Default::default(),
            journal: Default::default(),
        };
        let end = LaneEnd { number: 0, ring: reader, commits: Commits::new(&Arc::<Signal>::default()) };
        let recorder = Recorder::begin(Arc::clone(&spool), vec![end], settings, Syncer::inline())
            .map_err(|error| words(&error))?;
        let key = Arc::new(SigningKey::from_seed(&[7; 32]).map_err(|error| words(&error))?);
        let advance = Box::new(move |cursors| progress.advance("main", cursors));
        let source = SpoolSource::new(Arc::clone(&spool), clock.clone(), advance);
        let packer = Packer::new(pack_options(boot, outage), key, clock.clone(), Box::new(source));
        let control = packer.control();
        let Opened::Packing(packing) = packer.open() else { return Err("no outbox".to_owned()) };
        let store: Arc<Store> = Arc::default();
        store.seen().out = true;
        // A batch of the first minutes must not expire in the outage's last ones.
        let retention = outage.length + Duration::from_secs(3_600);
        let target: Arc<dyn Destination> = Arc::clone(&store) as _;
        let shipper =
            Shipper::new("main", target, "", boot, retention, clock.clone()).with_seed(random.u64(..));
        Ok(Self {
            ids: EventIds::new(random.u64(..)),
            compactor: Compactor::new(options.compress_after),
            recorder: Some(recorder),
            ship_at: Duration::ZERO,
            attempt: None,
            taken: 0,
            owed: 0,
            clock,
            spool,
            ring,
            random,
            packing,
            control,
            shipper,
            store,
        })
    }

    /// Time goes by, and requests come in it.
    fn pass(&mut self, time: Duration, rate: u64) -> Result<(), String> {
        self.owed += u64::try_from(time.as_micros()).unwrap_or(u64::MAX) * rate;
        let count = self.owed / 1_000_000;
        self.owed %= 1_000_000;
        let begin = self.clock.unix_microseconds();
        for number in 0..count {
            let start = begin + time.as_micros() as u64 * number / count;
            let record = record(self.ids.next(start).0, start, &mut self.random);
            let (sequence, pushed) = self.ring.record_closed(&record, 0);
            if pushed != Pushed::Kept || sequence != self.taken {
                return Err(format!("the ring lost record {sequence}"));
            }
            self.taken += 1;
            if self.taken.is_multiple_of(TURN) {
                self.turn();
            }
        }
        self.clock.advance(time);
        self.turn();
        Ok(())
    }

    fn turn(&mut self) {
        while self.recorder.as_mut().is_some_and(Recorder::turn) {}
    }

    fn compress(&mut self) -> Result<(), String> {
        let stop = AtomicBool::new(false);
        loop {
            let done = self.compactor.step(&self.spool, self.clock.unix_microseconds(), &stop);
            if done.map_err(|error| error.to_string())?.is_none() {
                return Ok(());
            }
        }
    }

    fn pack(&mut self) -> Result<Step, String> {
        match self.packing.step() {
            Step::Failed => Err("a batch could not be packed".to_owned()),
            step => Ok(step),
        }
    }

    /// One thing that the shipper does; whether there was one.
    fn ship(&mut self) -> bool {
        if self.clock.monotonic() < self.ship_at {
            return false;
        }
        let outbox = Arc::clone(self.packing.outbox());
        if self.attempt.is_none() {
            match self.shipper.next(&outbox) {
                Next::Work(work) => self.attempt = Some(work.attempt(&self.shipper.errand())),
                Next::Idle | Next::Paused => return false,
            }
        }
        let Some(attempt) = &mut self.attempt else { return false };
        match attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.shipper.tick(&outbox),
            Poll::Ready(outcome) => {
                self.attempt = None;
                if let Some(pause) = self.shipper.finish(&outbox, outcome) {
                    self.ship_at = self.clock.monotonic() + pause;
                }
            }
        }
        true
    }

    /// What the segments take on the disk, and what they hold.
    fn segments(&self) -> Result<(u64, u64), String> {
        let segments = self.spool.segments().map_err(|error| error.to_string())?;
        Ok(segments.iter().fold((0, 0), |(bytes, plain), one| (bytes + one.bytes, plain + one.plain)))
    }

    /// Until so many of the first records have arrived.
    fn catch_up(&mut self, rate: u64, wanted: u64) -> Result<(), String> {
        let mut idle = 0;
        while self.store.seen().first(wanted) < wanted {
            let (begun, own) = (Instant::now(), self.store.seen().own);
            let packed = matches!(self.pack()?, Step::Packed);
            let mut shipped = false;
            while self.ship() {
                shipped = true;
            }
            idle = if packed || shipped { 0 } else { idle + 1 };
            if idle > PATIENCE {
                return Ok(());
            }
            // Where nothing is to be done, the next thing is due later.
            let waited = Duration::from_millis(if idle > 0 { 10 } else { 0 });
            let counted = self.store.seen().own - own;
            self.pass(begun.elapsed().saturating_sub(counted) + waited, rate)?;
        }
        Ok(())
    }

    /// The process ends in order, and delivers the rest.
    fn finish(&mut self) -> Result<(), String> {
        if !self.recorder.take().is_none_or(Recorder::finish) {
            return Err("the log is not complete".to_owned());
        }
        self.control.stop();
        let mut ended = false;
        for _ in 0..PATIENCE {
            ended |= self.pack()? == Step::Ended;
            while self.ship() {}
            if ended && self.packing.outbox().waiting().is_empty() {
                return Ok(());
            }
            self.clock.advance(Duration::from_millis(100));
        }
        Err("not everything leaves the outbox".to_owned())
    }
}

fn pack_options(boot: Uuid, outage: &Outage) -> PackOptions {
    PackOptions {
        destination: "main".to_owned(),
        instance: "gw-1".to_owned(),
        boot,
        spool: outage.folder.clone(),
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
        level: 1,
        signer: "onrecord/gw-1".to_owned(),
    }
}

/// A read of one of many entries by one of forty credentials. What is by chance in real traffic is
/// so here, since it decides how well segments compress.
fn record(id: [u8; 16], start: u64, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut record = Vec::with_capacity(512);
    let mut writer = RecordWriter::new(&mut record);
    let entry = format!("5KsDBWseXY6Qeguc{:06}", random.u32(..300_000));
    let credential = u128::from(random.u64(..40)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    writer.bytes(Field::EventId, &id);
    writer.integer(Field::Start, start);
    writer.text(Field::Source, "cda");
    writer.text(Field::Namespace, "contentful");
    writer.text(Field::Method, "GET");
    writer.text(Field::Route, "/spaces/:space_id/environments/:environment_id/entries/:entry_id");
    writer.text(Field::Path, &format!("/spaces/p4lm9x2q7rts/environments/master/entries/{entry}"));
    writer.text(Field::Organization, "6lZ5kYqYb1mXz3kYqYb1mX");
    writer.text(Field::Space, "p4lm9x2q7rts");
    writer.text(Field::Environment, "master");
    writer.text(Field::ResourceType, "Entry");
    writer.text(Field::ResourceId, &entry);
    writer.text(Field::UserAgent, "contentful.js/10.6.1 (linux; node/v20.11.0) platform/1.0");
    writer.integer(Field::ProtocolVersion, 11);
    writer.text(Field::ActorAuthentication, "bearer");
    writer.bytes(Field::CredentialId, &credential.to_be_bytes());
    writer.text(Field::CredentialKey, "default");
    writer.text(Field::ActorType, "anonymous");
    writer.text(Field::ClientAddress, &format!("203.0.113.{}", random.u8(..)));
    writer.integer(Field::ClientPort, random.u64(1_024..65_536));
    writer.text(Field::UpstreamRequestId, &Uuid::from_u128(random.u128(..)).to_string());
    writer.integer(Field::Duration, random.u64(900..90_000));
    writer.integer(Field::Status, if random.u8(..50) == 0 { 404 } else { 200 });
    writer.integer(Field::ResponseBodySize, random.u64(500..9_000));
    writer.integer(Field::Outcome, 1);
    writer.text(Field::UpstreamAddress, "198.51.100.4:443");
    writer.integer(Field::UpstreamAttempts, 1);
    writer.integer(Field::UpstreamDuration, random.u64(700..80_000));
    writer.text(Field::Action, "read");
    record
}

/// A store that keeps nothing but which records it has seen.
#[derive(Debug, Default)]
struct Store(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    out: bool,
    /// A bit a sequence.
    sequences: Vec<u64>,
    arrived: u64,
    again: u64,
    objects: u64,
    bytes: u64,
    /// Time that counting took.
    own: Duration,
}

impl Seen {
    fn note(&mut self, sequence: u64) {
        let (place, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        if self.sequences.len() <= place {
            self.sequences.resize(place + 1, 0);
        }
        let known = self.sequences[place] & bit != 0;
        self.sequences[place] |= bit;
        *(if known { &mut self.again } else { &mut self.arrived }) += 1;
    }

    /// How many of the first so many have arrived.
    fn first(&self, count: u64) -> u64 {
        let whole = (count / 64) as usize;
        let rest = self.sequences.get(whole).map_or(0, |bits| bits & ((1 << (count % 64)) - 1));
        let words = self.sequences.iter().take(whole).map(|bits| u64::from(bits.count_ones()));
        words.sum::<u64>() + u64::from(rest.count_ones())
    }
}

impl Store {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, object: &Object<'_>) -> Result<Created, PutError> {
        let mut seen = self.seen();
        if seen.out {
            return Err(PutError::new(Cause::Network, "the store is out"));
        }
        let (ObjectKind::Records, Body::File(path)) = (object.kind, object.body) else {
            return Ok(Created::Created);
        };
        let failed = |error: std::io::Error| PutError::new(Cause::ServerError, error.to_string());
        let begun = Instant::now();
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut lines = BufReader::with_capacity(1 << 16, flate2::read::GzDecoder::new(file));
        let mut line = String::new();
        while lines.read_line(&mut line).map_err(failed)? > 0 {
            if let Some(sequence) = sequence(&line) {
                seen.note(sequence);
            }
            line.clear();
        }
        seen.objects += 1;
        seen.bytes += object.length;
        seen.own += begun.elapsed();
        Ok(Created::Created)
    }
}

fn sequence(line: &str) -> Option<u64> {
    let (_, rest) = line.rsplit_once("\"onrecord.sequence\":")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

impl Destination for Store {
    fn create<'a>(&'a self, object: Object<'a>) -> BoxFuture<'a, Result<Created, PutError>> {
        Box::pin(std::future::ready(self.put(&object)))
    }

    fn place(&self) -> String {
        "nowhere".to_owned()
    }
}
