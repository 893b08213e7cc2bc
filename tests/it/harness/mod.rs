//! What the tests drive the gateway with: an origin that does what a request
//! tells it to, clients that can misbehave, and the real process.

pub(crate) mod client;
pub(crate) mod clouds;
pub(crate) mod faults;
pub(crate) mod front_tls;
pub(crate) mod gateway;
pub(crate) mod h2_frames;
pub(crate) mod h2_origin;
pub(crate) mod issuer;
pub(crate) mod load;
pub(crate) mod moto;
pub(crate) mod nats;
pub(crate) mod origin;
pub(crate) mod records;
pub(crate) mod relays;
pub(crate) mod services;
pub(crate) mod stores;
pub(crate) mod tls;
pub(crate) mod wild;

use std::time::{Duration, Instant};

/// How long a test waits for something that must happen, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until `look` finds what it wants, and fails the test after `limit`.
/// The only place that waits for time to pass.
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says in one line why a test has nothing to show on this machine.
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}

/// True where the long versions of the load tests are asked for.
pub(crate) fn full() -> bool {
    std::env::var_os("ONRECORD_FULL").is_some_and(|value| value == "1")
}

/// The seed of this run's random choices: `ONRECORD_SEED`, or one by the clock.
/// It is printed, so that a failing run can be repeated.
pub(crate) fn seed(test: &str) -> u64 {
    let seed = std::env::var("ONRECORD_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::Rng::new().u64(..1_000_000));
    eprintln!("{test}: ONRECORD_SEED={seed}");
    seed
}

/// `size` bytes of the pattern that the origin sends and expects.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(pattern_at).collect()
}

/// The byte of the pattern at a position. 251 is prime, so that no block that
/// is lost or doubled goes unseen.
pub(crate) fn pattern_at(position: usize) -> u8 {
    (position % 251) as u8
}
