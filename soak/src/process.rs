//! One process of the gateway without its front: workers' ends of rings, recorder, recovery,
//! and two destinations, each stepped by hand.

use crate::model::{Exchange, Fate, Model, ORGANIZATIONS, SOURCES};
use crate::plan::Plan;
use crate::store::SimStore;
use onrecord::capture::commit::{Commits, Signal};
use onrecord::capture::ring::{self, Geometry, Identity, Pushed, RingWriter, Slot};
use onrecord::clock::Clock;
use onrecord::deliver::{BoxFuture, Destination, Next, Outcome, Shipper};
use onrecord::evidence::keys::SigningKey;
use onrecord::evidence::note::Verifier;
use onrecord::format::FormatOptions;
use onrecord::metrics::Families;
use onrecord::pack::{
    Filter, Opened, PackOptions, Packer, PackerControl, Packing, Schedule, SpoolSource, Step,
};
use onrecord::record::{EventId, EventIds, Field, Outcome as Ending, RecordWriter};
use onrecord::recorder::{self, LaneEnd, Progress, Recorder, Settings, Syncer};
use onrecord::spool::sim::SimFs;
use onrecord::spool::{Compactor, Options, Spool};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use uuid::Uuid;

/// The name of the machine.
pub const INSTANCE: &str = "sim-1";
/// Who signs.
pub const SIGNER: &str = "onrecord/sim-1";
/// The spool's folder on the simulated disk.
pub const SPOOL: &str = "/data/spool";
/// The destinations: name, prefix, and the sources that they take (none: all).
pub const DESTINATIONS: [(&str, &str, &[&str]); 2] = [("all", "", &[]), ("some", "logs/", &["cda", "cma"])];

/// The machine: what outlives a process.
#[derive(Debug)]
pub struct Machine {
    /// Its disk.
    pub fs: SimFs,
    /// Its clock.
    pub clock: Clock,
    /// Memory that outlives a process and ends with the machine. Rings are mapped, so this is
    /// a real folder.
    pub memory: Memory,
    /// One a destination.
    pub stores: Vec<SimStore>,
    /// What manifests are signed with.
    pub key: Arc<SigningKey>,
}

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub struct Memory(PathBuf);

