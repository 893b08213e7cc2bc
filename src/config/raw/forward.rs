//! `source.upstream`, `[source.forward]` and `[source.health]`.

use super::{At, Document, Item, Table};
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::config::upstream::{self, UpstreamError};
use crate::proxy::{ForwardOptions, HealthOptions, Http2, Upstream};
use std::ops::RangeInclusive;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Addresses of one upstream, which are labels of metrics.
const MOST_ADDRESSES: usize = 64;

pub(crate) static SECTION: Section = Section {
    path: "source.forward",
    many: false,
    doc: "How requests of the source above are forwarded to its upstream.",
    keys: &[
        Key {
            name: "ca",
            kind: Kind::Path,
            absent: Absent::Unset("the public roots that are built in"),
            doc: "PEM file with the roots that an `https` upstream's certificate is checked against, in place of the public ones.",
        },
        Key {
            name: "certificate",
            kind: Kind::Path,
            absent: Absent::Unset("none"),
            doc: "PEM file with the certificate chain that is shown to the upstream. Read again when it changes.",
        },
        Key {
            name: "private_key",
            kind: Kind::Secret,
            absent: Absent::Unset("none"),
            doc: "The certificate's private key, as PEM.",
        },
        Key {
            name: "server_name",
            kind: Kind::Text,
            absent: Absent::Unset("the host of the upstream's URL"),
            doc: "The name that the upstream's certificate must have, which is also asked for (SNI).",
        },
        Key {
            name: "http2",
            kind: Kind::Choice(&["off", "auto", "always"]),
            absent: Absent::Value("\"off\""),
            doc: "HTTP/2 to the upstream: `auto` where an `https` upstream offers it, `always` also without TLS.",
        },
        Key {
            name: "upgrades",
            kind: Kind::List("protocol names"),
            absent: Absent::Value("[\"websocket\"]"),
            doc: "Protocols to which a client may upgrade its connection; `[]`: none. `h2c` is never passed on.",
        },
        Key {
            name: "tunnel_timeout",
            kind: Kind::Time(TICK, DAY),
            absent: Absent::Value("\"5m\""),
            doc: "An upgraded connection is closed when nothing passes for so long.",
        },
        Key {
            name: "resolve_interval",
            kind: Kind::Time(SECOND, DAY),
            absent: Absent::Value("\"30s\""),
            doc: "Between two look-ups of the upstream's host names, and two looks at the files above.",
        },
        Key {
            name: "eject_after",
            kind: Kind::Count(0, 1000),
            absent: Absent::Value("5"),
            doc: "Failures in a row (no connection, no answer, 502, 503, 504) after which one of several addresses is left out for a while; 0: never.",
        },
        Key {
            name: "eject_time",
            kind: Kind::Time(TICK, HOUR),
            absent: Absent::Value("\"10s\""),
            doc: "For how long the first time; doubled each further time, up to 16 times as long.",
        },
        Key {
            name: "slow_start",
            kind: Kind::Time(TICK, HOUR),
            absent: Absent::Value("\"10s\""),
            doc: "In which an address that comes back grows to its whole share.",
        },
    ],
};

pub(crate) static HEALTH: Section = Section {
    path: "source.health",
    many: false,
    doc: "Active checks of the upstream's addresses: once a gateway, not once a worker. An address that fails three in a row is left out until two in a row succeed; where all fail, all are used. These requests are not on record.",
    keys: &[
        Key {
            name: "path",
            kind: Kind::Other("`/path`"),
            absent: Absent::Unset("no checks"),
            doc: "What is asked for with GET, as the upstream sees it: the base path is not put before it.",
        },
        Key {
            name: "interval",
            kind: Kind::Time(TICK, HOUR),
            absent: Absent::Value("\"10s\""),
            doc: "Between two checks of an address.",
        },
        Key {
            name: "timeout",
            kind: Kind::Time(TICK, HOUR),
            absent: Absent::Value("\"2s\""),
            doc: "For a check to be answered.",
        },
        Key {
            name: "status",
            kind: Kind::Other("status, or range of them"),
            absent: Absent::Value("\"200-299\""),
            doc: "Statuses that say that the address is well.",
        },
    ],
};

/// One URL, or several that differ in host and port alone.
pub(super) fn read_upstream(item: Item<'_>) -> Option<At<Upstream>> {
    if item.is_empty_list() {
        return item.refuse("names no address", Some("write upstream = \"https://api.example.com\""));
    }
    let place = item.at(());
    let items = item.one_or_list();
    let mut read = items.iter().map(read_url);
    let mut upstream = read.next()??;
    for (item, next) in items.iter().skip(1).zip(read) {
        let mut next = next?;
        if (next.value.tls, &next.value.base_path) != (upstream.value.tls, &upstream.value.base_path) {
            return item.refuse(
                "differs from the first in more than host and port",
                Some("the addresses of one upstream have the same scheme and base path"),
            );
        }
        if next.value.addresses.iter().any(|address| upstream.value.addresses.contains(address)) {
            return item.refuse("is listed twice", Some("name each address once"));
        }
        upstream.value.addresses.append(&mut next.value.addresses);
        if upstream.value.addresses.len() > MOST_ADDRESSES {
            return item.refuse(format!("is one too many: {MOST_ADDRESSES} addresses at most"), None);
        }
    }
    Some(At { value: upstream.value, path: place.path, span: place.span })
}

