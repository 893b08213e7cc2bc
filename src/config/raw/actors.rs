//! `[actors]`.

use super::Table;
use crate::config::ActorsOptions;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::enrich::privacy::Personal;
use std::time::Duration;

pub(crate) static SECTION: Section = Section {
    path: "actors",
    many: false,
    doc: "Who stands behind a credential. Credentials themselves are never written; records carry a keyed fingerprint.",
    keys: &[
        Key {
            name: "directory",
            kind: Kind::Path,
            absent: Absent::Unset("none"),
            doc: "A `.csv` or `.json` file that maps credential fingerprints and ids to actors. Read again when it changes; one with mistakes changes nothing. See docs/actors.md.",
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
        Key {
            name: "names",
            kind: PERSONAL,
            absent: Absent::Value("\"keep\""),
            doc: "Names of actors in delivered records: as known, left out, or a keyed hash in their place.",
        },
        Key {
            name: "emails",
            kind: PERSONAL,
            absent: Absent::Value("\"keep\""),
            doc: "The same for e-mail addresses. With `omit` or `pseudonym`, an id that is an e-mail address becomes a keyed hash.",
        },
        Key {
            name: "learned_for",
            kind: Kind::Time(Duration::from_secs(60), Duration::from_secs(3650 * 86_400)),
            absent: Absent::Value("\"30d\""),
            doc: "How long what an API itself said of a credential counts (`learned` in `identify`); each time that it says it again it counts anew.",
        },
    ],
};

/// What becomes of personal data, in the order of [`Personal`].
const PERSONAL: Kind = Kind::Choice(&["keep", "omit", "pseudonym"]);

pub(super) fn read(table: Table<'_>) -> ActorsOptions {
    let standard = ActorsOptions::default();
    let directory = table.take("directory").and_then(|item| {
        let path = item.path()?.value;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv" | "json") => Some(path),
            _ => item.refuse("must be a .csv or .json file", None),
        }
    });
    let personal = |name| match table.choice(name) {
        Some("omit") => Personal::Omit,
        Some("pseudonym") => Personal::Pseudonym,
        _ => Personal::Keep,
    };
    let options = ActorsOptions {
        directory,
        names: personal("names"),
        emails: personal("emails"),
        learned_for: table.time("learned_for").map_or(standard.learned_for, |at| at.value),
        fingerprint_key: table.secret("fingerprint_key"),
        fingerprint_key_name: table
            .name("fingerprint_key_name")
            .map_or(standard.fingerprint_key_name, |at| at.value),
    };
    table.finish();
    options
}
