//! Sequences reserved ahead of their use.
//!
//! What power loss takes can only be bounded by what was on disk before. So a lane never
//! gives out a sequence that a mark on disk does not reserve, as long as the disk takes a
//! mark once a minute: sequences are reserved in blocks of 65,536, and so far ahead that
//! one whole block and what the lane takes in a minute at its present rate are left. No
//! worker asks whether its sequence is reserved. A disk that hangs for longer, and then
//! power loss, is what remains.

use std::time::Duration;

/// Sequences are reserved in multiples of this.
pub(super) const BLOCK: u64 = 65_536;
/// What a lane takes in this time is reserved.
const AHEAD: Duration = Duration::from_secs(60);
/// The rate is taken over at least this long.
const WINDOW: Duration = Duration::from_millis(500);
/// What is left of a rate after each window in which it was lower.
const DECAY: f64 = 0.95;

/// What is reserved of one lane.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    end: u64,
    durable: u64,
    taken: u64,
    /// Sequences a second: of the busiest window, slowly forgotten.
    rate: f64,
    window: (Duration, u64),
}

impl Reserve {
    /// Looks at how much was taken, and reserves more where too little is left.
    pub(super) fn look(&mut self, taken: u64, now: Duration) {
        self.taken = taken;
        let (begun, before) = self.window;
        let elapsed = now.saturating_sub(begun);
        if elapsed >= WINDOW {
            let rate = taken.saturating_sub(before) as f64 / elapsed.as_secs_f64();
            self.rate = rate.max(self.rate * DECAY);
            self.window = (now, taken);
        }
        let needed = taken.saturating_add(self.ahead());
        if self.end < needed {
            // One block more than is needed, so that not every mark has to say something new.
            self.end = needed.next_multiple_of(BLOCK).saturating_add(BLOCK);
        }
    }

    fn ahead(&self) -> u64 {
        // Saturates where it would not fit.
        BLOCK.max((self.rate * AHEAD.as_secs_f64()) as u64)
    }

    /// Sequences below this are to be reserved.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Sequences below this are reserved on disk.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// A mark with this reservation is on disk.
    pub(super) fn on_disk(&mut self, reserved: u64) {
        self.durable = self.durable.max(reserved);
    }

    /// Whether half of what has to be ahead is used up on disk: time for a sync.
    pub(super) fn is_short(&self) -> bool {
        self.durable < self.taken.saturating_add(self.ahead() / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_look_reserves_whole_blocks() {
        let mut reserve = Reserve::default();
        assert!(reserve.is_short());
        reserve.look(0, Duration::ZERO);
        assert_eq!(reserve.end(), 2 * BLOCK);
        reserve.on_disk(reserve.end());
        assert!(!reserve.is_short());
    }

    proptest! {
        #[test]
        fn a_minute_at_the_present_rate_and_a_block_are_always_ahead(
            steps in proptest::collection::vec((0u64..200_000, 1u64..2_000), 1..60),
        ) {
            let mut reserve = Reserve::default();
            let (mut taken, mut now) = (0, Duration::ZERO);
            reserve.look(taken, now);
            for (more, milliseconds) in steps {
                taken += more;
                now += Duration::from_millis(milliseconds);
                let end = reserve.end();
                reserve.look(taken, now);
                prop_assert!(reserve.end() >= end && reserve.end() % BLOCK == 0);
                prop_assert!(reserve.end() - taken >= BLOCK);
                if milliseconds >= 500 {
                    // The window may have begun somewhat before this step.
                    let minute = more * 60_000 / (milliseconds + 500);
                    prop_assert!(reserve.end() - taken >= minute.saturating_sub(1), "{minute}");
                }
            }
        }
    }
}
