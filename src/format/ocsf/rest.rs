//! `enrichments`, `observables`, and `unmapped`: what OCSF has no place for, under the names of
//! the flat format.

use super::Event;
use super::options::Class;
use super::people::{is_email, parsed};
use crate::record::{Field, OwnValue};
use std::net::IpAddr;

impl Event<'_, '_> {
    pub(super) fn enrichments(&mut self) {
        let facts = self.facts;
        let (provenance, origin) = (facts.actor_provenance(), facts.origin_type());
        if provenance.is_empty() && origin.is_empty() {
            return;
        }
        self.json.open_list("\"enrichments\":");
        if !provenance.is_empty() {
            self.json.open("");
            self.json.word("\"name\":", "actor.provenance");
            self.json.text("\"value\":", provenance);
            self.json.open("\"data\":");
            self.json.some("\"actor.unverified\":", facts.actor_unverified());
            self.json.close();
            self.json.word("\"provider\":", "onrecord");
            self.json.close();
        }
        if !origin.is_empty() {
            self.json.open("");
            self.json.word("\"name\":", "origin.type");
            self.json.text("\"value\":", origin);
            self.json.open("\"data\":");
            self.json.texts("\"origin.evidence\":", facts.origin_evidence());
            self.json.close();
            self.json.word("\"provider\":", "onrecord");
            self.json.close();
        }
        self.json.close_list();
    }

    pub(super) fn observables(&mut self) {
        let facts = self.facts;
        let address = facts.text(Field::ClientAddress);
        let is_user = self.options.has_actor() && facts.actor_type() != b"app";
        let (name, email) = (facts.actor_name(), facts.actor_email());
        let all: [(&str, u64, &str, &[u8], bool); 4] = [
            ("src_endpoint.ip", 2, "IP Address", address, parsed::<IpAddr>(address).is_some()),
            ("http_request.user_agent", 16, "HTTP User-Agent", facts.text(Field::UserAgent), true),
            ("actor.user.name", 4, "User Name", name, is_user),
            ("actor.user.email_addr", 5, "Email Address", email, is_user && is_email(email)),
        ];
        let mut any = false;
        for (name, number, caption, value, fits) in all {
            if facts.is_own() && number != 4 || value.is_empty() || !fits {
                continue;
            }
            if !any {
                self.json.open_list("\"observables\":");
                any = true;
            }
            self.json.open("");
            self.json.word("\"name\":", name);
            self.json.number("\"type_id\":", number);
            self.json.word("\"type\":", caption);
            self.json.text("\"value\":", value);
            self.json.close();
        }
        if any {
            self.json.close_list();
        }
    }

