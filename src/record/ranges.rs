//! A set of sequence numbers, kept as disjoint inclusive ranges.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A set of sequence numbers. Dense runs cost one entry however long they are,
/// so a lane's whole history is a handful of ranges around what is still open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct SequenceSet {
    /// First → last, both inclusive; neighbours are always merged.
    ranges: BTreeMap<u64, u64>,
}

impl SequenceSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one number; returns whether it was new.
    pub fn insert(&mut self, sequence: u64) -> bool {
        // Most often the next number: the newest range grows by one.
        if let Some(mut newest) = self.ranges.last_entry()
            && newest.get().checked_add(1) == Some(sequence)
        {
            newest.insert(sequence);
            return true;
        }
        if self.contains(sequence) {
            return false;
        }
        self.insert_range(sequence, sequence);
        true
    }

    /// Adds every number from `first` to `last`, both inclusive. Does nothing when `first > last`.
    pub fn insert_range(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let (mut first, mut last) = (first, last);
        // The range that begins before `first` and reaches or touches it.
        if let Some((&start, &end)) = self.ranges.range(..=first).next_back()
            && end.saturating_add(1) >= first
        {
            first = start;
            last = last.max(end);
        }
        // Every range that begins inside or right behind.
        while let Some((&start, &end)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            last = last.max(end);
            self.ranges.remove(&start);
        }
        self.ranges.insert(first, last);
    }

    /// Adds all of another set.
    pub fn union(&mut self, other: &Self) {
        for (first, last) in other.iter() {
            self.insert_range(first, last);
        }
    }

    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        self.ranges.range(..=sequence).next_back().is_some_and(|(_, &last)| last >= sequence)
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| (last - first).saturating_add(1)).sum()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in ascending order, both ends inclusive.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(&first, &last)| (first, last))
    }

    /// The lowest number in the set.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.keys().next().copied()
    }

    /// The highest number in the set.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.values().next_back().copied()
    }

    /// What lies in `0..end` and not in the set.
    #[must_use]
    pub fn missing_below(&self, end: u64) -> Self {
        let mut missing = Self::new();
        let mut next = 0;
        for (first, last) in self.iter() {
            if next >= end {
                return missing;
            }
            if first > next {
                missing.insert_range(next, first.min(end) - 1);
            }
            next = last.saturating_add(1);
        }
        if next < end {
            missing.insert_range(next, end - 1);
        }
        missing
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        for (first, last) in self.iter() {
            let mut next = first;
            let before = other.ranges.range(..=first).next_back();
            let behind = (first < last).then(|| other.ranges.range(first + 1..=last));
            for (&start, &end) in before.into_iter().chain(behind.into_iter().flatten()) {
                if end < next {
                    continue;
                }
                if start > next {
                    rest.insert_range(next, start - 1);
                }
                next = end.saturating_add(1);
            }
            if next <= last {
                rest.insert_range(next, last);
            }
        }
        rest
    }
}

impl From<Vec<(u64, u64)>> for SequenceSet {
    fn from(ranges: Vec<(u64, u64)>) -> Self {
        let mut set = Self::new();
        for (first, last) in ranges {
            set.insert_range(first, last);
        }
        set
    }
}

impl From<SequenceSet> for Vec<(u64, u64)> {
    fn from(set: SequenceSet) -> Self {
        set.ranges.into_iter().collect()
    }
}

impl FromIterator<u64> for SequenceSet {
    fn from_iter<I: IntoIterator<Item = u64>>(sequences: I) -> Self {
        let mut set = Self::new();
        for sequence in sequences {
            set.insert(sequence);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(
            a in proptest::collection::vec((0u64..60, 0u64..8), 0..20),
            b in proptest::collection::vec((0u64..60, 0u64..8), 0..20),
            end in 0u64..80,
        ) {
            let build = |runs: &[(u64, u64)]| {
                let mut set = SequenceSet::new();
                let mut model = BTreeSet::new();
                for &(first, length) in runs {
                    if length == 0 {
                        prop_assert_eq!(set.insert(first), model.insert(first));
                    } else {
                        set.insert_range(first, first + length);
                        model.extend(first..=first + length);
                    }
                }
                Ok((set, model))
            };
            let ((a, ma), (b, mb)) = (build(&a)?, build(&b)?);
            prop_assert_eq!(a.count(), ma.len() as u64);
            prop_assert_eq!(a.first(), ma.first().copied());
            prop_assert_eq!(a.last(), ma.last().copied());
            for n in 0..80 { prop_assert_eq!(a.contains(n), ma.contains(&n)); }
            let ranges: Vec<_> = a.iter().collect();
            for pair in ranges.windows(2) { prop_assert!(pair[0].1 + 1 < pair[1].0); }
            let missing: SequenceSet = (0..end).filter(|n| !ma.contains(n)).collect();
            prop_assert_eq!(a.missing_below(end), missing);
            let difference: SequenceSet = ma.difference(&mb).copied().collect();
            prop_assert_eq!(a.difference(&b), difference);
        }
    }

    #[test]
    fn the_ends_of_the_number_range_hold() {
        let mut set = SequenceSet::new();
        set.insert_range(u64::MAX - 1, u64::MAX);
        set.insert(0);
        assert!(set.contains(u64::MAX));
        assert_eq!(set.missing_below(3).iter().collect::<Vec<_>>(), [(1, 2)]);
    }
}
