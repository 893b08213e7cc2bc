//! Reading an upstream's URL.

use crate::proxy::Upstream;
use http::Uri;

/// Why an upstream can't be used. No variant repeats the text: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("is not a URL")]
    Url,
    #[error("must begin with http://")]
    Scheme,
    #[error("TLS to upstreams is not in this build yet")]
    Https,
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

/// Reads `http://host:port/base`.
pub(crate) fn parse(text: &str) -> Result<Upstream, UpstreamError> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http") => {}
        Some("https") => return Err(UpstreamError::Https),
        _ => return Err(UpstreamError::Scheme),
    }
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
        None => 80,
    };
    let base_path = uri.path().trim_end_matches('/').to_owned();
    if !base_path.is_empty() {
        check_path(&base_path).map_err(UpstreamError::Path)?;
    }
    let name = typed.to_ascii_lowercase();
    let authority = if port == 80 { name } else { format!("{name}:{port}") };
    Ok(Upstream { host, port, authority, base_path })
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
    Upstream { host: String::new(), port: 0, authority: String::new(), base_path: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_host_port_authority_and_base() {
        let upstream = parse("http://API.internal:8080/base/").unwrap();
        assert_eq!(
            (upstream.host.as_str(), upstream.port, upstream.authority.as_str(), upstream.base_path.as_str()),
            ("api.internal", 8080, "api.internal:8080", "/base")
        );
        let plain = parse("http://[::1]").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.authority.as_str()), ("::1", 80, "[::1]"));
        assert_eq!(parse("http://h:80").unwrap().authority, "h");
    }

    #[test]
    fn what_is_no_plain_upstream_is_refused() {
        for (text, error) in [
            ("https://api.contentful.com", UpstreamError::Https),
            ("127.0.0.1:9000", UpstreamError::Scheme),
            ("ftp://x", UpstreamError::Scheme),
            ("http://", UpstreamError::Url),
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
