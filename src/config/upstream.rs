//! Reading an upstream's URL.

use crate::proxy::{Place, Upstream, UpstreamAddress};
use http::Uri;
use std::path::PathBuf;

/// Why an upstream can't be used. No variant repeats the text: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("is not a URL")]
    Url,
    #[error("must begin with http://, https:// or unix:")]
    Scheme,
    #[error("must name an absolute path")]
    Socket,
    #[error("must not hold a user name or password")]
    Userinfo,
    #[error("must not hold a query or fragment")]
    Query,
    #[error("has no usable port")]
    Port,
    #[error(transparent)]
    Path(PathError),
}

/// Why a path can't stand before others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("must begin with a slash")]
    Slash,
    #[error("holds empty, `.` or `..` segments")]
    Segment,
    #[error("holds characters that don't belong in a path")]
    Character,
}

/// Reads `http://host:port/base`, `https://…` or `unix:/path`, as an upstream of one address.
pub(crate) fn parse(text: &str) -> Result<Upstream, UpstreamError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path);
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let tls = match scheme.as_deref() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(UpstreamError::Scheme),
    };
    let usual = if tls { 443 } else { 80 };
    if text.contains(['?', '#']) {
        return Err(UpstreamError::Query);
    }
    let uri: Uri = text.parse().map_err(|_| UpstreamError::Url)?;
    let authority = uri.authority().ok_or(UpstreamError::Url)?;
    if authority.as_str().contains('@') {
        return Err(UpstreamError::Userinfo);
    }
    let typed = authority.host();
    let host = typed.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() || (typed.starts_with('[') && host.parse::<std::net::Ipv6Addr>().is_err()) {
        return Err(UpstreamError::Url);
    }
    let has_port = authority.as_str().len() > typed.len();
    let port = match authority.port_u16() {
        Some(0) => return Err(UpstreamError::Port),
        Some(port) => port,
        None if has_port => return Err(UpstreamError::Port),
        None => usual,
    };
    let base_path = uri.path().trim_end_matches('/').to_owned();
    if !base_path.is_empty() {
        check_path(&base_path).map_err(UpstreamError::Path)?;
    }
    let name = typed.to_ascii_lowercase();
    let authority = if port == usual { name } else { format!("{name}:{port}") };
    let address = UpstreamAddress { place: Place::Tcp { host, port }, authority };
    Ok(Upstream { addresses: vec![address], tls, base_path })
}

fn socket(path: &str) -> Result<Upstream, UpstreamError> {
    let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
    if !path.is_absolute() {
        return Err(UpstreamError::Socket);
    }
    let address = UpstreamAddress { place: Place::Unix(path), authority: "localhost".to_owned() };
    Ok(Upstream { addresses: vec![address], tls: false, base_path: String::new() })
}

/// Whether a path can stand before others: it begins with a slash, has no tricks.
pub(crate) fn check_path(path: &str) -> Result<(), PathError> {
    let inner = path.strip_prefix('/').ok_or(PathError::Slash)?;
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..") {
        return Err(PathError::Segment);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,=:@".contains(c);
    if inner.chars().all(plain) { Ok(()) } else { Err(PathError::Character) }
}

/// What stands in while the real one can't be read; it never leaves a refused file.
pub(crate) fn nowhere() -> Upstream {
    Upstream { addresses: Vec::new(), tls: false, base_path: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String, String, bool) {
        let upstream = parse(text).unwrap();
        let Place::Tcp { host, port } = &upstream.addresses[0].place else { panic!("{text}") };
        let authority = upstream.addresses[0].authority.clone();
        (host.clone(), *port, authority, upstream.base_path.clone(), upstream.tls)
    }

    fn of(
        host: &str,
        port: u16,
        authority: &str,
        base: &str,
        tls: bool,
    ) -> (String, u16, String, String, bool) {
        (host.into(), port, authority.into(), base.into(), tls)
    }

    #[test]
    fn a_url_becomes_host_port_authority_and_base() {
        assert_eq!(
            parts("http://API.internal:8080/base/"),
            of("api.internal", 8080, "api.internal:8080", "/base", false)
        );
        assert_eq!(parts("http://[::1]"), of("::1", 80, "[::1]", "", false));
        assert_eq!(parts("http://h:80"), of("h", 80, "h", "", false));
        assert_eq!(parts("http://h:443"), of("h", 443, "h:443", "", false));
        assert_eq!(
            parts("https://api.contentful.com"),
            of("api.contentful.com", 443, "api.contentful.com", "", true)
        );
        assert_eq!(parts("HTTPS://[::1]:8443/x"), of("::1", 8443, "[::1]:8443", "/x", true));
    }

    #[test]
    fn a_unix_socket_is_named_by_its_path() {
        let upstream = parse("unix:/run/app.sock").unwrap();
        assert_eq!(upstream.addresses[0].place, Place::Unix("/run/app.sock".into()));
        assert_eq!(upstream.addresses[0].authority, "localhost");
        assert_eq!(parse("unix:///run/app.sock"), Ok(upstream));
        assert_eq!(parse("unix:app.sock"), Err(UpstreamError::Socket));
    }

    #[test]
    fn what_is_no_plain_upstream_is_refused() {
        for (text, error) in [
            ("127.0.0.1:9000", UpstreamError::Scheme),
            ("ftp://x", UpstreamError::Scheme),
            ("http://", UpstreamError::Url),
            ("https://", UpstreamError::Url),
            ("http://a b", UpstreamError::Url),
            ("http://user:password@host", UpstreamError::Userinfo),
            ("http://host?x=1", UpstreamError::Query),
            ("http://host/a#b", UpstreamError::Query),
            ("http://host:0", UpstreamError::Port),
            ("http://host:99999", UpstreamError::Port),
            ("http://host/../x", UpstreamError::Path(PathError::Segment)),
            ("http://host/a%2fb", UpstreamError::Path(PathError::Character)),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
