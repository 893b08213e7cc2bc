//! When there is something to tell. Pure: no clock, no I/O inside.

use super::message::{Kind, Notice, Observation};
use crate::deliver::state::Phase;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

const HOUR: u64 = 3_600_000_000;
const DAY: u64 = 24 * HOUR;
/// A loss is told of so long ahead.
const LOSS: [u64; 3] = [DAY, 6 * HOUR, HOUR];
/// The end of credentials is told of so long ahead.
const ENDING: [u64; 3] = [14 * DAY, 7 * DAY, DAY];

/// What was told of each destination, so that nothing is told twice; also over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    told: BTreeMap<String, Told>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// When it was last told that it fails, in Unix microseconds.
    #[serde(default)]
    failing: Option<u64>,
    /// Since when it fails.
    #[serde(default)]
    since: Option<u64>,
    /// How many of the steps to a loss were told.
    #[serde(default)]
    loss: usize,
    /// How many of the steps to the end of its credentials were told.
    #[serde(default)]
    ending: usize,
}

impl Rules {
    /// What there is to tell of a destination. `now` is in Unix microseconds; it has to fail for
    /// `after` before somebody is told.
    pub fn observe(&mut self, seen: &Observation, now: u64, after: Duration, instance: &str) -> Vec<Notice> {
        let told = self.told.entry(seen.destination.clone()).or_default();
        let mut kinds = Vec::new();
        let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        match (seen.state, told.failing) {
            (Phase::Failing, None) if now.saturating_sub(seen.since.unwrap_or(now)) >= after => {
                told.failing = Some(now);
                told.since = seen.since;
                kinds.push(Kind::Failing);
            }
            (Phase::Failing, Some(last)) if now.saturating_sub(last) >= DAY => {
                told.failing = Some(now);
                kinds.push(Kind::StillFailing);
            }
            (Phase::Delivering, was) => {
                (told.failing, told.loss) = (None, 0);
                if was.is_some() {
                    kinds.push(Kind::Recovered);
                }
            }
            _ => {}
        }
        // Who is about to be told that it fails needs not be told more in the same moment.
        let is_known = seen.state == Phase::Paused || told.failing.is_some();
        if is_known && step(&LOSS, seen.first_loss.map(|(at, _)| at), now, &mut told.loss) {
            kinds.push(Kind::LossAhead);
        }
        if seen.credentials_end.is_none_or(|end| end.saturating_sub(now) > ENDING[0]) {
            told.ending = 0;
        }
        if step(&ENDING, seen.credentials_end, now, &mut told.ending) {
            kinds.push(Kind::CredentialsEnding);
        }
        let since = told.since;
        if seen.state == Phase::Delivering {
            told.since = None;
        }
        let notice = |kind| Notice {
            id: Uuid::now_v7(),
            kind,
            instance: instance.to_owned(),
            at: now,
            about: Observation { since: seen.since.or(since), ..seen.clone() },
        };
        kinds.into_iter().map(notice).collect()
    }

    /// Forgets destinations that are no more.
    pub fn keep<'a>(&mut self, destinations: impl Iterator<Item = &'a str> + Clone) {
        self.told.retain(|name, _| destinations.clone().any(|known| known == name));
    }
}

