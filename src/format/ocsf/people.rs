//! Who: `actor` and the two endpoints.

use super::Event;
use super::options::Version;
use crate::record::Field;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

impl Event<'_, '_> {
    /// `actor`, which always says something: OCSF has no empty one.
    pub(super) fn actor(&mut self) {
        let facts = self.facts;
        let (kind, id, name) = (facts.actor_type(), facts.actor_id(), facts.actor_name());
        let is_app = kind == b"app" && !(id.is_empty() && name.is_empty());
        self.json.open("\"actor\":");
        if is_app {
            self.json.some("\"app_uid\":", id);
            self.json.some("\"app_name\":", name);
        } else {
            self.json.some("\"app_uid\":", facts.actor_app());
            self.user();
        }
        self.json.some("\"invoked_by\":", facts.actor_delegate());
        if !facts.actor_issuer().is_empty() {
            self.json.open("\"idp\":");
            self.json.text("\"name\":", facts.actor_issuer());
            self.json.close();
        }
        let credential = is_app.then(|| facts.record.bytes(Field::CredentialId)).flatten();
        if !facts.session().is_empty() || credential.is_some() {
            self.json.open("\"session\":");
            self.json.some("\"uid\":", facts.session());
            self.json.hex("\"credential_uid\":", credential, 16);
            self.json.close();
        }
        self.json.close();
    }

    fn user(&mut self) {
        let facts = self.facts;
        let (kind, id, mut name) = (facts.actor_type(), facts.actor_id(), facts.actor_name());
        if name.is_empty() && id.is_empty() {
            name = if kind.is_empty() { b"unknown" } else { kind };
        }
        self.json.open("\"user\":");
        self.json.some("\"uid\":", id);
        self.json.some("\"name\":", name);
        if is_email(facts.actor_email()) {
            self.json.text("\"email_addr\":", facts.actor_email());
        }
        let (number, caption): (u64, &[u8]) = match kind {
            b"" => (0, b"Unknown"),
            b"user" => (1, b"User"),
            b"service" if self.options.version == Version::V1_8 => (4, b"Service"),
            other => (99, other),
        };
        self.json.number("\"type_id\":", number);
        self.json.text("\"type\":", caption);
        self.json.hex("\"credential_uid\":", facts.record.bytes(Field::CredentialId), 16);
        self.json.close();
    }

    /// `src_endpoint`: the client.
    pub(super) fn source(&mut self) {
        let facts = self.facts;
        self.json.open("\"src_endpoint\":");
        if facts.is_own() {
            self.json.text("\"name\":", facts.entry.context.instance.as_bytes());
            self.json.word("\"svc_name\":", "onrecord");
        } else {
            let address = facts.text(Field::ClientAddress);
            match parsed::<IpAddr>(address) {
                Some(ip) => self.address("\"ip\":", ip),
                None if address.is_empty() => self.json.word("\"name\":", "unknown"),
                None => self.json.text("\"name\":", address),
            }
            self.json.some_number("\"port\":", facts.client_port());
        }
        self.json.close();
    }

    /// `dst_endpoint`: the upstream, where one saw the request.
    pub(super) fn upstream(&mut self) {
        let upstream = self.facts.text(Field::UpstreamAddress);
        if upstream.is_empty() {
            return;
        }
        self.json.open("\"dst_endpoint\":");
        match parsed::<SocketAddr>(upstream) {
            Some(address) => {
                self.address("\"ip\":", address.ip());
                self.json.number("\"port\":", u64::from(address.port()));
            }
            None => self.json.text("\"name\":", upstream),
        }
        self.json.close();
    }

    /// An address in the form that the schema's pattern knows.
    fn address(&mut self, key: &str, address: IpAddr) {
        self.json.key(key);
        // Writing to memory does not fail.
        let _ = write!(self.json.out, "\"{}\"", address.to_canonical());
    }
}

pub(super) fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether a text has the form that OCSF wants of an address of e-mail.
pub(super) fn is_email(text: &[u8]) -> bool {
    let Some(at) = memchr::memrchr(b'@', text) else { return false };
    let (local, domain) = (&text[..at], &text[at + 1..]);
    let local_ok = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-./=?^_`{|}~".contains(byte);
    let Some(dot) = memchr::memchr(b'.', domain) else { return false };
    let label_ok = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    !local.is_empty()
        && local.iter().all(local_ok)
        && dot > 0
        && dot + 1 < domain.len()
        && domain[..dot].iter().all(label_ok)
        && domain[dot + 1..].iter().all(|byte| label_ok(byte) || *byte == b'.')
}
