//! The `flat` format: one flat JSON object a line.
//!
//! Attributes stand in the order of the reference table, and all but the 14 of
//! the reference schema are left out when there is nothing to say. Keys are
//! constants with their punctuation; values go from the record's bytes to the
//! line without a string in between. The gateway's own records have a form of
//! their own.

mod own;
mod read;

pub use read::{FlatError, FlatRecord, read as read_flat};

use super::escape::push_escaped;
use super::time::{Timestamps, Writer};
use super::{Encoder, Entry};
use crate::record::{EventId, Field, Outcome, RecordView, SCHEMA_VERSION, SELF_LANE};

/// The namespace of a record that names none.
const DEFAULT_NAMESPACE: &[u8] = b"api";

/// Encodes flat lines.
#[derive(Debug)]
pub struct Flat {
    time: Writer,
    extra: Vec<u8>,
}

impl Flat {
    /// An encoder that writes times in this form.
    #[must_use]
    pub fn new(timestamps: Timestamps) -> Self {
        Self { time: Writer::new(timestamps), extra: Vec::new() }
    }

    /// Adds these constant attributes to each line.
    #[must_use]
    pub fn with_extra(mut self, extra: &[(String, String)]) -> Self {
        self.extra = super::constants(extra);
        self
    }
}

impl Encoder for Flat {
    fn name(&self) -> &'static str {
        "flat"
    }

    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        out.reserve(1024);
        let mut line = Line { record: entry.record, out };
        if entry.context.lane == SELF_LANE {
            line.own(entry, &mut self.time);
            self.end(out);
            return;
        }
        line.identity_and_time(&mut self.time);
        line.request_and_response();
        line.meaning(entry);
        line.actor(entry);
        line.network();
        line.capture(entry);
        self.end(out);
    }
}

impl Flat {
    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.extra);
        out.extend_from_slice(b"}\n");
    }
}

/// Where an attribute's value stands in the record, and the key it gets.
type Named<'k> = (Field, &'k str);

struct Line<'a, 'o> {
    record: &'a RecordView<'a>,
    out: &'o mut Vec<u8>,
}

impl Line<'_, '_> {
    fn identity_and_time(&mut self, time: &mut Writer) {
        let namespace = self.record.bytes(Field::Namespace).filter(|n| !n.is_empty());
        let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
        let mut id = [0; 36];
        let id: &str = self.record.event_id().map_or("", |event| EventId(event).encode(&mut id));
        self.out.push(b'{');
        if !id.is_empty() {
            self.string("\"event.id\":\"", id.as_bytes());
        }
        let record = self.record;
        let text = |field| record.bytes(field).unwrap_or_default();
        self.namespaced(namespace, ".organization.id\":\"", text(Field::Organization));
        self.namespaced(namespace, ".space.id\":\"", text(Field::Space));
        if !text(Field::Environment).is_empty() {
            self.namespaced(namespace, ".environment.id\":\"", text(Field::Environment));
        }
        let cache = record.cache_status().map_or("", |status| status.as_str());
        self.namespaced(namespace, ".cache.status\":\"", cache.as_bytes());
        self.texts(&[(Field::CacheDetail, "\"cache.detail\":\"")]);
        let request = record.bytes(Field::UpstreamRequestId).filter(|id| !id.is_empty());
        self.namespaced(namespace, ".request.id\":\"", request.unwrap_or(id.as_bytes()));

        let start = record.start();
        let duration = record.integer(Field::Duration).unwrap_or(0);
        let end = if record.outcome() == Outcome::Unknown { start } else { start.saturating_add(duration) };
        self.key("\"event.start\":\"");
        time.push(self.out, start);
        self.out.extend_from_slice(b"\",\"event.end\":\"");
        time.push(self.out, end);
        self.out.push(b'"');
        self.number("\"duration.microseconds\":", duration);
    }

