//! The `flat` format: one flat JSON object a line.
//!
//! Attributes stand in the order of the reference table, and all but the 14 of
//! the reference schema are left out when there is nothing to say. Keys are
//! constants with their punctuation; values go from the record's bytes to the
//! line without a string in between. The gateway's own records have a form of
//! their own.

/// How a number or a list begins behind another attribute.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// How a text begins behind another attribute.
macro_rules! quoted {
    ($name:literal) => {
        concat!(",\"", $name, "\":\"")
    };
}

mod own;
mod read;

pub use read::{FlatError, FlatRecord, read as read_flat};

use super::escape::push_escaped;
use super::json::push_hex;
use super::time::{Timestamps, Writer};
use super::{Context, Encoder, Entry};
use crate::record::{EventId, Field, Outcome, RecordView, SCHEMA_VERSION, SELF_LANE};

/// The namespace of a record that names none.
const DEFAULT_NAMESPACE: &[u8] = b"api";

/// Encodes flat lines.
#[derive(Debug)]
pub struct Flat {
    time: Writer,
    keys: Keys,
    place: Place,
    extra: Vec<u8>,
}

impl Flat {
    /// An encoder that writes times in this form.
    #[must_use]
    pub fn new(timestamps: Timestamps) -> Self {
        Self {
            time: Writer::new(timestamps),
            keys: Keys::new(DEFAULT_NAMESPACE),
            place: Place::default(),
            extra: Vec::new(),
        }
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
        out.reserve(2048);
        let begin = out.len();
        let mut line = Line { record: entry.record, out };
        if entry.context.lane == SELF_LANE {
            line.own(&mut self.time);
        } else {
            let namespace = entry.record.bytes(Field::Namespace).filter(|name| !name.is_empty());
            self.keys.set(namespace.unwrap_or(DEFAULT_NAMESPACE));
            line.identity(&self.keys);
            line.times(&mut self.time);
            line.request_and_response();
            line.meaning(entry);
            line.actor(entry);
            line.network();
        }
        self.place.set(&entry.context);
        line.capture(&self.place, entry.context.sequence);
        out.extend_from_slice(&self.extra);
        out.extend_from_slice(b"}\n");
        // The first attribute has nothing before it.
        out[begin] = b'{';
    }
}

/// The keys that begin with a source's namespace: sources are few, and their records many.
#[derive(Debug)]
struct Keys {
    namespace: Vec<u8>,
    organization: Vec<u8>,
    space: Vec<u8>,
    environment: Vec<u8>,
    cache_status: Vec<u8>,
    request: Vec<u8>,
}

impl Keys {
    fn new(namespace: &[u8]) -> Self {
        let key = |name: &str| {
            let mut key = b",\"".to_vec();
            push_escaped(&mut key, namespace);
            key.extend_from_slice(name.as_bytes());
            key
        };
        Self {
            organization: key(".organization.id\":\""),
            space: key(".space.id\":\""),
            environment: key(".environment.id\":\""),
            cache_status: key(".cache.status\":\""),
            request: key(".request.id\":\""),
            namespace: namespace.to_vec(),
        }
    }

    fn set(&mut self, namespace: &[u8]) {
        if self.namespace != namespace {
            *self = Self::new(namespace);
        }
    }
}

/// What says where a record was captured, but for its sequence: it seldom changes from one record
/// to the next.
#[derive(Debug, Default)]
struct Place {
    instance: String,
    boot: String,
    lane: Option<u16>,
    text: Vec<u8>,
}

impl Place {
    fn set(&mut self, context: &Context<'_>) {
        if self.lane == Some(context.lane) && self.boot == context.boot && self.instance == context.instance {
            return;
        }
        self.instance.clear();
        self.instance.push_str(context.instance);
        self.boot.clear();
        self.boot.push_str(context.boot);
        self.lane = Some(context.lane);
        self.text.clear();
        self.text.extend_from_slice(quoted!("onrecord.instance").as_bytes());
        push_escaped(&mut self.text, context.instance.as_bytes());
        self.text.extend_from_slice(concat!("\"", quoted!("onrecord.boot")).as_bytes());
        push_escaped(&mut self.text, context.boot.as_bytes());
        self.text.extend_from_slice(concat!("\"", key!("onrecord.lane")).as_bytes());
        self.text.extend_from_slice(itoa::Buffer::new().format(context.lane).as_bytes());
        self.text.extend_from_slice(key!("onrecord.sequence").as_bytes());
    }
}

struct Line<'a, 'o> {
    record: &'a RecordView<'a>,
    out: &'o mut Vec<u8>,
}

