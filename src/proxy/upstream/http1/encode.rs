//! Writes a request's head, and says how its body follows (RFC 9112 §3, §6).

use crate::proxy::hop::Hop;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, TRAILER, TRANSFER_ENCODING};
use http::{Method, Request};
use http_body::Body;

/// How a request's body is delimited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Exact(u64),
    /// In chunks. Of trailers these are sent, which the head has announced.
    Chunked(Vec<HeaderName>),
}

/// Appends the head to `out`. Fields are written as they are, or with what `hop` changes of them,
/// but for those of framing: a body of known length has a Content-Length, another one is chunked.
/// GET and HEAD have a body only if it has a length: many clients of HTTP/2 leave open whether
/// there is one.
pub(super) fn encode<B: Body>(request: &Request<B>, hop: Option<&Hop<'_>>, out: &mut Vec<u8>) -> Framing {
    let headers = request.headers();
    let target = hop.map_or(request.uri(), |hop| hop.target(request));
    out.reserve(384 + headers.len() * 48);
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let (framing, keeps_length) = framing(request);
    let mut has_length = false;
    let mut is_left_out = |name: &HeaderName| {
        *name == TRANSFER_ENCODING
            || *name == CONTENT_LENGTH && (!keeps_length || std::mem::replace(&mut has_length, true))
    };
    match hop {
        Some(hop) => hop.write(request, out, is_left_out),
        None => {
            for (name, value) in headers {
                if !is_left_out(name) {
                    line(out, name.as_str().as_bytes(), value.as_bytes());
                }
            }
        }
    }
    match framing {
        Framing::Exact(length) if !has_length => {
            line(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
        }
        Framing::Chunked(_) => line(out, b"transfer-encoding", b"chunked"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    framing
}

/// Appends a field line.
#[inline]
pub(in crate::proxy) fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The framing, and whether Content-Length goes out as it came.
fn framing<B: Body>(request: &Request<B>) -> (Framing, bool) {
    let body = request.body();
    if body.is_end_stream() {
        return (Framing::Empty, true);
    }
    if let Some(length) = said_length(request.headers()) {
        return (Framing::Exact(length), true);
    }
    match (body.size_hint().exact(), request.method()) {
        (Some(length), _) => (Framing::Exact(length), false),
        (None, &Method::GET | &Method::HEAD) => (Framing::Empty, false),
        (None, _) => (Framing::Chunked(announced(request.headers())), false),
    }
}

/// What Content-Length says, if it says one thing.
fn said_length(headers: &HeaderMap) -> Option<u64> {
    let mut all = headers.get_all(CONTENT_LENGTH).iter();
    let first = all.next()?;
    let length = first.to_str().ok()?;
    let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    (plain && all.all(|other| other == first)).then(|| length.parse().ok())?
}

fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::combinators::UnsyncBoxBody;
    use http_body_util::{BodyExt, Empty, Full, StreamBody};
    use std::convert::Infallible;

    fn unknown() -> UnsyncBoxBody<Bytes, Infallible> {
        StreamBody::new(futures_util::stream::pending::<Result<_, Infallible>>()).boxed_unsync()
    }

    fn encoded(
        method: Method,
        body: UnsyncBoxBody<Bytes, Infallible>,
        fields: &[(&str, &str)],
    ) -> (String, Framing) {
        let mut request = Request::builder().method(method).uri("/a?b");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut out = Vec::new();
        let framing = encode(&request.body(body).unwrap(), None, &mut out);
        (String::from_utf8(out).unwrap(), framing)
    }

    #[test]
    fn a_head_is_written_as_it_is_with_one_way_to_find_the_bodys_end() {
        let empty = || Empty::new().boxed_unsync();
        let full = || Full::new(Bytes::from_static(b"hello")).boxed_unsync();
        let length = ("content-length", "0005");
        for (method, body, fields, head, framing) in [
            (
                Method::GET,
                empty(),
                &[("host", "a"), ("x", "")][..],
                "GET /a?b HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n",
                Framing::Empty,
            ),
            (
                Method::POST,
                empty(),
                &[("content-length", "0")],
                "POST /a?b HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
                Framing::Empty,
            ),
            (Method::POST, full(), &[], "POST /a?b HTTP/1.1\r\ncontent-length: 5\r\n\r\n", Framing::Exact(5)),
            (
                Method::GET,
                unknown(),
                &[length],
                "GET /a?b HTTP/1.1\r\ncontent-length: 0005\r\n\r\n",
                Framing::Exact(5),
            ),
            (
                Method::PUT,
                unknown(),
                &[length, length],
                "PUT /a?b HTTP/1.1\r\ncontent-length: 0005\r\n\r\n",
                Framing::Exact(5),
            ),
            (
                Method::PUT,
                unknown(),
                &[length, ("content-length", "6")],
                "PUT /a?b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
                Framing::Chunked(Vec::new()),
            ),
            (
                Method::PUT,
                unknown(),
                &[("content-length", "+5")],
                "PUT /a?b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
                Framing::Chunked(Vec::new()),
            ),
            (
                Method::PUT,
                unknown(),
                &[("transfer-encoding", "gzip")],
                "PUT /a?b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
                Framing::Chunked(Vec::new()),
            ),
            (Method::HEAD, unknown(), &[], "HEAD /a?b HTTP/1.1\r\n\r\n", Framing::Empty),
            (
                Method::PUT,
                unknown(),
                &[("trailer", "X-Sum, y")],
                "PUT /a?b HTTP/1.1\r\ntrailer: X-Sum, y\r\ntransfer-encoding: chunked\r\n\r\n",
                Framing::Chunked(vec![HeaderName::from_static("x-sum"), HeaderName::from_static("y")]),
            ),
        ] {
            assert_eq!(encoded(method, body, fields), (head.to_owned(), framing));
        }
    }
}
