//! `[redact]`.

use super::{At, Table};
use crate::config::RedactOptions;
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::enrich::privacy::Hashed;
use crate::patterns::{self, MOST_PATTERNS};

pub(crate) static SECTION: Section = Section {
    path: "redact",
    many: false,
    doc: "What is kept out of records beside the built-in list and the catalogues'. The list can be added to, not shortened. See docs/redaction.md.",
    keys: &[
        Key {
            name: "query",
            kind: Kind::List("parameter names"),
            absent: Absent::Unset("none"),
            doc: "Further query parameters whose values become `REDACTED`, in any letter case.",
        },
        Key {
            name: "query_patterns",
            kind: Kind::List("regular expressions"),
            absent: Absent::Unset("none"),
            doc: "The same for parameters in whose names one of these is found: `[\"(?i)ticket$\"]`.",
        },
        Key {
            name: "patterns",
            kind: Kind::List("regular expressions"),
            absent: Absent::Unset("none"),
            doc: "What one of these finds in a text that a client or an upstream sent becomes `REDACTED`, before it is written anywhere. At most 64.",
        },
        Key {
            name: "hash",
            kind: Kind::List("attributes"),
            absent: Absent::Unset("none"),
            doc: "Attributes whose values are delivered as keyed hashes (the key is `actors.fingerprint_key`): `actor.id`, `actor.name`, `actor.email`, `actor.app.id`, `actor.delegate.id`, `client.address`, `user_agent.original`, `user_agent.product`, `http.request.header.referer`, `url.path`, `url.query`, `tls.client.subject`.",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> RedactOptions {
    let names = table.list("query");
    let query = names.iter().filter_map(|item| Some(item.text()?.value.to_lowercase())).collect();
    let options = RedactOptions {
        query,
        query_patterns: read_patterns(&table, "query_patterns"),
        patterns: read_patterns(&table, "patterns"),
        hash: read_hash(&table),
    };
    table.finish();
    options
}

fn read_patterns(table: &Table<'_>, key: &'static str) -> Vec<String> {
    let items = table.list(key);
    let mut read = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(At { value, .. }) = item.text() else { continue };
        match patterns::compile(&value) {
            Err(error) => {
                item.refuse::<()>(format!("is no usable pattern: {error}"), None);
            }
            Ok(_) if index >= MOST_PATTERNS => {
                item.refuse::<()>(
                    format!("is one too many: at most {MOST_PATTERNS}"),
                    Some("join some by `|`"),
                );
            }
            Ok(_) => read.push(value),
        }
    }
    read
}

fn read_hash(table: &Table<'_>) -> Vec<Hashed> {
    let items = table.list("hash");
    let of = |name: &str| Hashed::ALL.iter().copied().find(|one| one.as_str() == name);
    let mut read: Vec<Hashed> = Vec::new();
    for item in &items {
        let Some(At { value, .. }) = item.text() else { continue };
        match of(&value) {
            Some(attribute) if !read.contains(&attribute) => read.push(attribute),
            Some(_) => {}
            None => {
                let near = nearest(&value, Hashed::ALL.iter().map(|one| one.as_str()));
                let hint = near.map(|near| format!("did you mean {near}?"));
                item.refuse::<()>("is no attribute that can be hashed", hint.as_deref());
            }
        }
    }
    read
}
