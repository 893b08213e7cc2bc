//! The `contentful-legacy` format: the very shape that Contentful's audit logs had as JSON, for
//! tools that were built on it. An array of events after OCSF 6001, with ids as text and a time
//! that has a space; it is no valid OCSF.

use super::facts::Facts;
use super::json::Json;
use super::ocsf::{Class, activity};
use super::time::{Timestamps, Writer};
use super::{Encoder, Entry, Framing};
use crate::record::Field;

/// Encodes elements of the array.
#[derive(Debug)]
pub struct ContentfulLegacy {
    time: Writer,
    extra: Vec<u8>,
}

impl ContentfulLegacy {
    /// An encoder that adds these constants to each event.
    #[must_use]
    pub fn new(extra: &[(String, String)]) -> Self {
        Self { time: Writer::new(Timestamps::Microseconds), extra: super::constants(extra) }
    }
}

impl Encoder for ContentfulLegacy {
    fn name(&self) -> &'static str {
        "contentful-legacy"
    }

    fn extension(&self) -> &'static str {
        "json"
    }

    fn framing(&self) -> Framing {
        Framing::Array
    }

    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let facts = Facts::new(entry);
        let (id, name) = activity(&facts, Class::WebResourcesActivity);
        out.push(b'{');
        let mut json = Json::new(out);
        json.text("\"activity_name\":", name);
        json.number("\"activity_id\":", id);
        json.word("\"category_uid\":", "6");
        json.word("\"class_uid\":", "6001");
        json.word("\"type_uid\":", itoa::Buffer::new().format(600_100 + id));
        json.key("\"time\":\"");
        let from = json.out.len();
        self.time.push(json.out, facts.record.start());
        // `2026-04-09T14:22:11.123456Z` becomes `2026-04-09 14:22:11.123`.
        json.out[from + 10] = b' ';
        json.out.truncate(from + 23);
        json.out.push(b'"');
        json.open("\"actor\":");
        let kind: &[u8] = match facts.actor_type() {
            b"user" => b"User",
            b"app" => b"App",
            b"api_key" => b"ApiKey",
            b"service" => b"Service",
            b"anonymous" => b"Anonymous",
            b"" => b"Unknown",
            other => other,
        };
        json.text("\"type\":", kind);
        json.text("\"id\":", facts.actor_id());
        json.close();
        json.open("\"http_request\":");
        let text = |field| if facts.is_own() { b"" } else { facts.text(field) };
        json.text("\"http_method\":", text(Field::Method));
        json.open("\"url\":");
        json.text("\"path\":", text(Field::Path));
        json.close();
        json.close();
        json.open("\"http_response\":");
        json.number("\"code\":", facts.record.integer(Field::Status).unwrap_or(0));
        json.close();
        json.open_list("\"web_resources\":");
        let own = (text(Field::ResourceType), text(Field::ResourceId));
        for (kind, id) in [own].into_iter().filter(|own| *own != (b"", b"")).chain(facts.resources()) {
            json.open("");
            json.text("\"type\":", kind);
            json.text("\"uid\":", id);
            json.close();
        }
        json.close_list();
        json.open("\"metadata\":");
        json.word("\"version\":", "1.3.0");
        json.text("\"uid\":", facts.id());
        json.close();
        json.out.extend_from_slice(&self.extra);
        json.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{CONTEXT, OWN_CONTEXT, awkward_records, full, golden, own};
    use crate::record::{RecordView, RecordWriter};
    use serde_json::{Value, json};

    fn encode(record: &[u8], own: bool) -> String {
        let record = RecordView::parse(record).unwrap();
        let context = if own { OWN_CONTEXT } else { CONTEXT };
        let mut out = Vec::new();
        let entry = Entry { record: &record, context, enrichment: None };
        ContentfulLegacy::new(&[]).encode(&entry, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The keys of a value, with those below it, and the type of each.
    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), shape(v))).collect()),
            Value::Array(list) => Value::Array(list.iter().take(1).map(shape).collect()),
            Value::String(_) => json!("text"),
            Value::Number(_) => json!("number"),
            other => other.clone(),
        }
    }

    #[test]
    fn an_event_is_the_sample_of_the_reference() {
        let mut bytes = Vec::new();
        let mut w = RecordWriter::new(&mut bytes);
        w.bytes(Field::EventId, &[1; 16]);
        w.integer(Field::Start, 1_752_622_746_688_999);
        w.integer(Field::Status, 200);
        w.text(Field::Method, "PATCH");
        w.text(Field::Path, "/spaces/s/environments/master/entries/e");
        w.text(Field::Action, "update");
        w.text(Field::ActorType, "user");
        w.text(Field::ActorId, "u");
        w.text(Field::ResourceType, "Entry");
        w.text(Field::ResourceId, "e");
        let event: Value = serde_json::from_str(&encode(&bytes, false)).unwrap();
        let sample = json!({
            "activity_name": "Update", "activity_id": 3, "category_uid": "6", "class_uid": "6001",
            "type_uid": "600103", "time": "2025-07-15 23:39:06.688",
            "actor": {"type": "User", "id": "u"},
            "http_request": {"http_method": "PATCH", "url": {"path": "/spaces/s/environments/master/entries/e"}},
            "http_response": {"code": 200},
            "web_resources": [{"type": "Entry", "uid": "e"}],
            "metadata": {"version": "1.3.0", "uid": "01010101-0101-0101-0101-010101010101"},
        });
        assert_eq!(event, sample);
        for record in awkward_records() {
            let event: Value = serde_json::from_str(&encode(&record, false)).unwrap();
            let mut wanted = shape(&sample);
            if event["web_resources"] == json!([]) {
                wanted["web_resources"] = json!([]);
            }
            assert_eq!(shape(&event), wanted, "{event:#}");
        }
    }

    #[test]
    fn no_event_changes_from_one_build_to_the_next() {
        golden(
            "contentful-legacy.json",
            &format!("[\n{},\n{}\n]\n", encode(&full(), false), encode(&own(), true)),
        );
    }
}
