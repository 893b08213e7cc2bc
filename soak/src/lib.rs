//! Onrecord against a machine that breaks.
//!
//! One thread, no real time: recorder, packers and shippers are stepped by hand, over a
//! simulated disk, a clock that is set, and stores that fail, hang, and lose answers. All
//! chances come from one seed, so that what went wrong once goes wrong again.
//!
//! A run is a number of lives. In each, workers take requests, everything else takes its
//! steps in random order, and things go wrong: a call of the file system is the last one of
//! the process or of the machine, the disk is full or fails, a bit flips, the clock jumps, a
//! store is out. Then all is mended, the next life starts by itself, drains, and ends; and the
//! [`oracle`] reads the stores and holds them to what the workers did.

pub mod losses;
pub mod matrix;
pub mod model;
pub mod oracle;
pub mod outage;
pub mod plan;
pub mod process;
pub mod store;
pub mod world;

pub use plan::Plan;
pub use world::{Summary, run};
