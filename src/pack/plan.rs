//! When to pack, as a pure function.

use std::time::Duration;

/// At most this many batches of a destination wait in its outbox, so that a
/// backlog stays in the spool and leaves as large objects.
pub const MAX_WAITING: usize = 2;

const DAY: Duration = Duration::from_secs(86_400);

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Age of the oldest entry that is not packed.
    pub oldest: Option<Duration>,
    /// Bytes in the spool that are not packed.
    pub bytes: u64,
    /// Batches in the outbox that are not delivered.
    pub waiting: usize,
    /// Time since the newest manifest was written; endless where there is none.
    pub since_manifest: Duration,
    /// Whether the process is about to end.
    pub stopping: bool,
    /// Whether the newest manifest is this boot's closing one.
    pub closed: bool,
}

/// When batches are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// As often as the interval says.
    #[default]
    Interval,
    /// Once a day: what came before midnight (UTC) is packed after it, or earlier where it is
    /// too much for one batch.
    Daily,
}

impl Schedule {
    /// How old the oldest entry of a batch that is due is at least.
    #[must_use]
    pub fn interval(self, interval: Duration, now_unix_microseconds: u64) -> Duration {
        match self {
            Self::Interval => interval,
            Self::Daily => Duration::from_micros(now_unix_microseconds % 86_400_000_000),
        }
    }
}

/// What the operator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A batch closes at this age.
    pub interval: Duration,
    /// Whether that is the time since midnight.
    pub schedule: Schedule,
    /// A batch closes at this size.
    pub object_bytes: u64,
    /// A manifest is written at least this often.
    pub heartbeat: Duration,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing for this long, unless something changes.
    Wait(Duration),
    /// Read and commit a batch.
    Pack,
    /// Commit a manifest without objects.
    Heartbeat,
    /// Commit the closing manifest.
    Close,
    /// Nothing ever more.
    End,
}

