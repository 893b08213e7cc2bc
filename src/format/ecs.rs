//! The `ecs` format: Elastic Common Schema, one nested JSON object a line.
//!
//! What ECS has a field for stands there, with its type; all else below `onrecord`, which is no
//! name of ECS. Objects are nested, so that readers that do not expand dots read it too.

use super::facts::Facts;
use super::json::Json;
use super::ocsf::own_attributes;
use super::time::{Timestamps, Writer};
use super::{Encoder, Entry};
use crate::record::{Field, Outcome, SCHEMA_VERSION};
use std::net::{IpAddr, SocketAddr};

/// The version of ECS that field names are taken from.
const VERSION: &str = "8.17.0";

/// Encodes ECS documents.
#[derive(Debug)]
pub struct Ecs {
    time: Writer,
    /// `labels`, if there are any.
    labels: Vec<u8>,
}

impl Ecs {
    /// An encoder with these constants as `labels`.
    #[must_use]
    pub fn new(extra: &[(String, String)]) -> Self {
        let mut labels = super::constants(extra);
        if !labels.is_empty() {
            labels[0] = b'{';
            labels.splice(0..0, *b",\"labels\":");
            labels.push(b'}');
        }
        Self { time: Writer::new(Timestamps::Microseconds), labels }
    }
}

impl Encoder for Ecs {
    fn name(&self) -> &'static str {
        "ecs"
    }

    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        out.reserve(2048);
        let facts = Facts::new(entry);
        out.push(b'{');
        let mut document = Document { facts: &facts, json: Json::new(out) };
        document.time("\"@timestamp\":\"", facts.record.start(), &mut self.time);
        document.json.open("\"ecs\":");
        document.json.word("\"version\":", VERSION);
        document.json.close();
        document.event(&mut self.time);
        if !facts.is_own() {
            document.http();
            document.ends();
            document.tls();
        }
        document.people();
        document.observer();
        document.rest();
        out.extend_from_slice(&self.labels);
        out.extend_from_slice(b"}\n");
    }
}

struct Document<'a, 'o> {
    facts: &'a Facts<'a>,
    json: Json<'o>,
}

impl Document<'_, '_> {
    fn time(&mut self, key: &str, at: u64, time: &mut Writer) {
        self.json.key(key);
        time.push(self.json.out, at);
        self.json.out.push(b'"');
    }

    fn event(&mut self, time: &mut Writer) {
        let facts = self.facts;
        self.json.open("\"event\":");
        self.json.some("\"id\":", facts.id());
        self.json.word("\"kind\":", "event");
        self.json.open_list("\"category\":");
        if !facts.is_own() {
            self.json.word("", "web");
            self.json.word("", "api");
        }
        match facts.text(Field::Category) {
            b"access" => self.json.word("", "iam"),
            b"configuration" => self.json.word("", "configuration"),
            b"lifecycle" => self.json.word("", "process"),
            _ => {}
        }
        self.json.close_list();
        self.json.open_list("\"type\":");
        self.json.word("", kind(facts.text(Field::Action), facts.text(Field::Method)));
        self.json.close_list();
        self.json.some("\"action\":", facts.text(Field::Action));
        let outcome = match facts.record.outcome() {
            Outcome::Success => "success",
            Outcome::Unknown => "unknown",
            Outcome::Failure | Outcome::Aborted => "failure",
        };
        self.json.word("\"outcome\":", outcome);
        self.time("\"start\":\"", facts.record.start(), time);
        self.time("\"end\":\"", facts.end(), time);
        // In nanoseconds.
        let duration = facts.record.integer(Field::Duration);
        self.json.some_number("\"duration\":", duration.map(|time| time.saturating_mul(1000)));
        self.json.word("\"module\":", "onrecord");
        self.json.some("\"dataset\":", facts.text(Field::Source));
        self.json.number("\"sequence\":", facts.entry.context.sequence);
        if let Some(error) = facts.record.error_type() {
            self.json.word("\"reason\":", error.as_str());
        }
        self.json.close();
    }

