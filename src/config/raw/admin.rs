//! `[admin]`.

use super::{At, Document, Table};
use crate::config::AdminOptions;
use crate::config::reference::{Absent, Key, Kind, Section};
use std::net::SocketAddr;

pub(crate) static SECTION: Section = Section {
    path: "admin",
    many: false,
    doc: "The admin listener: `/metrics`, `/healthz`, `/readyz` and `/api/v1/status`.",
    keys: &[Key {
        name: "listen",
        kind: Kind::Address,
        absent: Absent::Value("\"127.0.0.1:9464\""),
        doc: "Its address. Loopback only: it asks nobody who they are.",
    }],
};

pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> At<SocketAddr> {
    let listen = table.address("listen").unwrap_or_else(|| table.at(AdminOptions::default().listen));
    if !listen.value.ip().to_canonical().is_loopback() {
        let hint = "use 127.0.0.1 or [::1]; to reach it from elsewhere, put a proxy with a login before it";
        listen.problem(
            document,
            "must be a loopback address: the admin listener asks for no login",
            Some(hint),
        );
    }
    table.finish();
    listen
}
