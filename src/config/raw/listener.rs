//! `[[listener]]` and `[listener.tls]`.

use super::{At, Item, Table, source};
use crate::capture::PeerSet;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::server::{
    ActorPart, CertificateFiles, ClientAuth, ListenAddress, ListenerOptions, TlsOptions, TlsVersion,
    UNIX_PEERS,
};
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) static SECTION: Section = Section {
    path: "listener",
    many: true,
    doc: "What connections pass at one address of `[[source]] listen` before HTTP begins. An address without such a section is plain HTTP.",
    keys: &[
        Key {
            name: "address",
            kind: Kind::Other("address and port, or `unix:/path`"),
            absent: Absent::Required,
            doc: "The address, as the sources write it.",
        },
        Key {
            name: "mode",
            kind: Kind::Other("permissions in octal, like `\"0660\"`"),
            absent: Absent::Value("\"0660\""),
            doc: "Permissions of a Unix socket's file.",
        },
        Key {
            name: "proxy_protocol",
            kind: Kind::List("addresses, networks, or `unix`"),
            absent: Absent::Unset("nobody"),
            doc: "Peers that begin each connection with a PROXY protocol header (version 1 or 2), which then says who the client is. From them it is required, from all others it is refused as malformed.",
        },
    ],
};

pub(crate) static TLS: Section = Section {
    path: "listener.tls",
    many: false,
    doc: "TLS on the address of the listener above it; with it the address speaks nothing else. Files are watched, and read again when they change or on SIGHUP; a broken file leaves what was there.",
    keys: &[
        Key {
            name: "certificates",
            kind: Kind::List("`{ chain = \"path\", key = \"path\" }`"),
            absent: Absent::Unset("none"),
            doc: "Certificates (PEM, the server's own first, then each one's issuer) and their keys; without `key` it is in the same file. A client is shown the one for the host that it names, else the first.",
        },
        Key {
            name: "acme",
            kind: Kind::List("host names"),
            absent: Absent::Unset("none"),
            doc: "Host names for which one certificate is had and renewed by ACME (see `[acme]`). They must lead to this address on port 443. It is shown to clients that name a host which no other certificate is for.",
        },
        Key {
            name: "min_version",
            kind: Kind::Choice(&["1.2", "1.3"]),
            absent: Absent::Value("\"1.2\""),
            doc: "The oldest version of TLS that is spoken.",
        },
        Key {
            name: "handshake_timeout",
            kind: Kind::Time(TICK, MINUTE),
            absent: Absent::Value("\"10s\""),
            doc: "For the whole handshake.",
        },
        Key {
            name: "client_certificates",
            kind: Kind::Choice(&["off", "optional", "required"]),
            absent: Absent::Value("\"off\""),
            doc: "Whether clients are asked for a certificate. One that is shown must be valid.",
        },
        Key {
            name: "client_ca",
            kind: Kind::List("paths"),
            absent: Absent::Unset("none"),
            doc: "Files (PEM) of the authorities whose client certificates are accepted.",
        },
        Key {
            name: "client_crl",
            kind: Kind::List("paths"),
            absent: Absent::Unset("none"),
            doc: "Files (PEM) with revocation lists of these authorities. An authority without a list is not checked.",
        },
        Key {
            name: "client_actor",
            kind: Kind::Choice(&["common_name", "email", "uri", "dns", "subject", "none"]),
            absent: Absent::Value("\"common_name\""),
            doc: "Which part of a client's certificate is `actor.id`; where it is not there, the whole subject is. `none`: the certificate is recorded, and actors are found as without it.",
        },
    ],
};

static CERTIFICATE: Section = Section {
    path: "{certificate}",
    many: false,
    doc: "",
    keys: &[
        Key { name: "chain", kind: Kind::Path, absent: Absent::Required, doc: "" },
        Key { name: "key", kind: Kind::Path, absent: Absent::Unset(""), doc: "" },
    ],
};

/// A `[[listener]]` with the place that is judged against others.
pub(crate) struct Listener {
    pub(crate) options: ListenerOptions,
    pub(crate) address: Option<At<ListenAddress>>,
    /// The first host name that needs `[acme]`.
    pub(crate) acme: Option<At<()>>,
}

pub(super) fn read(table: Table<'_>) -> Listener {
    let address = table.take("address").and_then(|item| listen_address(&item));
    let mode = table.take("mode").and_then(|item| mode(&item));
    let options = ListenerOptions {
        address: address.as_ref().map_or_else(nowhere, |at| at.value.clone()),
        mode: mode.unwrap_or(ListenerOptions::MODE),
        proxy_protocol: peers(&table, "proxy_protocol"),
        tls: None,
    };
    let (tls, acme) = read_tls(table.table("tls"));
    table.finish();
    Listener { options: ListenerOptions { tls, ..options }, address, acme }
}

