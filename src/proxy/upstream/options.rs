//! What an operator can set about an upstream.

use crate::secret::SecretRef;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// An upstream: where it is and what stands before each path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its addresses; at least one.
    pub addresses: Vec<UpstreamAddress>,
    /// Whether it is reached over TLS (`https://`).
    pub tls: bool,
    /// Put before each path; empty or `/segment…` without a final slash.
    pub base_path: String,
}

/// One address of an upstream, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    /// Where it is.
    pub place: Place,
    /// `host` or `host:port` as it goes into the Host header.
    pub authority: String,
}

/// Where an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host name or IP address, without brackets, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Upstream {
    /// The host name of the first address; `localhost` for a Unix socket.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.addresses.first().map(|address| &address.place) {
            Some(Place::Tcp { host, .. }) => host,
            _ => "localhost",
        }
    }

    /// The addresses as they are typed, with a comma between them.
    #[must_use]
    pub fn listed(&self) -> String {
        let all: Vec<_> = self.addresses.iter().map(|address| self.typed(address)).collect();
        all.join(", ")
    }

    fn typed(&self, address: &UpstreamAddress) -> String {
        match &address.place {
            Place::Tcp { .. } => {
                let scheme = if self.tls { "https" } else { "http" };
                format!("{scheme}://{}{}", address.authority, self.base_path)
            }
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl UpstreamAddress {
    /// The address in words, without scheme and path: what labels and status call it.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.place {
            Place::Tcp { .. } => self.authority.clone(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// How requests are forwarded (`[source.forward]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardOptions {
    /// Roots of trust for `https` upstreams, as PEM; `None`: the public ones that are built in.
    pub ca: Option<PathBuf>,
    /// The certificate chain that is shown to the upstream, as PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, as PEM.
    pub private_key: Option<SecretRef>,
    /// The name that the upstream's certificate must have; `None`: the address's host.
    pub server_name: Option<String>,
    /// Whether HTTP/2 is spoken.
    pub http2: Http2,
    /// Protocols, in lower case, to which a client's connection may be upgraded.
    pub upgrades: Vec<String>,
    /// An upgraded connection is closed when nothing passes for so long.
    pub tunnel_timeout: Duration,
    /// Between two look-ups of host names, and two looks at the certificate's files.
    pub resolve_interval: Duration,
    /// Failures in a row after which an address is not used for a while; 0: never.
    pub eject_after: u32,
    /// For how long, the first time; doubled each further time, up to 16 times as long.
    pub eject_time: Duration,
    /// How long an address that comes back takes to get its whole share again.
    pub slow_start: Duration,
}

impl Default for ForwardOptions {
    fn default() -> Self {
        Self {
            ca: None,
            certificate: None,
            private_key: None,
            server_name: None,
            http2: Http2::Off,
            upgrades: vec!["websocket".to_owned()],
            tunnel_timeout: Duration::from_secs(300),
            resolve_interval: Duration::from_secs(30),
            eject_after: 5,
            eject_time: Duration::from_secs(10),
            slow_start: Duration::from_secs(10),
        }
    }
}

/// Whether HTTP/2 is spoken with an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http2 {
    /// HTTP/1.1 only.
    #[default]
    Off,
    /// Over TLS where the upstream offers it (ALPN); HTTP/1.1 otherwise.
    Auto,
    /// HTTP/2 only; without TLS by prior knowledge.
    Always,
}

/// Active checks of an upstream's addresses (`[source.health]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthOptions {
    /// The request target that is asked for with GET, as the upstream sees it.
    pub path: String,
    /// Between two checks of an address.
    pub interval: Duration,
    /// For a check to be answered.
    pub timeout: Duration,
    /// Statuses that say that the address is well.
    pub status: RangeInclusive<u16>,
}
