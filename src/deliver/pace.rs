//! How fast objects may leave: so many a second, so many bytes a second.
//!
//! An object begins when those before it are paid for. What one costs is charged when it
//! begins, so the mean is kept and a single one goes at the speed of the way.

use crate::clock::Clock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Between two looks at whether the limits have changed.
const LOOK: Duration = Duration::from_secs(1);

/// The limits of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Objects and manifests that begin in a second, at least 1; `None`: any number.
    pub objects_per_second: Option<u64>,
    /// Bytes in a second, at least 1; `None`: any number.
    pub bytes_per_second: Option<u64>,
}

/// What was charged so far.
#[derive(Debug, Default)]
pub struct Pace {
    due: Mutex<Due>,
    waiting: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Due {
    limits: Limits,
    /// Monotonic time at which the next object may begin, by each limit.
    object: Duration,
    byte: Duration,
}

impl Due {
    /// Begins an object of so many bytes, or says how long it has to wait.
    fn begin(&mut self, limits: Limits, now: Duration, bytes: u64) -> Result<(), Duration> {
        if limits != self.limits {
            // Debts at another rate are forgiven.
            *self = Self { limits, object: now, byte: now };
        }
        let due = self.object.max(self.byte);
        if now < due {
            return Err(due - now);
        }
        let cost = |amount: u64, rate: Option<u64>| {
            rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(amount as f64 / rate.max(1) as f64))
        };
        self.object = now + cost(1, limits.objects_per_second);
        self.byte = now + cost(bytes, limits.bytes_per_second);
        Ok(())
    }
}

impl Pace {
    /// Waits until an object of so many bytes may begin. `limits` are asked for again and
    /// again, so that a change counts at once. Dropped, nothing is charged.
    pub async fn begin(&self, limits: impl Fn() -> Limits, clock: &Clock, bytes: u64) {
        let mut waits = None;
        loop {
            let begun = {
                let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                due.begin(limits(), clock.monotonic(), bytes)
            };
            let Err(wait) = begun else { return };
            waits.get_or_insert_with(|| Waits::enter(&self.waiting));
            tokio::time::sleep(wait.min(LOOK)).await;
        }
    }

    /// Whether somebody waits: that nothing is sent is not the store's fault then.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OBJECTS: Limits = Limits { objects_per_second: Some(4), bytes_per_second: None };

    fn millis(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn objects_are_spread_evenly_and_a_new_limit_counts_at_once() {
        let mut due = Due::default();
        assert_eq!(due.begin(OBJECTS, millis(10), 1 << 40), Ok(()));
        assert_eq!(due.begin(OBJECTS, millis(100), 1), Err(millis(160)));
        assert_eq!(due.begin(OBJECTS, millis(260), 1), Ok(()));
        let slow = Limits { objects_per_second: Some(1), bytes_per_second: Some(1) };
        assert_eq!(due.begin(slow, millis(260), 3600), Ok(()));
        assert_eq!(due.begin(slow, millis(261), 1), Err(millis(3_599_999)));
        assert_eq!(due.begin(Limits::default(), millis(262), 1), Ok(()));
        assert_eq!(due.begin(Limits::default(), millis(262), 1), Ok(()));
    }

    proptest! {
        #[test]
        fn the_mean_is_never_above_the_limit(sizes in proptest::collection::vec(0u64..5_000_000, 1..60)) {
            let limits = Limits { objects_per_second: Some(20), bytes_per_second: Some(1_000_000) };
            let (mut due, mut now) = (Due::default(), Duration::ZERO);
            for &size in &sizes {
                if let Err(wait) = due.begin(limits, now, size) {
                    now += wait;
                    prop_assert_eq!(due.begin(limits, now, size), Ok(()));
                }
            }
            // All but the last one are paid for.
            let paid = &sizes[..sizes.len() - 1];
            let bytes = paid.iter().sum::<u64>() as f64 / 1e6;
            prop_assert!(now.as_secs_f64() + 1e-6 >= bytes.max(paid.len() as f64 / 20.0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_known_and_no_longer_waits_when_the_limit_is_lifted() {
        let (pace, clock, limit) = (Pace::default(), Clock::manual(0), Mutex::new(OBJECTS));
        let limits = || *limit.lock().unwrap();
        pace.begin(limits, &clock, 1).await;
        assert!(!pace.holds_back());
        let second = pace.begin(limits, &clock, 1);
        let mut second = std::pin::pin!(second);
        assert!(tokio::time::timeout(millis(100), &mut second).await.is_err() && pace.holds_back());
        *limit.lock().unwrap() = Limits::default();
        second.await;
        assert!(!pace.holds_back());
    }
}
