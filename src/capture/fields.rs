//! A head's fields, for those who ask for many that are mostly not there.
//!
//! Of every request some twenty fields are asked for, and few are there. To find that out of a
//! header map takes the hash of the name each time; a word with a bit for each name that is there
//! tells it of most by a comparison. What is there is found among a few in a row, by names that are
//! mostly compared as the numbers that stand for them.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// Heads with more fields are asked by their map.
const IN_A_ROW: usize = 20;

/// The fields of one head.
#[derive(Clone, Debug)]
pub struct Fields<'h> {
    map: &'h HeaderMap,
    /// The bits of all names that are there.
    present: u64,
    /// All of them in their order; empty where they are too many.
    row: SmallVec<[(&'h HeaderName, &'h HeaderValue); IN_A_ROW]>,
}

impl<'h> Fields<'h> {
    /// Those of this map.
    #[must_use]
    #[inline]
    pub fn of(map: &'h HeaderMap) -> Self {
        let mut fields = Self { map, present: 0, row: SmallVec::new() };
        let is_short = map.len() <= IN_A_ROW;
        for (name, value) in map {
            fields.present |= bit(name);
            if is_short {
                fields.row.push((name, value));
            }
        }
        fields
    }

    /// The first value of this name.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &HeaderName) -> Option<&'h HeaderValue> {
        if self.present & bit(name) == 0 {
            return None;
        }
        if self.row.is_empty() {
            return self.map.get(name);
        }
        self.row.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// All values of this name, in their order.
    pub fn get_all(&self, name: &HeaderName) -> impl Iterator<Item = &'h HeaderValue> + use<'h> {
        let map = (self.present & bit(name) != 0).then_some(self.map);
        let values = map.map(|map| map.get_all(name).into_iter());
        values.into_iter().flatten()
    }
}

/// One of 64 bits, by the length and the ends of a name: what names differ in.
#[inline]
fn bit(name: &HeaderName) -> u64 {
    let name = name.as_str().as_bytes();
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    1 << ((name.len() + 5 * usize::from(first) + 11 * usize::from(last)) % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_say_what_the_map_says(
            there in proptest::collection::vec(("[a-d-]{1,3}", "[x-z]{0,2}"), 0..24),
            asked in "[a-d-]{1,3}",
        ) {
            let mut map = HeaderMap::new();
            for (name, value) in &there {
                let name: HeaderName = name.parse().unwrap();
                map.append(name, HeaderValue::from_str(value).unwrap());
            }
            let asked: HeaderName = asked.parse().unwrap();
            let fields = Fields::of(&map);
            prop_assert_eq!(fields.get(&asked), map.get(&asked));
            prop_assert!(fields.get_all(&asked).eq(map.get_all(&asked)));
        }
    }
}
