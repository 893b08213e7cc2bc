//! `[server]`.

use super::Table;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::server::Options;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) static SECTION: Section = Section {
    path: "server",
    many: false,
    doc: "The worker threads that serve all sources.",
    keys: &[
        Key {
            name: "workers",
            kind: Kind::Count(0, 1024),
            absent: Absent::Value("0"),
            doc: "Worker threads, each with listeners, upstream connections and a lane of its own; 0: one a core.",
        },
        Key {
            name: "grace",
            kind: Kind::Time(Duration::ZERO, HOUR),
            absent: Absent::Value("\"30s\""),
            doc: "How long running requests may go on after SIGTERM.",
        },
        Key {
            name: "flush",
            kind: Kind::Time(Duration::ZERO, HOUR),
            absent: Absent::Value("\"20s\""),
            doc: "How long the last records may take to be delivered after that. What is not delivered by then stays in the spool for the next start.",
        },
        Key {
            name: "max_connections",
            kind: Kind::Count(1, 1_000_000),
            absent: Absent::Value("16384"),
            doc: "Open client connections a worker; further ones wait in the kernel's queue.",
        },
        Key {
            name: "max_in_flight",
            kind: Kind::Count(1, 65_536),
            absent: Absent::Value("4096"),
            doc: "Requests in flight a worker; further ones are answered 503.",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> Options {
    let standard = Options::default();
    let options = Options {
        workers: table.count_usize("workers").unwrap_or(standard.workers),
        grace: table.time("grace").map_or(standard.grace, |at| at.value),
        flush: table.time("flush").map_or(standard.flush, |at| at.value),
        max_connections: table.count_usize("max_connections").unwrap_or(standard.max_connections),
        max_in_flight: table.count_usize("max_in_flight").unwrap_or(standard.max_in_flight),
    };
    table.finish();
    options
}
