//! What belongs to a container of entities (a release), as its own bodies showed it last, for
//! the calls that act on all of it without naming any.
//!
//! It counts for an hour, since others may change the container where the gateway does not
//! see it, and no longer once a change of it passed whose body can't be read.

use super::COUNTS_FOR;
use super::states::Key;
use std::collections::HashMap;

/// Containers that are kept in mind.
const MOST: usize = 1024;

/// Type and id.
pub(super) type Entity = (String, String);

#[derive(Debug, Default)]
pub(super) struct Containers {
    seen: HashMap<Key, (Vec<Entity>, u64)>,
}

impl Containers {
    /// What the container held, if that was seen within the hour before `at`.
    pub(super) fn held(&self, key: &Key, at: u64) -> Option<&[Entity]> {
        let (entities, seen) = self.seen.get(key)?;
        (at >= *seen && at - seen <= COUNTS_FOR).then_some(entities)
    }

    /// Notes what the container holds; `None`: it is no longer known.
    pub(super) fn note(&mut self, key: Key, entities: Option<Vec<Entity>>, at: u64) {
        let Some(entities) = entities else {
            self.seen.remove(&key);
            return;
        };
        if self.seen.len() >= MOST && !self.seen.contains_key(&key) {
            self.seen.retain(|_, (_, seen)| *seen + COUNTS_FOR > at);
            if self.seen.len() >= MOST {
                self.seen.clear();
            }
        }
        self.seen.insert(key, (entities, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        (b"ns".to_vec(), "Release".to_owned(), number.to_le_bytes().to_vec())
    }

    #[test]
    fn a_list_counts_for_an_hour_until_it_is_unknown_and_no_more_are_kept_than_stated() {
        let mut containers = Containers::default();
        let entities = vec![("Entry".to_owned(), "e1".to_owned())];
        containers.note(key(0), Some(entities.clone()), 10);
        assert_eq!(containers.held(&key(0), 10 + COUNTS_FOR), Some(&entities[..]));
        assert_eq!(containers.held(&key(0), 11 + COUNTS_FOR), None);
        assert_eq!(containers.held(&key(0), 9), None, "it was not seen before");
        containers.note(key(0), None, 20);
        assert_eq!(containers.held(&key(0), 20), None);
        for number in 0..5000 {
            containers.note(key(number), Some(Vec::new()), 30);
            assert!(containers.seen.len() <= MOST);
        }
    }
}
