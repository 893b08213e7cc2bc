//! `[source.actor.introspection]` and `[source.actor.ask]`.

use super::{Item, Table, identity};
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::identity::{AskOptions, IntrospectionOptions};
use std::time::Duration;

const CA: Key = Key {
    name: "ca",
    kind: Kind::Path,
    absent: Absent::Unset("the public roots that are built in"),
    doc: "PEM file with the roots that the server's certificate is checked against, in place of the public ones.",
};

pub(crate) static INTROSPECTION: Section = Section {
    path: "source.actor.introspection",
    many: false,
    doc: "Asks the issuer about bearer tokens of the source above (RFC 7662), off the request path: about all of them, without those JWTs that `[source.actor.jwt]` checks. Requests pass whatever comes of it. See docs/actors.md.",
    keys: &[
        Key {
            name: "endpoint",
            kind: Kind::Other("URL"),
            absent: Absent::Unset("none: nobody is asked"),
            doc: "The introspection endpoint: `https://` (`http://` on loopback).",
        },
        Key {
            name: "client_id",
            kind: Kind::Text,
            absent: Absent::Unset("none"),
            doc: "Who the gateway is there (basic authentication).",
        },
        Key {
            name: "client_secret",
            kind: Kind::Secret,
            absent: Absent::Unset("none"),
            doc: "The client's secret.",
        },
        CA,
        Key {
            name: "cache",
            kind: Kind::Time(Duration::from_secs(1), Duration::from_secs(86_400)),
            absent: Absent::Value("\"5m\""),
            doc: "How long an answer counts before a token that is still in use is asked about again.",
        },
    ],
};

pub(crate) static ASK: Section = Section {
    path: "source.actor.ask",
    many: false,
    doc: "Asks the API itself who a bearer token is, once for each, off the request path, where nothing was learned of it yet. The answer is read by the catalogue's `learn` and kept as what was learned. See docs/actors.md.",
    keys: &[
        Key {
            name: "url",
            kind: Kind::Other("URL"),
            absent: Absent::Unset("none: nobody is asked"),
            doc: "What is asked with GET and the token, such as `https://api.contentful.com/users/me`: `https://` (`http://` on loopback).",
        },
        CA,
    ],
};

/// Reads both from `[source.actor]`.
pub(super) fn read(actor: &Table<'_>) -> (Option<IntrospectionOptions>, Option<AskOptions>) {
    (introspection(actor.table("introspection")), ask(actor.table("ask")))
}

fn introspection(table: Table<'_>) -> Option<IntrospectionOptions> {
    let endpoint = table.take("endpoint");
    let is_typed = endpoint.is_some();
    let endpoint = endpoint.and_then(|item| url(&item));
    let client_id = table.text("client_id").map(|at| at.value);
    let client_secret = table.secret("client_secret");
    let ca = table.path("ca").map(|at| at.value);
    let cache = table.time("cache").map_or(Duration::from_secs(300), |at| at.value);
    if !is_typed && (client_id.is_some() || client_secret.is_some()) {
        table.missing("endpoint", Some("say where tokens are introspected".to_owned()));
    }
    table.finish();
    Some(IntrospectionOptions { endpoint: endpoint?, client_id, client_secret, ca, cache })
}

fn ask(table: Table<'_>) -> Option<AskOptions> {
    let url = table.take("url").and_then(|item| url(&item));
    let ca = table.path("ca").map(|at| at.value);
    table.finish();
    Some(AskOptions { url: url?, ca })
}

fn url(item: &Item<'_>) -> Option<String> {
    let unprotected = "send tokens unprotected: anyone on the way could read them";
    identity::url(item, "the gateway has its own keys for that", unprotected, "nor http on loopback")
}
