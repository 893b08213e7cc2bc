//! When to pack, as a pure function.

use std::time::Duration;

/// At most this many batches of a destination wait in its outbox, so that a
/// backlog stays in the spool and leaves as large objects.
pub const MAX_WAITING: usize = 2;

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

/// What the operator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A batch closes at this age.
    pub interval: Duration,
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
        return if now.oldest.is_some() { Decision::Pack } else { Decision::Heartbeat };
    }
    let age = now.oldest.map_or(limits.interval, |age| limits.interval.saturating_sub(age));
    Decision::Wait(if now.waiting == 0 { age.min(beat) } else { age })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits =
        Limits { interval: Duration::from_secs(180), object_bytes: 1000, heartbeat: Duration::from_secs(60) };
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
