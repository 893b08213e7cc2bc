//! Where a destination stands, as a pure state machine: no I/O, no clock, no
//! dice inside.

use super::destination::{Advice, Cause, PutError};
use std::time::Duration;

/// After so many failed attempts in a row a destination is failing.
pub const FAILING_ATTEMPTS: u32 = 3;
/// After failing for so long a destination is failing, whatever the attempts.
pub const FAILING_AFTER: Duration = Duration::from_secs(30);
/// The first pause after a failure.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What a destination is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing has arrived yet.
    #[default]
    Verifying,
    /// Objects arrive.
    Delivering,
    /// Objects don't arrive.
    Failing,
    /// An operator has halted delivery.
    Paused,
}

impl Phase {
    /// The word for it, as in status and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verifying => "verifying",
            Self::Delivering => "delivering",
            Self::Failing => "failing",
            Self::Paused => "paused",
        }
    }
}

/// What went wrong last, and for how long things have gone wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The cause of the newest failure.
    pub cause: Cause,
    /// The store's words to it.
    pub words: String,
    /// Monotonic time of the first failure since the last success.
    pub since: Duration,
    /// Failures since the last success.
    pub attempts: u32,
}

/// The whole state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What is shown, unless paused.
    phase: Phase,
    paused: bool,
    /// Since when an attempt runs without a sign of the store, and what that would mean.
    attempt: Option<(Duration, Cause)>,
    /// Failures since the last success.
    pub trouble: Option<Trouble>,
}

/// What happens to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt begins; the cause, should nothing answer it.
    Begun(Cause),
    /// The attempt that runs has come further, or is held back by the gateway itself.
    Progress,
    /// An object arrived, or was there.
    Arrived,
    /// The store refused.
    Refused(PutError),
    /// An operator halts delivery.
    Pause,
    /// An operator lets it go on.
    Resume,
    /// Time passes.
    Tick,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Try again after this long.
    RetryAfter(Duration),
    /// Say that the destination is failing.
    NoticeFailing,
    /// Say that it delivers again.
    NoticeRecovered,
}

impl State {
    /// What the destination is said to be.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.paused { Phase::Paused } else { self.phase }
    }

    /// The next state and what has to be done. `now` is monotonic; `random` lies
    /// in 0..1 and spreads the retries of many gateways.
    #[must_use]
    pub fn step(mut self, event: Event, now: Duration, random: f64) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        match event {
            Event::Begun(silence) => self.attempt = self.attempt.or(Some((now, silence))),
            Event::Progress => {
                if let Some((since, _)) = &mut self.attempt {
                    *since = now;
                }
            }
            Event::Arrived => {
                self.attempt = None;
                self.trouble = None;
                if self.phase == Phase::Failing {
                    effects.push(Effect::NoticeRecovered);
                }
                self.phase = Phase::Delivering;
            }
            Event::Refused(error) => {
                let begun = self.attempt.take().map_or(now, |(begun, _)| begun);
                let (since, attempts) = self.trouble.as_ref().map_or((begun, 0), |t| (t.since, t.attempts));
                let attempts = attempts.saturating_add(1);
                effects.push(Effect::RetryAfter(pause(attempts, error.advice, random)));
                self.trouble = Some(Trouble { cause: error.cause, words: error.words, since, attempts });
            }
            Event::Pause => self.paused = true,
            Event::Resume => self.paused = false,
            Event::Tick => {
                // A store that does not answer at all fails too.
                if let Some((begun, silence)) = self.attempt
                    && self.trouble.is_none()
                    && now.saturating_sub(begun) >= FAILING_AFTER
                {
                    let words = format!("no answer for {} s", now.saturating_sub(begun).as_secs());
                    self.trouble = Some(Trouble { cause: silence, words, since: begun, attempts: 0 });
                }
            }
        }
        let over =
            |t: &Trouble| t.attempts >= FAILING_ATTEMPTS || now.saturating_sub(t.since) >= FAILING_AFTER;
        if self.phase != Phase::Failing && self.trouble.as_ref().is_some_and(over) {
            self.phase = Phase::Failing;
            effects.push(Effect::NoticeFailing);
        }
        (self, effects)
    }
}

