//! Reading of a JSON body only what is wanted of it.
//!
//! A [`Selection`] is the tree of the wanted JSON pointers (RFC 6901; `*` is every element of
//! an array). Reading builds the values at and along these pointers and skips the rest without
//! allocating. Names that are wanted must stand once in their object: with two of one name,
//! the upstream may have taken either, and no one is believed.

use crate::record::InspectionError;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

const DUPLICATE: &str = "onrecord: a wanted name stands twice";

/// The tree of wanted pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The whole value here is wanted.
    whole: bool,
    names: Vec<(String, Selection)>,
    elements: Option<Box<Selection>>,
}

impl Selection {
    /// Wants the value at this pointer too.
    pub(super) fn add(&mut self, pointer: &str) {
        let mut node = self;
        for token in tokens(pointer) {
            node = if token == "*" {
                node.elements.get_or_insert_default()
            } else {
                let at = match node.names.iter().position(|(name, _)| *name == token) {
                    Some(at) => at,
                    None => {
                        node.names.push((token, Selection::default()));
                        node.names.len() - 1
                    }
                };
                &mut node.names[at].1
            };
        }
        node.whole = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The wanted part of this text. What is not wanted is left out of objects, and `null` in arrays.
    ///
    /// # Errors
    /// Not JSON, nested too deep, or a wanted name twice.
    pub(super) fn read(&self, body: &[u8]) -> Result<Value, InspectionError> {
        let text = std::str::from_utf8(body).map_err(|_| InspectionError::NotJson)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Seed(self).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        value.map_err(|error| match error.to_string() {
            words if words.starts_with(DUPLICATE) => InspectionError::DuplicateKey,
            words if words.starts_with("recursion limit") => InspectionError::TooDeep,
            _ => InspectionError::NotJson,
        })
    }
}

/// The tokens of a JSON pointer, with `~1` and `~0` undone.
pub(super) fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// Calls `found` for each value at this pointer (`*`: each element), in the order of the text.
pub fn each<'v>(value: &'v Value, pointer: &str, found: &mut dyn FnMut(&'v Value)) {
    let tokens: Vec<String> = tokens(pointer).collect();
    walk(value, &tokens, found);
}

fn walk<'v>(value: &'v Value, tokens: &[String], found: &mut dyn FnMut(&'v Value)) {
    let Some((token, rest)) = tokens.split_first() else {
        found(value);
        return;
    };
    match value {
        Value::Array(elements) if token == "*" => {
            elements.iter().for_each(|element| walk(element, rest, found));
        }
        Value::Object(members) => {
            if let Some(member) = members.get(token) {
                walk(member, rest, found);
            }
        }
        _ => {}
    }
}

struct Seed<'s>(&'s Selection);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.names.is_empty() && self.0.elements.is_none() && !self.0.whole {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

/// The selection below a wanted whole: everything.
static WHOLE: Selection = Selection { whole: true, names: Vec::new(), elements: None };

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        // Where only something below is wanted, a text has nothing of it.
        Ok(if self.0.whole { value.into() } else { Value::Null })
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.0.elements.as_deref().or(self.0.whole.then_some(&WHOLE));
        let mut elements = Vec::new();
        match below {
            Some(below) => {
                while let Some(element) = access.next_element_seed(Seed(below))? {
                    elements.push(element);
                }
            }
            None => while access.next_element::<IgnoredAny>()?.is_some() {},
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key_seed(Names(self.0))? {
            let (name, below) = match name {
                Name::Wanted(at) => (self.0.names[at].0.clone(), &self.0.names[at].1),
                Name::Any(name) => (name, &WHOLE),
                Name::Skipped => {
                    access.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = access.next_value_seed(Seed(below))?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(members))
    }
}

/// Reads a name of an object without keeping it, unless it is wanted.
struct Names<'s>(&'s Selection);

enum Name {
    Wanted(usize),
    Any(String),
    Skipped,
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Names<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(match self.0.names.iter().position(|(wanted, _)| wanted == name) {
            Some(at) => Name::Wanted(at),
            None if self.0.whole => Name::Any(name.to_owned()),
            None => Name::Skipped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selection(pointers: &[&str]) -> Selection {
        let mut selection = Selection::default();
        pointers.iter().for_each(|pointer| selection.add(pointer));
        selection
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let body = br#"{"fields":{"text":"secret"},"sys":{"id":"e1","token":"secret","type":"Entry"},
            "items":[{"sys":{"id":"a"}},{"other":1},7,{"sys":{"id":"b"}}],"a/b":1}"#;
        let selection = selection(&["/sys/id", "/items/*/sys/id", "/a~1b", "/absent/x"]);
        let read = selection.read(body).unwrap();
        assert_eq!(
            read,
            json!({"sys": {"id": "e1"}, "items": [{"sys": {"id": "a"}}, {}, 7, {"sys": {"id": "b"}}], "a/b": 1})
        );
        let mut ids = Vec::new();
        each(&read, "/items/*/sys/id", &mut |id| ids.push(id.clone()));
        assert_eq!(ids, [json!("a"), json!("b")]);
    }

    #[test]
    fn what_is_hostile_has_a_clear_outcome() {
        let selection = selection(&["/sys/id", "/deep"]);
        let deep = |key: &str| format!("{{\"{key}\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(selection.read(deep("deep").as_bytes()), Err(InspectionError::TooDeep));
        // Depth where nobody looks costs nothing.
        assert_eq!(selection.read(deep("other").as_bytes()), Ok(json!({})));
        assert_eq!(selection.read(b"{\"a\":\"\xff\"}"), Err(InspectionError::NotJson));
        assert_eq!(selection.read(b"{\"a\":1} x"), Err(InspectionError::NotJson));
        assert_eq!(selection.read(b"<html>"), Err(InspectionError::NotJson));
        let twice = br#"{"sys":{"id":"a","id":"b"}}"#;
        assert_eq!(selection.read(twice), Err(InspectionError::DuplicateKey));
        assert_eq!(selection.read(br#"{"x":1,"x":2,"sys":{"id":"a"}}"#), Ok(json!({"sys": {"id": "a"}})));
        assert_eq!(selection.read(b"[1,2]"), Ok(json!([])));
        assert_eq!(selection.read(b"\"text\""), Ok(Value::Null));
    }
}
