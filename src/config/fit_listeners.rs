//! Whether `[[listener]]` sections fit the sources' addresses.

use super::raw::{At, Document, File};
use crate::server::ListenAddress;

/// Each is of an address that a source listens on, and the only one of it.
pub(super) fn judge(document: &Document<'_>, file: &File) {
    let mut seen: Vec<&At<ListenAddress>> = Vec::new();
    let mut listens = file.sources.iter().flat_map(|source| &source.listen);
    for address in file.listeners.iter().filter_map(|listener| listener.address.as_ref()) {
        if let Some(first) = seen.iter().find(|first| first.value == address.value) {
            address.problem(document, format!("has a section already: {}", first.path), Some("join the two"));
        } else if !listens.clone().any(|listen| listen.value == address.value) {
            let known: Vec<String> = listens.by_ref().map(|listen| listen.value.to_string()).collect();
            let hint = format!("sources listen on {}", known.join(", "));
            address.problem(document, "no source listens there", Some(&hint));
        }
        seen.push(address);
    }
    for host in file.listeners.iter().filter_map(|listener| listener.acme.as_ref()) {
        if !file.acme.agreed {
            let hint = "read them, then set agree_to_terms = true in [acme]";
            host.problem(document, "needs your agreement to the authority's terms of service", Some(hint));
        }
    }
}
