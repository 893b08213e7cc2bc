//! `[[source]]` and `[source.actor]`.

use super::{At, Document, Item, Table, durability, forward, identity, inquiry, limits, listener};
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::config::upstream;
use crate::config::{CatalogueRef, PRESETS, SourceConfig};
use crate::proxy::{ActorHeaders, OddPaths, Organization, SourceOptions, Upstream};
use crate::server::ListenAddress;
use std::net::IpAddr;
use std::path::PathBuf;

pub(crate) static SECTION: Section = Section {
    path: "source",
    many: true,
    doc: "A log source: one audited API. At least one.",
    keys: &[
        Key {
            name: "name",
            kind: Kind::Name,
            absent: Absent::Required,
            doc: "Its name in records, object keys and metrics. `onrecord` is reserved for the gateway's own records.",
        },
        Key {
            name: "namespace",
            kind: Kind::Other("lower-case letters, digits, `_`"),
            absent: Absent::Unset("the catalogue's, else `api`"),
            doc: "Begins the names of attributes such as `contentful.space.id`.",
        },
        Key {
            name: "listen",
            kind: Kind::Other("address and port, `unix:/path`, or a list of them"),
            absent: Absent::Required,
            doc: "Where clients connect. Sources can share an address if their `hosts` differ. An IPv6 address takes IPv6 alone: for both write `[\"0.0.0.0:80\", \"[::]:80\"]`. TLS and the like are set in `[[listener]]`.",
        },
        Key {
            name: "hosts",
            kind: Kind::List("host names"),
            absent: Absent::Unset("any host that no other source takes"),
            doc: "Host names, without port, that choose this source on a shared address.",
        },
        Key {
            name: "path_prefix",
            kind: Kind::Other("`/segment…`"),
            absent: Absent::Unset("none"),
            doc: "Taken off the front of each path before it is matched, recorded and forwarded; other paths are answered 404.",
        },
        Key {
            name: "upstream",
            kind: Kind::Other("URL, or a list of them"),
            absent: Absent::Required,
            doc: "Where requests go: `https://host/base`, `http://host:port/base` or `unix:/path`. The base path stands before each path. Several differ in host and port alone; requests are spread over them.",
        },
        Key {
            name: "preserve_host",
            kind: Kind::Flag,
            absent: Absent::Value("false"),
            doc: "Send the client's Host header to the upstream instead of the upstream's own name.",
        },
        Key {
            name: "catalogues",
            kind: Kind::List("preset names or paths of `.json` or `.toml` files"),
            absent: Absent::Unset("none: no request matches a route"),
            doc: "The API's routes and what each means. Presets: `contentful-management`, `contentful-delivery`, `microcms`.",
        },
        Key {
            name: "api_host",
            kind: Kind::Text,
            absent: Absent::Unset("the upstream's host name"),
            doc: "The API's public host name; it decides between catalogue rows that differ in nothing else.",
        },
        Key {
            name: "organization",
            kind: Kind::Other("an id, `:placeholder`, or `{ header = \"Name\" }`"),
            absent: Absent::Unset(
                "what the catalogue names, or what was learned of the space (docs/meaning.md)",
            ),
            doc: "Where the organization of a record comes from. A placeholder in the path wins over an id or header.",
        },
        Key {
            name: "trusted_proxies",
            kind: Kind::List("addresses, networks, or `unix`"),
            absent: Absent::Unset("none"),
            doc: "Peers whose `X-Forwarded-*`, `Forwarded` and identity headers are believed; `unix` stands for those on Unix sockets.",
        },
        Key {
            name: "odd_paths",
            kind: Kind::Choice(&["pass", "refuse"]),
            absent: Absent::Unset(
                "`refuse` where a class of durability is `strict` or a catalogue has sensitive rows, else `pass`",
            ),
            doc: "Paths that no template can match safely (dot segments, encoded slashes and the like): forwarded and recorded without a route, or answered 400.",
        },
        Key {
            name: "api_key_headers",
            kind: Kind::List("header names"),
            absent: Absent::Unset("none"),
            doc: "Headers that carry an API key, beside the catalogue's.",
        },
    ],
};

