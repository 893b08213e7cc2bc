//! Delivered records, as a reader of the objects finds them.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// One record and the object that it came in.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) attributes: Map<String, Value>,
    /// Path of the object below the destination.
    pub(crate) object: String,
}

impl Record {
    /// A string attribute; empty where it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.attributes.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// An integer attribute.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.attributes.get(name).and_then(Value::as_i64)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    pub(crate) fn status(&self) -> i64 {
        self.int("http.response.status_code").unwrap_or(-1)
    }

    pub(crate) fn outcome(&self) -> &str {
        self.text("event.outcome")
    }

    pub(crate) fn error(&self) -> &str {
        self.text("error.type")
    }

    /// Bytes of the response body.
    pub(crate) fn size(&self) -> i64 {
        self.int("http.response.body.size").unwrap_or(-1)
    }

    /// Bytes of the request body; 0 where it says nothing.
    pub(crate) fn request_size(&self) -> i64 {
        self.int("http.request.body.size").unwrap_or(0)
    }

    /// `id` in the query.
    pub(crate) fn id(&self) -> Option<u64> {
        super::client::decode_form(self.text("url.query"))
            .into_iter()
            .find(|(key, _)| key == "id")
            .and_then(|(_, id)| id.parse().ok())
    }

    /// True for an exchange, false for a record that the gateway makes about itself.
    pub(crate) fn is_exchange(&self) -> bool {
        self.has("http.response.status_code")
    }

    fn lane(&self) -> (String, i64) {
        (self.text("onrecord.boot").to_owned(), self.int("onrecord.lane").unwrap_or(-1))
    }
}

/// Reads objects; what was read once is kept, since objects never change.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    read: HashMap<PathBuf, Vec<Record>>,
}

impl Objects {
    /// All records of exchanges below a destination's folder.
    pub(crate) fn records(&mut self, folder: &Path) -> Vec<Record> {
        self.all(folder).into_iter().filter(Record::is_exchange).collect()
    }

    /// All of the gateway's own records below a destination's folder.
    pub(crate) fn own(&mut self, folder: &Path) -> Vec<Record> {
        self.all(folder).into_iter().filter(|record| !record.is_exchange()).collect()
    }

    fn all(&mut self, folder: &Path) -> Vec<Record> {
        let mut paths = Vec::new();
        find_objects(folder, &mut paths);
        paths.sort();
        for path in &paths {
            if !self.read.contains_key(path) {
                self.read.insert(path.clone(), read_object(folder, path));
            }
        }
        paths.iter().flat_map(|path| &self.read[path]).cloned().collect()
    }
}

/// Every `*.jsonl.gz` below a folder, without what is hidden or begins with `_`.
pub(crate) fn find_objects(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name.starts_with('_') {
            continue;
        }
        if entry.path().is_dir() {
            find_objects(&entry.path(), into);
        } else if name.ends_with(".jsonl.gz") {
            into.push(entry.path());
        }
    }
}

fn read_object(folder: &Path, path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.ends_with('\n'), "{} does not end with a whole line", path.display());
    let object = path.strip_prefix(folder).unwrap().display().to_string();
    text.lines()
        .map(|line| {
            let attributes = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error} in {line}", path.display()));
            Record { attributes, object: object.clone() }
        })
        .collect()
}

/// The one record whose query or path contains this text.
pub(crate) fn one<'a>(records: &'a [Record], part: &str) -> &'a Record {
    let found: Vec<&Record> = records
        .iter()
        .filter(|record| record.text("url.query").contains(part) || record.text("url.path").contains(part))
        .collect();
    assert_eq!(found.len(), 1, "records with `{part}`: {found:#?}\nall: {}", list(records));
    found[0]
}

/// One short line a record, for messages.
pub(crate) fn list(records: &[Record]) -> String {
    use std::fmt::Write;
    records.iter().take(60).fold(String::new(), |mut out, record| {
        let _ = write!(
            out,
            "\n  {} {}?{} -> {} {} {} size={} lane={} sequence={}",
            record.text("http.request.method"),
            record.text("url.path"),
            record.text("url.query"),
            record.status(),
            record.outcome(),
            record.error(),
            record.size(),
            record.int("onrecord.lane").unwrap_or(-1),
            record.int("onrecord.sequence").unwrap_or(-1),
        );
        out
    })
}

/// No event id twice, and no (boot, lane, sequence) twice.
pub(crate) fn assert_no_duplicates(records: &[Record]) {
    let mut ids = HashSet::new();
    let mut places = HashSet::new();
    for record in records {
        assert!(ids.insert(record.text("event.id")), "event.id twice: {record:#?}");
        let place = (record.lane(), record.int("onrecord.sequence"));
        assert!(places.insert(place), "a sequence twice: {record:#?}");
    }
}

/// No number is missing in any lane: what the records of a run without any loss show.
pub(crate) fn assert_gapless(records: &[Record]) {
    assert_no_duplicates(records);
    let mut lanes: BTreeMap<(String, i64), Vec<i64>> = BTreeMap::new();
    for record in records {
        lanes.entry(record.lane()).or_default().push(record.int("onrecord.sequence").unwrap_or(-1));
    }
    for (lane, mut sequences) in lanes {
        sequences.sort_unstable();
        let expected: Vec<i64> = (0..sequences.len() as i64).collect();
        assert_eq!(sequences, expected, "sequences of lane {lane:?}: {}", list(records));
    }
}

/// The 14 attributes of the reference schema are always there, and the record's
/// partition is that of its own source and day.
pub(crate) fn assert_well_formed(record: &Record, namespace: &str) {
    for name in ["organization.id", "space.id", "cache.status", "request.id"] {
        let name = format!("{namespace}.{name}");
        assert!(record.attributes.get(&name).is_some_and(Value::is_string), "`{name}` in {record:#?}");
    }
    for name in ["event.start", "event.end", "http.request.method", "http.route", "url.path", "url.query"] {
        assert!(record.attributes.get(name).is_some_and(Value::is_string), "`{name}` in {record:#?}");
    }
    for name in ["duration.microseconds", "http.response.status_code", "http.response.body.size"] {
        assert!(record.attributes.get(name).is_some_and(Value::is_u64), "`{name}` in {record:#?}");
    }
    assert!(record.attributes.contains_key("user_agent.original"), "{record:#?}");
    let start = record.text("event.start");
    let day = format!("year={}/month={}/day={}/", &start[..4], &start[5..7], &start[8..10]);
    assert!(record.object.contains(&day), "{start} lies in {}", record.object);
}
