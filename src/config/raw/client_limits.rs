//! `[client_limits]`.

use super::{Table, listener};
use crate::capture::ClientLimitOptions;
use crate::config::reference::{Absent, Key, Kind, Section};

pub(crate) static SECTION: Section = Section {
    path: "client_limits",
    many: false,
    doc: "Limits of each client, over all sources and workers. A client is an IPv4 address or an IPv6 network of 64 bits: for connections the peer's (by the PROXY protocol, if it is spoken), for requests the recorded `client.address`. Peers on a Unix socket have none.",
    keys: &[
        Key {
            name: "connections",
            kind: Kind::Count(1, 1_000_000),
            absent: Absent::Unset("no limit"),
            doc: "Open connections; further ones are closed at once.",
        },
        Key {
            name: "in_flight",
            kind: Kind::Count(1, 1_000_000),
            absent: Absent::Unset("no limit"),
            doc: "Requests in flight; further ones are answered 429.",
        },
        Key {
            name: "requests_per_second",
            kind: Kind::Count(1, 1_000_000),
            absent: Absent::Unset("no limit"),
            doc: "Requests a second in the long run; further ones are answered 429.",
        },
        Key {
            name: "burst",
            kind: Kind::Count(1, 1_000_000),
            absent: Absent::Unset("`requests_per_second`"),
            doc: "Requests that may come at once before the rate counts.",
        },
        Key {
            name: "clients",
            kind: Kind::Count(1024, 16_777_216),
            absent: Absent::Value("65536"),
            doc: "Clients that are remembered, about 100 bytes each. Those with something open always are.",
        },
        Key {
            name: "exempt",
            kind: Kind::List("addresses or networks"),
            absent: Absent::Unset("none"),
            doc: "Clients without limits.",
        },
    ],
};

pub(super) fn read(table: Table<'_>) -> ClientLimitOptions {
    let standard = ClientLimitOptions::default();
    let count = |name| table.count(name).and_then(|count| u32::try_from(count).ok());
    let options = ClientLimitOptions {
        connections: count("connections"),
        in_flight: count("in_flight"),
        requests_per_second: count("requests_per_second"),
        burst: count("burst"),
        clients: table.count_usize("clients").unwrap_or(standard.clients),
        exempt: listener::peers(&table, "exempt"),
    };
    if options.burst.is_some() && options.requests_per_second.is_none() {
        table.problem("has a burst, but no requests_per_second", Some("add requests_per_second".to_owned()));
    }
    table.finish();
    options
}
