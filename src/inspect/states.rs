//! The state that a resource had before, where it was seen passing by.
//!
//! Some operations have the same request and differ in the state before alone. A state is
//! known only if it was seen at this gateway: in a response that shows it, or as what a
//! successful change set it to. It counts for a short time, since others may change the
//! resource where the gateway does not see it, and not at all if any write to the resource
//! came in between. So what is said here was seen; what was not seen is not guessed.

use std::collections::HashMap;

/// So long a state that was seen counts, in microseconds.
const COUNTS_FOR: u64 = 60_000_000;
/// Resources that are kept in mind.
const MOST: usize = 16 * 1024;

/// Which resource: the namespace of its API, its type, and the placeholders of its path.
pub(super) type Key = (Vec<u8>, String, Vec<u8>);

#[derive(Debug, Default)]
pub(super) struct States {
    seen: HashMap<Key, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Where it was seen, the states, and when that ended.
    state: Option<(Vec<u8>, Vec<String>, u64)>,
    /// End of the last write.
    written: u64,
}

impl States {
    /// The state before something that began at `start`, if it was seen through this source.
    pub(super) fn before(&self, key: &Key, source: &[u8], start: u64) -> Option<&[String]> {
        let seen = self.seen.get(key)?;
        let (at_source, states, at) = seen.state.as_ref()?;
        let counts = at_source == source && *at <= start && start - at <= COUNTS_FOR && seen.written <= *at;
        counts.then_some(states)
    }

    /// A response showed the state; the exchange ran from `start` to `end`.
    pub(super) fn shown(&mut self, key: Key, source: &[u8], states: Vec<String>, start: u64, end: u64) {
        let seen = self.entry(key, end);
        // With a write in between it may show the state before or behind it.
        if seen.written <= start {
            seen.state = Some((source.to_owned(), states, end));
        }
    }

    /// A write ended at `end`; `set` is the state that it set, where it says so.
    pub(super) fn written(&mut self, key: Key, source: &[u8], set: Option<Vec<String>>, end: u64) {
        let seen = self.entry(key, end);
        seen.written = seen.written.max(end);
        seen.state = set.filter(|_| seen.written == end).map(|states| (source.to_owned(), states, end));
    }

    fn entry(&mut self, key: Key, now: u64) -> &mut Seen {
        if self.seen.len() >= MOST && !self.seen.contains_key(&key) {
            let newest = |seen: &Seen| seen.state.as_ref().map_or(0, |(_, _, at)| *at).max(seen.written);
            self.seen.retain(|_, seen| newest(seen) + COUNTS_FOR > now);
            if self.seen.len() >= MOST {
                self.seen.clear();
            }
        }
        self.seen.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        (b"microcms".to_vec(), "Content".to_owned(), b"news\0a1".to_vec())
    }

    fn draft() -> Vec<String> {
        vec!["DRAFT".to_owned()]
    }

    #[test]
    fn a_state_counts_for_its_source_and_for_a_minute() {
        let mut states = States::default();
        states.shown(key(), b"s", draft(), 10, 20);
        assert_eq!(states.before(&key(), b"s", 20), Some(&draft()[..]));
        assert_eq!(states.before(&key(), b"s", 19), None, "it was not seen before");
        assert_eq!(states.before(&key(), b"other", 20), None);
        assert_eq!(states.before(&key(), b"s", 20 + COUNTS_FOR + 1), None);
    }

    #[test]
    fn any_write_in_between_makes_it_unknown_and_one_that_sets_it_makes_it_known() {
        let mut states = States::default();
        states.shown(key(), b"s", draft(), 10, 20);
        states.written(key(), b"other", None, 30);
        assert_eq!(states.before(&key(), b"s", 40), None);
        states.shown(key(), b"s", draft(), 25, 35);
        assert_eq!(states.before(&key(), b"s", 40), None, "read while it was written");
        states.shown(key(), b"s", draft(), 30, 35);
        assert_eq!(states.before(&key(), b"s", 40), Some(&draft()[..]));
        states.written(key(), b"s", Some(vec!["PUBLISH".to_owned()]), 50);
        assert_eq!(states.before(&key(), b"s", 50), Some(&["PUBLISH".to_owned()][..]));
    }

    #[test]
    fn no_more_are_kept_in_mind_than_stated() {
        let mut states = States::default();
        for number in 0..40_000u64 {
            let key = (Vec::new(), String::new(), number.to_le_bytes().to_vec());
            states.shown(key, b"s", draft(), number, number);
            assert!(states.seen.len() <= MOST);
        }
    }
}
