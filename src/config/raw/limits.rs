//! `[source.limits]`.

use super::Table;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::proxy::Limits;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) static SECTION: Section = Section {
    path: "source.limits",
    many: false,
    doc: "Limits of the source above it. Times are kept with a precision of 100 ms. Where sources share an address, the largest `head_bytes`, `head_fields`, `head_timeout` and `idle_timeout` count, since the source is not known yet.",
    keys: &[
        Key {
            name: "head_bytes",
            kind: Kind::Size(8 << 10, 16 << 20),
            absent: Absent::Value("\"64KiB\""),
            doc: "Size of a request head.",
        },
        Key {
            name: "head_fields",
            kind: Kind::Count(16, 10_000),
            absent: Absent::Value("100"),
            doc: "Header fields in a request head.",
        },
        Key {
            name: "body_bytes",
            kind: Kind::Size(1, 1 << 50),
            absent: Absent::Unset("no limit"),
            doc: "Size of a request body.",
        },
        Key {
            name: "head_timeout",
            kind: Kind::Time(TICK, HOUR),
            absent: Absent::Value("\"15s\""),
            doc: "For a client to send its request head.",
        },
        Key {
            name: "idle_timeout",
            kind: Kind::Time(TICK, DAY),
            absent: Absent::Value("\"75s\""),
            doc: "For a kept-alive client connection without a request.",
        },
        Key {
            name: "connect_timeout",
            kind: Kind::Time(TICK, HOUR),
            absent: Absent::Value("\"5s\""),
            doc: "For a connection to the upstream to be made.",
        },
        Key {
            name: "response_timeout",
            kind: Kind::Time(TICK, DAY),
            absent: Absent::Value("\"60s\""),
            doc: "For the upstream's response head, from the end of the request.",
        },
        Key {
            name: "body_timeout",
            kind: Kind::Time(TICK, DAY),
            absent: Absent::Value("\"60s\""),
            doc: "Between two pieces of a body, either way.",
        },
        Key {
            name: "request_timeout",
            kind: Kind::Time(TICK, DAY),
            absent: Absent::Unset("no limit"),
            doc: "For the whole exchange.",
        },
        Key {
            name: "upstream_idle_timeout",
            kind: Kind::Time(TICK, HOUR),
            absent: Absent::Value("\"4s\""),
            doc: "After which an idle upstream connection is closed. Keep it below the upstream's own.",
        },
        Key {
            name: "upstream_idle_connections",
            kind: Kind::Count(0, 100_000),
            absent: Absent::Value("256"),
            doc: "Idle upstream connections kept a worker.",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> Limits {
    let standard = Limits::default();
    let time = |name, standard| table.time(name).map_or(standard, |at| at.value);
    let head_bytes = table.size("head_bytes").and_then(|at| usize::try_from(at.value).ok());
    let limits = Limits {
        head_bytes: head_bytes.unwrap_or(standard.head_bytes),
        head_fields: table.count_usize("head_fields").unwrap_or(standard.head_fields),
        body_bytes: table.size("body_bytes").map(|at| at.value),
        head_timeout: time("head_timeout", standard.head_timeout),
        idle_timeout: time("idle_timeout", standard.idle_timeout),
        connect_timeout: time("connect_timeout", standard.connect_timeout),
        response_timeout: time("response_timeout", standard.response_timeout),
        body_timeout: time("body_timeout", standard.body_timeout),
        request_timeout: table.time("request_timeout").map(|at| at.value),
        upstream_idle_timeout: time("upstream_idle_timeout", standard.upstream_idle_timeout),
        upstream_idle_connections: table
            .count_usize("upstream_idle_connections")
            .unwrap_or(standard.upstream_idle_connections),
    };
    table.finish();
    limits
}
