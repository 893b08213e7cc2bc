//! How destinations have been, and what is ahead: their history on disk, hourly sums, and
//! when the first loss would come.
//!
//! None of it is evidence: manifests are. It is kept for operators, who ask "since when" and
//! "how often", and it never holds up delivery: a history that can't be written is told in the
//! log, and what it missed is counted.

mod history;
mod hours;
mod outlook;

pub use history::{History, HistoryError, KEPT_DAYS, Page};
pub use hours::Hours;
pub use outlook::{Danger, Outlook, SpoolTrend};