/// The pause after this many failures in a row: doubled each time up to a bound,
/// then between half and all of it.
#[must_use]
pub fn pause(attempts: u32, advice: Advice, random: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let spread = doubled.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
    match advice {
        Advice::BackOff | Advice::GiveUp => spread,
        Advice::After(least) => spread.max(least.min(LONGEST_PAUSE)),
        Advice::Now if attempts < FAILING_ATTEMPTS => Duration::from_millis(50),
        Advice::Now => spread,
    }
}

/// Whether a batch that was packed then has waited longer than retention allows.
/// Both times are Unix microseconds; a clock that went backwards expires nothing.
#[must_use]
pub fn is_expired(packed: u64, now: u64, retention: Duration) -> bool {
    u128::from(now.saturating_sub(packed)) > retention.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused() -> Event {
        Event::Refused(PutError::new(Cause::Quota, "no room"))
    }

    fn run(events: &[(u64, Event)]) -> (State, Vec<Effect>) {
        events.iter().cloned().fold((State::default(), Vec::new()), |(state, mut all), (second, event)| {
            let (state, effects) = state.step(event, Duration::from_secs(second), 1.0);
            all.extend(effects.into_iter().filter(|effect| !matches!(effect, Effect::RetryAfter(_))));
            (state, all)
        })
    }

    #[test]
    fn three_failures_or_thirty_seconds_make_a_destination_failing() {
        assert_eq!(run(&[(0, refused()), (1, refused())]).0.phase(), Phase::Verifying);
        let (state, effects) = run(&[(0, Event::Arrived), (1, refused()), (2, refused()), (3, refused())]);
        assert_eq!((state.phase(), effects), (Phase::Failing, vec![Effect::NoticeFailing]));
        assert_eq!(run(&[(0, Event::Arrived), (1, refused()), (31, Event::Tick)]).0.phase(), Phase::Failing);
        let hanging = run(&[(0, Event::Arrived), (1, Event::Begun(Cause::Network)), (31, Event::Tick)]).0;
        assert_eq!(hanging.phase(), Phase::Failing);
        let trouble = hanging.trouble.unwrap();
        assert_eq!((trouble.cause, &trouble.words[..]), (Cause::Network, "no answer for 30 s"));
    }

    #[test]
    fn a_long_attempt_that_gets_on_is_no_failure_and_one_that_stops_is() {
        let begun = (0, Event::Begun(Cause::Network));
        let mut events = vec![(0, Event::Arrived), begun];
        events.extend((1..200).flat_map(|second| [(second, Event::Progress), (second, Event::Tick)]));
        assert_eq!(run(&events).0.phase(), Phase::Delivering);
        events.push((228, Event::Tick));
        assert_eq!(run(&events).0.phase(), Phase::Delivering);
        events.push((229, Event::Tick));
        assert_eq!(run(&events).0.phase(), Phase::Failing);
    }

    #[test]
    fn one_success_mends_and_is_told_once() {
        let mut events: Vec<_> = (0..9).map(|second| (second, refused())).collect();
        events.extend([(9, Event::Arrived), (10, Event::Arrived)]);
        let (state, effects) = run(&events);
        assert_eq!(state.phase(), Phase::Delivering);
        assert_eq!(state.trouble, None);
        assert_eq!(effects, [Effect::NoticeFailing, Effect::NoticeRecovered]);
    }

    #[test]
    fn a_pause_hides_the_state_and_gives_it_back() {
        let (state, _) = run(&[(0, Event::Arrived), (1, Event::Pause)]);
        assert_eq!(state.phase(), Phase::Paused);
        assert_eq!(state.step(Event::Resume, Duration::from_secs(2), 0.0).0.phase(), Phase::Delivering);
    }

    #[test]
    fn only_what_waited_longer_than_retention_expires() {
        let hour = Duration::from_secs(3600);
        assert!(!is_expired(1_000, 3_600_001_000, hour));
        assert!(is_expired(1_000, 3_600_001_001, hour));
        assert!(!is_expired(u64::MAX, 0, hour));
    }

    proptest! {
        #[test]
        fn pauses_grow_stay_bounded_and_never_vanish(attempts: u32, random in 0.0f64..1.0) {
            let time = pause(attempts, Advice::BackOff, random);
            prop_assert!(time >= FIRST_PAUSE / 2 && time <= LONGEST_PAUSE);
            prop_assert!(pause(attempts.saturating_add(1), Advice::BackOff, random) >= time);
        }
    }
}