/// Decides.
#[must_use]
pub fn plan(now: &Situation, limits: &Limits) -> Decision {
    if now.stopping && now.closed {
        return Decision::End;
    }
    if now.waiting >= MAX_WAITING {
        return Decision::Wait(limits.interval);
    }
    if now.stopping {
        return if now.oldest.is_some() { Decision::Pack } else { Decision::Close };
    }
    let due = now.oldest.is_some_and(|age| age >= limits.interval || now.bytes >= limits.object_bytes);
    if due {
        return Decision::Pack;
    }
    let beat = limits.heartbeat.saturating_sub(now.since_manifest);
    if now.waiting == 0 && beat.is_zero() {
        // A chain's first manifest does not take the records with it that have just come: what
        // is found out about them later, as a token's keys, still finds them in the spool.
        let begins = now.since_manifest == Duration::MAX;
        let early = now.oldest.is_some() && limits.schedule == Schedule::Interval && !begins;
        return if early { Decision::Pack } else { Decision::Heartbeat };
    }
    let age = match limits.schedule {
        Schedule::Interval => now.oldest.map_or(limits.interval, |age| limits.interval.saturating_sub(age)),
        Schedule::Daily => DAY.saturating_sub(limits.interval),
    };
    Decision::Wait(if now.waiting == 0 { age.min(beat) } else { age })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        interval: Duration::from_secs(180),
        schedule: Schedule::Interval,
        object_bytes: 1000,
        heartbeat: Duration::from_secs(60),
    };
    const IDLE: Situation = Situation {
        oldest: None,
        bytes: 0,
        waiting: 0,
        since_manifest: Duration::ZERO,
        stopping: false,
        closed: false,
    };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn age_or_size_closes_a_batch_whichever_is_first() {
        let waiting = Situation { oldest: Some(seconds(10)), bytes: 999, ..IDLE };
        assert_eq!(plan(&waiting, &LIMITS), Decision::Wait(seconds(60)));
        assert_eq!(plan(&Situation { bytes: 1000, ..waiting }, &LIMITS), Decision::Pack);
        assert_eq!(plan(&Situation { oldest: Some(seconds(180)), ..waiting }, &LIMITS), Decision::Pack);
    }

    #[test]
    fn an_idle_destination_gets_a_manifest_a_heartbeat_unless_one_waits() {
        let idle = Situation { since_manifest: seconds(60), ..IDLE };
        assert_eq!(plan(&idle, &LIMITS), Decision::Heartbeat);
        assert_eq!(plan(&Situation { waiting: 1, ..idle }, &LIMITS), Decision::Wait(seconds(180)));
    }

    #[test]
    fn a_chain_begins_with_a_manifest_and_without_the_records_that_have_just_come() {
        let new = Situation { since_manifest: Duration::MAX, oldest: Some(seconds(1)), ..IDLE };
        assert_eq!(plan(&new, &LIMITS), Decision::Heartbeat);
        assert_eq!(plan(&Situation { oldest: Some(seconds(180)), ..new }, &LIMITS), Decision::Pack);
        assert_eq!(plan(&Situation { since_manifest: seconds(60), ..new }, &LIMITS), Decision::Pack);
    }

    #[test]
    fn a_full_outbox_leaves_the_backlog_in_the_spool() {
        let full = Situation { oldest: Some(seconds(999)), bytes: 9999, waiting: 2, ..IDLE };
        assert_eq!(plan(&full, &LIMITS), Decision::Wait(seconds(180)));
        assert_eq!(plan(&Situation { stopping: true, ..full }, &LIMITS), Decision::Wait(seconds(180)));
    }

    #[test]
    fn a_stop_packs_what_is_there_then_closes_then_ends() {
        let stopping = Situation { stopping: true, ..IDLE };
        assert_eq!(plan(&Situation { oldest: Some(seconds(0)), ..stopping }, &LIMITS), Decision::Pack);
        assert_eq!(plan(&stopping, &LIMITS), Decision::Close);
        assert_eq!(plan(&Situation { closed: true, ..stopping }, &LIMITS), Decision::End);
    }

    #[test]
    fn a_daily_batch_waits_for_midnight_and_not_for_the_heartbeat() {
        let at = |seconds: u64| Schedule::Daily.interval(Duration::ZERO, seconds * 1_000_000);
        let noon = Limits { interval: at(86_400 * 3 + 43_200), schedule: Schedule::Daily, ..LIMITS };
        assert_eq!(noon.interval, seconds(43_200));
        let waiting = Situation { oldest: Some(seconds(43_199)), ..IDLE };
        assert_eq!(plan(&waiting, &noon), Decision::Wait(seconds(60)));
        assert_eq!(plan(&Situation { waiting: 1, ..waiting }, &noon), Decision::Wait(seconds(43_200)));
        assert_eq!(plan(&Situation { since_manifest: seconds(60), ..waiting }, &noon), Decision::Heartbeat);
        assert_eq!(plan(&Situation { bytes: 1000, ..waiting }, &noon), Decision::Pack);
        assert_eq!(plan(&Situation { stopping: true, ..waiting }, &noon), Decision::Pack);
        let midnight = Limits { interval: at(86_400 * 4 + 1), ..noon };
        assert_eq!(plan(&Situation { oldest: Some(seconds(2)), ..IDLE }, &midnight), Decision::Pack);
        assert_eq!(
            plan(&Situation { oldest: Some(seconds(0)), ..IDLE }, &midnight),
            Decision::Wait(seconds(60))
        );
    }

    proptest! {
        #[test]
        fn nothing_waits_longer_than_the_interval(
            oldest in proptest::option::of(0u64..400), bytes in 0u64..2000, waiting in 0usize..4,
            since in 0u64..200, stopping: bool,
        ) {
            let now = Situation {
                oldest: oldest.map(seconds), bytes, waiting, since_manifest: seconds(since), stopping, closed: false,
            };
            match plan(&now, &LIMITS) {
                Decision::Wait(time) => {
                    prop_assert!(time <= LIMITS.interval);
                    prop_assert!(waiting >= MAX_WAITING || oldest.is_none_or(|age| age < 180));
                }
                Decision::End => prop_assert!(false),
                _ => prop_assert!(waiting < MAX_WAITING),
            }
        }
    }
}