    fn request_and_response(&mut self) {
        self.always(&[(Field::Method, "\"http.request.method\":\"")]);
        self.texts(&[(Field::MethodOverride, "\"http.request.method_override\":\"")]);
        self.always(&[
            (Field::Route, "\"http.route\":\""),
            (Field::Path, "\"url.path\":\""),
            (Field::Query, "\"url.query\":\""),
        ]);
        let record = self.record;
        let number = |field| record.integer(field).unwrap_or(0);
        self.number("\"http.response.status_code\":", number(Field::Status));
        self.number("\"http.response.body.size\":", number(Field::ResponseBodySize));
        self.numbers(&[(Field::RequestBodySize, "\"http.request.body.size\":")]);
        self.always(&[(Field::UserAgent, "\"user_agent.original\":\"")]);
        self.texts(&[
            (Field::UserAgentProduct, "\"user_agent.product\":\""),
            (Field::Referer, "\"http.request.header.referer\":\""),
        ]);
    }

    fn meaning(&mut self, entry: &Entry<'_>) {
        self.texts(&[(Field::Action, "\"event.action\":\"")]);
        self.list(Field::ActionCandidate, "\"event.action.candidates\":[");
        self.string("\"event.outcome\":\"", self.record.outcome().as_str().as_bytes());
        self.texts(&[(Field::Category, "\"event.category\":\"")]);
        match entry.enrichment.filter(|known| known.origin_type.is_some()) {
            Some(known) => self.origin(known),
            None => {
                self.texts(&[(Field::OriginType, "\"origin.type\":\"")]);
                self.list(Field::OriginEvidence, "\"origin.evidence\":[");
            }
        }
        match entry.enrichment.and_then(|known| known.session_id) {
            Some(id) => {
                let mut text = [0; 36];
                self.string("\"session.id\":\"", EventId(id).encode(&mut text).as_bytes());
            }
            None => self.texts(&[(Field::SessionId, "\"session.id\":\"")]),
        }
        self.texts(&[
            (Field::ResourceType, "\"resource.type\":\""),
            (Field::ResourceId, "\"resource.id\":\""),
        ]);
        self.resources();
        self.numbers(&[(Field::ResourcesTruncated, "\"resources_truncated\":")]);
        if let Some(error) = self.record.inspection_error() {
            self.string("\"inspection.error\":\"", error.as_str().as_bytes());
        }
    }

    fn origin(&mut self, known: &super::Enrichment) {
        self.string("\"origin.type\":\"", known.origin_type.unwrap_or_default().as_bytes());
        self.key("\"origin.evidence\":[");
        for (index, evidence) in known.origin_evidence.iter().enumerate() {
            self.out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            push_escaped(self.out, evidence.as_bytes());
            self.out.push(b'"');
        }
        self.out.push(b']');
    }

