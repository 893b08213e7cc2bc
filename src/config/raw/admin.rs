//! `[admin]`.

use super::item::NAME_RULE;
use super::{At, Document, Item, Table, listener};
use crate::admin::{Role, Token};
use crate::config::AdminOptions;
use crate::config::reference::{Absent, Key, Kind, Section};
use std::net::SocketAddr;

pub(crate) static SECTION: Section = Section {
    path: "admin",
    many: false,
    doc: "The admin listener: `/metrics`, `/healthz`, `/readyz`, `/api/v1/status` and the control API ([control.md](control.md)).",
    keys: &[
        Key {
            name: "listen",
            kind: Kind::Address,
            absent: Absent::Value("\"127.0.0.1:9464\""),
            doc: "Its address. Off loopback it needs `tokens` and `certificates`.",
        },
        Key {
            name: "tokens",
            kind: Kind::List(
                "`{ name = \"alice\", role = \"viewer\", \"auditor\" or \"operator\", sha256 = \"64 hex digits\" }`",
            ),
            absent: Absent::Unset("everybody on loopback may look, nobody may act"),
            doc: "Who may do what, by the hash of a token that `onrecord token` makes. With any of them everything but `/healthz` and `/readyz` asks for one.",
        },
        Key {
            name: "certificates",
            kind: Kind::List("`{ chain = \"path\", key = \"path\" }`"),
            absent: Absent::Unset("plain HTTP"),
            doc: "Certificates (PEM) and their keys, as in `[listener.tls]`: with them the address speaks TLS and nothing else. The files are followed.",
        },
    ],
};

static TOKEN: Section = Section {
    path: "{token}",
    many: false,
    doc: "",
    keys: &[
        Key { name: "name", kind: Kind::Text, absent: Absent::Required, doc: "" },
        Key {
            name: "role",
            kind: Kind::Choice(&["viewer", "auditor", "operator"]),
            absent: Absent::Required,
            doc: "",
        },
        Key { name: "sha256", kind: Kind::Text, absent: Absent::Required, doc: "" },
    ],
};

/// `[admin]` with the place that is judged against others.
pub(crate) struct Admin {
    pub(crate) options: AdminOptions,
    pub(crate) listen: At<SocketAddr>,
}

pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Admin {
    let listen = table.address("listen").unwrap_or_else(|| table.at(AdminOptions::default().listen));
    let typed = table.list("tokens");
    let mut tokens: Vec<Token> = Vec::new();
    for item in &typed {
        let Some(token) = token(item) else { continue };
        if tokens.iter().any(|known| known.name == token.name) {
            item.refuse::<()>("has the name of another token", Some("who did what is known by it"));
        }
        if tokens.iter().any(|known| known.sha256 == token.sha256) {
            item.refuse::<()>("is another one's token", Some("make one for each by `onrecord token`"));
        }
        tokens.push(token);
    }
    let shown = table.list("certificates");
    let certificates = shown.iter().filter_map(listener::certificate).collect();
    if !listen.value.ip().to_canonical().is_loopback() {
        let missing = match (typed.is_empty(), shown.is_empty()) {
            (true, true) => Some("tokens and certificates"),
            (true, false) => Some("tokens"),
            (false, true) => Some("certificates"),
            (false, false) => None,
        };
        if let Some(missing) = missing {
            let message = format!(
                "must be a loopback address, since this section has no {missing}: anybody could look in"
            );
            let hint = "use 127.0.0.1 or [::1], or add tokens (`onrecord token`) and certificates";
            listen.problem(document, message, Some(hint));
        }
    }
    table.finish();
    Admin { options: AdminOptions { listen: listen.value, tokens, certificates }, listen }
}

/// What was typed is not repeated in a problem: it may be the token.
fn token(item: &Item<'_>) -> Option<Token> {
    let Some(table) = item.inline(&TOKEN) else {
        return item.wrong_type("{ name = \"…\", role = \"…\", sha256 = \"…\" }");
    };
    let (name, role, sha256) = (table.take("name"), table.choice("role"), table.text("sha256"));
    table.finish();
    let name = match name {
        Some(name) => name.name().or_else(|| item.refuse("its name is not a name", Some(NAME_RULE)))?,
        None => return None,
    };
    let role = Role::ALL.into_iter().find(|known| Some(known.as_str()) == role)?;
    let Some(sha256) = crate::evidence::merkle::unhex(&sha256?.value) else {
        let hint = "`onrecord token` prints the whole entry; the token itself does not belong here";
        return item.refuse("its sha256 is not a hash of 64 hexadecimal digits", Some(hint));
    };
    Some(Token { name: name.value, role, sha256 })
}
