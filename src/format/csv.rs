//! The `csv` format: the columns of the reference, by RFC 4180, and further ones by name.
//!
//! A row is always one line: control characters in a cell, line ends among them, become spaces.
//! A cell that a spreadsheet would run as a formula gets an apostrophe before it.

use super::attributes::Attributes;
use super::escape::push_escaped;
use super::facts::Facts;
use super::time::{Timestamps, Writer};
use super::{Encoder, Entry, Flat, Framing};
use crate::record::Field;
use serde_json::Value;

const HEADER: &str = "request_time,request_method,request_path,request_query,response_status,content_length,space,route,referrer,actor_id";

/// Encodes rows of a CSV file.
#[derive(Debug)]
pub struct Csv {
    time: Writer,
    columns: Vec<String>,
    extra: Vec<(String, String)>,
    /// The names of the further columns as they stand in flat lines.
    escaped: Vec<Vec<u8>>,
    flat: Flat,
    namespace: Vec<u8>,
    scratch: Vec<u8>,
}

impl Csv {
    /// An encoder with these attributes of the flat format, and these constants, as further columns.
    #[must_use]
    pub fn new(timestamps: Timestamps, columns: &[String], extra: &[(String, String)]) -> Self {
        Self {
            time: Writer::new(timestamps),
            columns: columns.to_vec(),
            extra: extra.to_vec(),
            escaped: columns.iter().map(|name| escaped(name)).collect(),
            flat: Flat::new(timestamps),
            namespace: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The further columns, from the record's flat form.
    fn further(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.scratch.clear();
        self.flat.encode(entry, &mut self.scratch);
        let namespace = entry.record.bytes(Field::Namespace).filter(|name| !name.is_empty());
        self.namespace.clear();
        push_escaped(&mut self.namespace, namespace.unwrap_or(b"api"));
        self.namespace.push(b'.');
        for name in &self.escaped {
            let value = |wanted: &dyn Fn(&[u8]) -> bool| {
                Attributes::new(&self.scratch).find_map(|(name, value)| wanted(name).then_some(value))
            };
            let value = value(&|found| found == name)
                .or_else(|| value(&|found| found.strip_prefix(&self.namespace[..]) == Some(name)));
            out.push(b',');
            match value {
                None => {}
                Some([b'"', text @ .., b'"']) if memchr::memchr(b'\\', text).is_none() => cell(out, text),
                // Texts with escapes, and lists.
                Some(value @ [b'"' | b'[', ..]) => match serde_json::from_slice(value) {
                    Ok(Value::String(text)) => cell(out, text.as_bytes()),
                    Ok(other) => cell(out, other.to_string().as_bytes()),
                    Err(_) => {}
                },
                Some(other) => cell(out, other),
            }
        }
    }
}

impl Encoder for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn extension(&self) -> &'static str {
        "csv"
    }

