//! Wall-clock and monotonic time, passed in rather than fetched.
//!
//! Whatever decides by time takes a [`Clock`], so that tests move it by hand.
//! The request path has its own, cheaper clock a lane (see `capture::lane`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Cloning is cheap; clones tell the same time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks.
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<ManualClock>),
}

/// A clock for tests: it moves when told to.
#[derive(Debug)]
pub struct ManualClock {
    unix: AtomicU64,
    monotonic: AtomicU64,
}

impl Clock {
    /// A manual clock that shows this Unix time in microseconds.
    #[must_use]
    pub fn manual(unix_microseconds: u64) -> Self {
        Self::Manual(Arc::new(ManualClock {
            unix: AtomicU64::new(unix_microseconds),
            monotonic: AtomicU64::new(0),
        }))
    }

    /// Unix time in microseconds. It can jump, also backwards.
    #[must_use]
    pub fn unix_microseconds(&self) -> u64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX)),
            Self::Manual(clock) => clock.unix.load(Ordering::SeqCst),
        }
    }

    /// Time since an arbitrary point; never goes backwards.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        match self {
            Self::System => START.get_or_init(Instant::now).elapsed(),
            Self::Manual(clock) => Duration::from_micros(clock.monotonic.load(Ordering::SeqCst)),
        }
    }

    /// Sets a manual clock's wall time, as an operator or NTP does; the system's clock is not set.
    pub fn set_unix(&self, unix_microseconds: u64) {
        if let Self::Manual(clock) = self {
            clock.unix.store(unix_microseconds, Ordering::SeqCst);
        }
    }

    /// Moves a manual clock forward; the system's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(clock) = self {
            let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
            clock.unix.fetch_add(by, Ordering::SeqCst);
            clock.monotonic.fetch_add(by, Ordering::SeqCst);
        }
    }
}
