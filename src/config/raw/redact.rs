//! `[redact]`.

use super::Table;
use crate::config::RedactOptions;
use crate::config::reference::{Absent, Key, Kind, Section};

pub(crate) static SECTION: Section = Section {
    path: "redact",
    many: false,
    doc: "What is kept out of records beside the built-in list and the catalogues'. The list can be added to, not shortened.",
    keys: &[Key {
        name: "query",
        kind: Kind::List("parameter names"),
        absent: Absent::Unset("none"),
        doc: "Further query parameters whose values become `REDACTED`, in any letter case.",
    }],
};

pub(super) fn read(table: Table<'_>) -> RedactOptions {
    let names = table.list("query");
    let query = names.iter().filter_map(|item| Some(item.text()?.value.to_lowercase())).collect();
    table.finish();
    RedactOptions { query }
}
