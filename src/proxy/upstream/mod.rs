//! The upstream of a source: its addresses, who of them is well, and connections to them.
//!
//! [`UpstreamShared`] is what all workers know; the [`mod@watch`] behind the front resolves names
//! again, checks health and reads certificates again. Each worker has its own `Endpoint`s
//! with their connections and its own opinion of them ([`balance`]); it looks at what is
//! shared at its ticks only, never for a request.

mod balance;
mod connect;
mod endpoint;
mod error;
mod http1;
mod io;
mod lease;
mod options;
mod pool;
mod shared;
mod tls;
mod watch;

pub use error::UpstreamError;
pub use http1::Http1Error;
pub(super) use http1::{Connection, line};
pub(super) use lease::Lease;
pub use options::{ForwardOptions, HealthOptions, Http2, Place, Upstream, UpstreamAddress};
pub(super) use pool::Pool;
pub use shared::{AddressStatus, AddressTotals, UpstreamShared};
pub use tls::UpstreamTlsError;
pub use watch::watch;

pub(super) use connect::{Sender, TunnelParts};
pub(super) use io::UpstreamIo;
