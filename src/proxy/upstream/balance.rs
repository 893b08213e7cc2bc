//! Which address a request goes to: pure, per worker, in ticks of the worker's clock.
//!
//! The less loaded of two random addresses is taken. An address that failed several times
//! in a row is left out for a while, which doubles each time, and gets its share back
//! slowly. Where no address is left, all are used: an address that may be down is better
//! than none (the panic threshold is one).

use std::cell::Cell;

/// An address is ejected for at most so many times the first time.
const MOST_DOUBLINGS: u32 = 4;
/// The share of an address that has just come back, as a divisor of its full one.
const FIRST_SHARE: u64 = 10;

/// The settings, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Failures in a row that eject; 0: none ever do.
    pub(super) eject_after: u32,
    /// Length of the first ejection.
    pub(super) eject_ticks: u64,
    /// Length of the way back.
    pub(super) slow_start_ticks: u64,
}

/// What a worker knows of one address's health.
#[derive(Debug, Default)]
pub(super) struct Standing {
    in_flight: Cell<u32>,
    failures: Cell<u32>,
    ejections: Cell<u32>,
    /// The tick at which the ejection ends; 0: not ejected.
    until: Cell<u64>,
    /// The tick at which it came back; 0: it was never away.
    back_since: Cell<u64>,
    checked_bad: Cell<bool>,
}

impl Standing {
    /// Requests in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    pub(super) fn begin(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn end(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    /// Notes a failure. True: the address is ejected for it now.
    pub(super) fn failed(&self, now: u64, rules: &Rules) -> bool {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        if rules.eject_after == 0 || self.is_ejected(now) {
            return false;
        }
        // Who fails at once after coming back has not recovered.
        let again = self.until.get() > 0;
        if failures < rules.eject_after && !again {
            return false;
        }
        if self.back_since.get() > 0 && now > self.back_since.get() + rules.slow_start_ticks {
            // It had come back for good.
            self.ejections.set(0);
        }
        let length = rules.eject_ticks << self.ejections.get().min(MOST_DOUBLINGS);
        self.ejections.set(self.ejections.get().saturating_add(1));
        self.until.set(now + length);
        self.back_since.set(0);
        true
    }

    /// Notes a success.
    #[inline]
    pub(super) fn succeeded(&self, now: u64) {
        if self.failures.get() == 0 && self.until.get() == 0 {
            return;
        }
        self.failures.set(0);
        if self.until.get() > 0 && now >= self.until.get() {
            self.until.set(0);
            self.back_since.set(now.max(1));
        }
    }

    /// Whether failures keep it out of use.
    pub(super) fn is_ejected(&self, now: u64) -> bool {
        self.until.get() > now
    }

    /// What the active check says.
    pub(super) fn check(&self, good: bool, now: u64) {
        if self.checked_bad.replace(!good) && good {
            self.back_since.set(now.max(1));
        }
    }

    /// Whether it is to be used.
    pub(super) fn is_usable(&self, now: u64) -> bool {
        !self.checked_bad.get() && !self.is_ejected(now)
    }

    /// What is compared between two addresses: requests in flight, more of them the less of
    /// its share an address that came back has.
    fn load(&self, now: u64, rules: &Rules) -> u64 {
        let load = u64::from(self.in_flight.get()) + 1;
        let since = if self.until.get() > 0 { self.until.get() } else { self.back_since.get() };
        let age = now.saturating_sub(since);
        if since == 0 || age >= rules.slow_start_ticks {
            return load * FIRST_SHARE;
        }
        let share = FIRST_SHARE * age / rules.slow_start_ticks;
        load * FIRST_SHARE * FIRST_SHARE / share.max(1)
    }
}

