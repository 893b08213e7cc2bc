//! `[actors]`.

use super::Table;
use crate::config::ActorsOptions;
use crate::config::reference::{Absent, Key, Kind, Section};

pub(crate) static SECTION: Section = Section {
    path: "actors",
    many: false,
    doc: "Who stands behind a credential. Credentials themselves are never written; records carry a keyed fingerprint.",
    keys: &[
        Key {
            name: "directory",
            kind: Kind::Path,
            absent: Absent::Unset("none"),
            doc: "A `.csv` or `.json` file that maps credential fingerprints to actors.",
        },
        Key {
            name: "fingerprint_key",
            kind: Kind::Secret,
            absent: Absent::Unset("made once, in the spool folder"),
            doc: "The key of the fingerprints. Give all gateways of a fleet the same, so that one credential has one fingerprint.",
        },
        Key {
            name: "fingerprint_key_name",
            kind: Kind::Name,
            absent: Absent::Value("\"default\""),
            doc: "The key's name in records; change it with the key.",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> ActorsOptions {
    let standard = ActorsOptions::default();
    let directory = table.take("directory").and_then(|item| {
        let path = item.path()?.value;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv" | "json") => Some(path),
            _ => item.refuse("must be a .csv or .json file", None),
        }
    });
    let options = ActorsOptions {
        directory,
        fingerprint_key: table.secret("fingerprint_key"),
        fingerprint_key_name: table
            .name("fingerprint_key_name")
            .map_or(standard.fingerprint_key_name, |at| at.value),
    };
    table.finish();
    options
}
