//! The names of the fields that an upstream's answers have, known from the answer before.
//!
//! An upstream sends the same names in the same order with nearly every answer of a kind. Reading
//! a name, allocating it and finding its place in a map takes more than all else that is done to
//! a field; copying a map that has the names already takes a tenth of it.

use super::Fault;
use super::names::Names;
use super::one_connection::is_of_one_connection;
use super::response::FieldSpan;
use super::values::value;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE};

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
    /// The names with empty values, in their order; empty until it is learned. If it is prepared,
    /// those that go on, and behind them what is added.
    map: HeaderMap,
    is_prepared: bool,
    /// Bit n: the n-th field speaks of this connection alone.
    left_out: u64,
    /// Which of them is `Connection`.
    connection: Option<usize>,
}

/// A map of a known shape.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) map: HeaderMap,
    /// Whether it is as it goes on to the client: without the fields of this connection, and with
    /// what [`Shapes::adding`] adds.
    pub(super) is_prepared: bool,
    /// What `Connection` said that is left out.
    pub(super) keeps_alive: Option<bool>,
}

impl Shapes {
    /// Heads of a known shape come [prepared](super::ResponseHead::is_prepared) for the next
    /// connection, this field added unless they have it: that costs nothing where the map is
    /// copied anyway.
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
    ) -> Option<Result<Known, Fault>> {
        if !is_expected {
            self.latest = fields.len() % KINDS;
        }
        let shape = &self.kinds[self.latest];
        if shape.map.is_empty() || !is_expected && !shape.names.are_of(head, fields) {
            return None;
        }
        let keeps_alive = match shape.connection {
            Some(place) => Some(says(&head[fields[place].value()])?),
            None => None,
        };
        let mut map = shape.map.clone();
        let mut slots = map.values_mut();
        for (place, field) in fields.iter().enumerate() {
            if shape.left_out >> place & 1 != 0 {
                continue;
            }
            let Some(slot) = slots.next() else { break };
            match value(head.slice(field.value())) {
                Some(found) => *slot = found,
                None => return Some(Err(Fault::Control)),
            }
        }
        Some(Ok(Known { map, is_prepared: shape.is_prepared, keeps_alive }))
    }

    /// Notes the names of a head that [`Self::copy`] did not know, with the map made of it.
    pub(super) fn note(&mut self, head: &[u8], fields: &[FieldSpan], map: &HeaderMap) {
        let shape = &mut self.kinds[fields.len() % KINDS];
        if shape.names.are_of(head, fields) {
            shape.learn(map, self.added.as_ref());
            return;
        }
        *shape = Shape::default();
        for field in fields {
            if !shape.names.push(&head[field.name()]) {
                return;
            }
        }
    }
}

impl Shape {
    fn learn(&mut self, map: &HeaderMap, added: Option<&(HeaderName, HeaderValue)>) {
        // Where a name is there twice, values do not stand in the order of their fields.
        if map.keys_len() != self.names.len() {
            return;
        }
        // What asks for more than being left out or added is not prepared.
        let is_odd = |name: &HeaderName| {
            *name == TE || *name == UPGRADE || added.is_some_and(|(added, _)| added == name)
        };
        self.is_prepared = !map.keys().any(is_odd);
        (self.left_out, self.connection) = (0, None);
        let mut known = HeaderMap::with_capacity(map.len() + 1);
        for (place, name) in map.keys().enumerate() {
            if self.is_prepared && is_of_one_connection(name) {
                self.left_out |= 1 << place;
                self.connection = self.connection.or((*name == CONNECTION).then_some(place));
            } else {
                // The values of this answer are not to be kept.
                known.insert(name.clone(), HeaderValue::from_static(""));
            }
        }
        if let Some((name, value)) = added
            && self.is_prepared
        {
            known.insert(name.clone(), value.clone());
        }
        self.map = known;
    }
}

/// Whether `Connection` keeps the connection, where it says nothing else.
fn says(value: &[u8]) -> Option<bool> {
    match value {
        value if value.eq_ignore_ascii_case(b"keep-alive") => Some(true),
        value if value.eq_ignore_ascii_case(b"close") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ResponseHead, ResponseReader};
    use super::*;
    use bytes::BytesMut;
    use http::header::VIA;
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
            // `Connection` goes no further, and is missing from then on.
            assert_eq!(shape.map.len(), if value == "a" { 0 } else { 2 });
            assert_eq!(head.is_prepared, matches!(value, "c" | "d") && shape.is_prepared);
            assert_eq!(head.headers.contains_key("connection"), !head.is_prepared);
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

    #[test]
    fn a_known_answer_comes_with_what_is_added_unless_it_has_it_or_is_of_another_version() {
        let mut shapes = Shapes::adding(VIA, HeaderValue::from_static("1.1 onrecord"));
        for round in 0..3 {
            let head = read(&mut shapes, &owned(&[("A", "1"), ("Keep-Alive", "timeout=5"), ("B", "2")]));
            assert_eq!(head.is_prepared, round == 2);
            let names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
            assert_eq!(names, if round == 2 { ["a", "b", "via"] } else { ["a", "keep-alive", "b"] });
            assert_eq!(
                (&head.headers["a"], &head.headers["b"]),
                (&"1".parse().unwrap(), &"2".parse().unwrap())
            );
        }
        for round in 0..3 {
            let head = read(&mut shapes, &owned(&[("Via", "1.1 edge"), ("A", "1")]));
            assert!(head.headers["via"] == "1.1 edge" && head.headers.len() == 2);
            // Its list is continued elsewhere.
            assert!(!head.is_prepared && shapes.kinds[2].map.is_empty() == (round == 0));
        }
        let mut reader = ResponseReader::default();
        reader.expect(true);
        let mut old = BytesMut::from("HTTP/1.0 200 OK\r\nA: 1\r\nKeep-Alive: timeout=5\r\nB: 2\r\n\r\n");
        let head = reader.head(&mut old, &mut shapes, |_| {}).unwrap().unwrap();
        assert!(!head.is_prepared && !head.keeps_alive && head.headers.len() == 3);
    }

    proptest! {
        #[test]
        fn answers_are_the_same_with_and_without_what_was_before(
            heads in proptest::collection::vec(
                proptest::collection::vec(("[abAB]{1,2}|ETag|Connection", "[a-c]{0,3}|close|keep-alive"), 0..5),
                1..40,
            ),
        ) {
            let mut shapes = Shapes::default();
            for fields in &heads {
                let known = read(&mut shapes, fields);
                let alone = read(&mut Shapes::default(), fields);
                let mut headers = alone.headers;
                if known.is_prepared {
                    headers.remove("connection");
                }
                prop_assert_eq!(known.headers, headers);
                prop_assert_eq!(known.keeps_alive, alone.keeps_alive);
            }
        }
    }
}
