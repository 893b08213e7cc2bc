//! `identify` of `[source.actor]`, and `[source.actor.jwt]`.

use super::{Item, Table};
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::enrich::actor::Identify;
use crate::identity::{JwtOptions, KeysFrom};
use std::path::PathBuf;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

pub(super) const IDENTIFY: Key = Key {
    name: "identify",
    kind: Kind::List("words: directory, certificate, header, jwt, introspection, learned, basic"),
    absent: Absent::Value(
        "[\"directory\", \"certificate\", \"header\", \"jwt\", \"introspection\", \"learned\", \"basic\"]",
    ),
    doc: "The ways to know who acts, in their order: the first that knows the actor counts. What is not in the list is not listened to.",
};

pub(crate) static JWT: Section = Section {
    path: "source.actor.jwt",
    many: false,
    doc: "Checks the bearer tokens of the source above that are JWTs, off the request path: `actor.provenance` is `verified` where signature, issuer, audience and time are right. Requests pass whatever comes of it. See docs/actors.md.",
    keys: &[
        Key {
            name: "jwks",
            kind: Kind::Other("URL or path"),
            absent: Absent::Unset("none: tokens are not looked into"),
            doc: "The issuer's key set: an `https://` URL (`http://` on loopback), or a file, which is read again when it changes. A URL is asked again each `refresh`, and when a token names an unknown key.",
        },
        Key {
            name: "issuer",
            kind: Kind::Text,
            absent: Absent::Unset("none; needed with `jwks`"),
            doc: "What `iss` must be.",
        },
        Key {
            name: "audience",
            kind: Kind::Other("text, or a list of it"),
            absent: Absent::Unset("any"),
            doc: "One of these must be in `aud`. Set it: an issuer has tokens for many audiences.",
        },
        Key {
            name: "leeway",
            kind: Kind::Time(Duration::ZERO, Duration::from_secs(600)),
            absent: Absent::Value("\"60s\""),
            doc: "How much the issuer's clock and this one may differ.",
        },
        Key {
            name: "refresh",
            kind: Kind::Time(SECOND, Duration::from_secs(7 * 86_400)),
            absent: Absent::Value("\"1h\""),
            doc: "How old the key set may become.",
        },
        Key {
            name: "ca",
            kind: Kind::Path,
            absent: Absent::Unset("the public roots that are built in"),
            doc: "PEM file with the roots that the key server's certificate is checked against, in place of the public ones.",
        },
        Key {
            name: "id_claim",
            kind: Kind::Text,
            absent: Absent::Value("\"sub\""),
            doc: "The claim with `actor.id`.",
        },
        Key {
            name: "name_claim",
            kind: Kind::Text,
            absent: Absent::Value("\"name\""),
            doc: "The claim with `actor.name`.",
        },
        Key {
            name: "email_claim",
            kind: Kind::Text,
            absent: Absent::Value("\"email\""),
            doc: "The claim with `actor.email`.",
        },
    ],
};

/// Reads both from `[source.actor]`.
pub(super) fn read(actor: &Table<'_>) -> (Vec<Identify>, Option<JwtOptions>) {
    let mut order = Vec::new();
    let item = actor.take("identify");
    let is_absent = item.is_none();
    for word in item.map(|item| item.list()).unwrap_or_default() {
        if let Some(way) = identify(&word) {
            if order.contains(&way) {
                word.refuse::<()>("stands twice in the list", None);
            }
            order.push(way);
        }
    }
    if is_absent {
        order = Identify::ALL.to_vec();
    }
    (order, jwt(actor.table("jwt")))
}

fn identify(item: &Item<'_>) -> Option<Identify> {
    let text = item.text()?.value;
    let found = Identify::ALL.into_iter().find(|way| way.as_str() == text);
    found.or_else(|| {
        let words = Identify::ALL.map(Identify::as_str);
        let near = nearest(&text, words).map(|near| format!("did you mean \"{near}\"?"));
        item.refuse(format!("must be one of {}", words.join(", ")), near.as_deref())
    })
}

fn jwt(table: Table<'_>) -> Option<JwtOptions> {
    let (jwks, issuer) = (table.take("jwks"), table.take("issuer"));
    let typed = (jwks.is_some(), issuer.is_some());
    let jwks = jwks.and_then(|item| keys(&item));
    let issuer = issuer.and_then(|item| item.text());
    let standard = JwtOptions::new(KeysFrom::File(PathBuf::new()), "");
    let text = |name, standard: String| table.text(name).map_or(standard, |at| at.value);
    let time = |name, standard| table.time(name).map_or(standard, |at| at.value);
    let audience = table.take("audience").map(Item::one_or_list).unwrap_or_default();
    let options = JwtOptions {
        ca: table.path("ca").map(|at| at.value),
        audience: audience.iter().filter_map(|item| Some(item.text()?.value)).collect(),
        leeway: time("leeway", standard.leeway),
        refresh: time("refresh", standard.refresh),
        id_claim: text("id_claim", standard.id_claim),
        name_claim: text("name_claim", standard.name_claim),
        email_claim: text("email_claim", standard.email_claim),
        jwks: standard.jwks,
        issuer: String::new(),
    };
    match typed {
        (true, false) => table.missing("issuer", Some("write what `iss` of its tokens must be".to_owned())),
        (false, true) => table.missing("jwks", Some("say where the issuer's keys are".to_owned())),
        _ => {}
    }
    table.finish();
    let (jwks, issuer) = (jwks?, issuer?.value);
    Some(JwtOptions { jwks, issuer, ..options })
}

fn keys(item: &Item<'_>) -> Option<KeysFrom> {
    let text = item.text()?.value;
    if !text.contains("://") {
        return Some(KeysFrom::File(PathBuf::from(text)));
    }
    url(item, "keys are public", "fetch keys unprotected: anyone on the way could set his own", "nor a file")
        .map(KeysFrom::Url)
}

/// A URL to be fetched: `https`, or `http` on loopback.
pub(super) fn url(item: &Item<'_>, no_user: &str, unprotected: &str, or: &str) -> Option<String> {
    let text = item.text()?.value;
    let uri: Option<http::Uri> = text.parse().ok();
    let Some(host) = uri.as_ref().and_then(|uri| uri.host()) else {
        return item.refuse("is not a URL", Some("write it like \"https://issuer.example/jwks.json\""));
    };
    let authority = uri.as_ref().and_then(|uri| uri.authority()).map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return item.refuse("holds a user or password", Some(&format!("leave them out: {no_user}")));
    }
    let host = host.trim_matches(['[', ']']);
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.as_ref().and_then(|uri| uri.scheme_str()) {
        Some("https") => Some(text),
        Some("http") if is_loopback => Some(text),
        Some("http") => item.refuse(format!("would {unprotected}"), Some("use https")),
        _ => item.refuse(format!("is neither https {or}"), None),
    }
}