    fn actor(&mut self, entry: &Entry<'_>) {
        let known = |part: fn(&super::Enrichment) -> &Option<String>| {
            entry.enrichment.and_then(|known| part(known).as_deref()).map(str::as_bytes)
        };
        let parts = [
            (known(|e| &e.actor_type), Field::ActorType, "\"actor.type\":\""),
            (known(|e| &e.actor_id), Field::ActorId, "\"actor.id\":\""),
            (known(|e| &e.actor_name), Field::ActorName, "\"actor.name\":\""),
            (known(|e| &e.actor_email), Field::ActorEmail, "\"actor.email\":\""),
            (known(|e| &e.actor_provenance), Field::ActorProvenance, "\"actor.provenance\":\""),
        ];
        for (known, field, key) in parts {
            let value = known.or_else(|| self.record.bytes(field)).unwrap_or_default();
            if !value.is_empty() {
                self.string(key, value);
            }
        }
        let added = [
            (entry.enrichment.and_then(|known| known.actor_unverified), "\"actor.unverified\":\""),
            (entry.enrichment.and_then(|known| known.actor_issuer.as_deref()), "\"actor.issuer\":\""),
            (entry.enrichment.and_then(|known| known.actor_app.as_deref()), "\"actor.app.id\":\""),
            (entry.enrichment.and_then(|known| known.actor_delegate.as_deref()), "\"actor.delegate.id\":\""),
        ];
        for (value, key) in added {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.string(key, value.as_bytes());
            }
        }
        self.texts(&[(Field::ActorAuthentication, "\"actor.authentication\":\"")]);
        self.hex(Field::CredentialId, 16, "\"actor.credential.id\":\"");
        self.texts(&[(Field::CredentialKey, "\"actor.credential.key\":\"")]);
    }

    fn network(&mut self) {
        self.texts(&[(Field::ClientAddress, "\"client.address\":\"")]);
        self.numbers(&[(Field::ClientPort, "\"client.port\":")]);
        let version = match self.record.integer(Field::ProtocolVersion) {
            Some(10) => "1.0",
            Some(11) => "1.1",
            Some(20) => "2",
            Some(30) => "3",
            _ => "",
        };
        if !version.is_empty() {
            self.string("\"network.protocol.version\":\"", version.as_bytes());
        }
        self.texts(&[
            (Field::TlsVersion, "\"tls.protocol.version\":\""),
            (Field::TlsClientSubject, "\"tls.client.subject\":\""),
        ]);
        self.hex(Field::TraceId, 16, "\"trace.id\":\"");
        self.hex(Field::SpanId, 8, "\"span.id\":\"");
        self.texts(&[(Field::UpstreamAddress, "\"upstream.address\":\"")]);
        self.numbers(&[
            (Field::UpstreamDuration, "\"upstream.duration.microseconds\":"),
            (Field::UpstreamAttempts, "\"upstream.attempts\":"),
        ]);
        if let Some(error) = self.record.error_type() {
            self.string("\"error.type\":\"", error.as_str().as_bytes());
        }
    }

    fn capture(&mut self, entry: &Entry<'_>) {
        let context = &entry.context;
        self.string("\"onrecord.instance\":\"", context.instance.as_bytes());
        self.string("\"onrecord.boot\":\"", context.boot.as_bytes());
        self.number("\"onrecord.lane\":", u64::from(context.lane));
        self.number("\"onrecord.sequence\":", context.sequence);
        self.string("\"schema.version\":\"", SCHEMA_VERSION.as_bytes());
    }

    fn key(&mut self, key: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.extend_from_slice(key.as_bytes());
    }

    fn string(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        push_escaped(self.out, value);
        self.out.push(b'"');
    }

    fn namespaced(&mut self, namespace: &[u8], key: &str, value: &[u8]) {
        self.key("\"");
        push_escaped(self.out, namespace);
        self.out.extend_from_slice(key.as_bytes());
        push_escaped(self.out, value);
        self.out.push(b'"');
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        // What readers with 64 signed bits know.
        self.out.extend_from_slice(itoa::Buffer::new().format(value.min(i64::MAX as u64)).as_bytes());
    }

    fn always(&mut self, fields: &[Named<'_>]) {
        for &(field, key) in fields {
            self.string(key, self.record.bytes(field).unwrap_or_default());
        }
    }

    fn texts(&mut self, fields: &[Named<'_>]) {
        for &(field, key) in fields {
            if let Some(value) = self.record.bytes(field)
                && !value.is_empty()
            {
                self.string(key, value);
            }
        }
    }

    fn numbers(&mut self, fields: &[Named<'_>]) {
        for &(field, key) in fields {
            if let Some(value) = self.record.integer(field) {
                self.number(key, value);
            }
        }
    }

    /// A value of exactly `length` bytes as hexadecimal digits.
    fn hex(&mut self, field: Field, length: usize, key: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        if let Some(value) = self.record.bytes(field)
            && value.len() == length
        {
            self.key(key);
            for byte in value {
                self.out.push(HEX[usize::from(byte >> 4)]);
                self.out.push(HEX[usize::from(byte & 15)]);
            }
            self.out.push(b'"');
        }
    }

    fn list(&mut self, field: Field, key: &str) {
        if self.record.bytes(field).is_none() {
            return;
        }
        self.key(key);
        for (index, value) in self.record.all(field).enumerate() {
            self.out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            push_escaped(self.out, value);
            self.out.push(b'"');
        }
        self.out.push(b']');
    }

    fn resources(&mut self) {
        if self.record.bytes(Field::Resources).is_none() {
            return;
        }
        self.key("\"resources\":[");
        for (index, value) in self.record.all(Field::Resources).enumerate() {
            let zero = memchr::memchr(0, value).unwrap_or(value.len());
            let id = value.get(zero + 1..).unwrap_or_default();
            self.out.extend_from_slice(if index == 0 { b"{\"type\":\"" } else { b",{\"type\":\"" });
            push_escaped(self.out, &value[..zero]);
            self.out.extend_from_slice(b"\",\"id\":\"");
            push_escaped(self.out, id);
            self.out.extend_from_slice(b"\"}");
        }
        self.out.push(b']');
    }
}

#[cfg(test)]
mod tests;
