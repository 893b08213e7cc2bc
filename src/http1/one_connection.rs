//! The fields that speak of one connection only (RFC 9110 §7.6.1), whether `Connection` names them
//! or not.

use http::header::{CONNECTION, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::header::{TE, TRANSFER_ENCODING, UPGRADE};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY: HeaderName = HeaderName::from_static("proxy");

const ALL: [HeaderName; 10] = [
    CONNECTION,
    TE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
    // Programs behind CGI take it for the proxy that they are to use ("httpoxy").
    PROXY,
];
const CONNECTION_BIT: u16 = 1;
const TE_BIT: u16 = 1 << 1;

/// Which of them a head has. Looking at each name that is there costs a tenth of asking the map
/// for each that might be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneConnection(u16);

impl OneConnection {
    /// Those of this head.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(0, |present, name| present | bit(name)))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether `Connection` is there.
    #[must_use]
    pub fn has_connection(self) -> bool {
        self.0 & CONNECTION_BIT != 0
    }

    /// Whether `TE` is there.
    #[must_use]
    pub fn has_te(self) -> bool {
        self.0 & TE_BIT != 0
    }

    /// The names of those that are there.
    pub fn names(self) -> impl Iterator<Item = HeaderName> {
        ALL.into_iter().enumerate().filter(move |(place, _)| self.0 & 1 << place != 0).map(|(_, name)| name)
    }
}

/// Whether this is the name of one.
#[must_use]
pub fn is_of_one_connection(name: &HeaderName) -> bool {
    bit(name) != 0
}

/// The bit of a field by its place in [`ALL`], or 0.
fn bit(name: &HeaderName) -> u16 {
    const LENGTHS: u64 = 1 << 2 | 1 << 5 | 1 << 7 | 1 << 10 | 1 << 14 | 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19;
    let name = name.as_str();
    if name.len() >= 64 || LENGTHS & 1 << name.len() == 0 {
        return 0;
    }
    let place = match name {
        "connection" => 0,
        "te" => 1,
        "keep-alive" => 2,
        "proxy-connection" => 3,
        "proxy-authenticate" => 4,
        "proxy-authorization" => 5,
        "transfer-encoding" => 6,
        "upgrade" => 7,
        "http2-settings" => 8,
        "proxy" => 9,
        _ => return 0,
    };
    1 << place
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn each_is_known_by_its_name() {
        for (place, name) in ALL.iter().enumerate() {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            let found = OneConnection::of(&headers);
            assert_eq!(found, OneConnection(1 << place), "{name}");
            assert!(found.names().eq([name.clone()]));
            assert_eq!((found.has_connection(), found.has_te()), (name == CONNECTION, name == TE));
        }
        assert_eq!(bit(&http::header::HOST), 0);
    }
}
