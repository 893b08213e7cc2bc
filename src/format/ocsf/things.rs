//! What: `api`, `http_request`, `http_response`, `tls`, `resources`, `web_resources`, `cloud`.

use super::Event;
use super::options::{Class, Version};
use crate::record::Field;

impl Event<'_, '_> {
    pub(super) fn api(&mut self) {
        let facts = self.facts;
        let (method, route) = (facts.text(Field::Method), facts.text(Field::Route));
        self.json.open("\"api\":");
        if facts.is_own() {
            self.json.text("\"operation\":", facts.text(Field::Action));
            self.json.open("\"service\":");
            self.json.word("\"name\":", "onrecord");
            self.json.close();
            self.json.close();
            return;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(if method.is_empty() { b"unknown" } else { method });
        if !route.is_empty() {
            self.scratch.push(b' ');
            self.scratch.extend_from_slice(route);
        }
        self.json.text("\"operation\":", self.scratch);
        if !facts.request_id().is_empty() {
            self.json.open("\"request\":");
            self.json.text("\"uid\":", facts.request_id());
            self.json.close();
        }
        self.json.open("\"response\":");
        self.json.some_number("\"code\":", facts.status());
        if let Some(error) = facts.record.error_type() {
            self.json.word("\"error\":", error.as_str());
        }
        self.json.word("\"message\":", facts.record.outcome().as_str());
        self.json.close();
        let service = facts.text(Field::Source);
        if !service.is_empty() {
            self.json.open("\"service\":");
            self.json.text("\"name\":", service);
            self.json.close();
        }
        self.json.close();
    }

    pub(super) fn request(&mut self) {
        let facts = self.facts;
        self.json.open("\"http_request\":");
        self.json.some("\"uid\":", facts.request_id());
        let method = facts.text(Field::Method);
        if self.knows(method) {
            self.json.text("\"http_method\":", method);
        }
        self.json.open("\"url\":");
        self.json.text("\"path\":", facts.text(Field::Path));
        self.json.some("\"query_string\":", facts.text(Field::Query));
        self.json.close();
        self.json.some("\"user_agent\":", facts.text(Field::UserAgent));
        self.json.some("\"referrer\":", facts.text(Field::Referer));
        self.json.some("\"version\":", facts.protocol().as_bytes());
        let length = self.length();
        self.json.some_number(length, facts.record.integer(Field::RequestBodySize));
        self.json.close();
    }

    pub(super) fn response(&mut self) {
        let facts = self.facts;
        let Some(code) = facts.status().filter(|_| self.options.has_response()) else { return };
        self.json.open("\"http_response\":");
        self.json.number("\"code\":", code);
        let length = self.length();
        self.json.some_number(length, facts.record.integer(Field::ResponseBodySize));
        let latency = facts.record.integer(Field::UpstreamDuration);
        self.json.some_number("\"latency\":", latency.map(|time| time / 1000));
        self.json.close();
    }

    /// Where the size of a body stands.
    fn length(&self) -> &'static str {
        match self.options.version {
            Version::V1_3 => "\"length\":",
            Version::V1_8 => "\"body_length\":",
        }
    }

    /// Whether the schema's list of methods has this one.
    pub(super) fn knows(&self, method: &[u8]) -> bool {
        match method {
            b"OPTIONS" | b"GET" | b"HEAD" | b"POST" | b"PUT" | b"DELETE" | b"TRACE" | b"CONNECT" => true,
            b"PATCH" => self.options.version == Version::V1_8,
            _ => false,
        }
    }

    pub(super) fn tls(&mut self) {
        let version = self.facts.text(Field::TlsVersion);
        if self.options.class == Class::WebResourcesActivity && !version.is_empty() {
            self.json.open("\"tls\":");
            self.json.text("\"version\":", version);
            self.json.close();
        }
    }

    /// `resources` or `web_resources`: what the request is about, then what it touched.
    pub(super) fn resources(&mut self) {
        let facts = self.facts;
        let web = self.options.class == Class::WebResourcesActivity;
        let (kind, id) = (facts.text(Field::ResourceType), facts.text(Field::ResourceId));
        let name = [facts.text(Field::Route), facts.text(Field::Path), b"unknown"];
        let name = name.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        if !web && kind.is_empty() && id.is_empty() && facts.resources().next().is_none() {
            return;
        }
        self.json.open_list(if web { "\"web_resources\":" } else { "\"resources\":" });
        self.json.open("");
        if facts.is_own() {
            self.json.word("\"type\":", "Gateway");
            self.json.text("\"uid\":", facts.entry.context.instance.as_bytes());
        } else {
            self.json.some("\"type\":", kind);
            match id {
                b"" => self.json.text("\"name\":", name),
                id => self.json.text("\"uid\":", id),
            }
            if web {
                self.json.some("\"url_string\":", facts.text(Field::Path));
            }
        }
        self.json.close();
        for (kind, id) in facts.resources() {
            self.json.open("");
            self.json.some("\"type\":", kind);
            self.json.text("\"uid\":", id);
            self.json.close();
        }
        self.json.close_list();
    }

    /// `cloud`: whose API it is, and whose part of it.
    pub(super) fn cloud(&mut self) {
        let facts = self.facts;
        let namespace = match facts.text(Field::Namespace) {
            _ if facts.is_own() => b"onrecord",
            b"" => &b"api"[..],
            namespace => namespace,
        };
        self.json.open("\"cloud\":");
        self.json.text("\"provider\":", namespace);
        let organization = facts.text(Field::Organization);
        if !organization.is_empty() {
            self.json.open("\"org\":");
            self.json.text("\"uid\":", organization);
            self.json.close();
        }
        let space = facts.text(Field::Space);
        if !space.is_empty() {
            self.json.open("\"account\":");
            self.json.text("\"uid\":", space);
            self.json.close();
        }
        self.json.close();
    }
}
