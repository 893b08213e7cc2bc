//! When a key set is fetched: at the start, before it grows too old, and when a token names a
//! key that it does not have. A pure state machine; times are monotonic.

use std::time::Duration;

/// Fetches for unknown keys in one [`WINDOW`], so that forged key ids cause no flood.
const BURST: usize = 3;
/// See [`BURST`].
const WINDOW: Duration = Duration::from_secs(60);
/// After a failure, and doubled with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// The fetches of one key set.
#[derive(Debug)]
pub(super) struct Schedule {
    refresh: Duration,
    /// When the next regular fetch is due.
    due: Duration,
    running: bool,
    failures: u32,
    /// A token waits for a key that the set does not have.
    wanted: bool,
    /// When the latest fetches for wanted keys began.
    bursts: [Option<Duration>; BURST],
}

impl Schedule {
    /// The first fetch is due at once.
    pub(super) fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            due: Duration::ZERO,
            running: false,
            failures: 0,
            wanted: false,
            bursts: [None; BURST],
        }
    }

    /// A token names a key that the set does not have.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether to fetch now; then `done` or `failed` has to follow.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        if self.running {
            return false;
        }
        let free = |slot: &Option<Duration>| slot.is_none_or(|at| now.saturating_sub(at) >= WINDOW);
        if now < self.due {
            // After a failure the pause counts for everyone.
            if !self.wanted || self.failures > 0 {
                return false;
            }
            let Some(slot) = self.bursts.iter_mut().find(|slot| free(slot)) else { return false };
            *slot = Some(now);
        }
        (self.running, self.wanted) = (true, false);
        true
    }

    /// Keys came.
    pub(super) fn done(&mut self, now: Duration) {
        (self.running, self.failures, self.due) = (false, 0, now + self.refresh);
    }

    /// No keys came.
    pub(super) fn failed(&mut self, now: Duration) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(6)).min(MOST_PAUSE);
        (self.running, self.failures, self.due) = (false, self.failures + 1, now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_set_is_fetched_at_the_start_and_before_it_grows_old() {
        let mut schedule = Schedule::new(SECOND * 100);
        assert!(schedule.begin(Duration::ZERO));
        assert!(!schedule.begin(SECOND), "one fetch at a time");
        schedule.done(SECOND);
        assert!(!schedule.begin(SECOND * 100));
        assert!(schedule.begin(SECOND * 101));
    }

    #[test]
    fn unknown_keys_cause_three_fetches_a_minute_and_no_more() {
        let mut schedule = Schedule::new(SECOND * 3600);
        let mut fetches = 0;
        for tick in 0..1200u32 {
            let now = SECOND * tick / 10;
            schedule.want();
            if schedule.begin(now) {
                fetches += 1;
                schedule.done(now);
            }
        }
        assert_eq!(fetches, 1 + 3 + 3, "the first, and three in each of two minutes");
    }

    #[test]
    fn a_server_that_is_down_is_asked_less_and_less_often_and_never_given_up() {
        let mut schedule = Schedule::new(SECOND * 3600);
        let mut at = Vec::new();
        for second in 0..600 {
            schedule.want();
            if schedule.begin(SECOND * second) {
                at.push(second);
                schedule.failed(SECOND * second);
            }
        }
        assert_eq!(at[..7], [0, 1, 3, 7, 15, 31, 63]);
        assert!(at[7..].windows(2).all(|pair| pair[1] - pair[0] == 60), "{at:?}");
    }
}
