//! What was typed: one file a section, each with its description and its reader.
//!
//! Readers judge every value by itself. What has to fit together (names, addresses,
//! folders) is judged in [`super::fit`], by the places that are kept here.

pub(crate) mod acme;
pub(crate) mod actors;
pub(crate) mod admin;
pub(crate) mod bucket;
pub(crate) mod client_limits;
pub(crate) mod cloud;
pub(crate) mod destination;
mod document;
pub(crate) mod durability;
pub(crate) mod evidence;
pub(crate) mod filter;
mod folder;
pub(crate) mod format;
pub(crate) mod forward;
pub(crate) mod identity;
pub(crate) mod inquiry;
mod item;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod log;
pub(crate) mod meaning;
mod nats;
pub(crate) mod notify;
pub(crate) mod redact;
mod role;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod source;
pub(crate) mod storage;
mod table;

pub(crate) use document::Document;
pub(crate) use item::At;

use super::reference::{Absent, Key, Kind, Section};
use super::{ActorsOptions, EvidenceOptions, LogOptions, MeaningOptions, RedactOptions};
use crate::capture::RingOptions;
use item::Item;
use table::Table;
use toml::Spanned;
use toml::de::DeTable;

pub(crate) static ROOT: Section = Section {
    path: "",
    many: false,
    doc: "Relative paths anywhere in the file are taken from the folder in which `onrecord` was started.",
    keys: &[Key {
        name: "instance",
        kind: Kind::Name,
        absent: Absent::Unset("the machine's host name"),
        doc: "This gateway's stable name, in records, manifests and metrics. Give each machine or pod its own.",
    }],
};

/// A whole file, with the places that later judgement needs.
pub(crate) struct File {
    pub(crate) instance: Option<String>,
    pub(crate) secrets_key: crate::secret::SecretRef,
    pub(crate) server: crate::server::Options,
    pub(crate) sources: Vec<source::Source>,
    pub(crate) client_limits: crate::capture::ClientLimitOptions,
    pub(crate) acme: super::AcmeConfig,
    pub(crate) listeners: Vec<listener::Listener>,
    pub(crate) ring: RingOptions,
    pub(crate) spool: storage::Spool,
    pub(crate) destinations: Vec<destination::Destination>,
    pub(crate) redact: RedactOptions,
    pub(crate) meaning: MeaningOptions,
    pub(crate) actors: ActorsOptions,
    pub(crate) admin: admin::Admin,
    pub(crate) notify: crate::notify::NotifyOptions,
    pub(crate) evidence: EvidenceOptions,
    pub(crate) log: LogOptions,
}

/// Reads every section, noting each problem in the document.
pub(crate) fn read<'d>(document: &'d Document<'d>, tree: &'d Spanned<DeTable<'d>>) -> File {
    // The whole tree's span begins where its first section does; a missing section is told at line 1.
    let root = Table::new(document, &ROOT, String::new(), 0..0, Some(tree.get_ref()));
    // Before all others, which may hold secrets that are encrypted to it.
    let secrets_key = secrets::read(root.table("secrets"));
    document.take_secrets_key(&secrets_key);
    let sources = root.tables("source");
    let listeners = root.tables("listener");
    let destinations = root.tables("destination");
    if sources.as_ref().is_some_and(Vec::is_empty) {
        root.missing("source", Some("add a [[source]] with name, listen and upstream".to_owned()));
    }
    if destinations.as_ref().is_some_and(Vec::is_empty) {
        let hint = "add a [[destination]] with name, type = \"dir\" and path, or type = \"s3\" and bucket: nothing would leave the spool";
        root.missing("destination", Some(hint.to_owned()));
    }
    let file = File {
        instance: root.name("instance").map(|at| at.value),
        secrets_key,
        server: server::read(root.table("server")),
        sources: sources.into_iter().flatten().map(|table| source::read(document, table)).collect(),
        client_limits: client_limits::read(root.table("client_limits")),
        acme: acme::read(root.table("acme")),
        listeners: listeners.into_iter().flatten().map(listener::read).collect(),
        ring: storage::read_ring(root.table("ring")),
        spool: storage::read_spool(document, root.table("spool")),
        destinations: destinations
            .into_iter()
            .flatten()
            .map(|table| destination::read(document, table))
            .collect(),
        redact: redact::read(root.table("redact")),
        meaning: meaning::read(root.table("meaning")),
        actors: actors::read(root.table("actors")),
        admin: admin::read(document, root.table("admin")),
        notify: notify::read(root.table("notify")),
        evidence: evidence::read(root.table("evidence")),
        log: log::read(root.table("log")),
    };
    root.finish();
    file
}
