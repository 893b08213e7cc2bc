//! Reads the keys of one table of a catalogue, collecting every problem.

use super::problem::{CatalogueFault, CatalogueProblem};
use http::HeaderName;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Where in a catalogue a table stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) catalogue: String,
    pub(super) row: Option<usize>,
    pub(super) route: Option<String>,
    /// Put before keys: empty, or ends with a dot.
    pub(super) prefix: String,
}

impl Place {
    pub(super) fn problem(&self, key: Option<&str>, fault: CatalogueFault) -> CatalogueProblem {
        CatalogueProblem {
            catalogue: self.catalogue.clone(),
            row: self.row,
            route: self.route.clone(),
            key: key.map(|key| format!("{}{key}", self.prefix)),
            fault,
        }
    }
}

/// A table whose keys are taken one by one; what is left at the end is unknown.
pub(super) struct Reader<'a> {
    map: Map<String, Value>,
    known: Vec<&'static str>,
    pub(super) place: Place,
    pub(super) problems: &'a mut Vec<CatalogueProblem>,
}

impl<'a> Reader<'a> {
    /// Reads `value` as a table; anything else is reported and reads as empty.
    pub(super) fn new(value: Value, place: Place, problems: &'a mut Vec<CatalogueProblem>) -> Self {
        let map = match value {
            Value::Object(map) => map,
            other => {
                problems.push(
                    place.problem(None, CatalogueFault::Form(format!("not a table but {}", kind(&other)))),
                );
                Map::new()
            }
        };
        Self { map, known: Vec::new(), place, problems }
    }

    pub(super) fn report(&mut self, key: &str, fault: CatalogueFault) {
        let problem = self.place.problem(Some(key), fault);
        self.problems.push(problem);
    }

    /// The value of this key; absent and null are one.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        let value = self.map.remove(key).filter(|value| !value.is_null())?;
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(key, CatalogueFault::Form(error.to_string()));
                None
            }
        }
    }

    /// As [`Self::take`], and its absence is a problem.
    pub(super) fn require<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        if self.map.get(key).is_none_or(Value::is_null) {
            self.known.push(key);
            self.map.remove(key);
            self.report(key, CatalogueFault::Missing);
            return None;
        }
        self.take(key)
    }

    /// A header name.
    pub(super) fn header(&mut self, key: &'static str) -> Option<HeaderName> {
        let name: String = self.take(key)?;
        self.header_name(key, &name)
    }

    /// A list of header names.
    pub(super) fn headers(&mut self, key: &'static str) -> Vec<HeaderName> {
        let names: Vec<String> = self.take(key).unwrap_or_default();
        names.iter().filter_map(|name| self.header_name(key, name)).collect()
    }

    fn header_name(&mut self, key: &str, name: &str) -> Option<HeaderName> {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
        if parsed.is_none() {
            self.report(key, CatalogueFault::Form(format!("`{name}` is not a header name")));
        }
        parsed
    }

    /// A JSON pointer (RFC 6901), in which `*` stands for every element.
    pub(super) fn pointer(&mut self, key: &'static str) -> Option<String> {
        let text: String = self.take(key)?;
        if text.starts_with('/') {
            return Some(text);
        }
        self.report(key, CatalogueFault::Form(format!("`{text}` is not a JSON pointer, such as /sys/id")));
        None
    }

    /// A list of JSON pointers.
    pub(super) fn pointers(&mut self, key: &'static str) -> Vec<String> {
        let pointers: Vec<String> = self.take(key).unwrap_or_default();
        if let Some(wrong) = pointers.iter().find(|text| !text.starts_with('/')) {
            let fault = format!("`{wrong}` is not a JSON pointer, such as /sys/id");
            self.report(key, CatalogueFault::Form(fault));
        }
        pointers
    }

    /// A placeholder, written `:name`; its name.
    pub(super) fn placeholder(&mut self, key: &'static str) -> Option<String> {
        let text: String = self.take(key)?;
        match text.strip_prefix(':').filter(|name| !name.is_empty()) {
            Some(name) => Some(name.to_owned()),
            None => {
                self.report(key, CatalogueFault::Form(format!("`{text}` is not written `:placeholder`")));
                None
            }
        }
    }

    /// Reports every key that nobody took.
    pub(super) fn finish(mut self) {
        for key in std::mem::take(&mut self.map).keys() {
            let nearest = self
                .known
                .iter()
                .map(|known| (distance(known, key), *known))
                .min()
                .filter(|(distance, known)| *distance <= known.len() / 3)
                .map(|(_, known)| known.to_owned());
            self.report(key, CatalogueFault::UnknownKey { nearest });
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// Edits (one character put in, taken out or changed) from one word to another.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
