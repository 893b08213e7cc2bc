//! What a seed decides before the first step.

use onrecord::spool::WhenFull;
use std::time::Duration;

/// One run's world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed that everything comes from.
    pub seed: u64,
    /// Lives before the last one, in which all is mended.
    pub lives: u32,
    /// Steps in a life at most.
    pub steps: u32,
    /// Workers a process.
    pub lanes: usize,
    /// Exchanges that a worker can have open.
    pub slots: usize,
    /// A segment is sealed at this size.
    pub segment_bytes: u64,
    /// All segments together.
    pub spool_bytes: u64,
    /// What happens at that bound.
    pub when_full: WhenFull,
    /// How long written frames may wait for the disk.
    pub sync_interval: Duration,
    /// A batch closes at this size.
    pub object_bytes: u64,
    /// A batch closes at this age.
    pub interval: Duration,
    /// How long batches wait for a store.
    pub retention: Duration,
    /// The largest padding of a record, in bytes.
    pub padding: usize,
    /// How long a sealed segment waits until it is compressed.
    pub compress_after: Duration,
    /// A block of a compressed segment is closed at this size.
    pub compress_blocks: usize,
    /// The chance, from 0 to 1, that a step is followed by an attempt to compress a segment.
    pub compress: f64,
    /// Which kinds of trouble there are, and how often.
    pub faults: Faults,
    /// How much of each kind of step there is.
    pub weights: Weights,
}

/// Chances, from 0 to 1: of a life for endings, of a step for the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The life ends in the middle of a call.
    pub crash: f64,
    /// A life that ends unclean ends with the machine.
    pub power: f64,
    /// A life ends in order.
    pub clean: f64,
    /// The disk fails in one of several ways.
    pub disk: f64,
    /// A bit of a file flips.
    pub flip: f64,
    /// The wall clock jumps.
    pub clock: f64,
    /// A store changes its mood.
    pub store: f64,
    /// A second process begins while the first one lives.
    pub overlap: f64,
}

/// Relative shares of the steps.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// A worker opens or closes an exchange.
    pub work: u32,
    /// The recorder turns.
    pub turn: u32,
    /// A packer steps.
    pub pack: u32,
    /// A shipper steps.
    pub ship: u32,
    /// Time passes.
    pub time: u32,
    /// Recovery goes on, and looks for boots that have ended.
    pub recover: u32,
}

impl Plan {
    /// The world of a seed: some kinds of trouble are left out of it, so that each is also
    /// met alone.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x0417_a5ee_d000_0000);
        let mut some = |chance: f64, most: f64| {
            let there = random.f64() < chance;
            if there { random.f64() * most } else { 0.0 }
        };
        let faults = Faults {
            crash: some(0.8, 1.0),
            power: some(0.5, 1.0),
            clean: some(0.7, 0.6),
            disk: some(0.5, 0.03),
            flip: some(0.25, 0.01),
            clock: some(0.4, 0.02),
            store: some(0.7, 0.05),
            overlap: some(0.4, 0.01),
        };
        // From chances of its own, so that all else of a seed is as it was without this.
        let mut other = fastrand::Rng::with_seed(seed ^ 0x0417_a5ee_d000_0001);
        let compress = if other.bool() { 0.3 * other.f64() } else { 0.0 };
        let compress_after = Duration::from_secs([0, 10, 600][other.usize(..3)]);
        let compress_blocks = [1, 1 << 10, 1 << 18][other.usize(..3)];
        let mut pick = |choices: &[u64]| choices[random.usize(..choices.len())];
        Self {
            seed,
            lives: pick(&[1, 2, 3, 4, 5]) as u32,
            steps: pick(&[60, 150, 300, 500]) as u32,
            lanes: pick(&[1, 2, 3]) as usize,
            slots: pick(&[2, 8, 24]) as usize,
            segment_bytes: pick(&[1 << 10, 1 << 12, 1 << 14, 1 << 17]),
            spool_bytes: pick(&[20_000, 100_000, 1 << 30, 1 << 30]),
            when_full: if pick(&[0, 1]) == 0 { WhenFull::ReleaseOldest } else { WhenFull::RefuseNew },
            sync_interval: Duration::from_millis(pick(&[10, 200, 1000, 5000])),
            object_bytes: pick(&[1 << 10, 1 << 13, 1 << 20]),
            interval: Duration::from_secs(pick(&[1, 10, 180])),
            retention: Duration::from_secs(pick(&[120, 72 * 3600, 72 * 3600])),
            padding: pick(&[10, 300, 18_000]) as usize,
            compress_after,
            compress_blocks,
            compress,
            faults,
            weights: Weights {
                work: pick(&[5, 20, 60]) as u32,
                turn: pick(&[1, 5, 15]) as u32,
                pack: pick(&[1, 4, 10]) as u32,
                ship: pick(&[1, 4, 10]) as u32,
                time: pick(&[2, 5]) as u32,
                recover: pick(&[1, 3]) as u32,
            },
        }
    }

    /// The same world in which no segment is ever compressed.
    #[must_use]
    pub fn without_compressing(self) -> Self {
        Self { compress: 0.0, ..self }
    }

    /// A world without any trouble of its own: for the crash matrix.
    #[must_use]
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            lives: 0,
            steps: 0,
            lanes: 2,
            slots: 8,
            segment_bytes: 2048,
            spool_bytes: 1 << 30,
            when_full: WhenFull::ReleaseOldest,
            sync_interval: Duration::from_millis(200),
            object_bytes: 4096,
            interval: Duration::from_secs(2),
            retention: Duration::from_secs(72 * 3600),
            padding: 40,
            compress_after: Duration::ZERO,
            compress_blocks: 512,
            compress: 0.0,
            faults: Faults::default(),
            weights: Weights { work: 1, turn: 1, pack: 1, ship: 1, time: 1, recover: 1 },
        }
    }
}