impl Memory {
    fn new() -> std::io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("onrecord-soak-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Everything in it is gone, as after a loss of power.
    pub fn lose(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::create_dir_all(&self.0);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Machine {
    /// A new one.
    ///
    /// # Panics
    /// When the test's own machine gives no memory.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        use onrecord::spool::fs::Fs as _;
        let fs = SimFs::new(seed);
        fs.create_dir(Path::new("/data")).expect("a new disk takes a folder");
        fs.sync_dir(Path::new("/")).expect("a new disk can be synced");
        let clock = Clock::manual(1_775_744_531_000_000);
        let stores = (0..2).map(|number| SimStore::new(&fs, &clock, seed ^ (number + 1))).collect();
        let key = Arc::new(SigningKey::from_seed(&[7; 32]).expect("32 bytes are a seed"));
        Self { fs, clock, memory: Memory::new().expect("the test's machine has memory"), stores, key }
    }
}

/// One worker.
struct Worker {
    ring: RingWriter,
    commits: Arc<Commits>,
    ids: EventIds,
    open: Vec<(u64, Slot, Vec<u8>)>,
}

enum Stage {
    Waiting(Box<Packer>),
    Running(Box<Packing>),
    Ended,
}

struct Target {
    stage: Stage,
    control: PackerControl,
    shipper: Shipper,
    attempt: Option<BoxFuture<'static, Outcome>>,
    ended: bool,
    /// No earlier than this, in the clock's monotonic time.
    pack_at: Duration,
    ship_at: Duration,
}

/// A process.
pub struct Process {
    /// Its life.
    pub boot: Uuid,
    spool: Arc<Spool>,
    workers: Vec<Worker>,
    recorder: Option<Recorder>,
    refusing: Arc<AtomicBool>,
    to_recover: Vec<Uuid>,
    rings: PathBuf,
    targets: Vec<Target>,
    started: bool,
    clock: Clock,
    compactor: Compactor,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("boot", &self.boot).finish_non_exhaustive()
    }
}

impl Process {
    /// Starts one, as the gateway does.
    ///
    /// # Errors
    /// In words, when the disk does not allow it.
    pub fn start(
        machine: &Machine,
        plan: &Plan,
        random: &mut fastrand::Rng,
        model: &mut Model,
    ) -> Result<Self, String> {
        let millis = machine.clock.unix_microseconds() / 1000;
        let boot = uuid::Builder::from_unix_timestamp_millis(
            millis,
            &random.u128(..).to_be_bytes()[..10].try_into().unwrap_or_default(),
        )
        .into_uuid();
        let options = Options {
            dir: SPOOL.into(),
            bytes: Some(plan.spool_bytes),
            when_full: plan.when_full,
            segment_bytes: plan.segment_bytes,
            segment_age: Duration::from_secs(300),
            sync_interval: plan.sync_interval,
            compress_after: plan.compress_after,
        };
        let text = |error: &dyn std::error::Error| onrecord::error_chain::Chain(error).to_string();
        let fs = Arc::new(machine.fs.clone());
        let spool = Spool::open(&options, fs, boot, INSTANCE).map_err(|error| text(&error))?;
        let spool = Arc::new(spool);
        let rings = machine.memory.0.clone();
        let folder = rings.join(boot.to_string());
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let signal: Arc<Signal> = Arc::default();
        let (mut workers, mut ends) = (Vec::new(), Vec::new());
        for number in 0..plan.lanes as u16 {
            let identity = Identity { boot, instance: INSTANCE.to_owned(), lane: number };
            let geometry = Geometry::new(1 << 16, plan.slots);
            let path = folder.join(format!("lane-{number:02}.ring"));
            let (writer, reader) = ring::create(&path, &identity, geometry).map_err(|error| text(&error))?;
            let commits = Commits::new(&signal);
            ends.push(LaneEnd { number, ring: reader, commits: Arc::clone(&commits) });
            let ids = EventIds::new(random.u64(..));
            workers.push(Worker { ring: writer, commits, ids, open: Vec::new() });
        }
        let progress = Progress::new(DESTINATIONS.iter().map(|(name, ..)| *name));
        let refusing: Arc<AtomicBool> = Arc::default();
        let settings = Settings {
            sync_interval: plan.sync_interval,
            clock: machine.clock.clone(),
            when_full: plan.when_full,
            refusing: Arc::clone(&refusing),
            progress: Arc::clone(&progress),
            metrics: Families::new().map_err(|error| error.to_string())?,
            supplements: Default::default(),
            journal: Default::default(),
        };
        let recorder = Recorder::begin(Arc::clone(&spool), ends, settings, Syncer::inline());
        let recorder = Some(recorder.map_err(|error| text(&error))?);
        let destinations = DESTINATIONS.iter().zip(&machine.stores);
        let targets = destinations
            .map(|(destination, store)| {
                target(machine, plan, &spool, &progress, destination, store, random.u64(..))
            })
            .collect();
        model.begin(boot, plan.lanes);
        let to_recover = spool.leftovers();
        let clock = machine.clock.clone();
        Ok(Self {
            boot,
            spool,
            workers,
            recorder,
            refusing,
            to_recover,
            rings,
            targets,
            started: false,
            clock,
            compactor: Compactor::new(plan.compress_after).with_blocks_of(plan.compress_blocks),
        })
    }

    /// A worker opens or closes an exchange.
    pub fn work(&mut self, plan: &Plan, random: &mut fastrand::Rng, model: &mut Model) {
        let lane = random.usize(..self.workers.len());
        let worker = &mut self.workers[lane];
        let close = !worker.open.is_empty() && random.u8(..10) < 5;
        if close {
            let (sequence, slot, record) = worker.open.swap_remove(random.usize(..worker.open.len()));
            self.close(lane, sequence, slot, record, plan, random, model);
        } else if !self.refusing.load(Ordering::Relaxed) {
            self.begin(lane, random, model);
        }
    }

