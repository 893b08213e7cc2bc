//! Where clients connect: an address and port, or a Unix socket.

use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// The name under which `trusted_proxies` and `proxy_protocol` speak of peers on a Unix socket.
pub const UNIX_PEERS: &str = "unix";

/// A place to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// An IP address and port. An IPv6 address takes IPv6 alone, `[::]` too.
    Ip(SocketAddr),
    /// A Unix socket (`unix:/path`).
    Unix(PathBuf),
}

impl ListenAddress {
    /// The address and port, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for ListenAddress {
    type Err = AddrParseError;

    /// `unix:` before a path, or an IP address and port.
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text.strip_prefix(UNIX) {
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => text.parse().map(Self::Ip),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        for text in ["127.0.0.1:80", "[::1]:0", "unix:/run/onrecord/api.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert!("localhost:80".parse::<ListenAddress>().is_err());
    }
}