impl Line<'_, '_> {
    fn identity(&mut self, keys: &Keys) {
        let record = self.record;
        let mut id = [0; 36];
        let id: &str = record.event_id().map_or("", |event| EventId(event).encode(&mut id));
        if !id.is_empty() {
            self.string(quoted!("event.id"), id.as_bytes());
        }
        let text = |field| record.bytes(field).unwrap_or_default();
        self.namespaced(&keys.organization, text(Field::Organization));
        self.namespaced(&keys.space, text(Field::Space));
        if !text(Field::Environment).is_empty() {
            self.namespaced(&keys.environment, text(Field::Environment));
        }
        let cache = record.cache_status().map_or("", |status| status.as_str());
        self.namespaced(&keys.cache_status, cache.as_bytes());
        self.text(Field::CacheDetail, quoted!("cache.detail"));
        let request = text(Field::UpstreamRequestId);
        self.namespaced(&keys.request, if request.is_empty() { id.as_bytes() } else { request });
    }

    fn times(&mut self, time: &mut Writer) {
        let record = self.record;
        let start = record.start();
        let duration = record.integer(Field::Duration).unwrap_or(0);
        let end = if record.outcome() == Outcome::Unknown { start } else { start.saturating_add(duration) };
        self.push(quoted!("event.start"));
        time.push(self.out, start);
        self.push(concat!("\"", quoted!("event.end")));
        time.push(self.out, end);
        self.push(concat!("\"", key!("duration.microseconds")));
        self.digits(duration);
    }

    fn request_and_response(&mut self) {
        self.text_or_empty(Field::Method, quoted!("http.request.method"));
        self.text(Field::MethodOverride, quoted!("http.request.method_override"));
        self.text_or_empty(Field::Route, quoted!("http.route"));
        self.text_or_empty(Field::Path, quoted!("url.path"));
        self.text_or_empty(Field::Query, quoted!("url.query"));
        self.number_or_zero(Field::Status, key!("http.response.status_code"));
        self.number_or_zero(Field::ResponseBodySize, key!("http.response.body.size"));
        self.number(Field::RequestBodySize, key!("http.request.body.size"));
        self.text_or_empty(Field::UserAgent, quoted!("user_agent.original"));
        self.text(Field::UserAgentProduct, quoted!("user_agent.product"));
        self.text(Field::Referer, quoted!("http.request.header.referer"));
    }

    fn meaning(&mut self, entry: &Entry<'_>) {
        self.text(Field::Action, quoted!("event.action"));
        self.list(Field::ActionCandidate, key!("event.action.candidates"));
        self.string(quoted!("event.outcome"), self.record.outcome().as_str().as_bytes());
        self.text(Field::Category, quoted!("event.category"));
        match entry.enrichment.filter(|known| known.origin_type.is_some()) {
            Some(known) => self.origin(known),
            None => {
                self.text(Field::OriginType, quoted!("origin.type"));
                self.list(Field::OriginEvidence, key!("origin.evidence"));
            }
        }
        match entry.enrichment.and_then(|known| known.session_id) {
            Some(id) => self.string(quoted!("session.id"), EventId(id).encode(&mut [0; 36]).as_bytes()),
            None => self.text(Field::SessionId, quoted!("session.id")),
        }
        self.text(Field::ResourceType, quoted!("resource.type"));
        self.text(Field::ResourceId, quoted!("resource.id"));
        self.resources();
        self.number(Field::ResourcesTruncated, key!("resources_truncated"));
        if let Some(error) = self.record.inspection_error() {
            self.string(quoted!("inspection.error"), error.as_str().as_bytes());
        }
    }

    fn origin(&mut self, known: &super::Enrichment) {
        self.string(quoted!("origin.type"), known.origin_type.unwrap_or_default().as_bytes());
        self.push(key!("origin.evidence"));
        self.elements(known.origin_evidence.iter().map(|evidence| evidence.as_bytes()));
    }

    fn actor(&mut self, entry: &Entry<'_>) {
        let record = self.record;
        let known = |part: fn(&super::Enrichment) -> &Option<String>, field| {
            let known = entry.enrichment.and_then(|known| part(known).as_deref()).map(str::as_bytes);
            known.or_else(|| record.bytes(field)).unwrap_or_default()
        };
        self.said(quoted!("actor.type"), known(|e| &e.actor_type, Field::ActorType));
        self.said(quoted!("actor.id"), known(|e| &e.actor_id, Field::ActorId));
        self.said(quoted!("actor.name"), known(|e| &e.actor_name, Field::ActorName));
        self.said(quoted!("actor.email"), known(|e| &e.actor_email, Field::ActorEmail));
        self.said(quoted!("actor.provenance"), known(|e| &e.actor_provenance, Field::ActorProvenance));
        if let Some(known) = entry.enrichment {
            self.known(quoted!("actor.unverified"), known.actor_unverified);
            self.known(quoted!("actor.issuer"), known.actor_issuer.as_deref());
            self.known(quoted!("actor.app.id"), known.actor_app.as_deref());
            self.known(quoted!("actor.delegate.id"), known.actor_delegate.as_deref());
        }
        self.text(Field::ActorAuthentication, quoted!("actor.authentication"));
        self.hex(Field::CredentialId, 16, quoted!("actor.credential.id"));
        self.text(Field::CredentialKey, quoted!("actor.credential.key"));
    }

