//! The `ocsf` format: events of the Open Cybersecurity Schema Framework, one a line.
//!
//! API Activity (6003) or Web Resources Activity (6001), at 1.3.0 or 1.8.0 exactly. Every event
//! is valid against its class, version and profiles whatever a client sent: what a type, an
//! enumeration or a pattern does not hold goes to `unmapped`, under its name in the flat format,
//! and texts that 1.3.0 bounds at 65,535 are cut there and whole in `unmapped`. Numbers and
//! their names (`activity_id`, `activity_name`) always say the same.

mod activity;
mod options;
mod people;
mod rest;
mod things;

pub(super) use activity::activity;
pub use options::{Class, OcsfOptions, Profiles, Version};

use super::facts::Facts;
use super::json::Json;
use super::time::{Timestamps, Writer, bounded};
use super::{Encoder, Entry};
use crate::record::{Field, SCHEMA_VERSION};

pub(super) use rest::own as own_attributes;

/// The longest text at 1.3.0, in characters; here in bytes, which are never fewer.
const LONGEST: usize = 65_535;

/// Encodes OCSF events.
#[derive(Debug)]
pub struct Ocsf {
    options: OcsfOptions,
    time: Writer,
    /// `metadata` up to what differs from event to event.
    metadata: Vec<u8>,
    extra: Vec<u8>,
    scratch: Vec<u8>,
}

/// One event in the making.
pub(super) struct Event<'a, 'o> {
    facts: &'a Facts<'a>,
    options: OcsfOptions,
    json: Json<'o>,
    scratch: &'o mut Vec<u8>,
}

impl Ocsf {
    /// An encoder of these events; `extra` is added to `unmapped`.
    #[must_use]
    pub fn new(options: OcsfOptions, extra: &[(String, String)]) -> Self {
        let profiles: Vec<String> = options.profiles.names().map(|name| format!("\"{name}\"")).collect();
        let metadata = format!(
            "\"metadata\":{{\"version\":\"{}\",\"profiles\":[{}],\"product\":{{\"name\":\"Onrecord\",\
             \"vendor_name\":\"Onrecord\",\"version\":\"{}\"}},\"log_provider\":\"onrecord\",\
             \"log_version\":\"{SCHEMA_VERSION}\"",
            options.version.as_str(),
            profiles.join(","),
            env!("CARGO_PKG_VERSION"),
        );
        Self {
            options,
            time: Writer::new(Timestamps::Microseconds),
            metadata: metadata.into_bytes(),
            extra: super::constants(extra),
            scratch: Vec::new(),
        }
    }
}

impl Encoder for Ocsf {
    fn name(&self) -> &'static str {
        "ocsf"
    }

    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        out.reserve(2048);
        let facts = Facts::new(entry);
        let options = self.options;
        let limit = if options.version == Version::V1_3 { LONGEST } else { usize::MAX };
        out.push(b'{');
        let json = Json::new(out).with_limit(limit);
        let mut event = Event { facts: &facts, options, json, scratch: &mut self.scratch };
        event.class();
        event.times(&mut self.time);
        event.metadata(&self.metadata, &mut self.time);
        event.verdict();
        if options.profiles.cloud {
            event.cloud();
        }
        if options.has_actor() {
            event.actor();
        }
        event.source();
        if options.has_api() {
            event.api();
        }
        if !facts.is_own() {
            event.request();
            event.response();
            event.upstream();
            event.tls();
        }
        event.resources();
        event.enrichments();
        event.observables();
        event.unmapped(&self.extra);
        out.extend_from_slice(b"}\n");
    }
}

impl Event<'_, '_> {
    fn class(&mut self) {
        let class = self.options.class;
        let activity = activity::activity(self.facts, class);
        let (id, name) = activity;
        self.json.number("\"activity_id\":", id);
        self.json.text("\"activity_name\":", name);
        self.json.number("\"category_uid\":", 6);
        self.json.word("\"category_name\":", "Application Activity");
        self.json.number("\"class_uid\":", class.uid());
        self.json.word("\"class_name\":", class.caption());
        self.json.number("\"type_uid\":", class.uid() * 100 + id);
        self.json.word("\"type_name\":", class.caption());
        // Behind the class stands the activity: the closing quote gives way to it.
        self.json.out.pop();
        self.json.out.extend_from_slice(b": ");
        self.json.out.extend_from_slice(activity::caption(activity));
        self.json.out.push(b'"');
    }

    fn times(&mut self, time: &mut Writer) {
        let (start, end) = (bounded(self.facts.record.start()), bounded(self.facts.end()));
        self.json.number("\"time\":", start / 1000);
        self.json.number("\"start_time\":", start / 1000);
        self.json.number("\"end_time\":", end / 1000);
        let duration = self.facts.record.integer(Field::Duration).unwrap_or(0);
        self.json.number("\"duration\":", duration / 1000);
        self.json.number("\"count\":", 1);
        if self.options.profiles.datetime {
            for (key, at) in
                [("\"time_dt\":", start), ("\"start_time_dt\":", start), ("\"end_time_dt\":", end)]
            {
                self.json.key(key);
                self.json.out.push(b'"');
                time.push(self.json.out, at);
                self.json.out.push(b'"');
            }
        }
    }

    fn metadata(&mut self, head: &[u8], time: &mut Writer) {
        let facts = self.facts;
        self.json.out.push(b',');
        self.json.out.extend_from_slice(head);
        self.json.some("\"uid\":", facts.id());
        self.json.number("\"sequence\":", facts.entry.context.sequence);
        self.json.some("\"log_name\":", facts.text(Field::Source));
        self.json.some("\"event_code\":", facts.text(Field::Action));
        self.json.some("\"tenant_uid\":", facts.text(Field::Organization));
        self.json.hex("\"correlation_uid\":", facts.record.bytes(Field::TraceId), 16);
        self.json.key("\"original_time\":\"");
        time.push(self.json.out, facts.record.start());
        self.json.out.extend_from_slice(b"\"}");
    }

    fn verdict(&mut self) {
        let facts = self.facts;
        let (id, name) = activity::severity(facts);
        self.json.number("\"severity_id\":", id);
        self.json.word("\"severity\":", name);
        let (id, name) = activity::status(facts);
        self.json.number("\"status_id\":", id);
        self.json.word("\"status\":", name);
        if let Some(code) = facts.status() {
            let mut text = itoa::Buffer::new();
            self.json.word("\"status_code\":", text.format(code));
        }
        if let Some(error) = facts.record.error_type() {
            self.json.word("\"status_detail\":", error.as_str());
        }
        if self.options.profiles.security_control && !facts.is_own() {
            let (action, action_name, disposition, disposition_name) = activity::control(facts);
            self.json.number("\"action_id\":", action);
            self.json.word("\"action\":", action_name);
            self.json.number("\"disposition_id\":", disposition);
            self.json.word("\"disposition\":", disposition_name);
        } else if self.options.profiles.security_control {
            self.json.number("\"action_id\":", 0);
            self.json.word("\"action\":", "Unknown");
        }
    }
}

#[cfg(test)]
mod tests;
