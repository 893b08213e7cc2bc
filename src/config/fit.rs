//! Whether the sections fit together: names, addresses, folders.

use super::OWN_SOURCE;
use super::nearest::nearest;
use super::raw::source::Source;
use super::raw::{At, Document, File};
use crate::proxy::Place;
use crate::server::ListenAddress;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};

/// Notes whatever does not fit.
pub(crate) fn judge(document: &Document<'_>, file: &File) {
    source_names(document, file);
    destination_names(document, file);
    listeners(document, file);
    super::fit_listeners::judge(document, file);
    for source in &file.sources {
        loops(document, source, file);
    }
    folders(document, file);
}

fn source_names(document: &Document<'_>, file: &File) {
    let names = file.sources.iter().filter_map(|source| source.name.as_ref());
    distinct(document, names.clone());
    for name in names.filter(|name| name.value.eq_ignore_ascii_case(OWN_SOURCE)) {
        let hint = "choose another name";
        name.problem(document, "`onrecord` is reserved for the gateway's own records", Some(hint));
    }
}

fn destination_names(document: &Document<'_>, file: &File) {
    distinct(document, file.destinations.iter().filter_map(|destination| destination.name.as_ref()));
    let known: Vec<&str> = file
        .sources
        .iter()
        .filter_map(|source| source.name.as_ref())
        .map(|name| name.value.as_str())
        .chain([OWN_SOURCE])
        .collect();
    for wanted in file.destinations.iter().flat_map(|destination| &destination.sources) {
        if !known.contains(&wanted.value.as_str()) {
            let near = nearest(&wanted.value, known.iter().copied());
            let hint = near.map_or_else(
                || format!("sources are {}", known.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            wanted.problem(document, format!("there is no source {}", wanted.value), Some(&hint));
        }
    }
    for destination in &file.destinations {
        distinct(document, destination.sources.iter());
    }
}

/// Names become folders, so they have to differ in more than letter case.
fn distinct<'a>(document: &Document<'_>, names: impl Iterator<Item = &'a At<String>>) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for name in names {
        match seen.get(&name.value.to_ascii_lowercase()) {
            Some(first) => {
                name.problem(
                    document,
                    format!("{} is taken by {first}", name.value),
                    Some("give each its own name"),
                );
            }
            None => {
                seen.insert(name.value.to_ascii_lowercase(), &name.path);
            }
        }
    }
}

fn listeners(document: &Document<'_>, file: &File) {
    let mut seen: Vec<(&Source, &At<ListenAddress>)> = Vec::new();
    for source in &file.sources {
        for (index, listen) in source.listen.iter().enumerate() {
            if source.listen[..index].iter().any(|before| before.value == listen.value) {
                listen.problem(document, format!("{} is listed twice", listen.value), None);
                continue;
            }
            let covering = seen.iter().find(|(_, other)| covers(&other.value, &listen.value));
            if let Some((_, other)) = covering {
                let message = format!("{} overlaps with {} of {}", listen.value, other.value, other.path);
                listen.problem(document, message, Some("write the same address on both, or another port"));
            }
            seen.push((source, listen));
        }
    }
    shared_addresses(document, &seen);
    let admin = &file.admin.listen;
    let clash =
        |listen: SocketAddr| (listen == admin.value && listen.port() != 0) || covers_ip(listen, admin.value);
    if let Some((_, listen)) = seen.iter().find(|(_, listen)| listen.value.ip().is_some_and(clash)) {
        let message = format!("the admin listener's address {} is taken by {}", admin.value, listen.path);
        admin.problem(document, message, Some("give the admin listener a port of its own"));
    }
}

/// Sources on one address are told apart by host: each host once, one source without hosts at most.
fn shared_addresses(document: &Document<'_>, seen: &[(&Source, &At<ListenAddress>)]) {
    let mut by_address: HashMap<&ListenAddress, Vec<&Source>> = HashMap::new();
    for (source, listen) in seen {
        by_address.entry(&listen.value).or_default().push(source);
    }
    let mut told: Vec<usize> = Vec::new();
    let mut tell = |at: usize, note: &dyn Fn()| {
        if !told.contains(&at) {
            told.push(at);
            note();
        }
    };
    for (address, sources) in by_address {
        let mut hosts: HashMap<&str, &At<String>> = HashMap::new();
        let mut default: Option<&Source> = None;
        for source in sources {
            for host in &source.hosts {
                if let Some(first) = hosts.insert(&host.value, host) {
                    let message = format!("{} on {address} is taken by {}", host.value, first.path);
                    tell(host.span.start, &|| {
                        host.problem(document, message.clone(), Some("each host chooses one source"))
                    });
                }
            }
            if !source.hosts.is_empty() {
                continue;
            }
            if let Some(first) = default {
                let message = format!("takes any host on {address}, and so does {}", first.table.path);
                let hint = "give one of them hosts, or an address of its own";
                tell(source.table.span.start, &|| {
                    source.table.problem(document, message.clone(), Some(hint))
                });
            }
            default = default.or(Some(source));
        }
    }
}

