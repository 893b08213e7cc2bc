//! `[[destination]]` of type `nats`.

use super::bucket::word;
use super::{Item, Table};
use crate::config::reference::{Absent, Key, Kind};
use crate::deliver::{NatsAuth, NatsOptions, SubjectTemplate};
use std::time::Duration;

/// What is packed at least this often, unless it is set otherwise: who fans out live waits for it.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// What is packed at once, unless it is set otherwise.
pub(super) const OBJECT_BYTES: u64 = 1024 * 1024;

pub(super) const SERVERS: Key = Key {
    name: "servers",
    kind: Kind::List("URLs"),
    absent: Absent::Unset("required for `nats`"),
    doc: "`nats`: servers of one cluster, `nats://host:4222` or `tls://host:4222`.",
};
pub(super) const SUBJECT: Key = Key {
    name: "subject",
    kind: Kind::Text,
    absent: Absent::Value("\"onrecord.records.{source}\""),
    doc: "`nats`: the subject of each record, with `{source}`, `{organization}` and attributes by their names, such as `{event.action}`.",
};
pub(super) const EVIDENCE_SUBJECT: Key = Key {
    name: "evidence_subject",
    kind: Kind::Text,
    absent: Absent::Value("\"onrecord.evidence\""),
    doc: "`nats`: manifests, public keys and probes are published on this subject with `.manifest`, `.key` and `.probe` behind it.",
};
pub(super) const STREAM: Key = Key {
    name: "stream",
    kind: Kind::Text,
    absent: Absent::Unset("whichever listens to the subjects"),
    doc: "`nats`: the stream that has to take the messages; another one is refused. It must exist.",
};
pub(super) const USER: Key = Key {
    name: "user",
    kind: Kind::Text,
    absent: Absent::Unset("none"),
    doc: "`nats`: the user, with `password`.",
};
pub(super) const PASSWORD: Key = Key {
    name: "password",
    kind: Kind::Secret,
    absent: Absent::Unset("none"),
    doc: "`nats`: the password of `user`. Secrets are read again at each connection.",
};
pub(super) const TOKEN: Key = Key {
    name: "token",
    kind: Kind::Secret,
    absent: Absent::Unset("none"),
    doc: "`nats`: a token, in place of user and password.",
};

/// Reads the keys of a stream.
pub(super) fn read(table: &Table<'_>) -> Option<NatsOptions> {
    let given = table.take("servers");
    if given.is_none() {
        table.missing("servers", None);
    }
    let elements = given.as_ref().map(Item::list).unwrap_or_default();
    if let Some(given) = given.filter(Item::is_empty_list) {
        given.refuse::<()>("names no server", Some("write it like [\"nats://127.0.0.1:4222\"]"));
    }
    let count = elements.len();
    let servers: Vec<String> = elements.iter().filter_map(server).collect();
    let is_whole = count > 0 && servers.len() == count;
    let mut options = NatsOptions::new(servers);
    if let Some(item) = table.take("subject")
        && let Some(text) = item.text()
    {
        match SubjectTemplate::parse(&text.value) {
            Ok(subject) => options.subject = subject,
            Err(error) => drop(item.refuse::<()>(error.to_string(), None)),
        }
    }
    if let Some(item) = table.take("evidence_subject")
        && let Some(text) = item.text()
    {
        match SubjectTemplate::plain(&text.value) {
            Ok(subject) => options.evidence_subject = subject,
            Err(error) => drop(item.refuse::<()>(error.to_string(), Some("it has no placeholders"))),
        }
    }
    options.stream = table.take("stream").and_then(|item| word(&item, "the name of a stream"));
    options.auth = auth(table);
    if let Some(given) = table.time("put_timeout") {
        options.put_timeout = given.value;
    }
    options.local = super::cloud::local_address(table);
    options.ca = table.path("ca").map(|at| at.value);
    is_whole.then_some(options)
}

fn auth(table: &Table<'_>) -> NatsAuth {
    let (user, password) = (table.take("user"), table.take("password"));
    let (token, credentials) = (table.take("token"), table.take("credentials"));
    {
        let mut given = [user.as_ref(), token.as_ref(), credentials.as_ref()].into_iter().flatten();
        if let (Some(_), Some(second)) = (given.next(), given.next()) {
            let hint = "keep one of user, token and credentials";
            second.refuse::<()>("is given beside another way to prove who the gateway is", Some(hint));
        }
    }
    match (user, password) {
        (Some(user), Some(password)) => {
            if let (Some(user), Some(password)) = (user.text(), password.secret()) {
                return NatsAuth::User(user.value, password);
            }
        }
        (Some(user), None) => drop(user.refuse::<()>("is given without password", None)),
        (None, Some(password)) => drop(password.refuse::<()>("is given without user", None)),
        (None, None) => {}
    }
    if let Some(token) = token.and_then(|item| item.secret()) {
        return NatsAuth::Token(token);
    }
    credentials.and_then(|item| item.secret()).map_or(NatsAuth::None, NatsAuth::Credentials)
}

fn server(item: &Item<'_>) -> Option<String> {
    const HINT: &str = "write it like \"nats://127.0.0.1:4222\" or \"tls://nats.example.com:4222\"";
    let text = item.text()?.value;
    let url: Option<http::Uri> = text.trim_end_matches('/').parse().ok();
    let Some(url) = url.filter(|url| matches!(url.scheme_str(), Some("nats" | "tls"))) else {
        return item.refuse("is not a nats:// or tls:// URL", Some(HINT));
    };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        let hint = "who the gateway is goes to user and password, token or credentials";
        return item.refuse("must not hold a user or password", Some(hint));
    }
    if url.host().is_none_or(str::is_empty) || !matches!(url.path(), "" | "/") || text.contains(['?', '#']) {
        return item.refuse("must be scheme, host, port and nothing more", Some(HINT));
    }
    Some(text.trim_end_matches('/').to_owned())
}
