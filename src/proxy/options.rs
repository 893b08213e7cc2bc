//! What an operator can set about one log source.

pub use super::upstream::{ForwardOptions, HealthOptions, Http2, Place, Upstream, UpstreamAddress};
pub use crate::capture::Organization;
use crate::capture::PeerSet;
pub use crate::capture::actor::ActorHeaders;
pub use crate::capture::{Durability, DurabilityRules, RouteRule};
use crate::server::ListenAddress;
use std::time::Duration;

/// One log source (`[[source]]`), without its catalogues, which are built into
/// a route table beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    /// The source's name in records, keys and metrics.
    pub name: String,
    /// Attribute namespace (`NS`).
    pub namespace: String,
    /// Addresses that this source listens on; several sources may share one.
    pub listen: Vec<ListenAddress>,
    /// Host names that choose this source on a shared address; empty: any host
    /// that no other source takes.
    pub hosts: Vec<String>,
    /// Taken off the front of each path; requests outside it are answered 404. Empty or `/segment…` without a final slash.
    pub path_prefix: String,
    /// Where requests go.
    pub upstream: Upstream,
    /// How they go there.
    pub forward: ForwardOptions,
    /// Active checks of the upstream's addresses; `None`: none.
    pub health: Option<HealthOptions>,
    /// Send the client's Host instead of the upstream's authority.
    pub preserve_host: bool,
    /// Where the organization comes from when the path does not name it.
    pub organization: Organization,
    /// Peers whose forwarding and identity headers are believed.
    pub trusted_proxies: PeerSet,
    /// Identity headers, believed from trusted proxies alone.
    pub actor_headers: ActorHeaders,
    /// Header names (lower case) that carry an API key, beside the catalogue's.
    pub api_key_headers: Vec<String>,
    /// What happens to paths that no template can match safely. `None`: refused where any class
    /// is strict or a catalogue has sensitive rows, since such a path could mean one of those
    /// to the upstream; else passed on.
    pub odd_paths: Option<OddPaths>,
    /// How sure records are.
    pub durability: DurabilityRules,
    /// Time and size limits.
    pub limits: Limits,
}

/// The fate of a path with dot segments, empty inner segments, encoded slashes and the like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OddPaths {
    /// Forwarded, recorded without a route.
    #[default]
    Pass,
    /// Answered 400.
    Refuse,
}

/// Limits of one source. Every time is measured with a precision of 100 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request head, in bytes; at least 8 KiB. Where sources share an address the largest counts.
    pub head_bytes: usize,
    /// Header fields in a request head. Where sources share an address the largest counts.
    pub head_fields: usize,
    /// Request body, in bytes; `None`: no limit.
    pub body_bytes: Option<u64>,
    /// For a client to send its request head, from the connection's or the head's first byte. Shared as above.
    pub head_timeout: Duration,
    /// For a kept-alive client connection without a request. Shared as above.
    pub idle_timeout: Duration,
    /// For a connection to the upstream to be made.
    pub connect_timeout: Duration,
    /// For the upstream's response head, from the end of the request.
    pub response_timeout: Duration,
    /// Between two pieces of a body, either way.
    pub body_timeout: Duration,
    /// For the whole exchange; `None`: no limit.
    pub request_timeout: Option<Duration>,
    /// An idle upstream connection is closed after this.
    pub upstream_idle_timeout: Duration,
    /// Idle upstream connections kept a worker.
    pub upstream_idle_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            head_fields: 100,
            body_bytes: None,
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            request_timeout: None,
            upstream_idle_timeout: Duration::from_secs(4),
            upstream_idle_connections: 256,
        }
    }
}
