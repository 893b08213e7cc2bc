//! The way out: HTTP/1.1 to stores and token services over the one TLS stack, with a local
//! address, a proxy and trust of its own where a destination asks for them.
//!
//! Connections are kept for the next call. Nothing is retried but a request that an idle
//! connection did not take, and no redirect is followed.

mod call;
mod connect;
mod fair;
mod proxy;
mod trust;

pub use call::{Client, Outgoing, bytes};
pub use proxy::{Proxy, ProxyError};
pub(crate) use trust::trust;

use crate::secret::{SecretError, SecretRef};
use std::net::IpAddr;
use std::path::PathBuf;
use thiserror::Error;

/// How a destination is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The address of this machine that connections come from; `None`: as the system chooses.
    pub local: Option<IpAddr>,
    /// The proxy; `None`: the one that the environment names for the address, if it does.
    pub proxy: Option<Proxy>,
    /// `user:password` for that proxy.
    pub proxy_login: Option<SecretRef>,
    /// PEM file of the only authorities that are trusted; `None`: those of this machine.
    pub ca: Option<PathBuf>,
}

/// The proxy that leads to a URL by this route, or as the environment is now, if one does.
#[must_use]
pub fn proxy_to(url: &str, route: &Route) -> Option<Proxy> {
    let uri: http::Uri = url.parse().ok()?;
    if connect::Target::of(&uri).ok()?.is_metadata() {
        return None;
    }
    let by_environment = || {
        let found = hyper_util::client::proxy::matcher::Matcher::from_env().intercept(&uri)?;
        found.uri().to_string().parse().ok()
    };
    route.proxy.clone().or_else(by_environment)
}

/// Why a call has no answer. It says nothing of the request but its host.
#[derive(Debug, Error)]
pub enum CallError {
    /// The request names no host that can be called.
    #[error("`{0}` is no http:// or https:// address")]
    Address(String),
    /// The name is not known, or can't be asked for.
    #[error("{host} cannot be resolved")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no connection.
    #[error("no connection to {host}")]
    Connect {
        /// The host and port.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// The proxy does not let it through.
    #[error("the proxy {proxy} does not connect to {host}: {why}")]
    Refused {
        /// The proxy's host and port.
        proxy: String,
        /// The host that was asked for.
        host: String,
        /// What it said.
        why: String,
    },
    /// The login of the proxy can't be had.
    #[error("the proxy's login cannot be read")]
    Login(#[source] SecretError),
    /// The trusted authorities can't be had.
    #[error("the trusted authorities cannot be read")]
    Trust(#[source] std::io::Error),
    /// No secure connection could be made.
    #[error("no trusted TLS connection to {host}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// The exchange broke off.
    #[error("the exchange with {host} broke off")]
    Broken {
        /// The host.
        host: String,
        /// Why.
        source: hyper::Error,
    },
}

impl CallError {
    /// Whether the connection can't be trusted, rather than made.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls { .. } | Self::Trust(_))
    }
}
