//! The brake on guessing: whoever shows wrong tokens is not listened to for a while, longer
//! each time. Pure: no clock inside.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// So many wrong tokens are taken for mistakes.
const FREE: u32 = 5;
/// The first wait; it doubles with each further wrong token.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);
/// After so long without a wrong token all is forgotten.
const FORGET: Duration = Duration::from_secs(900);
/// At most so many addresses are remembered. Whoever is beyond that has only the waits of all.
const MOST: usize = 4096;

/// Wrong tokens by address.
#[derive(Debug, Default)]
pub(super) struct Brake {
    by_address: HashMap<IpAddr, Seen>,
    /// For addresses that there was no room for.
    others: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    wrong: u32,
    last: Duration,
    until: Duration,
}

impl Brake {
    /// For how long from `now` (monotonic) this address is not listened to; `None`: it is.
    pub(super) fn holds(&self, address: IpAddr, now: Duration) -> Option<Duration> {
        let seen = self.by_address.get(&network(address)).or(self.others.as_ref())?;
        seen.until.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Takes in a wrong token; says how long the address is not listened to now.
    pub(super) fn wrong(&mut self, address: IpAddr, now: Duration) -> Duration {
        let fresh = |seen: &Seen| now.saturating_sub(seen.last) < FORGET;
        if self.by_address.len() >= MOST {
            self.by_address.retain(|_, seen| fresh(seen));
        }
        let key = network(address);
        let is_known = self.by_address.contains_key(&key);
        let none = Seen { wrong: 0, last: now, until: now };
        let seen = match is_known || self.by_address.len() < MOST {
            true => self.by_address.entry(key).or_insert(none),
            false => self.others.get_or_insert(none),
        };
        if !fresh(seen) {
            *seen = none;
        }
        seen.wrong = seen.wrong.saturating_add(1);
        seen.last = now;
        let wait = match seen.wrong.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(doubled) => FIRST.saturating_mul(1 << doubled.min(16)).min(LONGEST),
        };
        seen.until = now + wait;
        wait
    }
}

/// IPv6 is counted by /64: whoever has one address there has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn mistakes_are_free_and_guesses_cost_twice_as_much_each_time() {
        let mut brake = Brake::default();
        let address = "192.0.2.1".parse().unwrap();
        let waits: Vec<u64> = (0..16).map(|_| brake.wrong(address, second(10)).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(brake.holds(address, second(11)), Some(second(299)));
        assert_eq!(brake.holds(address, second(310)), None);
        assert_eq!(brake.wrong(address, second(10 + 900)).as_secs(), 0, "all is forgotten");
        assert_eq!(brake.holds("192.0.2.2".parse().unwrap(), second(11)), None);
    }

    #[test]
    fn neighbours_in_ipv6_are_one_and_memory_is_bounded() {
        let mut brake = Brake::default();
        for host in 0..20u32 {
            brake.wrong(format!("2001:db8::{host:x}").parse().unwrap(), second(1));
        }
        assert!(brake.holds("2001:db8::ffff".parse().unwrap(), second(1)).is_some());
        for host in 0..(MOST as u32 + 20) {
            brake.wrong(IpAddr::V4(host.into()), second(2));
        }
        assert_eq!(brake.by_address.len(), MOST);
        let stranger = "203.0.113.9".parse().unwrap();
        assert!(brake.holds(stranger, second(2)).is_some(), "those without a place share one");
    }
}
