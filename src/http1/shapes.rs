//! The names of the fields that an upstream's answers have, known from the answer before.
//!
//! An upstream sends the same names in the same order with nearly every answer of a kind. Reading
//! a name, allocating it and finding its place in a map takes more than all else that is done to
//! a field; copying a map that has the names already takes a tenth of it.

use super::Fault;
use super::names::Names;
use super::one_connection::OneConnection;
use super::response::FieldSpan;
use super::values::value;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Kinds of answers that are known at once, told apart by their number of fields.
const KINDS: usize = 8;

/// The shapes of the last answers. A shape is learned when it comes a second time, so that
/// answers which are all different cost a comparison and a copy of their names.
#[derive(Debug, Default)]
pub struct Shapes {
    kinds: [Shape; KINDS],
    /// Of the last answer.
    latest: usize,
    added: Option<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Default)]
struct Shape {
    names: Names,
    /// All names with empty values, in their order, and behind them what is added; empty until it
    /// is learned.
    map: HeaderMap,
    told: Told,
}

/// What the names of a head tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The fields of this connection that it has.
    pub one_connection: OneConnection,
    /// Whether the field that [`Shapes::adding`] names was added.
    pub is_added: bool,
}

impl Shapes {
    /// Heads of a known shape come with this field more, unless they have it: that costs nothing
    /// where the map is copied anyway.
    #[must_use]
    pub fn adding(name: HeaderName, value: HeaderValue) -> Self {
        Self { added: Some((name, value)), ..Self::default() }
    }

    /// What the next answer is expected to have: what the last one had.
    pub(super) fn expected(&self) -> &Names {
        &self.kinds[self.latest].names
    }

    /// The map of this head, if it has the names of one before and none of them twice. `is_expected`:
    /// it is known to have those that were expected.
    pub(super) fn copy(
        &mut self,
        head: &Bytes,
        fields: &[FieldSpan],
        is_expected: bool,
    ) -> Option<Result<(HeaderMap, Told), Fault>> {
        if !is_expected {
            self.latest = fields.len() % KINDS;
        }
        let shape = &self.kinds[self.latest];
        if shape.map.is_empty() || !is_expected && !shape.names.are_of(head, fields) {
            return None;
        }
        let mut map = shape.map.clone();
        for (value, field) in map.values_mut().zip(fields) {
            match self::value(head.slice(field.value())) {
                Some(found) => *value = found,
                None => return Some(Err(Fault::Control)),
            }
        }
        Some(Ok((map, shape.told)))
    }

    /// Notes the names of a head that [`Self::copy`] did not know, with the map made of it.
    pub(super) fn note(&mut self, head: &[u8], fields: &[FieldSpan], map: &HeaderMap) {
        let shape = &mut self.kinds[fields.len() % KINDS];
        if shape.names.are_of(head, fields) {
            // Where a name is there twice, values do not stand in the order of their fields.
            if map.keys_len() == fields.len() {
                shape.map = map.clone();
                // The values of this answer are not to be kept.
                shape.map.values_mut().for_each(|value| *value = HeaderValue::from_static(""));
                shape.told = Told { one_connection: OneConnection::of(map), is_added: false };
                if let Some((name, value)) = &self.added
                    && !map.contains_key(name)
                {
                    shape.map.insert(name, value.clone());
                    shape.told.is_added = true;
                }
            }
            return;
        }
        shape.map = HeaderMap::new();
        shape.names.clear();
        for field in fields {
            if !shape.names.push(&head[field.name()]) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ResponseHead, ResponseReader};
    use super::*;
    use bytes::BytesMut;
    use proptest::prelude::*;

    fn read(shapes: &mut Shapes, fields: &[(String, String)]) -> ResponseHead {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut reader = ResponseReader::default();
        reader.expect(true);
        let mut buffer = BytesMut::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes());
        reader.head(&mut buffer, shapes, |_| {}).unwrap().unwrap()
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_shape_is_learned_from_its_second_answer_and_keeps_no_value() {
        let mut shapes = Shapes::default();
        let of = |value: &str| owned(&[("X-One", value), ("ETag", "e"), ("Connection", "close")]);
        for value in ["a", "b", "c", "d"] {
            let head = read(&mut shapes, &of(value));
            assert_eq!((head.headers["x-one"].as_bytes(), head.keeps_alive), (value.as_bytes(), false));
            let shape = &shapes.kinds[3];
            assert_eq!(shape.map.len(), if value == "a" { 0 } else { 3 });
            assert!(shape.map.values().all(HeaderValue::is_empty));
        }
        // Other names, or the same in another way or order, are not taken for it.
        for other in [
            ["X-Two", "ETag", "Connection"],
            ["x-one", "ETag", "Connection"],
            ["ETag", "X-One", "Connection"],
        ] {
            let fields = owned(&[(other[0], "1"), (other[1], "2"), (other[2], "x")]);
            let head = read(&mut shapes, &fields);
            assert!(head.keeps_alive);
            for (name, value) in &fields {
                assert_eq!(head.headers[name.as_str()], value.as_str());
            }
        }
    }

    #[test]
    fn a_name_that_is_there_twice_keeps_both_values() {
        let mut shapes = Shapes::default();
        for _ in 0..4 {
            let head = read(&mut shapes, &owned(&[("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")]));
            let all: Vec<_> = head.headers.get_all("a").iter().map(HeaderValue::as_bytes).collect();
            assert_eq!((all, head.headers["c"].as_bytes()), (vec![&b"1"[..], b"3"], &b"4"[..]));
            assert!(shapes.kinds[4].map.is_empty());
        }
    }

    proptest! {
        #[test]
        fn answers_are_the_same_with_and_without_what_was_before(
            heads in proptest::collection::vec(
                proptest::collection::vec(("[abAB]{1,2}|ETag|Connection", "[a-c]{0,3}"), 0..5),
                1..40,
            ),
        ) {
            let mut shapes = Shapes::default();
            for fields in &heads {
                let known = read(&mut shapes, fields);
                let alone = read(&mut Shapes::default(), fields);
                prop_assert_eq!(known.headers, alone.headers);
                prop_assert_eq!(known.keeps_alive, alone.keeps_alive);
            }
        }
    }
}