/// Chooses one of these, unless there is none. `random` gives numbers below its argument.
pub(super) fn choose<'a>(
    standings: impl Iterator<Item = &'a Standing> + Clone,
    now: u64,
    rules: &Rules,
    mut random: impl FnMut(usize) -> usize,
) -> Option<usize> {
    let all = standings.clone().count();
    if all <= 1 {
        return all.checked_sub(1);
    }
    let usable = standings.clone().filter(|standing| standing.is_usable(now)).count();
    // None is left: all are used.
    let panic = usable == 0;
    let count = if panic { all } else { usable };
    let nth = |n: usize| {
        let mut candidates =
            standings.clone().enumerate().filter(|(_, standing)| panic || standing.is_usable(now));
        candidates.nth(n)
    };
    if count == 1 {
        return nth(0).map(|(index, _)| index);
    }
    let first = random(count);
    let second = (first + 1 + random(count - 1)) % count;
    let (one, other) = (nth(first)?, nth(second)?);
    let lighter = if other.1.load(now, rules) < one.1.load(now, rules) { other } else { one };
    Some(lighter.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { eject_after: 3, eject_ticks: 100, slow_start_ticks: 100 };

    fn pick(standings: &[Standing], now: u64) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0; standings.len()];
        for _ in 0..1000 {
            counts[choose(standings.iter(), now, &RULES, |below| random.usize(..below)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let standings = [Standing::default(), Standing::default(), Standing::default()];
        standings[0].begin();
        standings[0].begin();
        standings[1].begin();
        let counts = pick(&standings, 1);
        assert_eq!(counts[0], 0, "the most loaded loses against any other");
        assert!(counts[2] > counts[1] && counts[1] > 200, "{counts:?}");
        assert_eq!(choose([].iter(), 1, &RULES, |_| 0), None);
        assert_eq!(choose(standings[..1].iter(), 1, &RULES, |_| unreachable!()), Some(0));
    }

    #[test]
    fn failures_in_a_row_eject_for_a_time_that_doubles() {
        let standing = Standing::default();
        let mut now = 10;
        for _ in 0..5 {
            assert!(!standing.failed(now, &RULES) && !standing.failed(now, &RULES));
            standing.succeeded(now);
        }
        assert!(standing.is_usable(now));
        for length in [100, 200, 400, 800, 1600, 1600] {
            while !standing.failed(now, &RULES) {}
            assert!(standing.is_ejected(now + length - 1), "{length}");
            assert!(!standing.failed(now + 1, &RULES), "those still in flight do not count twice");
            now += length;
            assert!(!standing.is_ejected(now), "{length}");
        }
        // It comes back for good: the next ejection is as short as the first.
        standing.succeeded(now);
        now += 200;
        while !standing.failed(now, &RULES) {}
        assert!(standing.is_ejected(now + 99) && !standing.is_ejected(now + 100));
    }

    #[test]
    fn where_none_is_left_all_are_used() {
        let standings = [Standing::default(), Standing::default()];
        for standing in &standings {
            while !standing.failed(5, &RULES) {}
        }
        let counts = pick(&standings, 6);
        assert!(counts.iter().all(|&count| count > 300), "{counts:?}");
        standings[1].check(false, 6);
        let counts = pick(&standings, 105);
        assert_eq!(counts[1], 0, "one is back: {counts:?}");
    }

    #[test]
    fn an_address_that_comes_back_gets_its_share_slowly() {
        let standings = [Standing::default(), Standing::default()];
        for standing in &standings {
            (0..4).for_each(|_| standing.begin());
        }
        while !standings[1].failed(5, &RULES) {}
        standings[1].succeeded(105);
        assert_eq!(pick(&standings, 106)[1], 0, "equal load, but a small share");
        (0..4).for_each(|_| standings[1].end());
        assert_eq!(pick(&standings, 140)[0], 0, "idle is lighter even with a small share");
        (0..4).for_each(|_| standings[1].begin());
        assert!(pick(&standings, 206)[1] > 300, "then as any other");
    }

    #[test]
    fn a_failed_check_takes_an_address_out_and_a_good_one_brings_it_back() {
        let standings = [Standing::default(), Standing::default()];
        standings[0].check(false, 3);
        assert_eq!(pick(&standings, 4), [0, 1000]);
        standings[0].check(true, 5);
        assert!(pick(&standings, 500)[0] > 300);
    }

    #[test]
    fn ejection_can_be_switched_off() {
        let rules = Rules { eject_after: 0, ..RULES };
        let standing = Standing::default();
        assert!((0..100).all(|_| !standing.failed(1, &rules)));
    }
}
