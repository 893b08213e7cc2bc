//! What happens to header fields on their way through (RFC 9110 §7.6, RFC 7239).

use crate::capture::Peer;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Request, Version};
use smallvec::SmallVec;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATE: HeaderName = HeaderName::from_static("proxy-authenticate");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Takes out the fields that speak of one connection only: the known ones and those that
/// `Connection` names. Framing and routing fields stay even if `Connection` names them,
/// since whoever lists those wants the next hop to read another message than we did.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let mut named: SmallVec<[HeaderName; 4]> = SmallVec::new();
        for value in headers.get_all(CONNECTION) {
            let tokens = value.as_bytes().split(|&byte| byte == b',');
            let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
            named.extend(names.filter(|name| *name != CONTENT_LENGTH && *name != HOST && *name != TE));
        }
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TRANSFER_ENCODING,
        UPGRADE,
        HTTP2_SETTINGS,
    ] {
        if headers.contains_key(&name) {
            headers.remove(&name);
        }
    }
    if let Some(te) = headers.get(TE) {
        // The one thing in TE that is of use behind a proxy.
        let trailers =
            te.as_bytes().split(|&byte| byte == b',').any(|token| token.trim_ascii() == b"trailers");
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(TE);
        }
    }
}

/// What of a request's forwarding fields is the same for a whole connection.
#[derive(Debug)]
pub(super) struct ForwardedFields {
    address: HeaderValue,
    node: String,
}

impl ForwardedFields {
    /// For requests of this peer.
    #[must_use]
    pub(super) fn new(peer: &Peer) -> Self {
        let address = peer.address.ip().to_canonical();
        // RFC 7239 §6: an IPv6 address stands in brackets and quotes.
        let node = if address.is_ipv6() { format!("for=\"[{address}]\"") } else { format!("for={address}") };
        let address = HeaderValue::from_str(&address.to_string()).expect("addresses are plain ASCII");
        Self { address, node }
    }
}

/// Rewrites a request's fields for the next hop. `host` is the upstream's authority, or
/// `None` to keep the client's.
pub(super) fn prepare_request<B>(
    request: &mut Request<B>,
    forwarded: &ForwardedFields,
    trusted: bool,
    host: Option<&HeaderValue>,
) {
    let version = request.version();
    let original_host = request
        .uri()
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
        .or_else(|| request.headers().get(HOST).cloned());
    let headers = request.headers_mut();
    strip_hop_by_hop(headers);
    if headers.contains_key(EXPECT) {
        // Answered here: the body is asked for (100) when the upstream is ready to get it.
        headers.remove(EXPECT);
    }
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    extend(headers, X_FORWARDED_FOR, trusted, &forwarded.address);
    if !trusted || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(original) = &original_host
        && (!trusted || !headers.contains_key(X_FORWARDED_HOST))
    {
        headers.insert(X_FORWARDED_HOST, original.clone());
    }
    if let Some(element) = forwarded_element(&forwarded.node, original_host.as_ref()) {
        extend(headers, FORWARDED, trusted, &element);
    }
    let received_by = match version {
        Version::HTTP_10 => HeaderValue::from_static("1.0 onrecord"),
        Version::HTTP_2 => HeaderValue::from_static("2 onrecord"),
        _ => HeaderValue::from_static("1.1 onrecord"),
    };
    extend(headers, VIA, true, &received_by);
    match (host, original_host) {
        (Some(host), _) => headers.insert(HOST, host.clone()),
        (None, Some(original)) => headers.insert(HOST, original),
        (None, None) => None,
    };
}

/// Rewrites a response's fields for the client.
pub(super) fn prepare_response<B>(response: &mut http::Response<B>) {
    let received_by = HeaderValue::from_static(match response.version() {
        Version::HTTP_10 => "1.0 onrecord",
        Version::HTTP_2 => "2 onrecord",
        _ => "1.1 onrecord",
    });
    strip_hop_by_hop(response.headers_mut());
    extend(response.headers_mut(), VIA, true, &received_by);
}

/// Appends a list member to what is there, or replaces what is there where it is not believed.
fn extend(headers: &mut HeaderMap, name: HeaderName, keep: bool, member: &HeaderValue) {
    match headers.entry(&name) {
        Entry::Occupied(mut entry) if keep => {
            let mut list = Vec::new();
            for value in entry.iter().map(HeaderValue::as_bytes).chain([member.as_bytes()]) {
                if !list.is_empty() {
                    list.extend_from_slice(b", ");
                }
                list.extend_from_slice(value);
            }
            if let Ok(list) = HeaderValue::from_bytes(&list) {
                entry.insert(list);
            }
        }
        Entry::Occupied(mut entry) => {
            entry.insert(member.clone());
        }
        Entry::Vacant(entry) => {
            entry.insert(member.clone());
        }
    }
}

fn forwarded_element(node: &str, host: Option<&HeaderValue>) -> Option<HeaderValue> {
    let mut element = Vec::with_capacity(node.len() + 40);
    element.extend_from_slice(node.as_bytes());
    if let Some(host) = host.map(HeaderValue::as_bytes)
        && !host.iter().any(|&byte| byte == b'"' || byte == b'\\')
    {
        element.extend_from_slice(b";host=\"");
        element.extend_from_slice(host);
        element.push(b'"');
    }
    element.extend_from_slice(b";proto=http");
    HeaderValue::from_bytes(&element).ok()
}

/// HTTP/2 may send cookies in several fields, HTTP/1.1 may not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let mut joined = Vec::new();
    for value in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(trusted: bool, fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut request = Request::get("/x").body(()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let peer = Peer { address: "192.0.2.7:5".parse().unwrap(), local: "127.0.0.1:80".parse().unwrap() };
        let authority = HeaderValue::from_static("up.example:8080");
        prepare_request(&mut request, &ForwardedFields::new(&peer), trusted, Some(&authority));
        request.into_parts().0.headers
    }

    #[test]
    fn what_speaks_of_one_connection_is_not_passed_on() {
        let headers = prepared(
            false,
            &[
                ("host", "api.example"),
                ("connection", "close, X-Hop"),
                ("connection", "content-length"),
                ("x-hop", "1"),
                ("content-length", "3"),
                ("keep-alive", "timeout=1"),
                ("te", "gzip, trailers"),
                ("upgrade", "h2c"),
                ("http2-settings", "x"),
                ("expect", "100-continue"),
                ("traceparent", "00-1-2-01"),
            ],
        );
        for gone in ["connection", "x-hop", "keep-alive", "upgrade", "http2-settings", "expect"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["content-length"], "3");
        assert_eq!(headers["traceparent"], "00-1-2-01");
        assert_eq!(headers["host"], "up.example:8080");
        assert_eq!(headers["x-forwarded-host"], "api.example");
    }

    #[test]
    fn forwarding_fields_are_believed_only_from_trusted_proxies() {
        let said = [
            ("host", "api.example"),
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("forwarded", "for=198.51.100.1"),
            ("via", "1.1 edge"),
        ];
        let headers = prepared(true, &said);
        assert_eq!(headers["x-forwarded-for"], "198.51.100.1, 192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "shop.example");
        assert_eq!(headers["forwarded"], "for=198.51.100.1, for=192.0.2.7;host=\"api.example\";proto=http");
        let headers = prepared(false, &said);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "api.example");
        assert_eq!(headers["forwarded"], "for=192.0.2.7;host=\"api.example\";proto=http");
        assert_eq!(headers["via"], "1.1 edge, 1.1 onrecord");
    }
}
