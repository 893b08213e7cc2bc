//! From a flat line back to the record that it was made of, for conversion to other formats.

use crate::format::time::unix_microseconds;
use crate::record::{CacheStatus, ErrorType, Field, InspectionError, OwnValue, RecordWriter, SELF_LANE};
use serde_json::{Map, Value};
use thiserror::Error;

/// A record that was read from a flat line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatRecord {
    /// Its byte form.
    pub bytes: Vec<u8>,
    /// The instance that captured it.
    pub instance: String,
    /// The boot.
    pub boot: String,
    /// The lane.
    pub lane: u16,
    /// The sequence.
    pub sequence: u64,
    /// `actor.unverified`, `actor.issuer`, `actor.app.id`, `actor.delegate.id`, which records don't hold.
    pub found: [Option<String>; 4],
}

/// Why a line is no flat record.
#[derive(Debug, Error)]
pub enum FlatError {
    /// Not a JSON object.
    #[error("the line is no JSON object")]
    Json(#[from] serde_json::Error),
    /// An attribute that each record has is missing, or is of another type.
    #[error("the record has no `{0}` of the right type")]
    Missing(&'static str),
}

const TEXTS: [(&str, Field); 34] = [
    ("cache.detail", Field::CacheDetail),
    ("http.request.method", Field::Method),
    ("http.request.method_override", Field::MethodOverride),
    ("http.route", Field::Route),
    ("url.path", Field::Path),
    ("url.query", Field::Query),
    ("user_agent.original", Field::UserAgent),
    ("user_agent.product", Field::UserAgentProduct),
    ("http.request.header.referer", Field::Referer),
    ("event.action", Field::Action),
    ("event.category", Field::Category),
    ("origin.type", Field::OriginType),
    ("session.id", Field::SessionId),
    ("resource.type", Field::ResourceType),
    ("resource.id", Field::ResourceId),
    ("actor.type", Field::ActorType),
    ("actor.id", Field::ActorId),
    ("actor.name", Field::ActorName),
    ("actor.email", Field::ActorEmail),
    ("actor.provenance", Field::ActorProvenance),
    ("actor.authentication", Field::ActorAuthentication),
    ("actor.credential.key", Field::CredentialKey),
    ("client.address", Field::ClientAddress),
    ("tls.protocol.version", Field::TlsVersion),
    ("tls.client.subject", Field::TlsClientSubject),
    ("upstream.address", Field::UpstreamAddress),
    (".organization.id", Field::Organization),
    (".space.id", Field::Space),
    (".environment.id", Field::Environment),
    (".request.id", Field::UpstreamRequestId),
    ("event.action.candidates", Field::ActionCandidate),
    ("origin.evidence", Field::OriginEvidence),
    ("trace.id", Field::TraceId),
    ("span.id", Field::SpanId),
];

const NUMBERS: [(&str, Field); 8] = [
    ("duration.microseconds", Field::Duration),
    ("http.response.status_code", Field::Status),
    ("http.response.body.size", Field::ResponseBodySize),
    ("http.request.body.size", Field::RequestBodySize),
    ("resources_truncated", Field::ResourcesTruncated),
    ("client.port", Field::ClientPort),
    ("upstream.duration.microseconds", Field::UpstreamDuration),
    ("upstream.attempts", Field::UpstreamAttempts),
];

/// Attributes that are read apart from the tables above, or that other attributes say.
const APART: [&str; 19] = [
    "event.id",
    "event.start",
    "event.end",
    "event.outcome",
    "resources",
    "error.type",
    "inspection.error",
    "network.protocol.version",
    "actor.credential.id",
    "actor.unverified",
    "actor.issuer",
    "actor.app.id",
    "actor.delegate.id",
    "onrecord.instance",
    "onrecord.boot",
    "onrecord.lane",
    "onrecord.sequence",
    "schema.version",
    "log_source",
];

/// Reads one flat line; `source` is the log source, which only the object's key says.
///
/// # Errors
/// [`FlatError`]. Attributes of later versions are left out.
pub fn read(line: &[u8], source: &str) -> Result<FlatRecord, FlatError> {
    let attributes: Map<String, Value> = serde_json::from_slice(line)?;
    let text = |name: &'static str| attributes.get(name).and_then(Value::as_str).unwrap_or_default();
    let number =
        |name: &'static str| attributes.get(name).and_then(Value::as_u64).ok_or(FlatError::Missing(name));
    let lane = u16::try_from(number("onrecord.lane")?).map_err(|_| FlatError::Missing("onrecord.lane"))?;
    let mut bytes = Vec::with_capacity(line.len());
    let mut w = RecordWriter::new(&mut bytes);
    let id: Option<uuid::Uuid> = text("event.id").parse().ok();
    if let Some(id) = id {
        w.bytes(Field::EventId, id.as_bytes());
    }
    w.integer(Field::Start, unix_microseconds(text("event.start")).ok_or(FlatError::Missing("event.start"))?);
    w.text(Field::Source, source);
    let outcome = crate::record::Outcome::ALL.iter().find(|known| known.as_str() == text("event.outcome"));
    w.integer(Field::Outcome, outcome.map_or(0, |known| *known as u64));
    for (name, value) in &attributes {
        attribute(&mut w, name, value, text("event.id"), lane == SELF_LANE);
    }
    let owned = |name| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(FlatRecord {
        bytes,
        instance: text("onrecord.instance").to_owned(),
        boot: text("onrecord.boot").to_owned(),
        lane,
        sequence: number("onrecord.sequence")?,
        found: ["actor.unverified", "actor.issuer", "actor.app.id", "actor.delegate.id"].map(owned),
    })
}

fn attribute(w: &mut RecordWriter<'_>, name: &str, value: &Value, id: &str, is_own: bool) {
    let word = value.as_str().unwrap_or_default();
    match name {
        "resources" => {
            for resource in value.as_array().into_iter().flatten() {
                let part = |name| resource.get(name).and_then(Value::as_str).unwrap_or_default();
                w.bytes(Field::Resources, format!("{}\0{}", part("type"), part("id")).as_bytes());
            }
        }
        "error.type" => {
            if let Some(known) = ErrorType::ALL.iter().find(|known| known.as_str() == word) {
                w.integer(Field::ErrorType, *known as u64);
            }
        }
        "inspection.error" => {
            if let Some(known) = InspectionError::ALL.iter().find(|known| known.as_str() == word) {
                w.integer(Field::InspectionError, *known as u64);
            }
        }
        "network.protocol.version" => {
            let version = match word {
                "1.0" => 10,
                "1.1" => 11,
                "2" => 20,
                _ => 30,
            };
            w.integer(Field::ProtocolVersion, version);
        }
        "trace.id" | "span.id" | "actor.credential.id" => {
            let field = match name {
                "trace.id" => Field::TraceId,
                "span.id" => Field::SpanId,
                _ => Field::CredentialId,
            };
            if let Some(bytes) = unhex(word) {
                w.bytes(field, &bytes);
            }
        }
        _ => {
            if let Some((_, field)) = NUMBERS.iter().find(|(known, _)| *known == name) {
                if let Some(number) = value.as_u64() {
                    w.integer(*field, number);
                }
            } else if let Some((_, field)) = TEXTS.iter().find(|(known, _)| *known == name) {
                match value {
                    Value::Array(list) => {
                        list.iter()
                            .filter_map(Value::as_str)
                            .for_each(|text| w.bytes(*field, text.as_bytes()));
                    }
                    _ => w.text(*field, word),
                }
            } else if is_own && !APART.contains(&name) {
                own(w, name, value);
            } else if !is_own {
                namespaced(w, name, word, id);
            }
        }
    }
}

/// Attributes that begin with the source's namespace.
fn namespaced(w: &mut RecordWriter<'_>, name: &str, word: &str, id: &str) {
    if let Some(namespace) = name.strip_suffix(".organization.id") {
        w.text(Field::Namespace, namespace);
    }
    if name.ends_with(".cache.status") {
        if let Some(known) = CacheStatus::ALL.iter().find(|known| known.as_str() == word) {
            w.integer(Field::CacheStatus, *known as u64);
        }
        return;
    }
    let found = TEXTS.iter().find(|(known, _)| known.starts_with('.') && name.ends_with(known));
    let Some((_, field)) = found.filter(|_| !APART.contains(&name)) else { return };
    // Without an id of the upstream, it is the event's.
    if *field != Field::UpstreamRequestId || word != id {
        w.text(*field, word);
    }
}

fn own(w: &mut RecordWriter<'_>, name: &str, value: &Value) {
    match value {
        Value::String(text) => w.own(name, OwnValue::Text(text.as_bytes())),
        Value::Bool(flag) => w.own(name, OwnValue::Flag(*flag)),
        Value::Number(number) => w.own(name, OwnValue::Number(number.as_i64().unwrap_or(i64::MAX))),
        Value::Array(list) => {
            list.iter()
                .filter_map(Value::as_str)
                .for_each(|text| w.own(name, OwnValue::Element(text.as_bytes())));
        }
        _ => {}
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.bytes().map(|c| char::from(c).to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{CONTEXT, OWN_CONTEXT, awkward_records, catalogue_records, own};
    use crate::format::{Context, Encoder as _, Entry, Flat, Timestamps};
    use crate::record::RecordView;

    fn line(record: &[u8], context: Context<'_>) -> String {
        let record = RecordView::parse(record).unwrap();
        let mut out = Vec::new();
        Flat::new(Timestamps::Microseconds)
            .encode(&Entry { record: &record, context, enrichment: None }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_that_is_read_and_written_again_is_the_same_line() {
        let exchanges =
            catalogue_records().into_iter().chain(awkward_records()).map(|record| (record, CONTEXT));
        for (record, context) in exchanges.chain([(own(), OWN_CONTEXT)]) {
            let first = line(&record, context);
            let read = read(first.as_bytes(), "cma").unwrap();
            assert_eq!((read.lane, read.sequence), (context.lane, context.sequence));
            let again: Value = serde_json::from_str(&line(&read.bytes, context)).unwrap();
            assert_eq!(again, serde_json::from_str::<Value>(&first).unwrap());
        }
    }

    #[test]
    fn lines_of_the_version_before_are_read() {
        for name in ["flat-full.jsonl", "flat-full-seconds.jsonl", "flat-own.jsonl", "flat-empty.jsonl"] {
            let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read(path).unwrap();
            read(text.trim_ascii_end(), "cma").unwrap();
        }
        assert!(matches!(read(b"[]", "cma"), Err(FlatError::Json(_))));
        assert!(matches!(read(b"{}", "cma"), Err(FlatError::Missing("onrecord.lane"))));
    }
}