    fn begin(&mut self, lane: usize, random: &mut fastrand::Rng, model: &mut Model) {
        let worker = &mut self.workers[lane];
        let start = self.clock.unix_microseconds();
        let event = worker.ids.next(start);
        let source = SOURCES[random.usize(..SOURCES.len())];
        let organization = ORGANIZATIONS[random.usize(..ORGANIZATIONS.len())];
        let record = head(event, start, source, organization);
        let event = event.to_string();
        let mut exchange = Exchange { event, source, organization, start, fate: Fate::Open };
        let taken = match worker.ring.open(&record) {
            Some((sequence, slot)) => {
                worker.open.push((sequence, slot, record));
                sequence
            }
            // Every slot is taken: it is recorded at its end alone.
            None => {
                let mut record = record;
                RecordWriter::new(&mut record).integer(Field::Outcome, Ending::Failure as u64);
                let (sequence, pushed) = worker.ring.record_closed(&record, lane as u16);
                exchange.fate = fate(pushed, &worker.ring);
                sequence
            }
        };
        let exchanges = model.boots.get_mut(&self.boot).map(|boot| &mut boot.lanes[lane]);
        if let Some(exchanges) = exchanges {
            assert_eq!(taken, exchanges.len() as u64, "sequences have no gap at their birth");
            exchanges.push(exchange);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and all of it is needed")]
    fn close(
        &mut self,
        lane: usize,
        sequence: u64,
        slot: Slot,
        mut record: Vec<u8>,
        plan: &Plan,
        random: &mut fastrand::Rng,
        model: &mut Model,
    ) {
        let worker = &mut self.workers[lane];
        let mut writer = RecordWriter::new(&mut record);
        writer.integer(Field::Status, 200);
        writer.integer(Field::Outcome, Ending::Success as u64);
        writer.bytes(Field::Query, "q".repeat(random.usize(..=plan.padding)).as_bytes());
        let pushed = worker.ring.close(sequence, slot, &record, lane as u16);
        if random.u8(..4) == 0 {
            worker.commits.want(worker.ring.position());
        }
        if let Some(boot) = model.boots.get_mut(&self.boot) {
            boot.lanes[lane][sequence as usize].fate = fate(pushed, &worker.ring);
        }
    }

    /// The recorder looks at everything once.
    pub fn turn(&mut self, model: &mut Model) -> bool {
        let moved = self.recorder.as_mut().is_some_and(Recorder::turn);
        if let Some(boot) = model.boots.get_mut(&self.boot) {
            for (lane, worker) in self.workers.iter().enumerate() {
                let position = worker.commits.durable();
                if worker.commits.fate(position) == Some(onrecord::capture::commit::Fate::Durable) {
                    boot.durable[lane] = boot.durable[lane].max(position);
                }
            }
        }
        moved
    }

    /// A segment that waits is compressed, if there is one; whether it was.
    pub fn compress(&mut self) -> bool {
        let now = self.clock.unix_microseconds();
        matches!(self.compactor.step(&self.spool, now, &AtomicBool::new(false)), Ok(Some(_)))
    }

    /// Recovery looks for boots that have ended, and takes one of them up.
    pub fn recover(&mut self, model: &mut Model) {
        if let Ok(boots) = self.spool.adopt() {
            self.to_recover.extend(boots);
        }
        if let Some(boot) = self.to_recover.pop() {
            let recovered = recorder::recover(&self.spool, boot, &self.rings, &self.clock);
            match (recovered, model.boots.get_mut(&boot)) {
                (Ok(_), Some(boot)) => boot.recovered = true,
                (Ok(_), None) => {}
                (Err(_), _) => self.to_recover.insert(0, boot),
            }
        }
        self.started |= self.to_recover.is_empty();
    }

    /// Whether recovery has nothing to do.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.started && self.to_recover.is_empty()
    }

    /// A packer does what is to be done now; whether that was anything.
    pub fn pack(&mut self, destination: usize) -> bool {
        let target = &mut self.targets[destination];
        let now = self.clock.monotonic();
        if !self.started || now < target.pack_at {
            return false;
        }
        let pause = Duration::from_secs(1);
        match std::mem::replace(&mut target.stage, Stage::Ended) {
            Stage::Waiting(packer) => match packer.open() {
                Opened::Packing(packing) => target.stage = Stage::Running(Box::new(packing)),
                Opened::Held(packer) => target.stage = Stage::Waiting(Box::new(packer)),
                Opened::Failed(packer, _) => {
                    target.pack_at = now + pause;
                    target.stage = Stage::Waiting(Box::new(packer));
                }
            },
            Stage::Running(mut packing) => {
                let step = packing.step();
                if step == Step::Failed {
                    target.pack_at = now + pause;
                }
                target.ended |= step == Step::Ended;
                target.stage = Stage::Running(packing);
                return matches!(step, Step::Packed | Step::Failed);
            }
            Stage::Ended => {}
        }
        true
    }

    /// A shipper does what is to be done now; whether that was anything.
    pub fn ship(&mut self, destination: usize) -> bool {
        let target = &mut self.targets[destination];
        let Stage::Running(packing) = &target.stage else { return false };
        let outbox = Arc::clone(packing.outbox());
        if self.clock.monotonic() < target.ship_at {
            return false;
        }
        if target.attempt.is_none() {
            match target.shipper.next(&outbox) {
                Next::Work(work) => target.attempt = Some(work.attempt(&target.shipper.errand())),
                Next::Idle | Next::Paused => return false,
            }
        }
        let Some(attempt) = &mut target.attempt else { return false };
        match attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => target.shipper.tick(&outbox),
            Poll::Ready(outcome) => {
                target.attempt = None;
                if let Some(pause) = target.shipper.finish(&outbox, outcome) {
                    target.ship_at = self.clock.monotonic() + pause;
                }
            }
        }
        true
    }

