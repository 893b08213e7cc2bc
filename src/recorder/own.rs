//! What the recorder puts on the gateway's own record: gaps, trouble, and a clock that jumps.

use crate::journal::{Actor, Event, Journal, Trouble};
use crate::metrics::Families;
use crate::record::{Gap, GapCause, SELF_LANE};
use std::time::Duration;
use uuid::Uuid;

/// Trouble is over when there was none for this long, so that what comes and goes is told once.
const CALM: Duration = Duration::from_secs(5);
/// A wall clock that moves by so much other than time went by has jumped.
const JUMP_MICROSECONDS: i128 = 2_000_000;

/// What was told, so that it is told once.
#[derive(Debug)]
pub(super) struct Own {
    journal: Journal,
    boot: Uuid,
    /// Wall clock less monotonic clock.
    offset: Option<i128>,
    spool: Spell<(GapCause, String)>,
    refusing: Spell<()>,
    stalled: Spell<()>,
}

impl Own {
    pub(super) fn new(journal: Journal, boot: Uuid) -> Self {
        let (spool, refusing, stalled) = (Spell::default(), Spell::default(), Spell::default());
        Self { journal, boot, offset: None, spool, refusing, stalled }
    }

    /// A gap that was declared in this boot's log.
    pub(super) fn gap(&self, metrics: &Families, gap: &Gap) {
        let (cause, records) = (gap.cause.as_str(), gap.sequences.count());
        let family = if gap.lane == SELF_LANE { &metrics.own_gap_records } else { &metrics.gap_records };
        family.with_label_values(&[cause]).inc_by(records);
        tracing::warn!(lane = gap.lane, records, cause, "records were lost and are declared as a gap");
        let event = Event::Gap { boot: self.boot, destination: None, gap, records };
        self.journal.note(Actor::GATEWAY, &event);
    }

    /// To be called at each turn with what is the matter.
    pub(super) fn tell(
        &mut self,
        now: Duration,
        unix: u64,
        trouble: Option<&(GapCause, String)>,
        refusing: bool,
        stalled: bool,
    ) {
        let journal = &self.journal;
        let spool = |(cause, words): &(GapCause, String), over: bool| {
            note(journal, over, Trouble::Spool { cause: *cause, words });
        };
        self.spool.tell(now, trouble, spool);
        let refused = |(): &(), over| note(journal, over, Trouble::RefusingNew);
        self.refusing.tell(now, refusing.then_some(&()), refused);
        let late = |(): &(), over| note(journal, over, Trouble::CommitsStalled);
        self.stalled.tell(now, stalled.then_some(&()), late);
        self.look_at_clock(now, unix);
    }

    fn look_at_clock(&mut self, now: Duration, unix: u64) {
        let offset = i128::from(unix) - i128::try_from(now.as_micros()).unwrap_or(i128::MAX);
        let jump = offset - *self.offset.get_or_insert(offset);
        // What is less is a clock that is being set right slowly.
        self.offset = Some(offset);
        if jump.abs() >= JUMP_MICROSECONDS {
            let microseconds = i64::try_from(jump).unwrap_or(if jump < 0 { i64::MIN } else { i64::MAX });
            tracing::warn!(microseconds, "the machine's clock has jumped");
            self.journal.note(Actor::GATEWAY, &Event::ClockJump { microseconds });
        }
    }

    /// No event any more: the boot's last word comes.
    pub(super) fn close(&self) {
        self.journal.close();
    }
}

fn note(journal: &Journal, over: bool, trouble: Trouble<'_>) {
    let event = if over { Event::DurabilityRestored(trouble) } else { Event::DurabilityTrouble(trouble) };
    journal.note(Actor::GATEWAY, &event);
}

/// A state that comes and goes, told when it comes and when it has gone for good.
#[derive(Debug)]
struct Spell<T> {
    told: Option<T>,
    calm_since: Option<Duration>,
}

impl<T> Default for Spell<T> {
    fn default() -> Self {
        Self { told: None, calm_since: None }
    }
}

impl<T: Clone> Spell<T> {
    fn tell(&mut self, now: Duration, state: Option<&T>, note: impl FnOnce(&T, bool)) {
        match (&self.told, state) {
            (None, None) => {}
            (None, Some(state)) => {
                note(state, false);
                self.told = Some(state.clone());
            }
            (Some(_), Some(_)) => self.calm_since = None,
            (Some(told), None) => {
                let since = *self.calm_since.get_or_insert(now);
                if now.saturating_sub(since) >= CALM {
                    note(told, true);
                    *self = Self::default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_comes_and_goes_is_told_once_and_its_end_when_it_stays_away() {
        let mut spell = Spell::default();
        let mut told = Vec::new();
        let states =
            [(0, true), (1, false), (2, true), (3, false), (7, false), (8, false), (9, false), (10, true)];
        for (second, state) in states {
            let note = |(): &(), over| told.push((second, over));
            spell.tell(Duration::from_secs(second), state.then_some(&()), note);
        }
        assert_eq!(told, [(0, false), (8, true), (10, false)]);
    }
}