/// Whether one address of two that differ takes in the other: a wildcard on the same port.
fn covers(one: &ListenAddress, other: &ListenAddress) -> bool {
    one.ip().zip(other.ip()).is_some_and(|(one, other)| covers_ip(one, other))
}

fn covers_ip(one: SocketAddr, other: SocketAddr) -> bool {
    one != other
        && one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// An upstream that is the gateway itself would be called for ever.
fn loops(document: &Document<'_>, source: &Source, file: &File) {
    let Some(upstream) = &source.upstream else { return };
    for address in &upstream.value.addresses {
        let Place::Tcp { host, port } = &address.place else { continue };
        let ip = match host.as_str() {
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            host => host.parse::<IpAddr>().ok(),
        };
        let Some(ip) = ip else { continue };
        let target = SocketAddr::new(ip, *port);
        let mut listens = file.sources.iter().flat_map(|source| &source.listen);
        let own = listens.find(|listen| {
            let Some(listen) = listen.value.ip() else { return false };
            let wildcard = listen.ip().is_unspecified() && ip.is_loopback();
            listen.port() == target.port() && (listen.ip() == target.ip() || wildcard)
        });
        if let Some(listen) = own {
            let message = format!("is the gateway itself ({})", listen.path);
            upstream.problem(document, message, Some("name the API's own address"));
            return;
        }
    }
}

/// The spool, the rings and the destinations each need folders of their own.
fn folders(document: &Document<'_>, file: &File) {
    let spool = &file.spool.dir;
    if let Some(ring) = file.ring.dir.as_ref().filter(|ring| overlap(ring, &spool.value)) {
        let message = format!("overlaps with ring.dir ({})", ring.display());
        spool.problem(document, message, Some("give rings and spool folders of their own"));
    }
    buckets(document, file);
    let mut seen: Vec<(PathBuf, &str, &str)> = Vec::new();
    for destination in &file.destinations {
        let Some(path) = &destination.path else { continue };
        let own = [("spool.dir", Some(&spool.value)), ("ring.dir", file.ring.dir.as_ref())];
        for (key, dir) in own {
            if dir.is_some_and(|dir| overlap(dir, &path.value)) {
                let hint = "objects need a folder outside of it";
                path.problem(document, format!("overlaps with {key}"), Some(hint));
            }
        }
        let (lexical, prefix) = (lexical(&path.value), destination.options.prefix.as_str());
        let same = seen.iter().find(|(path, other, _)| *path == lexical && *other == prefix);
        if let Some((_, _, first)) = same {
            let message = format!("is the same place as {first}: its readers would see records twice");
            path.problem(document, message, Some("give one of them another path or a prefix"));
        } else {
            seen.push((lexical, prefix, &path.path));
        }
    }
}

/// Two destinations in one bucket need prefixes of their own.
fn buckets(document: &Document<'_>, file: &File) {
    let mut seen: HashMap<(&str, &str), &str> = HashMap::new();
    for destination in &file.destinations {
        let Some(bucket) = &destination.bucket else { continue };
        let place = (bucket.value.as_str(), destination.options.prefix.as_str());
        match seen.get(&place) {
            Some(first) => {
                let message = format!("is the same place as {first}: its readers would see records twice");
                bucket.problem(document, message, Some("give one of them another bucket or a prefix"));
            }
            None => {
                seen.insert(place, &bucket.path);
            }
        }
    }
}

fn overlap(one: &Path, other: &Path) -> bool {
    let (one, other) = (lexical(one), lexical(other));
    // `..` at the front can't be resolved without the working folder; the two are not compared then.
    let known = |path: &Path| !path.starts_with("..");
    known(&one) && known(&other) && (one.starts_with(&other) || other.starts_with(&one))
}

/// The path without `.` and `..`, as far as that goes by its text alone.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            // Above the root is the root.
            Component::ParentDir if out.has_root() => {}
            other => out.push(other),
        }
    }
    out
}
