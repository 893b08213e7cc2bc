//! `[evidence]`.

use super::Table;
use crate::config::EvidenceOptions;
use crate::config::reference::{Absent, Key, Kind, Section};

pub(crate) static SECTION: Section = Section {
    path: "evidence",
    many: false,
    doc: "The signature on manifests.",
    keys: &[
        Key {
            name: "key",
            kind: Kind::Secret,
            absent: Absent::Unset("made once, in the spool folder, with a warning"),
            doc: "The Ed25519 key that signs manifests.",
        },
        Key {
            name: "previous_key",
            kind: Kind::Secret,
            absent: Absent::Unset("the key in the spool folder, if one was made there"),
            doc: "The key that signed until now. With it the next manifest hands over to `key`; both sign it.",
        },
        Key {
            name: "anchor",
            kind: Kind::Path,
            absent: Absent::Unset("no anchor"),
            doc: "A file to which the head of each chain is appended after each batch. Keep it where who owns the bucket can't write.",
        },
        Key {
            name: "name",
            kind: Kind::Text,
            absent: Absent::Unset("`onrecord/{instance}`"),
            doc: "The signer's name in the signature; no spaces and no `+`.",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> EvidenceOptions {
    let name = table.take("name").and_then(|item| {
        let name = item.text()?.value;
        // A signed note separates its fields by spaces and plus signs.
        if name.contains(|c: char| c.is_whitespace() || c == '+') {
            return item.refuse("must not hold spaces or `+`", None);
        }
        Some(name)
    });
    let options = EvidenceOptions {
        key: table.secret("key"),
        previous_key: table.secret("previous_key"),
        anchor: table.path("anchor").map(|path| path.value),
        name,
    };
    table.finish();
    options
}