    fn http(&mut self) {
        let facts = self.facts;
        let size = |json: &mut Json<'_>, field| {
            if let Some(bytes) = facts.record.integer(field) {
                json.open("\"body\":");
                json.number("\"bytes\":", bytes);
                json.close();
            }
        };
        self.json.open("\"http\":");
        self.json.some("\"version\":", facts.protocol().as_bytes());
        self.json.open("\"request\":");
        self.json.some("\"id\":", facts.request_id());
        self.json.some("\"method\":", facts.text(Field::Method));
        self.json.some("\"referrer\":", facts.text(Field::Referer));
        size(&mut self.json, Field::RequestBodySize);
        self.json.close();
        self.json.open("\"response\":");
        self.json.some_number("\"status_code\":", facts.status());
        size(&mut self.json, Field::ResponseBodySize);
        self.json.close();
        self.json.close();
        self.json.open("\"url\":");
        self.json.text("\"path\":", facts.text(Field::Path));
        self.json.some("\"query\":", facts.text(Field::Query));
        self.json.close();
        if !facts.text(Field::UserAgent).is_empty() {
            self.json.open("\"user_agent\":");
            self.json.text("\"original\":", facts.text(Field::UserAgent));
            self.json.close();
        }
        self.id("\"trace\":", Field::TraceId, 16);
        self.id("\"span\":", Field::SpanId, 8);
        if let Some(error) = facts.record.error_type() {
            self.json.open("\"error\":");
            self.json.word("\"type\":", error.as_str());
            self.json.close();
        }
    }

    fn id(&mut self, key: &str, field: Field, length: usize) {
        let id = self.facts.record.bytes(field).filter(|id| id.len() == length);
        if id.is_some() {
            self.json.open(key);
            self.json.hex("\"id\":", id, length);
            self.json.close();
        }
    }

    /// `client` and `destination`, the upstream. `ip` takes nothing but addresses.
    fn ends(&mut self) {
        let facts = self.facts;
        let client = facts.text(Field::ClientAddress);
        if !client.is_empty() || facts.client_port().is_some() {
            self.json.open("\"client\":");
            self.json.some("\"address\":", client);
            if parsed::<IpAddr>(client).is_some() {
                self.json.text("\"ip\":", client);
            }
            self.json.some_number("\"port\":", facts.client_port());
            self.json.close();
        }
        let upstream = facts.text(Field::UpstreamAddress);
        if !upstream.is_empty() {
            self.json.open("\"destination\":");
            self.json.text("\"address\":", upstream);
            if let Some(address) = parsed::<SocketAddr>(upstream) {
                self.json.text("\"ip\":", address.ip().to_string().as_bytes());
                self.json.number("\"port\":", u64::from(address.port()));
            }
            self.json.close();
        }
    }

    fn tls(&mut self) {
        let (version, subject) =
            (self.facts.text(Field::TlsVersion), self.facts.text(Field::TlsClientSubject));
        if version.is_empty() && subject.is_empty() {
            return;
        }
        self.json.open("\"tls\":");
        self.json.some("\"version\":", version);
        self.json.word("\"version_protocol\":", "tls");
        if !subject.is_empty() {
            self.json.open("\"client\":");
            self.json.text("\"subject\":", subject);
            self.json.close();
        }
        self.json.close();
    }

    fn people(&mut self) {
        let facts = self.facts;
        let user = [
            ("\"id\":", facts.actor_id()),
            ("\"name\":", facts.actor_name()),
            ("\"email\":", facts.actor_email()),
        ];
        if user.iter().any(|(_, value)| !value.is_empty()) {
            self.json.open("\"user\":");
            user.iter().for_each(|(key, value)| self.json.some(key, value));
            self.json.close();
        }
        if !facts.text(Field::Organization).is_empty() {
            self.json.open("\"organization\":");
            self.json.text("\"id\":", facts.text(Field::Organization));
            self.json.close();
        }
        let client = facts.text(Field::ClientAddress);
        let is_address = parsed::<IpAddr>(client).is_some();
        if is_address || !facts.actor_id().is_empty() {
            self.json.open("\"related\":");
            if is_address {
                self.json.texts("\"ip\":", [client].into_iter());
            }
            let names = [facts.actor_id(), facts.actor_name()].into_iter().filter(|name| !name.is_empty());
            self.json.texts("\"user\":", names);
            self.json.close();
        }
    }

    fn observer(&mut self) {
        self.json.open("\"observer\":");
        self.json.text("\"name\":", self.facts.entry.context.instance.as_bytes());
        self.json.word("\"product\":", "Onrecord");
        self.json.word("\"type\":", "proxy");
        self.json.word("\"vendor\":", "Onrecord");
        self.json.word("\"version\":", env!("CARGO_PKG_VERSION"));
        self.json.close();
    }

    /// `onrecord`: what ECS has no field for.
    fn rest(&mut self) {
        let facts = self.facts;
        let json = &mut self.json;
        json.open("\"onrecord\":");
        json.text("\"boot\":", facts.entry.context.boot.as_bytes());
        json.number("\"lane\":", u64::from(facts.entry.context.lane));
        json.number("\"sequence\":", facts.entry.context.sequence);
        json.word("\"schema_version\":", SCHEMA_VERSION);
        json.word("\"outcome\":", facts.record.outcome().as_str());
        json.some("\"category\":", facts.text(Field::Category));
        for (key, value) in [
            ("\"actor_type\":", facts.actor_type()),
            ("\"actor_provenance\":", facts.actor_provenance()),
            ("\"actor_unverified\":", facts.actor_unverified()),
            ("\"actor_issuer\":", facts.actor_issuer()),
            ("\"actor_app_id\":", facts.actor_app()),
            ("\"actor_delegate_id\":", facts.actor_delegate()),
            ("\"session_id\":", facts.session()),
            ("\"origin_type\":", facts.origin_type()),
        ] {
            json.some(key, value);
        }
        if facts.is_own() {
            json.open("\"own\":");
            own_attributes(json, facts.record.own());
            json.close();
            json.close();
            return;
        }
        json.texts("\"origin_evidence\":", facts.origin_evidence());
        for (field, key) in [
            (Field::Namespace, "\"namespace\":"),
            (Field::Space, "\"space_id\":"),
            (Field::Environment, "\"environment_id\":"),
            (Field::CacheDetail, "\"cache_detail\":"),
            (Field::MethodOverride, "\"method_override\":"),
            (Field::Route, "\"route\":"),
            (Field::UserAgentProduct, "\"user_agent_product\":"),
            (Field::ResourceType, "\"resource_type\":"),
            (Field::ResourceId, "\"resource_id\":"),
            (Field::ActorAuthentication, "\"actor_authentication\":"),
            (Field::CredentialKey, "\"credential_key\":"),
        ] {
            json.some(key, facts.text(field));
        }
        json.hex("\"credential_id\":", facts.record.bytes(Field::CredentialId), 16);
        if let Some(cache) = facts.record.cache_status() {
            json.word("\"cache_status\":", cache.as_str());
        }
        if let Some(error) = facts.record.inspection_error() {
            json.word("\"inspection_error\":", error.as_str());
        }
        if facts.record.bytes(Field::ActionCandidate).is_some() {
            json.texts("\"action_candidates\":", facts.record.all(Field::ActionCandidate));
        }
        let mut resources = facts.resources().peekable();
        if resources.peek().is_some() {
            json.open_list("\"resources\":");
            for (kind, id) in resources {
                json.open("");
                json.text("\"type\":", kind);
                json.text("\"id\":", id);
                json.close();
            }
            json.close_list();
        }
        let integer = |field| facts.record.integer(field);
        json.some_number("\"resources_truncated\":", integer(Field::ResourcesTruncated));
        json.some_number("\"upstream_duration_microseconds\":", integer(Field::UpstreamDuration));
        json.some_number("\"upstream_attempts\":", integer(Field::UpstreamAttempts));
        json.close();
    }
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `event.type`, of the list that ECS allows.
fn kind(action: &[u8], method: &[u8]) -> &'static str {
    match (action, method) {
        // `installation` is for packages only.
        (b"create" | b"install", _) => "creation",
        (b"read" | b"search" | b"export", _) | (b"", b"GET" | b"HEAD") => "access",
        (b"delete" | b"delete_draft" | b"revoke" | b"uninstall", _) | (b"", b"DELETE") => "deletion",
        (b"start" | b"stop" | b"gap" | b"recovery" | b"destination_state" | b"clock_jump", _) => "info",
        (b"invoke" | b"validate" | b"preflight" | b"ambiguous", _) | (b"", _) => "info",
        _ => "change",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{
        CONTEXT, OWN_CONTEXT, awkward_records, catalogue_records, full, golden, own,
    };
    use crate::record::RecordView;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn encode(record: &[u8], own: bool, extra: &[(String, String)]) -> String {
        let record = RecordView::parse(record).unwrap();
        let context = if own { OWN_CONTEXT } else { CONTEXT };
        let mut out = Vec::new();
        Ecs::new(extra).encode(&Entry { record: &record, context, enrichment: None }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_document_changes_from_one_build_to_the_next() {
        let extra = [("deployment".to_owned(), "test".to_owned()), ("b".to_owned(), "\"".to_owned())];
        golden("ecs.jsonl", &(encode(&full(), false, &extra) + &encode(&own(), true, &[])));
    }

    /// Holds each value to the field's type in JSON, by its name; `onrecord` is ours.
    fn hold_to_fields(fields: &BTreeMap<&str, &str>, path: &str, value: &Value) {
        let kind = fields.get(path).copied();
        match value {
            _ if path == "onrecord" => {}
            Value::Object(_) if kind == Some("object") => {}
            Value::Object(map) => map.iter().for_each(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                hold_to_fields(fields, &path, value);
            }),
            Value::String(_) => assert_eq!(kind, Some("text"), "{path}"),
            Value::Number(number) => assert!(kind == Some("number") && number.is_i64(), "{path}"),
            Value::Array(list) => {
                assert!(kind == Some("texts") && list.iter().all(Value::is_string), "{path}");
            }
            _ => panic!("{path}: {value}"),
        }
    }

    #[test]
    fn every_document_has_nothing_but_fields_of_ecs_with_their_types_and_onrecord() {
        let text = include_str!("../../tests/ecs/fields.txt");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let fields: BTreeMap<&str, &str> = lines.map(|line| line.split_once(' ').unwrap()).collect();
        let extra = [("deployment".to_owned(), "test".to_owned())];
        let exchanges =
            catalogue_records().into_iter().chain(awkward_records()).map(|record| (record, false));
        for (record, is_own) in exchanges.chain([(own(), true)]) {
            let document = serde_json::from_str(&encode(&record, is_own, &extra)).unwrap();
            hold_to_fields(&fields, "", &document);
        }
    }

    #[test]
    fn every_document_has_the_types_that_ecs_wants() {
        let exchanges =
            catalogue_records().into_iter().chain(awkward_records()).map(|record| (record, false));
        for (record, is_own) in exchanges.chain([(own(), true)]) {
            let line = encode(&record, is_own, &[]);
            assert_eq!(line.matches('\n').count(), 1);
            let document: Value = serde_json::from_str(&line).unwrap();
            for pointer in ["/client/ip", "/destination/ip", "/related/ip/0"] {
                if let Some(ip) = document.pointer(pointer) {
                    ip.as_str().unwrap().parse::<IpAddr>().unwrap();
                }
            }
            for pointer in
                ["/event/duration", "/event/sequence", "/http/response/status_code", "/client/port"]
            {
                assert!(document.pointer(pointer).is_none_or(Value::is_i64), "{pointer}: {line}");
            }
            let outcome = document["event"]["outcome"].as_str().unwrap();
            assert!(["success", "failure", "unknown"].contains(&outcome));
            let kinds = ["access", "change", "creation", "deletion", "info"];
            assert!(kinds.contains(&document["event"]["type"][0].as_str().unwrap()));
            document["@timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap_or_default();
        }
    }
}