    fn network(&mut self) {
        self.text(Field::ClientAddress, quoted!("client.address"));
        self.number(Field::ClientPort, key!("client.port"));
        let version = match self.record.integer(Field::ProtocolVersion) {
            Some(10) => "1.0",
            Some(11) => "1.1",
            Some(20) => "2",
            Some(30) => "3",
            _ => "",
        };
        self.said(quoted!("network.protocol.version"), version.as_bytes());
        self.text(Field::TlsVersion, quoted!("tls.protocol.version"));
        self.text(Field::TlsClientSubject, quoted!("tls.client.subject"));
        self.hex(Field::TraceId, 16, quoted!("trace.id"));
        self.hex(Field::SpanId, 8, quoted!("span.id"));
        self.text(Field::UpstreamAddress, quoted!("upstream.address"));
        self.number(Field::UpstreamDuration, key!("upstream.duration.microseconds"));
        self.number(Field::UpstreamAttempts, key!("upstream.attempts"));
        if let Some(error) = self.record.error_type() {
            self.string(quoted!("error.type"), error.as_str().as_bytes());
        }
    }

    fn capture(&mut self, place: &Place, sequence: u64) {
        self.out.extend_from_slice(&place.text);
        self.digits(sequence);
        self.string(quoted!("schema.version"), SCHEMA_VERSION.as_bytes());
    }

    /// Copies a constant. In line, so that its length is known and no call is made.
    #[inline(always)]
    fn push(&mut self, text: &'static str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    #[inline(always)]
    fn string(&mut self, key: &'static str, value: &[u8]) {
        self.push(key);
        self.value(value);
    }

    /// A text, unless it is empty.
    #[inline(always)]
    fn said(&mut self, key: &'static str, value: &[u8]) {
        if !value.is_empty() {
            self.string(key, value);
        }
    }

    fn known(&mut self, key: &'static str, value: Option<&str>) {
        self.said(key, value.unwrap_or_default().as_bytes());
    }

    fn value(&mut self, value: &[u8]) {
        push_escaped(self.out, value);
        self.out.push(b'"');
    }

    fn namespaced(&mut self, key: &[u8], value: &[u8]) {
        self.out.extend_from_slice(key);
        self.value(value);
    }

    #[inline(always)]
    fn text(&mut self, field: Field, key: &'static str) {
        if let Some(value) = self.record.bytes(field) {
            self.said(key, value);
        }
    }

    #[inline(always)]
    fn text_or_empty(&mut self, field: Field, key: &'static str) {
        self.string(key, self.record.bytes(field).unwrap_or_default());
    }

    #[inline(always)]
    fn number(&mut self, field: Field, key: &'static str) {
        if let Some(value) = self.record.integer(field) {
            self.push(key);
            self.digits(value);
        }
    }

    #[inline(always)]
    fn number_or_zero(&mut self, field: Field, key: &'static str) {
        self.push(key);
        self.digits(self.record.integer(field).unwrap_or(0));
    }

    fn digits(&mut self, value: u64) {
        // What readers with 64 signed bits know.
        self.out.extend_from_slice(itoa::Buffer::new().format(value.min(i64::MAX as u64)).as_bytes());
    }

    fn elements<'v>(&mut self, values: impl Iterator<Item = &'v [u8]>) {
        self.push("[");
        for (index, value) in values.enumerate() {
            self.push(if index == 0 { "\"" } else { ",\"" });
            self.value(value);
        }
        self.push("]");
    }

    /// A value of exactly `length` bytes as hexadecimal digits.
    fn hex(&mut self, field: Field, length: usize, key: &'static str) {
        if let Some(value) = self.record.bytes(field)
            && value.len() == length
        {
            self.push(key);
            push_hex(self.out, value);
            self.push("\"");
        }
    }

    fn list(&mut self, field: Field, key: &'static str) {
        if self.record.bytes(field).is_some() {
            self.push(key);
            self.elements(self.record.all(field));
        }
    }

    fn resources(&mut self) {
        if self.record.bytes(Field::Resources).is_none() {
            return;
        }
        self.push(concat!(key!("resources"), "["));
        for (index, value) in self.record.all(Field::Resources).enumerate() {
            let zero = memchr::memchr(0, value).unwrap_or(value.len());
            let id = value.get(zero + 1..).unwrap_or_default();
            self.push(if index == 0 { "{\"type\":\"" } else { ",{\"type\":\"" });
            self.value(&value[..zero]);
            self.push(quoted!("id"));
            self.value(id);
            self.push("}");
        }
        self.push("]");
    }
}

#[cfg(test)]
mod tests;
