//! `[acme]`.

use super::Table;
use crate::config::AcmeConfig;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::server::AcmeOptions;

pub(crate) static SECTION: Section = Section {
    path: "acme",
    many: false,
    doc: "The authority that issues certificates for `[listener.tls] acme`.",
    keys: &[
        Key {
            name: "agree_to_terms",
            kind: Kind::Flag,
            absent: Absent::Value("false"),
            doc: "You have read the authority's terms of service and agree to them. Without it nothing is ordered.",
        },
        Key {
            name: "directory",
            kind: Kind::Other("`https://…`"),
            absent: Absent::Value("\"https://acme-v02.api.letsencrypt.org/directory\""),
            doc: "The authority's directory.",
        },
        Key {
            name: "contact",
            kind: Kind::List("e-mail addresses"),
            absent: Absent::Unset("none"),
            doc: "Where the authority can reach you.",
        },
        Key {
            name: "ca",
            kind: Kind::Path,
            absent: Absent::Unset("the system's authorities"),
            doc: "A file (PEM) with the authorities that the directory's own certificate is checked against.",
        },
        Key {
            name: "dir",
            kind: Kind::Path,
            absent: Absent::Unset("`keys/acme` in the spool folder"),
            doc: "Folder for the account, certificates and keys (mode 0600).",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> AcmeConfig {
    let standard = AcmeOptions::default();
    let directory = table.take("directory").and_then(|item| {
        let text = item.text()?;
        if !text.value.starts_with("https://") {
            return item.refuse("is not an https address", Some("ACME is spoken over TLS alone"));
        }
        Some(text.value)
    });
    let contact = table.list("contact").into_iter().filter_map(|item| {
        let text = item.text()?.value;
        if !text.contains('@') || text.contains([':', ',', ' ']) {
            return item.refuse("is not an e-mail address", Some("write the address alone, without mailto:"));
        }
        Some(text)
    });
    let config = AcmeConfig {
        agreed: table.flag("agree_to_terms").unwrap_or_default(),
        options: AcmeOptions {
            contact: contact.collect(),
            directory: directory.unwrap_or(standard.directory),
            ca: table.path("ca").map(|at| at.value),
            dir: table.path("dir").map(|at| at.value),
        },
    };
    table.finish();
    config
}
