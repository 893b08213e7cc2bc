//! What the workers did: what has to come out in the end.

use std::collections::BTreeMap;
use uuid::Uuid;

/// The log sources of the simulated traffic.
pub const SOURCES: [&str; 3] = ["cda", "cma", "other"];
/// Its organizations; an empty one names none.
pub const ORGANIZATIONS: [&str; 4] = ["one", "two/../x", "", "four"];

/// What became of an exchange on its way into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is still running, or was when its process ended.
    Open,
    /// Its record is in the ring, and ends at this position there.
    Kept(u64),
    /// The ring had no room.
    Lost,
}

/// One exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its event's id, as records show it.
    pub event: String,
    /// Its source.
    pub source: &'static str,
    /// Its organization.
    pub organization: &'static str,
    /// Its start, in Unix microseconds.
    pub start: u64,
    /// What became of it.
    pub fate: Fate,
}

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Alive,
    /// In order.
    Clean,
    /// Its process was killed.
    Kill,
    /// The machine lost power.
    Power,
}

/// One life of one process.
#[derive(Debug)]
pub struct Boot {
    /// Its lanes, each with its exchanges in the order of their sequences.
    pub lanes: Vec<Vec<Exchange>>,
    /// Up to which ring position each lane was said to be on disk.
    pub durable: Vec<u64>,
    /// How it ended.
    pub end: End,
    /// Whether a later process has taken up all that it left.
    pub recovered: bool,
}

/// All that happened.
#[derive(Debug, Default)]
pub struct Model {
    /// Every boot.
    pub boots: BTreeMap<Uuid, Boot>,
    /// The disk lost or changed something that was on it.
    pub damaged: bool,
    /// The spool's bound was so near that segments may have been released.
    pub crowded: bool,
    /// Objects may have waited longer than they are kept.
    pub late: bool,
}

impl Model {
    /// Notes a boot with so many lanes.
    pub fn begin(&mut self, boot: Uuid, lanes: usize) {
        let lanes_of = (0..lanes).map(|_| Vec::new()).collect();
        self.boots.insert(
            boot,
            Boot { lanes: lanes_of, durable: vec![0; lanes], end: End::Alive, recovered: false },
        );
    }

    /// Notes how a boot ended, the first time.
    pub fn end(&mut self, boot: Uuid, end: End) {
        if let Some(boot) = self.boots.get_mut(&boot).filter(|boot| boot.end == End::Alive) {
            boot.end = end;
        }
    }

    /// The machine has lost power: with it what a killed process left in memory.
    pub fn lose_power(&mut self) {
        for boot in self.boots.values_mut().filter(|boot| boot.end == End::Kill && !boot.recovered) {
            boot.end = End::Power;
        }
    }

    /// Exchanges so far.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.boots.values().flat_map(|boot| &boot.lanes).map(|lane| lane.len() as u64).sum()
    }
}