/// Whether a further step to that time has come; steps that were passed over are not told.
fn step(steps: &[u64], at: Option<u64>, now: u64, told: &mut usize) -> bool {
    let Some(at) = at else { return false };
    let left = at.saturating_sub(now);
    let reached = steps.iter().filter(|step| left <= **step).count();
    let is_new = reached > *told;
    *told = reached.max(*told);
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_775_744_531_000_000;
    const MINUTE: u64 = 60_000_000;

    fn seen(state: Phase) -> Observation {
        let fails = state == Phase::Failing;
        Observation {
            destination: "main".to_owned(),
            state,
            cause: fails.then_some("quota"),
            words: fails.then(|| "no room".to_owned()),
            mend: None,
            since: fails.then_some(START),
            undelivered_records: 7,
            first_loss: fails.then_some((START + 3 * DAY, "retention")),
            credentials_end: None,
            owners: Vec::new(),
        }
    }

    /// Kinds with the minute that each was told in, over so many minutes.
    fn run(
        rules: &mut Rules,
        minutes: std::ops::Range<u64>,
        look: impl Fn(u64) -> Observation,
    ) -> Vec<(u64, &'static str)> {
        let mut all = Vec::new();
        for minute in minutes {
            let now = START + minute * MINUTE;
            let notices = rules.observe(&look(now), now, Duration::from_secs(300), "gw");
            all.extend(notices.iter().map(|notice| (minute, notice.kind.as_str())));
        }
        all
    }

    #[test]
    fn a_failure_is_told_when_it_lasts_then_once_a_day_then_its_end_and_the_loss_ahead() {
        let mut rules = Rules::default();
        let told = run(&mut rules, 0..71 * 60, |_| seen(Phase::Failing));
        let day = 24 * 60;
        assert_eq!(
            told,
            [
                (5, "failing"),
                (5 + day, "still_failing"),
                (2 * day, "loss_ahead"),
                (5 + 2 * day, "still_failing"),
                (3 * day - 360, "loss_ahead")
            ]
        );
        let told = run(&mut rules, 71 * 60..72 * 60, |_| seen(Phase::Failing));
        assert_eq!(told, [(71 * 60, "loss_ahead")]);
        let again = rules.observe(&seen(Phase::Delivering), START + 3 * DAY, Duration::ZERO, "gw");
        assert_eq!((again[0].kind, again[0].about.since), (Kind::Recovered, Some(START)));
        assert_eq!(run(&mut rules, 73 * 60..74 * 60, |_| seen(Phase::Delivering)), []);
    }

    #[test]
    fn what_mends_itself_in_time_is_not_told_nor_is_a_start_a_recovery() {
        let mut rules = Rules::default();
        assert_eq!(run(&mut rules, 0..5, |_| seen(Phase::Failing)), []);
        assert_eq!(run(&mut rules, 5..10, |_| seen(Phase::Delivering)), []);
        let verifying = || seen(Phase::Verifying);
        assert_eq!(run(&mut rules, 10..20, |_| verifying()), []);
    }

    #[test]
    fn a_restart_tells_nothing_twice() {
        let mut rules = Rules::default();
        assert_eq!(run(&mut rules, 0..10, |_| seen(Phase::Failing)).len(), 1);
        let kept = serde_json::to_string(&rules).unwrap();
        let mut rules: Rules = serde_json::from_str(&kept).unwrap();
        assert_eq!(run(&mut rules, 10..11, |_| seen(Phase::Verifying)), []);
        assert_eq!(run(&mut rules, 11..60, |_| seen(Phase::Failing)), []);
        assert_eq!(run(&mut rules, 60..61, |_| seen(Phase::Delivering)), [(60, "recovered")]);
        rules.keep(std::iter::empty());
        assert_eq!(rules, Rules::default());
    }

    #[test]
    fn the_end_of_credentials_is_told_14_7_and_1_days_ahead_and_anew_after_they_were_renewed() {
        let mut rules = Rules::default();
        let ends = |days: u64| {
            move |_| Observation { credentials_end: Some(START + days * DAY), ..seen(Phase::Delivering) }
        };
        let day = 24 * 60;
        let told = run(&mut rules, 0..30 * day, ends(30));
        let days: Vec<u64> = told.iter().map(|(minute, _)| minute / day).collect();
        assert_eq!((days, told[0].1), (vec![16, 23, 29], "credentials_ending"));
        let told = run(&mut rules, 30 * day..90 * day, ends(90));
        assert_eq!(told.len(), 3);
        // Found late: told once.
        assert_eq!(run(&mut Rules::default(), 0..10, ends(2)).len(), 1);
    }

    #[test]
    fn a_pause_is_told_of_only_when_it_would_cost_records() {
        let mut rules = Rules::default();
        let paused =
            |_| Observation { first_loss: Some((START + 2 * DAY, "spool_full")), ..seen(Phase::Paused) };
        let told = run(&mut rules, 0..48 * 60, paused);
        assert_eq!(told.iter().map(|told| told.1).collect::<Vec<_>>(), ["loss_ahead"; 3]);
    }
}
