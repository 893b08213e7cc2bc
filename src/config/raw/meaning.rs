//! `[meaning]`.

use super::Table;
use crate::config::MeaningOptions;
use crate::config::reference::{Absent, Key, Kind, Section};
use std::time::Duration;

pub(crate) static SECTION: Section = Section {
    path: "meaning",
    many: false,
    doc: "What is found out about a request beyond its heads. Bodies are looked into off the request path and only for routes whose catalogue needs it; see docs/meaning.md.",
    keys: &[
        Key {
            name: "body_bytes",
            kind: Kind::Size(0, 16 << 20),
            absent: Absent::Value("\"64KiB\""),
            doc: "A body larger than this, as sent, is not looked into; `inspection.error` says so. `0B`: none is.",
        },
        Key {
            name: "body_memory",
            kind: Kind::Size(1 << 20, 4 << 30),
            absent: Absent::Value("\"32MiB\""),
            doc: "Memory for all bodies that are on their way or wait to be looked into.",
        },
        Key {
            name: "resources",
            kind: Kind::Count(1, 10_000),
            absent: Absent::Value("1000"),
            doc: "Entities of one bulk call that `resources` names at most; `resources_truncated` counts the others.",
        },
        Key {
            name: "session_gap",
            kind: Kind::Time(Duration::from_secs(1), Duration::from_secs(86_400)),
            absent: Absent::Value("\"30s\""),
            doc: "Writes of one actor to one resource with no longer pause between them are one session (`session.id`).",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> MeaningOptions {
    let mut options = MeaningOptions::default();
    let size = |name| table.size(name).map(|at| usize::try_from(at.value).unwrap_or(usize::MAX));
    if let Some(bytes) = size("body_bytes") {
        options.bodies.bytes = bytes;
    }
    if let Some(bytes) = size("body_memory") {
        options.bodies.memory = bytes;
    }
    if let Some(count) = table.count_usize("resources") {
        options.bodies.resources = count;
    }
    if let Some(gap) = table.time("session_gap") {
        options.session_gap = gap.value;
    }
    table.finish();
    options
}