    /// What has no place of its own. Nothing here is cut.
    pub(super) fn unmapped(&mut self, extra: &[u8]) {
        let facts = self.facts;
        let context = facts.entry.context;
        let cuts = |event: &Self, field| event.json.cuts(facts.text(field));
        let cut = [
            (Field::Path, "\"url.path\":"),
            (Field::Query, "\"url.query\":"),
            (Field::Route, "\"http.route\":"),
            (Field::UserAgent, "\"user_agent.original\":"),
            (Field::Referer, "\"http.request.header.referer\":"),
        ]
        .map(|(field, key)| (field, key, cuts(self, field) && field != Field::Route));
        let method = facts.text(Field::Method);
        let odd_method = !method.is_empty() && !self.knows(method);
        let mut json = super::Json::new(self.json.out);
        json.open("\"unmapped\":");
        json.text("\"onrecord.instance\":", context.instance.as_bytes());
        json.text("\"onrecord.boot\":", context.boot.as_bytes());
        json.number("\"onrecord.lane\":", u64::from(context.lane));
        if facts.is_own() {
            json.some("\"event.category\":", facts.text(Field::Category));
            own(&mut json, facts.record.own());
            json.out.extend_from_slice(extra);
            json.close();
            return;
        }
        for (field, key) in [
            (Field::Namespace, "\"namespace\":"),
            (Field::Space, "\"space.id\":"),
            (Field::Environment, "\"environment.id\":"),
            (Field::CacheDetail, "\"cache.detail\":"),
            (Field::MethodOverride, "\"http.request.method_override\":"),
            (Field::Route, "\"http.route\":"),
            (Field::UserAgentProduct, "\"user_agent.product\":"),
            (Field::Category, "\"event.category\":"),
            (Field::ActorAuthentication, "\"actor.authentication\":"),
            (Field::CredentialKey, "\"actor.credential.key\":"),
            (Field::TlsClientSubject, "\"tls.client.subject\":"),
        ] {
            json.some(key, facts.text(field));
        }
        if let Some(cache) = facts.record.cache_status() {
            json.word("\"cache.status\":", cache.as_str());
        }
        json.number("\"duration.microseconds\":", facts.record.integer(Field::Duration).unwrap_or(0));
        for (field, key, wanted) in cut {
            if wanted {
                json.text(key, facts.text(field));
            }
        }
        if odd_method {
            json.text("\"http.request.method\":", method);
        }
        if !self.options.has_response() {
            let size = facts.record.integer(Field::ResponseBodySize);
            json.some_number("\"http.response.body.size\":", size);
        }
        let integer = |field| facts.record.integer(field);
        json.some_number("\"upstream.duration.microseconds\":", integer(Field::UpstreamDuration));
        json.some_number("\"upstream.attempts\":", integer(Field::UpstreamAttempts));
        json.some_number("\"resources_truncated\":", integer(Field::ResourcesTruncated));
        if facts.record.bytes(Field::ActionCandidate).is_some() {
            json.texts("\"event.action.candidates\":", facts.record.all(Field::ActionCandidate));
        }
        if let Some(error) = facts.record.inspection_error() {
            json.word("\"inspection.error\":", error.as_str());
        }
        json.hex("\"span.id\":", facts.record.bytes(Field::SpanId), 8);
        if self.options.class != Class::WebResourcesActivity {
            json.some("\"tls.protocol.version\":", facts.text(Field::TlsVersion));
        }
        if !self.options.has_actor() {
            json.some("\"actor.type\":", facts.actor_type());
            json.some("\"actor.id\":", facts.actor_id());
            json.some("\"actor.name\":", facts.actor_name());
            json.some("\"actor.issuer\":", facts.actor_issuer());
            json.some("\"actor.app.id\":", facts.actor_app());
            json.some("\"actor.delegate.id\":", facts.actor_delegate());
            json.some("\"session.id\":", facts.session());
            json.hex("\"actor.credential.id\":", facts.record.bytes(Field::CredentialId), 16);
        }
        let is_user = facts.actor_type() != b"app";
        let email = facts.actor_email();
        if !self.options.has_actor() || !is_email(email) || !is_user {
            json.some("\"actor.email\":", email);
        }
        json.out.extend_from_slice(extra);
        json.close();
    }
}

/// The attributes of an own record, with the names and types of the flat format.
pub(in crate::format) fn own<'a>(
    json: &mut super::Json<'_>,
    attributes: impl Iterator<Item = (&'a [u8], OwnValue<'a>)>,
) {
    let mut list: Option<&[u8]> = None;
    for (name, value) in attributes {
        if list.is_some_and(|open| open != name || !matches!(value, OwnValue::Element(_))) {
            json.close_list();
            list = None;
        }
        if list.is_none() {
            json.named(name);
        }
        match value {
            OwnValue::Text(text) => json.string(text),
            OwnValue::Number(number) => {
                json.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            OwnValue::Flag(flag) => json.out.extend_from_slice(if flag { b"true" } else { b"false" }),
            OwnValue::Element(text) => {
                if list.replace(name).is_none() {
                    json.out.push(b'[');
                }
                json.text("", text);
            }
        }
    }
    if list.is_some() {
        json.close_list();
    }
}
