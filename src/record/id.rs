//! Event ids: UUID version 7 (RFC 9562 §5.7), made without a system call.

use std::fmt;

/// An event id: 16 bytes, unique, ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Writes the hyphenated lower-case form into `out` and returns it.
    pub fn encode<'a>(&self, out: &'a mut [u8; 36]) -> &'a str {
        uuid::Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut out[..])
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; 36]))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gives out event ids on one worker. Ids of one generator ascend strictly: the
/// 12 bits behind the millisecond count up within it, and when they run over,
/// the millisecond itself is borrowed from the future. The last 62 bits are
/// random, from a generator that was seeded by the operating system once.
#[derive(Debug)]
pub struct EventIds {
    random: fastrand::Rng,
    millisecond: u64,
    counter: u16,
}

impl EventIds {
    /// A generator with its own random stream.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), millisecond: 0, counter: 0 }
    }

    /// The next id for an event that starts at this Unix time in microseconds.
    pub fn next(&mut self, start_microseconds: u64) -> EventId {
        let millisecond = start_microseconds / 1000;
        if millisecond > self.millisecond {
            self.millisecond = millisecond;
            self.counter = 0;
        } else if self.counter == 0x0fff {
            self.millisecond += 1;
            self.counter = 0;
        } else {
            self.counter += 1;
        }
        let high = self.millisecond << 16 | 0x7000 | u64::from(self.counter);
        let low = self.random.u64(..) >> 2 | 1 << 63;
        EventId((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_strictly_and_are_version_7() {
        let mut ids = EventIds::new(7);
        let mut last = EventId([0; 16]);
        for step in 0..20_000u64 {
            // Time stands still for long runs, and once goes backwards.
            let start = 1_775_744_531_123_456 + (step / 9_000) * 1000 - u64::from(step == 15_000) * 5_000;
            let id = ids.next(start);
            assert!(id > last);
            assert_eq!(uuid::Uuid::from_bytes(id.0).get_version_num(), 7);
            assert_eq!(uuid::Uuid::from_bytes(id.0).get_variant(), uuid::Variant::RFC4122);
            last = id;
        }
    }
}
