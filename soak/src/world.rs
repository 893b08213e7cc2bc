//! A run: lives, steps, trouble, and the end in which all is mended.

use crate::model::{End, Model};
use crate::oracle;
use crate::plan::Plan;
use crate::process::{DESTINATIONS, Machine, Process};
use onrecord::spool::sim;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Rounds within which everything must have arrived, once all is mended.
const DRAIN_ROUNDS: u32 = 5_000;
/// Rounds that pass in any case before the stop.
const DRAIN_AT_LEAST: u32 = 20;
/// So often a start may fail while the disk fails.
const START_ATTEMPTS: u32 = 3;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Exchanges that took a sequence.
    pub exchanges: u64,
    /// Records that were found in the stores.
    pub delivered: u64,
    /// Sequences declared lost, over both destinations.
    pub declared: u64,
    /// Ends of a process or of the machine that were not in order.
    pub crashes: u64,
    /// Calls of the file system.
    pub calls: u64,
    /// Answers of a store that were lost after it had taken the object.
    pub lost_answers: u64,
    /// Objects that were sent again and were there.
    pub there: u64,
    /// Segments that were compressed.
    pub compressed: u64,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, one: Self) {
        self.exchanges += one.exchanges;
        self.delivered += one.delivered;
        self.declared += one.declared;
        self.crashes += one.crashes;
        self.calls += one.calls;
        self.lost_answers += one.lost_answers;
        self.there += one.there;
        self.compressed += one.compressed;
    }
}

/// Runs a plan.
///
/// # Errors
/// What is wrong, in words.
pub fn run(plan: &Plan, trace: bool) -> Result<Summary, String> {
    let mut world = World::new(plan.clone(), trace);
    for life in 0..plan.lives {
        world.trace(|| format!("== life {life}"));
        world.life();
    }
    world.finish()
}

/// The state of a run.
pub struct World {
    /// Its plan.
    pub plan: Plan,
    /// Its machine.
    pub machine: Machine,
    /// What the workers did.
    pub model: Model,
    random: fastrand::Rng,
    compressing: fastrand::Rng,
    compressed: u64,
    processes: Vec<Process>,
    crashes: u64,
    /// The call that the process dies in, whichever life that is.
    dies_in: Option<u64>,
    /// Files of which a bit has flipped.
    flipped: BTreeSet<PathBuf>,
    trace: bool,
}

impl World {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(plan: Plan, trace: bool) -> Self {
        let machine = Machine::new(plan.seed);
        let model = Model {
            crowded: plan.spool_bytes < 1 << 29,
            late: plan.retention < Duration::from_secs(3600),
            ..Model::default()
        };
        let random = fastrand::Rng::with_seed(plan.seed);
        let compressing = fastrand::Rng::with_seed(plan.seed ^ 0xc0);
        Self {
            plan,
            machine,
            model,
            random,
            compressing,
            compressed: 0,
            processes: Vec::new(),
            crashes: 0,
            dies_in: None,
            flipped: BTreeSet::new(),
            trace,
        }
    }

    fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            let clock = &self.machine.clock;
            println!(
                "{:>10.3} call {:>6}  {}",
                clock.monotonic().as_secs_f64(),
                self.machine.fs.calls(),
                text()
            );
        }
    }

    /// A process dies in this call.
    pub fn crash_in(&mut self, call: u64) {
        self.dies_in = Some(call);
        self.machine.fs.faults(|faults| faults.crash_at = Some(call));
    }

    /// Starts a process; whether one runs.
    pub fn start(&mut self) -> bool {
        match Process::start(&self.machine, &self.plan, &mut self.random, &mut self.model) {
            Ok(process) => {
                self.trace(|| format!("start of {}", process.boot));
                self.processes.push(process);
                true
            }
            Err(error) => {
                self.trace(|| format!("no start: {error}"));
                false
            }
        }
    }

    fn life(&mut self) {
        let faults = self.plan.faults;
        let crashes = self.random.f64() < faults.crash;
        if crashes {
            let at = self.machine.fs.calls() + self.random.u64(1..4 * u64::from(self.plan.steps));
            self.machine.fs.faults(|faults| faults.crash_at = Some(at));
        }
        for _ in 0..START_ATTEMPTS {
            if self.machine.fs.is_dead() || self.start() {
                break;
            }
            self.machine.fs.faults(mend);
        }
        for _ in 0..self.plan.steps {
            if self.machine.fs.is_dead() || self.processes.is_empty() {
                break;
            }
            self.step();
            if self.compressing.f64() < self.plan.compress {
                self.compress();
            }
        }
        let unclean = self.machine.fs.is_dead() || self.random.f64() >= faults.clean;
        if unclean {
            let power = self.random.f64() < faults.power;
            self.crash(power);
        } else {
            self.end_in_order();
        }
    }

    /// One thing happens.
    fn step(&mut self) {
        let weights = self.plan.weights;
        let sum = weights.work + weights.turn + weights.pack + weights.ship + weights.time + weights.recover;
        let mut pick = self.random.u32(..sum);
        let mut is = |weight: u32| {
            let hit = pick < weight;
            pick = if hit { u32::MAX } else { pick.wrapping_sub(weight) };
            hit
        };
        let number = self.random.usize(..self.processes.len());
        let destination = self.random.usize(..DESTINATIONS.len());
        if is(weights.work) {
            for _ in 0..self.random.u32(1..6) {
                self.processes[number].work(&self.plan, &mut self.random, &mut self.model);
            }
        } else if is(weights.turn) {
            let moved = self.processes[number].turn(&mut self.model);
            self.trace(|| format!("{number}: recorder turns: {moved}"));
        } else if is(weights.pack) {
            let done = self.processes[number].pack(destination);
            self.trace(|| format!("{number}: pack {destination}: {done}"));
        } else if is(weights.ship) {
            let done = self.processes[number].ship(destination);
            self.trace(|| format!("{number}: ship {destination}: {done}"));
        } else if is(weights.time) {
            let longest = [50, 1_000, 30_000][self.random.usize(..3)];
            self.machine.clock.advance(Duration::from_millis(self.random.u64(1..longest)));
        } else {
            self.processes[number].recover(&mut self.model);
            self.trace(|| format!("{number}: recovery: {}", self.processes[number].state()));
        }
        self.trouble();
    }

    /// One of the processes compresses a segment, if one waits.
    fn compress(&mut self) {
        if self.processes.is_empty() || self.machine.fs.is_dead() {
            return;
        }
        let number = self.compressing.usize(..self.processes.len());
        let done = self.processes[number].compress();
        self.compressed += u64::from(done);
        self.trace(|| format!("{number}: compress: {done}"));
    }

    /// Things go wrong, each by its chance.
    fn trouble(&mut self) {
        let faults = self.plan.faults;
        if self.random.f64() < faults.disk {
            self.disk_fails();
        }
        if self.random.f64() < faults.flip {
            self.flip();
        }
        if self.random.f64() < faults.clock {
            let now = self.machine.clock.unix_microseconds();
            let by = [1_000_000, 90_000_000, 3_600_000_000, 90_000_000_000][self.random.usize(..4)];
            let back = self.random.bool();
            self.trace(|| format!("the clock jumps by {by} µs, back: {back}"));
            let time = if back { now.saturating_sub(by) } else { now + by };
            // A jump ahead makes batches look old.
            self.model.late |= !back;
            self.machine.clock.set_unix(time);
        }
        if self.random.f64() < faults.store {
            self.store_changes();
        }
        if self.random.f64() < faults.overlap {
            match self.processes.len() {
                1 => {
                    self.start();
                }
                _ => self.end_of_elder(),
            }
        }
    }

    fn disk_fails(&mut self) {
        let calls = self.machine.fs.calls();
        let random = &mut self.random;
        let kind = random.u8(..9);
        let later = calls + random.u64(1..30);
        let number = random.u32(1..3);
        let room: u64 = random.u64(2_000..200_000);
        self.trace(|| format!("the disk fails: {kind} {number} {room} {later}"));
        self.machine.fs.faults(|faults| match kind {
            0 => faults.failing_syncs = number,
            1 => faults.failing_dir_syncs = number,
            2 => faults.failing_cuts = number,
            3 => faults.short_writes = !faults.short_writes,
            4 => faults.room = Some(room),
            5 => faults.fail_call = Some((later, 5)),
            6 => faults.fail_call = Some((later, 28)),
            7 => faults.read_only = true,
            _ => mend(faults),
        });
        // The bytes of a failed fsync are gone with the next loss of power: that is no damage,
        // since nobody was told that they are safe.
    }

    fn flip(&mut self) {
        let files = self.machine.fs.files();
        let segments_or_outbox = |path: &&std::path::PathBuf| !path.ends_with("lock");
        let files: Vec<_> = files.iter().filter(segments_or_outbox).collect();
        let Some(path) = files.get(self.random.usize(..files.len().max(1))) else { return };
        // Both copies of one manifest are more than there is a promise for.
        let manifest = path.file_stem().is_some_and(|stem| stem == "manifest");
        let twin = path.with_file_name(if path.ends_with("manifest") { "manifest.copy" } else { "manifest" });
        if manifest && self.flipped.contains(&twin) {
            return;
        }
        let bits = self.machine.fs.bytes(path).map_or(0, |bytes| bytes.len() * 8);
        if bits > 0 {
            let bit = self.random.usize(..bits);
            self.trace(|| format!("bit {bit} of {} flips", path.display()));
            self.machine.fs.flip(path, bit);
            self.flipped.insert(path.to_path_buf());
            self.model.damaged = true;
        }
    }

    fn store_changes(&mut self) {
        let store = &self.machine.stores[self.random.usize(..self.machine.stores.len())];
        let kind = self.random.u8(..6);
        let chance = self.random.f64();
        let until = self.machine.clock.monotonic() + Duration::from_secs(self.random.u64(1..100));
        store.mood(|mood| match kind {
            0 => mood.out = true,
            1 => mood.loses_answers = chance,
            2 => mood.refuses = chance,
            3 => mood.ignores_conditions = !mood.ignores_conditions,
            4 => mood.hangs_until = Some(until),
            _ => *mood = crate::store::Mood::default(),
        });
        self.trace(|| format!("a store: {kind} {chance:.2}"));
    }

    /// The process that began first ends, in order or not, while the other goes on.
    fn end_of_elder(&mut self) {
        let mut elder = self.processes.remove(0);
        if self.random.bool() {
            let complete = elder.stop(&self.plan, &mut self.random, &mut self.model);
            let end = if complete { End::Clean } else { End::Kill };
            self.trace(|| format!("{} ends: {end:?}", elder.boot));
            self.model.end(elder.boot, end);
        } else {
            self.trace(|| format!("{} is killed", elder.boot));
            self.model.end(elder.boot, End::Kill);
            self.crashes += 1;
        }
    }

    fn end_in_order(&mut self) {
        for mut process in std::mem::take(&mut self.processes) {
            let complete = process.stop(&self.plan, &mut self.random, &mut self.model);
            let end = if complete { End::Clean } else { End::Kill };
            self.trace(|| format!("{} ends: {end:?}", process.boot));
            for _ in 0..self.random.u32(..20) {
                for destination in 0..DESTINATIONS.len() {
                    process.pack(destination);
                    process.ship(destination);
                }
                self.machine.clock.advance(Duration::from_millis(100));
            }
            self.model.end(process.boot, end);
        }
        // A call in here may have been the last one.
        self.machine.fs.kill();
    }

    /// The process or the machine dies.
    pub fn crash(&mut self, power: bool) {
        self.trace(|| format!("dies, power lost: {power}"));
        self.crashes += 1;
        for process in std::mem::take(&mut self.processes) {
            self.model.end(process.boot, if power { End::Power } else { End::Kill });
        }
        match power {
            true => {
                self.machine.fs.lose_power();
                self.model.lose_power();
                self.machine.memory.lose();
            }
            false => self.machine.fs.kill(),
        }
        // The end of a process ended its faults too.
        let dies_in = self.dies_in.filter(|call| *call > self.machine.fs.calls());
        self.machine.fs.faults(|faults| faults.crash_at = dies_in);
    }

    /// The process, while there is one.
    pub fn process(&mut self) -> Option<(&mut Process, &Plan, &mut fastrand::Rng, &mut Model)> {
        let Self { processes, plan, random, model, .. } = self;
        processes.first_mut().map(|process| (process, &*plan, random, model))
    }

    /// All is mended, the gateway starts by itself, drains, and ends in order; then the oracle
    /// reads the stores.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn finish(mut self) -> Result<Summary, String> {
        self.trace(|| "== all is mended".to_owned());
        self.machine.fs.faults(mend);
        self.machine.fs.faults(|faults| faults.crash_at = None);
        for store in &self.machine.stores {
            store.mood(|mood| *mood = crate::store::Mood::default());
        }
        if !self.start() {
            return Err("the gateway does not start although nothing is wrong any more".to_owned());
        }
        let Some(mut process) = self.processes.pop() else { return Err("no process".to_owned()) };
        // What was read before a jump of the clock may lie in the future.
        for round in 0..DRAIN_ROUNDS {
            process.turn(&mut self.model);
            process.recover(&mut self.model);
            for destination in 0..DESTINATIONS.len() {
                process.pack(destination);
                process.ship(destination);
            }
            self.machine.clock.advance(Duration::from_millis(1_000));
            if round > DRAIN_AT_LEAST && process.is_recovered() {
                break;
            }
        }
        if !process.is_recovered() {
            return Err(format!("recovery does not come to its end: {}", process.state()));
        }
        if !process.stop(&self.plan, &mut self.random, &mut self.model) {
            return Err("a clean stop on a good disk leaves the log incomplete".to_owned());
        }
        self.model.end(process.boot, End::Clean);
        let mut rounds = 0;
        while !process.is_done() {
            rounds += 1;
            if rounds > DRAIN_ROUNDS {
                return Err(format!("not everything arrives: {}", process.state()));
            }
            for destination in 0..DESTINATIONS.len() {
                process.pack(destination);
                process.ship(destination);
            }
            self.machine.clock.advance(Duration::from_millis(1_000));
        }
        drop(process);
        let (delivered, declared) = oracle::check(&self.machine, &self.model)?;
        let counts = self.machine.stores.iter().map(|store| store.counts());
        let (lost_answers, there) =
            counts.fold((0, 0), |(lost, there), counts| (lost + counts.lost_answers, there + counts.there));
        Ok(Summary {
            exchanges: self.model.exchanges(),
            delivered,
            declared,
            crashes: self.crashes,
            calls: self.machine.fs.calls(),
            lost_answers,
            there,
            compressed: self.compressed,
        })
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Ends all trouble of the disk but the death that is to come.
fn mend(faults: &mut sim::Faults) {
    *faults = sim::Faults { crash_at: faults.crash_at, ..sim::Faults::default() };
}