    fn framing(&self) -> Framing {
        let mut head = HEADER.as_bytes().to_vec();
        for name in self.columns.iter().chain(self.extra.iter().map(|(name, _)| name)) {
            head.push(b',');
            cell(&mut head, name.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        Framing::Lines { head }
    }

    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let facts = Facts::new(entry);
        let number = |out: &mut Vec<u8>, value| {
            out.push(b',');
            out.extend_from_slice(itoa::Buffer::new().format::<u64>(value).as_bytes());
        };
        self.time.push(out, facts.record.start());
        if facts.is_own() {
            // It has nothing of a request, but what further columns name.
            out.extend_from_slice(b",,,,,,,,,");
        } else {
            for field in [Field::Method, Field::Path, Field::Query] {
                out.push(b',');
                cell(out, facts.text(field));
            }
            number(out, facts.record.integer(Field::Status).unwrap_or(0));
            number(out, facts.record.integer(Field::ResponseBodySize).unwrap_or(0));
            for field in [Field::Space, Field::Route, Field::Referer] {
                out.push(b',');
                cell(out, facts.text(field));
            }
            out.push(b',');
        }
        self.scratch.clear();
        actor(&facts, &mut self.scratch);
        cell(out, &self.scratch);
        if !self.columns.is_empty() {
            self.further(entry, out);
        }
        for (_, value) in &self.extra {
            out.push(b',');
            cell(out, value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn escaped(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    push_escaped(&mut out, name.as_bytes());
    out
}

/// `user:ID`, `app:SPACE/ENVIRONMENT/ID`, `api_key:NAME`.
fn actor(facts: &Facts<'_>, out: &mut Vec<u8>) {
    let (kind, id, name) = (facts.actor_type(), facts.actor_id(), facts.actor_name());
    out.extend_from_slice(kind);
    let parts: &[&[u8]] = match kind {
        b"" => &[id],
        b"app" => &[b":", facts.text(Field::Space), b"/", facts.text(Field::Environment), b"/", id],
        b"api_key" if !name.is_empty() => &[b":", name],
        _ if id.is_empty() => &[],
        _ => &[b":", id],
    };
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends one cell.
fn cell(out: &mut Vec<u8>, value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    let quoted = text.contains(['"', ',', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
    if quoted {
        out.push(b'"');
    }
    // What spreadsheets take for the beginning of a formula, full-width forms included.
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        out.push(b'\'');
    }
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\"\""),
            0..0x20 | 0x7f => out.push(b' '),
            other => out.push(other),
        }
    }
    if quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{CONTEXT, OWN_CONTEXT, awkward_records, full, golden, own};
    use crate::record::{RecordView, RecordWriter};
    use proptest::prelude::*;

    fn encode(csv: &mut Csv, record: &[u8], own: bool) -> String {
        let record = RecordView::parse(record).unwrap();
        let context = if own { OWN_CONTEXT } else { CONTEXT };
        let mut out = Vec::new();
        csv.encode(&Entry { record: &record, context, enrichment: None }, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Reads one row as RFC 4180 says.
    fn read(row: &str) -> Vec<String> {
        let mut cells = vec![String::new()];
        let mut quoted = false;
        let mut rest = row.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(c) = rest.next() {
            let last = cells.last_mut().unwrap();
            match c {
                '"' if quoted && rest.peek() == Some(&'"') => last.push(rest.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => last.push(c),
            }
        }
        assert!(!quoted, "{row}");
        cells
    }

    #[test]
    fn no_row_changes_from_one_build_to_the_next() {
        let columns = ["event.id", "space.id", "event.outcome", "resources"].map(str::to_owned);
        let mut csv = Csv::new(Timestamps::Seconds, &columns, &[("deployment".to_owned(), "a,b".to_owned())]);
        let mut text = String::from_utf8(csv.framing().head().to_vec()).unwrap();
        text += &encode(&mut csv, &full(), false);
        text += &encode(&mut csv, &own(), true);
        golden("csv.csv", &text);
        let mut plain = Csv::new(Timestamps::Microseconds, &[], &[]);
        assert_eq!(plain.framing().head(), format!("{HEADER}\r\n").as_bytes());
        assert_eq!(read(&encode(&mut plain, &full(), false)).len(), 10);
    }

    #[test]
    fn actors_are_written_as_the_reference_writes_them() {
        let mut csv = Csv::new(Timestamps::Microseconds, &[], &[]);
        for (kind, id, name, wanted) in [
            ("user", "2YVRzNgF2sE64ooav1eKSd", "Ann", "user:2YVRzNgF2sE64ooav1eKSd"),
            ("app", "kl46", "", "app:6zse/master/kl46"),
            ("api_key", "k1", "web", "api_key:web"),
            ("api_key", "k1", "", "api_key:k1"),
            ("service", "s", "", "service:s"),
            ("anonymous", "", "", "anonymous"),
            ("", "", "", ""),
        ] {
            let mut bytes = Vec::new();
            let mut w = RecordWriter::new(&mut bytes);
            w.text(Field::Space, "6zse");
            w.text(Field::Environment, "master");
            w.text(Field::ActorType, kind);
            w.text(Field::ActorId, id);
            w.text(Field::ActorName, name);
            assert_eq!(read(&encode(&mut csv, &bytes, false)).pop().unwrap(), wanted);
        }
    }

    #[test]
    fn awkward_records_are_rows_of_as_many_cells_and_none_is_a_formula() {
        let mut csv = Csv::new(Timestamps::Microseconds, &["user_agent.original".to_owned()], &[]);
        for record in awkward_records() {
            let row = encode(&mut csv, &record, false);
            assert_eq!(row.matches('\n').count(), 1, "{row}");
            let cells = read(&row);
            assert_eq!(cells.len(), 11, "{row}");
            assert!(cells.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{row}");
        }
    }

    proptest! {
        #[test]
        fn any_cell_is_read_back(value in "[ -~é漢＝]{0,30}") {
            let mut out = Vec::new();
            cell(&mut out, value.as_bytes());
            out.extend_from_slice(b"\r\n");
            let cells = read(std::str::from_utf8(&out).unwrap());
            prop_assert_eq!(cells.len(), 1);
            let formula = value.starts_with(['=', '+', '-', '@', '＝']);
            prop_assert_eq!(&cells[0], &format!("{}{value}", if formula { "'" } else { "" }));
        }
    }
}