pub(crate) static ACTOR: Section = Section {
    path: "source.actor",
    many: false,
    doc: "How it is known who acts. The headers are those in which a trusted proxy says it; from anyone else they are not believed.",
    keys: &[
        identity::IDENTIFY,
        Key {
            name: "header_id",
            kind: Kind::Header,
            absent: Absent::Unset("none"),
            doc: "Holds `actor.id`.",
        },
        Key {
            name: "header_name",
            kind: Kind::Header,
            absent: Absent::Unset("none"),
            doc: "Holds `actor.name`.",
        },
        Key {
            name: "header_email",
            kind: Kind::Header,
            absent: Absent::Unset("none"),
            doc: "Holds `actor.email`.",
        },
    ],
};

/// Attribute groups of the record itself: a namespace of this name would collide.
const TAKEN_NAMESPACES: &[&str] = &[
    "actor",
    "cache",
    "client",
    "duration",
    "error",
    "event",
    "gap",
    "http",
    "network",
    "onrecord",
    "origin",
    "resource",
    "resources",
    "schema",
    "session",
    "span",
    "tls",
    "trace",
    "upstream",
    "url",
    "user_agent",
];

/// Headers that hold credentials: they are never written, so they can't name anyone.
const CREDENTIALS: &[&str] = &["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// A `[[source]]` with the places that are judged against others.
pub(crate) struct Source {
    pub(crate) config: SourceConfig,
    /// The whole table's place.
    pub(crate) table: At<()>,
    pub(crate) name: Option<At<String>>,
    pub(crate) listen: Vec<At<ListenAddress>>,
    pub(crate) hosts: Vec<At<String>>,
    pub(crate) upstream: Option<At<Upstream>>,
}

pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Source {
    let name = table.name("name");
    let listen: Vec<_> = addresses(&table);
    let hosts: Vec<_> = table.list("hosts").iter().filter_map(host).collect();
    let upstream = table.take("upstream").and_then(forward::read_upstream);
    let keys: Vec<_> =
        table.list("api_key_headers").iter().filter_map(|item| Some(item.header()?.value)).collect();
    let (organization, organization_placeholder) =
        table.take("organization").and_then(|item| organization(&item, &keys)).unwrap_or_default();
    let actor_table = table.table("actor");
    let (identify, jwt) = identity::read(&actor_table);
    let (introspection, ask) = inquiry::read(&actor_table);
    let options = SourceOptions {
        name: name.as_ref().map(|at| at.value.clone()).unwrap_or_default(),
        namespace: table.take("namespace").and_then(|item| namespace(&item)).unwrap_or_default(),
        listen: listen.iter().map(|at| at.value.clone()).collect(),
        hosts: hosts.iter().map(|at| at.value.clone()).collect(),
        path_prefix: table.take("path_prefix").and_then(|item| path_prefix(&item)).unwrap_or_default(),
        upstream: upstream.as_ref().map_or_else(upstream::nowhere, |at| at.value.clone()),
        preserve_host: table.flag("preserve_host").unwrap_or_default(),
        organization,
        trusted_proxies: listener::peers(&table, "trusted_proxies"),
        actor_headers: actor(document, actor_table, &keys),
        api_key_headers: keys,
        odd_paths: table.choice("odd_paths").map(|word| match word {
            "refuse" => OddPaths::Refuse,
            _ => OddPaths::Pass,
        }),
        durability: durability::read(table.table("durability")),
        limits: limits::read(table.table("limits")),
        forward: forward::read(document, table.table("forward"), upstream.as_ref()),
        health: forward::read_health(table.table("health")),
    };
    let config = SourceConfig {
        options,
        catalogues: table.list("catalogues").iter().filter_map(catalogue).collect(),
        api_host: table.take("api_host").and_then(|item| Some(host(&item)?.value)),
        organization_placeholder,
        identify,
        jwt,
        introspection,
        ask,
    };
    let place = table.at(());
    table.finish();
    Source { config, table: place, name, listen, hosts, upstream }
}

fn addresses(table: &Table<'_>) -> Vec<At<ListenAddress>> {
    let Some(item) = table.take("listen") else { return Vec::new() };
    let items = item.one_or_list();
    if items.is_empty() {
        table.problem(
            "listens nowhere: listen is empty",
            Some("write listen = \"127.0.0.1:8080\"".to_owned()),
        );
    }
    items.iter().filter_map(listener::listen_address).collect()
}

pub(super) fn host(item: &Item<'_>) -> Option<At<String>> {
    let text = item.text()?;
    let name = text.value.to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    if !address && name.contains([':', '/']) {
        return item.refuse("is not a host name", Some("write the name alone, without scheme, port or path"));
    }
    if name.contains('*') {
        return item
            .refuse("holds a wildcard", Some("write each host name out, or leave hosts out on one source"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !address && (name.len() > 253 || !name.chars().all(plain)) {
        return item.refuse("is not a host name", Some("international names are written in their xn-- form"));
    }
    Some(item.at(name))
}

fn namespace(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    let fits = text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !fits {
        return item
            .refuse("must be lower-case letters, digits and `_`, at most 32, the first a letter", None);
    }
    if TAKEN_NAMESPACES.contains(&text.as_str()) {
        return item.refuse("is taken by the record's own attributes", Some("choose the API's name"));
    }
    Some(text)
}

fn path_prefix(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    if text == "/" {
        return item.refuse("is every path", Some("leave the key out"));
    }
    if let Err(error) = upstream::check_path(&text) {
        return item.refuse(error.to_string(), Some("write it like \"/cma\""));
    }
    if text.ends_with('/') {
        return item.refuse("must not end with a slash", Some(text.trim_end_matches('/')));
    }
    Some(text)
}

fn catalogue(item: &Item<'_>) -> Option<CatalogueRef> {
    let text = item.text()?.value;
    if PRESETS.contains(&text.as_str()) {
        return Some(CatalogueRef::Preset(text));
    }
    let path = PathBuf::from(&text);
    let is_file = path.extension().is_some_and(|extension| extension == "json" || extension == "toml");
    if is_file {
        return Some(CatalogueRef::File(path));
    }
    let near = nearest(&text, PRESETS.iter().copied()).map(|near| format!("did you mean {near}? "));
    let list = PRESETS.join(", ");
    let hint = format!("{}presets are {list}; a file ends with .json or .toml", near.unwrap_or_default());
    item.refuse("is neither a preset nor a catalogue file", Some(&hint))
}

/// The organization's rule, and the placeholder if it names one.
fn organization(item: &Item<'_>, api_keys: &[String]) -> Option<(Organization, Option<String>)> {
    if let Some(table) = item.inline(&ORGANIZATION_HEADER) {
        let header = table.take("header").and_then(|item| identity_header(&item, api_keys));
        table.finish();
        return Some((Organization::Header(header?), None));
    }
    if !item.is_text() {
        return item.wrong_type("an id, \":placeholder\" or { header = \"Name\" }");
    }
    let text = item.text()?.value;
    match text.strip_prefix(':') {
        None => Some((Organization::Fixed(text), None)),
        Some(name) if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            Some((Organization::Catalogue, Some(text)))
        }
        Some(_) => {
            item.refuse("is not a placeholder", Some("write it as in the catalogue, like \":organization\""))
        }
    }
}

fn actor(document: &Document<'_>, table: Table<'_>, api_keys: &[String]) -> ActorHeaders {
    let header = |name| table.take(name).and_then(|item| Some(item.at(identity_header(&item, api_keys)?)));
    let (id, name, email) = (header("header_id"), header("header_name"), header("header_email"));
    if id.is_none() {
        for orphan in name.iter().chain(&email) {
            orphan.problem(document, "is not looked at without header_id", Some("add header_id"));
        }
    }
    table.finish();
    let value = |at: Option<At<String>>| at.map(|at| at.value);
    ActorHeaders { id: value(id), name: value(name), email: value(email) }
}

/// A header whose value goes into records: it must not be one that carries a credential.
fn identity_header(item: &Item<'_>, api_keys: &[String]) -> Option<String> {
    let name = item.header()?.value;
    if CREDENTIALS.contains(&name.as_str()) || api_keys.contains(&name) {
        return item.refuse("carries a credential, and credentials are never written", None);
    }
    Some(name)
}

static ORGANIZATION_HEADER: Section = Section {
    path: "{organization}",
    many: false,
    doc: "",
    keys: &[Key { name: "header", kind: Kind::Header, absent: Absent::Required, doc: "" }],
};
