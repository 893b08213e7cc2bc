//! Refuses requests whose head can be read in two ways, whatever version of HTTP they came in:
//! what the gateway puts on record and what the upstream understands must be one thing.

use super::error::ForwardError;
use crate::http1::is_host;
use crate::record::ErrorType;
use http::header::{EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS};
use http::{Method, Request, StatusCode, Version};
use smallvec::SmallVec;

/// Fields that decide where a request goes, what it is and who sent it.
///
/// CGI and what came after it (WSGI, Rack, PHP) fold `-` and `_` into one, so that such a
/// program reads `Content_Length` as a second Content-Length that nobody in between has seen.
const FOLDED: [&str; 17] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method-override",
];

/// Passes a request that can be read in one way only.
pub(super) fn judge<B>(request: &Request<B>) -> Result<(), ForwardError> {
    let malformed =
        |reason| Err(ForwardError::refused(StatusCode::BAD_REQUEST, ErrorType::Malformed, reason));
    let headers = request.headers();
    let mut hosts = SmallVec::<[&HeaderValue; 2]>::new();
    let (mut has_folded, mut expects_more) = (false, false);
    for (name, value) in headers {
        if *name == HOST {
            hosts.push(value);
        } else if *name == EXPECT {
            expects_more |= !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        } else {
            has_folded = has_folded || is_folded(name, headers);
        }
    }
    if let Err(reason) = judge_host(request, &hosts) {
        return malformed(reason);
    }
    if has_folded {
        return malformed("a field name with an underscore stands for another field");
    }
    if expects_more && request.version() != Version::HTTP_10 {
        return Err(ForwardError::refused(
            StatusCode::EXPECTATION_FAILED,
            ErrorType::Unsupported,
            "no expectation but 100-continue is understood",
        ));
    }
    if matches!(*request.method(), Method::TRACE | Method::OPTIONS)
        && headers.get(MAX_FORWARDS).is_some_and(|value| value.as_bytes() == b"0")
    {
        return Err(ForwardError::refused(
            StatusCode::NOT_IMPLEMENTED,
            ErrorType::Unsupported,
            "Max-Forwards ends here, and the gateway answers no such request itself",
        ));
    }
    Ok(())
}

/// RFC 9112 §3.2, RFC 9113 §8.3.1: one Host, which names a host; in HTTP/2 it is the authority.
fn judge_host<B>(request: &Request<B>, hosts: &[&HeaderValue]) -> Result<(), &'static str> {
    let host = match hosts {
        [] if request.version() == Version::HTTP_11 => return Err("a request of HTTP/1.1 has a Host field"),
        [] => None,
        [host] => Some(host.as_bytes()),
        _ => return Err("there is more than one Host field"),
    };
    if host.is_some_and(|host| !is_host(host)) {
        return Err("Host names no host");
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    if authority.is_some_and(|authority| !is_host(authority)) {
        return Err("the authority names no host");
    }
    match (host, authority) {
        (Some(host), Some(authority))
            if request.version() == Version::HTTP_2 && !host.eq_ignore_ascii_case(authority) =>
        {
            Err("Host and :authority differ")
        }
        _ => Ok(()),
    }
}

/// Whether a name with underscores is, folded, one of [`FOLDED`] or another field of this head.
fn is_folded(name: &HeaderName, headers: &HeaderMap) -> bool {
    let name = name.as_str();
    if !has_underscore(name.as_bytes()) {
        return false;
    }
    let folded = name.replace('_', "-");
    FOLDED.contains(&folded.as_str()) || headers.contains_key(folded.as_str())
}

/// Names are short: a look at eight bytes at a time, the last of them once more where they do not
/// go up, is over before a search for longer texts has begun.
fn has_underscore(name: &[u8]) -> bool {
    let found = |eight: &[u8; 8]| eight.iter().fold(false, |found, &byte| found | (byte == b'_'));
    match name.last_chunk::<8>() {
        Some(last) => name.as_chunks::<8>().0.iter().any(found) || found(last),
        None => name.contains(&b'_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_underscore_is_seen_wherever_it_stands() {
        for length in 0..30 {
            assert!(!has_underscore(&vec![b'a'; length]));
            for at in 0..length {
                let mut name = vec![b'-'; length];
                name[at] = b'_';
                assert!(has_underscore(&name));
            }
        }
    }

    fn status(version: Version, target: &str, fields: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method("OPTIONS").version(version).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        judge(&request.body(()).unwrap()).err().map(|error| error.status().as_u16())
    }

    #[test]
    fn a_request_says_once_whom_it_is_for() {
        for (version, target, fields, expected) in [
            (Version::HTTP_11, "/", &[("host", "a:80")][..], None),
            (Version::HTTP_11, "/", &[], Some(400)),
            (Version::HTTP_10, "/", &[], None),
            (Version::HTTP_11, "/", &[("host", "a"), ("host", "a")], Some(400)),
            (Version::HTTP_10, "/", &[("host", "a"), ("host", "b")], Some(400)),
            (Version::HTTP_11, "/", &[("host", "a b")], Some(400)),
            (Version::HTTP_11, "/", &[("host", "u@a")], Some(400)),
            (Version::HTTP_11, "/", &[("host", "a/b")], Some(400)),
            (Version::HTTP_11, "http://b/", &[("host", "a")], None),
            (Version::HTTP_11, "http://b/", &[], Some(400)),
            (Version::HTTP_2, "http://a/", &[], None),
            (Version::HTTP_2, "http://a/", &[("host", "A")], None),
            (Version::HTTP_2, "http://a/", &[("host", "b")], Some(400)),
            (Version::HTTP_2, "http://u@a/", &[], Some(400)),
        ] {
            assert_eq!(status(version, target, fields), expected, "{version:?} {target} {fields:?}");
        }
    }

    #[test]
    fn what_reads_as_another_field_behind_us_is_refused() {
        for (fields, expected) in [
            (&[("content_length", "5")][..], Some(400)),
            (&[("transfer_encoding", "chunked")], Some(400)),
            (&[("x_forwarded-for", "::1")], Some(400)),
            (&[("x_user", "a")], None),
            (&[("x_user", "a"), ("x-user", "b")], Some(400)),
            (&[("expect", "100-Continue")], None),
            (&[("expect", "200-ok")], Some(417)),
            (&[("max-forwards", "0")], Some(501)),
            (&[("max-forwards", "1")], None),
        ] {
            let all: Vec<_> = [("host", "a")].iter().chain(fields).copied().collect();
            assert_eq!(status(Version::HTTP_11, "/", &all), expected, "{fields:?}");
        }
    }
}
