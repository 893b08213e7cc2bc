//! Metrics: every family, named after Prometheus' rules, registered once.
//!
//! The request path never looks a label up: a worker owns its counters
//! ([`LaneStats`]), reaches them by index, and is their only writer, so a count is a
//! load and a store of its own cache line. A scrape adds the lanes up. Everything off
//! the request path uses the ordinary handles of [`Families`].

mod families;
mod lane;
mod refusals;
mod requests;

pub use families::Families;
pub use lane::{Counter, FaultCounters, Histogram, LaneStats, RefusalCounters, SourceStats};
pub use requests::{COMMIT_RESULTS, METHODS, RequestCollector, RouteLabel, SourceLabels, method_index};