fn read_url(item: &Item<'_>) -> Option<At<Upstream>> {
    let text = item.text()?.value;
    match upstream::parse(&text) {
        Ok(upstream) => Some(item.at(upstream)),
        Err(error) => {
            let hint = match error {
                UpstreamError::Userinfo => "clients send their own credentials; the gateway adds none",
                UpstreamError::Query => "leave out what follows ? or #",
                UpstreamError::Socket => "write it like \"unix:/run/app.sock\"",
                _ => "write it like \"https://api.example.com\" or \"http://127.0.0.1:9000/base\"",
            };
            item.refuse(error.to_string(), Some(hint))
        }
    }
}

pub(super) fn read(
    document: &Document<'_>,
    table: Table<'_>,
    upstream: Option<&At<Upstream>>,
) -> ForwardOptions {
    let standard = ForwardOptions::default();
    let time = |name, standard| table.time(name).map_or(standard, |at| at.value);
    let (ca, certificate) = (table.path("ca"), table.path("certificate"));
    let private_key = table.take("private_key").and_then(|item| Some(item.at(item.secret()?)));
    match (&certificate, &private_key) {
        (Some(at), None) => {
            at.problem(document, "is of no use without its key", Some("add private_key = { file = \"…\" }"));
        }
        (None, Some(at)) => {
            at.problem(document, "is of no use without its certificate", Some("add certificate"))
        }
        _ => {}
    }
    let server_name = table.take("server_name").and_then(|item| name(&item));
    let http2 = table.take("http2");
    let spoken = match http2.as_ref().and_then(Item::choice) {
        Some("auto") => Http2::Auto,
        Some("always") => Http2::Always,
        _ => Http2::Off,
    };
    if let Some(upstream) = upstream.filter(|upstream| !upstream.value.tls) {
        const HINT: Option<&str> = Some("begin the upstream with https://, or leave the key out");
        let tls = [ca.as_ref().map(place), certificate.as_ref().map(place), private_key.as_ref().map(place)];
        for at in tls.into_iter().flatten().chain(server_name.as_ref().map(place)) {
            at.problem(document, "is for https upstreams, and this one is not", HINT);
        }
        if let (Http2::Auto, Some(item)) = (spoken, http2) {
            let _ = upstream;
            item.refuse::<()>(
                "needs TLS, in which it is agreed on",
                Some("write \"always\", or begin the upstream with https://"),
            );
        }
    }
    let upgrades = match table.take("upgrades") {
        None => standard.upgrades,
        Some(item) => item.list().iter().filter_map(protocol).collect(),
    };
    let options = ForwardOptions {
        ca: ca.map(|at| at.value),
        certificate: certificate.map(|at| at.value),
        private_key: private_key.map(|at| at.value),
        server_name: server_name.map(|at| at.value),
        http2: spoken,
        upgrades,
        tunnel_timeout: time("tunnel_timeout", standard.tunnel_timeout),
        resolve_interval: time("resolve_interval", standard.resolve_interval),
        eject_after: table
            .count("eject_after")
            .map_or(standard.eject_after, |count| u32::try_from(count).unwrap_or(u32::MAX)),
        eject_time: time("eject_time", standard.eject_time),
        slow_start: time("slow_start", standard.slow_start),
    };
    table.finish();
    options
}

fn place<T>(at: &At<T>) -> At<()> {
    At { value: (), path: at.path.clone(), span: at.span.clone() }
}

fn name(item: &Item<'_>) -> Option<At<String>> {
    let text = item.text()?;
    match rustls::pki_types::ServerName::try_from(text.value.as_str()) {
        Ok(_) => Some(text),
        Err(_) => item.refuse("is not a host name or IP address", Some("write the name alone")),
    }
}

fn protocol(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value.to_ascii_lowercase();
    if text == "h2c" || text.starts_with("http/") || text == "h2" {
        return item.refuse("would carry requests that nobody records", Some("leave it out"));
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`~/".contains(c);
    if !text.chars().all(token) {
        return item.refuse("is not the name of a protocol", Some("write it like \"websocket\""));
    }
    Some(text)
}

pub(super) fn read_health(table: Table<'_>) -> Option<HealthOptions> {
    let time = |name, standard| table.time(name).map_or(standard, |at| at.value);
    let path = table.take("path").and_then(|item| target(&item));
    let options = HealthOptions {
        path: path.clone().unwrap_or_default(),
        interval: time("interval", Duration::from_secs(10)),
        timeout: time("timeout", Duration::from_secs(2)),
        status: table.take("status").and_then(|item| statuses(&item)).unwrap_or(200..=299),
    };
    table.finish();
    path.map(|_| options)
}

fn target(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    let fits =
        text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok() && !text.contains('#');
    if fits { Some(text) } else { item.refuse("is not a path", Some("write it like \"/healthz\"")) }
}

fn statuses(item: &Item<'_>) -> Option<RangeInclusive<u16>> {
    let text = item.text()?.value;
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let status = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Some(first..=last),
        _ => item.refuse("is no status and no range of them", Some("write it like \"204\" or \"200-399\"")),
    }
}