/// Stands in where the address could not be read; the problem is noted.
fn nowhere() -> ListenAddress {
    ListenAddress::Unix(PathBuf::new())
}

fn read_tls(table: Table<'_>) -> (Option<TlsOptions>, Option<At<()>>) {
    let present = table.is_present();
    let standard = TlsOptions::default();
    let acme: Vec<_> = table.list("acme").iter().filter_map(source::host).collect();
    let addresses = acme.iter().filter(|host| host.value.parse::<IpAddr>().is_ok());
    for host in addresses {
        table.problem(format!("acme names an address ({}), but needs host names", host.value), None);
    }
    let paths =
        |name| table.list(name).iter().filter_map(|item| Some(item.path()?.value)).collect::<Vec<_>>();
    let typed = table.list("certificates");
    let options = TlsOptions {
        certificates: typed.iter().filter_map(certificate).collect(),
        acme: acme.iter().map(|host| host.value.clone()).collect(),
        min_version: match table.choice("min_version") {
            Some("1.3") => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        },
        handshake_timeout: table.time("handshake_timeout").map_or(standard.handshake_timeout, |at| at.value),
        client: match table.choice("client_certificates") {
            Some("optional") => ClientAuth::Optional,
            Some("required") => ClientAuth::Required,
            _ => ClientAuth::Off,
        },
        client_ca: paths("client_ca"),
        client_crl: paths("client_crl"),
        client_actor: match table.choice("client_actor") {
            Some("email") => ActorPart::Email,
            Some("uri") => ActorPart::Uri,
            Some("dns") => ActorPart::Dns,
            Some("subject") => ActorPart::Subject,
            Some("none") => ActorPart::None,
            _ => ActorPart::CommonName,
        },
    };
    let problem = |message: &str, hint: &str| table.problem(message, Some(hint.to_owned()));
    if present && typed.is_empty() && options.acme.is_empty() {
        problem("has no certificate to show", "add certificates = [{ chain = \"…\", key = \"…\" }]");
    }
    if options.client != ClientAuth::Off && options.client_ca.is_empty() {
        problem("asks for client certificates of nobody", "add client_ca = [\"path\"]");
    }
    if options.client == ClientAuth::Off && !options.client_crl.is_empty() {
        problem("has revocation lists, but asks for no client certificates", "set client_certificates");
    }
    table.finish();
    let acme = acme.into_iter().next().map(|host| At { value: (), path: host.path, span: host.span });
    (present.then_some(options), acme)
}

pub(super) fn certificate(item: &Item<'_>) -> Option<CertificateFiles> {
    let Some(table) = item.inline(&CERTIFICATE) else {
        return item.wrong_type("{ chain = \"path\", key = \"path\" }");
    };
    let (chain, key) = (table.path("chain"), table.path("key"));
    table.finish();
    let chain = chain?.value;
    Some(CertificateFiles { key: key.map_or_else(|| chain.clone(), |at| at.value), chain })
}

fn mode(item: &Item<'_>) -> Option<u32> {
    let text = item.text()?.value;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() <= 4 => Some(mode),
        _ => item.refuse("is not a file's permissions in octal", Some("write it like \"0660\"")),
    }
}

/// An address to listen on.
pub(super) fn listen_address(item: &Item<'_>) -> Option<At<ListenAddress>> {
    let text = item.text()?.value;
    match text.parse::<ListenAddress>() {
        Ok(ListenAddress::Unix(path)) => {
            // What `sun_path` holds, less the name that is bound first.
            if path.as_os_str().len() > 90 || path.file_name().is_none() {
                return item.refuse(
                    "is not the path of a Unix socket",
                    Some("at most 90 bytes, like \"unix:/run/onrecord/api.sock\""),
                );
            }
            Some(item.at(ListenAddress::Unix(path)))
        }
        Ok(address) => Some(item.at(address)),
        Err(_) => {
            let hint = "write it like \"127.0.0.1:8080\", \"0.0.0.0:8080\", \"[::1]:8080\" or \"unix:/run/api.sock\"; host names are not looked up";
            item.refuse("is not an IP address and port", Some(hint))
        }
    }
}

/// A list of peers.
pub(super) fn peers(table: &Table<'_>, name: &'static str) -> PeerSet {
    let mut set = PeerSet::default();
    for item in table.list(name) {
        let Some(text) = item.text() else { continue };
        if text.value == UNIX_PEERS {
            set.unix = true;
            continue;
        }
        match text.value.parse::<IpNet>().or_else(|_| text.value.parse::<IpAddr>().map(IpNet::from)) {
            Ok(network) => set.networks.push(network),
            Err(_) => {
                let hint = "write it like \"10.0.0.0/8\", \"::1\" or \"unix\"";
                item.refuse::<()>("is not an address or network", Some(hint));
            }
        }
    }
    set
}