    /// All open exchanges end, the recorder writes its last word, the packers are told to stop.
    /// Whether the log is complete.
    pub fn stop(&mut self, plan: &Plan, random: &mut fastrand::Rng, model: &mut Model) -> bool {
        for lane in 0..self.workers.len() {
            for (sequence, slot, record) in std::mem::take(&mut self.workers[lane].open) {
                self.close(lane, sequence, slot, record, plan, random, model);
            }
        }
        self.workers.clear();
        let complete = self.recorder.take().is_none_or(Recorder::finish);
        if complete {
            let _ = std::fs::remove_dir_all(self.rings.join(self.boot.to_string()));
        }
        self.targets.iter().for_each(|target| target.control.stop());
        complete
    }

    /// Whether, after a stop, all is packed and has arrived.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.targets.iter().all(|target| match &target.stage {
            Stage::Running(packing) => target.ended && packing.outbox().waiting().is_empty(),
            _ => false,
        })
    }

    /// What holds it up, for the report of a run that does not come to its end.
    #[must_use]
    pub fn state(&self) -> String {
        let mut text = format!("recovered {} ({} left)", self.started, self.to_recover.len());
        for (target, (name, ..)) in self.targets.iter().zip(DESTINATIONS) {
            let waiting = match &target.stage {
                Stage::Waiting(_) => "outbox not open".to_owned(),
                Stage::Running(packing) => format!("{} batches wait", packing.outbox().waiting().len()),
                Stage::Ended => "ended".to_owned(),
            };
            let status = target.shipper.status().snapshot();
            text += &format!(
                "; {name}: {waiting}, packer ended {}, {:?} {:?}",
                target.ended, status.state, status.words
            );
        }
        text
    }
}

fn fate(pushed: Pushed, ring: &RingWriter) -> Fate {
    match pushed {
        Pushed::Kept => Fate::Kept(ring.position()),
        Pushed::Lost => Fate::Lost,
    }
}

fn head(event: EventId, start: u64, source: &str, organization: &str) -> Vec<u8> {
    let mut record = Vec::new();
    let mut writer = RecordWriter::new(&mut record);
    writer.bytes(Field::EventId, &event.0);
    writer.integer(Field::Start, start);
    writer.text(Field::Source, source);
    writer.text(Field::Organization, organization);
    writer.text(Field::Method, "GET");
    writer.text(Field::Path, "/spaces/a/entries");
    record
}

fn target(
    machine: &Machine,
    plan: &Plan,
    spool: &Arc<Spool>,
    progress: &Arc<Progress>,
    (name, prefix, sources): &(&'static str, &str, &[&str]),
    store: &SimStore,
    seed: u64,
) -> Target {
    let (progress, name) = (Arc::clone(progress), *name);
    let source = SpoolSource::new(
        Arc::clone(spool),
        machine.clock.clone(),
        Box::new(move |cursors| progress.advance(name, cursors)),
    );
    let options = PackOptions {
        destination: name.to_owned(),
        instance: INSTANCE.to_owned(),
        boot: spool.boot(),
        spool: SPOOL.into(),
        prefix: (*prefix).to_owned(),
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        own_records: true,
        format: FormatOptions::default(),
        filter: Filter::default(),
        schedule: Schedule::default(),
        interval: plan.interval,
        object_bytes: plan.object_bytes,
        heartbeat: Duration::from_secs(60),
        retention_days: None,
        level: 1,
        signer: SIGNER.to_owned(),
    };
    let packer = Packer::new(options, Arc::clone(&machine.key), machine.clock.clone(), Box::new(source))
        .with_fs(Arc::clone(spool.fs()));
    let store: Arc<dyn Destination> = Arc::new(store.clone());
    let shipper = Shipper::new(name, store, prefix, spool.boot(), plan.retention, machine.clock.clone())
        .with_public_keys(vec![Verifier::new(SIGNER, machine.key.public()).to_string()])
        .with_seed(seed);
    Target {
        control: packer.control(),
        stage: Stage::Waiting(Box::new(packer)),
        shipper,
        attempt: None,
        ended: false,
        pack_at: Duration::ZERO,
        ship_at: Duration::ZERO,
    }
}
