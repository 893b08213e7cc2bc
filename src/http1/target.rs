//! The request line: method, target and version (RFC 9112 §3).

use super::fault::Fault;
use super::grammar::{is_host, is_token};
use super::scan::has_non_target;

/// Targets are no longer than this, since no URI here is.
const MAX_TARGET: usize = 65_534;

/// What of a request line is needed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    /// HTTP/1.0.
    pub(super) is_10: bool,
}

/// Reads a request line without its CRLF.
pub(super) fn request_line(line: &[u8]) -> Result<RequestLine, Fault> {
    // Methods are short: no search by vectors pays here.
    let space = line.iter().position(|&byte| byte == b' ').ok_or(Fault::RequestLine)?;
    let (method, rest) = (&line[..space], &line[space + 1..]);
    if !is_token(method) {
        return Err(if method.is_empty() { Fault::RequestLine } else { Fault::Method });
    }
    let (target, version) = rest.split_at(rest.len().saturating_sub(9));
    let is_10 = match version {
        b" HTTP/1.1" => false,
        b" HTTP/1.0" => true,
        _ => return Err(other_version(rest)),
    };
    if target.len() > MAX_TARGET {
        return Err(Fault::TargetTooLong);
    }
    if is_target(method, target) {
        return Ok(RequestLine { is_10 });
    }
    // No target has a blank: that the line has too many parts is told before what is wrong with one.
    Err(if target.contains(&b' ') { Fault::RequestLine } else { Fault::Target })
}

/// RFC 9112 §3.2: the four forms, each with the methods that have it.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if target.is_empty() || has_non_target(target) {
        return false;
    }
    if method == b"CONNECT" {
        return memchr::memchr(b':', target).is_some() && is_host(target);
    }
    match target[0] {
        b'/' => true,
        b'*' => target.len() == 1 && method == b"OPTIONS",
        _ => is_absolute(target),
    }
}

/// `http` or `https`, and an authority without user information (RFC 9110 §4.2.4).
fn is_absolute(target: &[u8]) -> bool {
    let after = |scheme: &[u8]| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else { return false };
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    !matches!(&rest[..end], [] | [b':', ..]) && is_host(&rest[..end])
}

/// Another version in its right form is told from what is no request line at all.
#[cold]
fn other_version(rest: &[u8]) -> Fault {
    let space = rest.iter().rposition(|&byte| byte == b' ');
    match space.map(|space| &rest[space + 1..]) {
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Fault::Version
        }
        _ => Fault::RequestLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_of_a_target_go_with_their_methods() {
        for good in [
            "GET / HTTP/1.1",
            "GET /a?b=[c]&d={e}|\"^` HTTP/1.0",
            "OPTIONS * HTTP/1.1",
            "GET http://a/ HTTP/1.1",
            "GET HTTPS://[::1]:80?x HTTP/1.1",
            "CONNECT a:443 HTTP/1.1",
            "get //a HTTP/1.1",
            "GET http://a HTTP/1.1",
        ] {
            assert!(request_line(good.as_bytes()).is_ok(), "{good}");
        }
        for (bad, fault) in [
            ("GET", Fault::RequestLine),
            ("GET /", Fault::RequestLine),
            (" GET / HTTP/1.1", Fault::RequestLine),
            ("GET  / HTTP/1.1", Fault::RequestLine),
            ("GET /  HTTP/1.1", Fault::RequestLine),
            ("GET / HTTP/1.1 ", Fault::RequestLine),
            ("GET / http/1.1", Fault::RequestLine),
            ("GET /\tHTTP/1.1", Fault::RequestLine),
            ("GET / a HTTP/1.1", Fault::RequestLine),
            ("GET  HTTP/1.1", Fault::Target),
            ("GET / HTTP/1.2", Fault::Version),
            ("GET / HTTP/2.0", Fault::Version),
            ("GET / HTTP/11", Fault::RequestLine),
            ("GET / HTTP/1.10", Fault::RequestLine),
            ("G(T / HTTP/1.1", Fault::Method),
            ("GET /#a HTTP/1.1", Fault::Target),
            ("GET /\u{e9} HTTP/1.1", Fault::Target),
            ("GET /\0 HTTP/1.1", Fault::Target),
            ("GET a HTTP/1.1", Fault::Target),
            ("GET * HTTP/1.1", Fault::Target),
            ("M-SEARCH * HTTP/1.1", Fault::Target),
            ("GET a:80 HTTP/1.1", Fault::Target),
            ("OPTIONS *a HTTP/1.1", Fault::Target),
            ("CONNECT / HTTP/1.1", Fault::Target),
            ("CONNECT a HTTP/1.1", Fault::Target),
            ("GET ftp://a/ HTTP/1.1", Fault::Target),
            ("GET http:/// HTTP/1.1", Fault::Target),
            ("GET http://u:p@a/ HTTP/1.1", Fault::Target),
            ("GET http://a\\b/ HTTP/1.1", Fault::Target),
        ] {
            assert_eq!(request_line(bad.as_bytes()), Err(fault), "{bad}");
        }
    }
}
