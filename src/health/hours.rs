//! Sums of a destination by the hour, from what its status counts since the start. Pure.

use crate::deliver::DestinationStatus;
use crate::deliver::state::Phase;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR: u64 = 3_600_000_000;

/// The hour that runs.
#[derive(Clone, Debug)]
pub struct Hours {
    /// Unix microseconds at which it began.
    from: u64,
    /// The counts at that time.
    before: DestinationStatus,
    /// The newest counts.
    now: DestinationStatus,
    seen: Duration,
    most_lag_seconds: f64,
    failing: Duration,
    paused: Duration,
}

impl Hours {
    /// Begins with what is counted now. `now` is in Unix microseconds, `seen` monotonic.
    #[must_use]
    pub fn begin(status: &DestinationStatus, now: u64, seen: Duration) -> Self {
        let (before, latest) = (status.clone(), status.clone());
        let (failing, paused) = (Duration::ZERO, Duration::ZERO);
        Self { from: now, before, now: latest, seen, most_lag_seconds: status.lag_seconds, failing, paused }
    }

    /// Takes in a status; at the end of an hour gives its sums and begins the next one. Hours
    /// are those of UTC, but for the first.
    pub fn observe(
        &mut self,
        status: &DestinationStatus,
        now: u64,
        seen: Duration,
    ) -> Option<Map<String, Value>> {
        let passed = seen.saturating_sub(self.seen);
        self.seen = seen;
        match status.state {
            Phase::Failing => self.failing += passed,
            Phase::Paused => self.paused += passed,
            Phase::Verifying | Phase::Delivering => {}
        }
        self.most_lag_seconds = self.most_lag_seconds.max(status.lag_seconds);
        self.now = status.clone();
        // A clock that was set back ends the hour too.
        let over = now / HOUR != self.from / HOUR;
        over.then(|| {
            let sums = self.sums();
            *self = Self::begin(status, now, seen);
            sums
        })
    }

    /// The sums so far.
    #[must_use]
    pub fn sums(&self) -> Map<String, Value> {
        let (before, now) = (&self.before, &self.now);
        let causes: BTreeMap<&str, u64> = now
            .failures_by_cause
            .iter()
            .map(|(cause, count)| (*cause, count - before.failures_by_cause.get(cause).copied().unwrap_or(0)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let sums = json!({
            "from": crate::format::time_text(self.from),
            "attempts": now.attempts - before.attempts,
            "failures": now.failures - before.failures,
            "causes": causes,
            "objects": now.delivered_objects - before.delivered_objects,
            "manifests": now.delivered_manifests - before.delivered_manifests,
            "records": now.delivered_records - before.delivered_records,
            "bytes": now.delivered_bytes - before.delivered_bytes,
            "expired_objects": now.expired_objects - before.expired_objects,
            "most_lag_seconds": self.most_lag_seconds.round(),
            "failing_seconds": self.failing.as_secs(),
            "paused_seconds": self.paused.as_secs(),
        });
        match sums {
            Value::Object(sums) => sums,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_holds_what_happened_in_it_and_no_more() {
        let second = Duration::from_secs;
        let mut status = DestinationStatus { attempts: 10, failures: 1, ..DestinationStatus::default() };
        status.failures_by_cause.insert("network", 1);
        let mut hours = Hours::begin(&status, 5 * HOUR + 1, second(0));
        status.attempts += 4;
        status.failures += 2;
        status.failures_by_cause.insert("quota", 2);
        status.state = Phase::Failing;
        status.lag_seconds = 61.4;
        assert_eq!(hours.observe(&status, 5 * HOUR + 2, second(60)), None);
        status.state = Phase::Delivering;
        status.lag_seconds = 0.0;
        let sums = hours.observe(&status, 6 * HOUR, second(90)).unwrap();
        assert_eq!((&sums["attempts"], &sums["failures"]), (&json!(4), &json!(2)));
        assert_eq!(sums["causes"], json!({ "quota": 2 }));
        assert_eq!((&sums["most_lag_seconds"], &sums["failing_seconds"]), (&json!(61.0), &json!(60)));
        assert_eq!(hours.sums()["attempts"], json!(0));
    }
}
