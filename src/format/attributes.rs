//! The attributes of a flat line by name, without making a tree of it.

/// Walks a line that the flat encoder wrote: each attribute's name and value as they stand there,
/// escapes and quotes included.
pub(super) struct Attributes<'l> {
    rest: &'l [u8],
}

impl<'l> Attributes<'l> {
    /// Walks `line`; of what is no such line, as much as is understood.
    pub(super) fn new(line: &'l [u8]) -> Self {
        Self { rest: line.strip_prefix(b"{").unwrap_or_default() }
    }
}

impl<'l> Iterator for Attributes<'l> {
    type Item = (&'l [u8], &'l [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let inner = self.rest.strip_prefix(b"\"")?;
        let end = string_end(inner)?;
        let (name, value) = (&inner[..end], inner.get(end + 1..)?.strip_prefix(b":")?);
        let (value, rest) = value.split_at_checked(value_end(value)?)?;
        self.rest = rest.strip_prefix(b",").unwrap_or_default();
        Some((name, value))
    }
}

/// Where the quote stands that ends a string, behind the one that begins it.
fn string_end(inner: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', inner.get(at..)?)?;
        if inner[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Where a value is over.
fn value_end(value: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_u32);
    loop {
        match value.get(at)? {
            b'"' => at += string_end(value.get(at + 1..)?)? + 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{CONTEXT, awkward_records, full};
    use crate::format::{Encoder as _, Entry, Flat, Timestamps};
    use crate::record::RecordView;
    use serde_json::{Map, Value};

    #[test]
    fn every_attribute_of_every_line_is_found() {
        for record in awkward_records().into_iter().chain([full()]) {
            let record = RecordView::parse(&record).unwrap();
            let mut line = Vec::new();
            let entry = Entry { record: &record, context: CONTEXT, enrichment: None };
            Flat::new(Timestamps::Microseconds).encode(&entry, &mut line);
            let found: Map<String, Value> = Attributes::new(&line)
                .map(|(name, value)| {
                    let name = format!("\"{}\"", std::str::from_utf8(name).unwrap());
                    (serde_json::from_str(&name).unwrap(), serde_json::from_slice(value).unwrap())
                })
                .collect();
            assert_eq!(Value::Object(found), serde_json::from_slice::<Value>(&line).unwrap());
        }
    }

    #[test]
    fn what_is_no_line_has_no_end_to_be_looked_for() {
        for text in ["", "{", "{\"", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":[\"", "{\"a\":\"\\", "[1]"] {
            assert_eq!(Attributes::new(text.as_bytes()).count(), 0, "{text}");
        }
    }
}
