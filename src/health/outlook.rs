//! When the first loss would come, if nothing changes. Pure: no clock inside.

use crate::deliver::DestinationStatus;
use crate::deliver::state::Phase;
use std::collections::VecDeque;
use std::time::Duration;

/// The spool's growth is judged over this time.
const WINDOW: Duration = Duration::from_secs(600);
/// Growth over less time says little.
const LEAST: Duration = Duration::from_secs(10);
/// So many samples at most.
const SAMPLES: usize = 64;

/// What would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// Batches that have waited for longer than the destination's retention.
    Retention,
    /// What the spool must release when its bound is reached.
    SpoolFull,
}

impl Danger {
    /// Its word: the cause that the gap would have.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::SpoolFull => "spool_full",
        }
    }
}

/// When, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Unix microseconds.
    pub at: u64,
    /// Why.
    pub danger: Danger,
}

impl Outlook {
    /// The first loss of a destination that does not deliver; `None` for one that does, or where
    /// none is in sight. `spool_full` is when the spool would be full, in Unix microseconds.
    #[must_use]
    pub fn of(status: &DestinationStatus, spool_full: Option<u64>) -> Option<Self> {
        if matches!(status.state, Phase::Delivering) {
            return None;
        }
        let retention = status.first_loss.map(|at| Self { at, danger: Danger::Retention });
        let full = spool_full.map(|at| Self { at, danger: Danger::SpoolFull });
        retention.into_iter().chain(full).min_by_key(|outlook| outlook.at)
    }
}

/// How the spool has grown lately.
#[derive(Clone, Debug, Default)]
pub struct SpoolTrend {
    samples: VecDeque<(Duration, u64)>,
}

impl SpoolTrend {
    /// Takes in how many bytes it holds now (monotonic time).
    pub fn observe(&mut self, now: Duration, bytes: u64) {
        let gap = WINDOW / u32::try_from(SAMPLES).unwrap_or(1);
        if self.samples.back().is_some_and(|(last, _)| now.saturating_sub(*last) < gap) {
            return;
        }
        self.samples.push_back((now, bytes));
        while self.samples.front().is_some_and(|(first, _)| now.saturating_sub(*first) > WINDOW) {
            self.samples.pop_front();
        }
    }

    /// After how long it reaches its bound, if it grows on as lately; `None` if it does not grow.
    #[must_use]
    pub fn full_in(&self, bound: u64) -> Option<Duration> {
        let (&(from, before), &(to, now)) = (self.samples.front()?, self.samples.back()?);
        let time = to.saturating_sub(from);
        let grown = now.checked_sub(before).filter(|grown| *grown > 0 && time >= LEAST)?;
        let left = bound.saturating_sub(now) as f64;
        // More than a century is no forecast.
        let seconds = left * time.as_secs_f64() / grown as f64;
        (seconds < 3e9).then(|| Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_that_grows_is_full_when_it_is_and_one_that_does_not_never() {
        let second = Duration::from_secs;
        let mut trend = SpoolTrend::default();
        assert_eq!(trend.full_in(1000), None);
        (0..2000).for_each(|at| trend.observe(second(at), at * 10));
        let left = trend.full_in(30_000).unwrap().as_secs();
        assert!((990..=1020).contains(&left), "{left}");
        (2000..3000).for_each(|at| trend.observe(second(at), 100));
        assert_eq!(trend.full_in(30_000), None);
    }

    #[test]
    fn the_nearer_danger_counts_and_who_delivers_is_in_none() {
        let failing = DestinationStatus {
            state: Phase::Failing,
            first_loss: Some(2_000),
            ..DestinationStatus::default()
        };
        assert_eq!(Outlook::of(&failing, None), Some(Outlook { at: 2_000, danger: Danger::Retention }));
        assert_eq!(
            Outlook::of(&failing, Some(1_000)),
            Some(Outlook { at: 1_000, danger: Danger::SpoolFull })
        );
        let paused = DestinationStatus { state: Phase::Paused, ..DestinationStatus::default() };
        assert_eq!(Outlook::of(&paused, None), None);
        let well = DestinationStatus { state: Phase::Delivering, ..failing };
        assert_eq!(Outlook::of(&well, Some(1_000)), None);
    }
}
