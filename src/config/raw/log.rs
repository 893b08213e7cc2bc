//! `[log]`.

use super::{Item, Table};
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::config::{LogFormat, LogOptions};
use tracing_subscriber::filter::Targets;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub(crate) static SECTION: Section = Section {
    path: "log",
    many: false,
    doc: "The gateway's own log, on standard error. It is no audit record.",
    keys: &[
        Key {
            name: "level",
            kind: Kind::Other("`off`, `error`, `warn`, `info`, `debug`, `trace`, or a filter"),
            absent: Absent::Value("\"info\""),
            doc: "What is logged. A filter names parts: `warn,onrecord::deliver=debug`.",
        },
        Key {
            name: "format",
            kind: Kind::Choice(&["text", "json"]),
            absent: Absent::Value("\"text\""),
            doc: "Lines for people or for machines.",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> LogOptions {
    let standard = LogOptions::default();
    let level = table.take("level").and_then(|item| level(&item));
    let format = match table.choice("format") {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    table.finish();
    LogOptions { level: level.unwrap_or(standard.level), format }
}

fn level(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    for directive in text.split(',') {
        // The filter's own parser takes a mistyped level for a part's name and logs all of it.
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !LEVELS.contains(&level.to_lowercase().as_str()) {
            let near = nearest(level, LEVELS).map(|near| format!("did you mean {near}?"));
            let hint = near.unwrap_or_else(|| format!("levels are {}", LEVELS.join(", ")));
            return item.refuse("is not a level or filter", Some(&hint));
        }
    }
    match text.parse::<Targets>() {
        Ok(_) => Some(text),
        Err(_) => item.refuse("is not a filter", Some("write it like \"warn,onrecord::deliver=debug\"")),
    }
}
