//! A head's fields, for those who ask for many that are mostly not there.
//!
//! Of every request some twenty fields are asked for, and few are there. To find that out of a
//! header map takes the hash of the name each time; a word with a bit for each name that is there
//! tells it of most by a comparison.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The fields of one head.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h> {
    map: &'h HeaderMap,
    /// The bits of all names that are there.
    present: u64,
}

impl<'h> Fields<'h> {
    /// Those of this map.
    #[must_use]
    pub fn of(map: &'h HeaderMap) -> Self {
        Self { map, present: map.keys().fold(0, |present, name| present | bit(name)) }
    }

    /// The first value of this name.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &HeaderName) -> Option<&'h HeaderValue> {
        if self.present & bit(name) == 0 { None } else { self.map.get(name) }
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
            there in proptest::collection::vec(("[a-d-]{1,3}", "[x-z]{0,2}"), 0..6),
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
