//! What happens to header fields on their way through (RFC 9110 §7.6, RFC 7239).

use crate::capture::Peer;
use crate::http1::OneConnection;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, COOKIE, EXPECT, Entry, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    MAX_FORWARDS, ORIGIN, REFERER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT, VARY,
    VIA,
};
use http::{Method, Request, Version};
use smallvec::SmallVec;
use std::net::IpAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const X_HTTP_METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether `Connection` may take this field out. Not those which say how the message is framed,
/// where it goes, who sent it and what it means: whoever lists one of them wants the next hop
/// to read another message than the one that is put on record.
fn is_for_one_connection(name: &HeaderName) -> bool {
    const END_TO_END: [HeaderName; 20] = [
        ACCEPT_ENCODING,
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        COOKIE,
        FORWARDED,
        HOST,
        ORIGIN,
        REFERER,
        SET_COOKIE,
        TE,
        USER_AGENT,
        VARY,
        VIA,
        EXPECT,
        X_HTTP_METHOD_OVERRIDE,
        X_REAL_IP,
    ];
    !END_TO_END.contains(name) && !name.as_str().starts_with("x-forwarded-")
}

/// Takes out of trailers what belongs into a head (RFC 9110 §6.5.1): fields of framing, routing,
/// authentication and content, which a careless reader would merge into the head.
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    let odd: SmallVec<[HeaderName; 4]> = trailers
        .keys()
        .filter(|name| {
            !is_for_one_connection(name) || is_hop_by_hop(name) || name.as_str().starts_with("proxy-")
        })
        .cloned()
        .collect();
    for name in odd {
        trailers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    [CONNECTION, KEEP_ALIVE, TRAILER, TRANSFER_ENCODING, UPGRADE, HTTP2_SETTINGS, MAX_FORWARDS].contains(name)
}

/// Takes out the fields that speak of one connection only: the known ones and those that
/// `Connection` names, but for [what is never its affair](is_for_one_connection).
fn strip_hop_by_hop(headers: &mut HeaderMap, present: OneConnection) {
    if present.is_none() {
        return;
    }
    if present.has_connection() {
        let mut named: SmallVec<[HeaderName; 4]> = SmallVec::new();
        for value in headers.get_all(CONNECTION) {
            let tokens = value.as_bytes().split(|&byte| byte == b',');
            let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
            named.extend(names.filter(is_for_one_connection));
        }
        for name in named {
            headers.remove(name);
        }
    }
    for name in present.names().filter(|name| name != TE) {
        headers.remove(name);
    }
    if present.has_te()
        && let Some(te) = headers.get(TE)
    {
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
    proto: &'static str,
}

impl ForwardedFields {
    /// For requests of this peer.
    #[must_use]
    pub(super) fn new(peer: &Peer) -> Self {
        let proto = if peer.tls.is_some() { "https" } else { "http" };
        // RFC 7239 §6: an IPv6 address stands in brackets and quotes, one that there is not is unknown.
        let (address, node) = match peer.ip() {
            Some(IpAddr::V6(address)) => (address.to_string(), format!("for=\"[{address}]\"")),
            Some(IpAddr::V4(address)) => (address.to_string(), format!("for={address}")),
            None => ("unknown".to_owned(), "for=unknown".to_owned()),
        };
        let address = HeaderValue::from_str(&address).expect("addresses are plain ASCII");
        Self { address, node, proto }
    }

    /// This hop's member of `X-Forwarded-For`.
    pub(super) fn address(&self) -> &[u8] {
        self.address.as_bytes()
    }

    /// `X-Forwarded-Proto`.
    pub(super) fn proto(&self) -> &[u8] {
        self.proto.as_bytes()
    }

    /// Appends this hop's element of `Forwarded`.
    pub(super) fn write_element(&self, host: Option<&[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.node.as_bytes());
        if let Some(host) = host
            && memchr::memchr2(b'"', b'\\', host).is_none()
        {
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(host);
            out.push(b'"');
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(self.proto.as_bytes());
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
    let counts_down = matches!(*request.method(), Method::TRACE | Method::OPTIONS);
    let original_host = request
        .uri()
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
        .or_else(|| request.headers().get(HOST).cloned());
    let headers = request.headers_mut();
    strip_hop_by_hop(headers, OneConnection::of(headers));
    if headers.contains_key(EXPECT) {
        // Answered here: the body is asked for (100) when the upstream is ready to get it.
        headers.remove(EXPECT);
    }
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if counts_down {
        count_down(headers);
    }
    extend(headers, X_FORWARDED_FOR, trusted, &forwarded.address);
    if !trusted || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(forwarded.proto));
    }
    if !trusted || !headers.contains_key(X_FORWARDED_HOST) {
        match &original_host {
            Some(original) => headers.insert(X_FORWARDED_HOST, original.clone()),
            // Nobody vouches for what the client says of it.
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
    let mut element = Vec::with_capacity(80);
    forwarded.write_element(original_host.as_ref().map(HeaderValue::as_bytes), &mut element);
    if let Ok(element) = HeaderValue::from_bytes(&element) {
        extend(headers, FORWARDED, trusted, &element);
    }
    extend(headers, VIA, true, &received_by(version));
    match (host, original_host) {
        (Some(host), _) => headers.insert(HOST, host.clone()),
        (None, Some(original)) => headers.insert(HOST, original),
        (None, None) => None,
    };
}

/// Rewrites a response's fields for the client.
pub(super) fn prepare_response<B>(response: &mut http::Response<B>) {
    let received_by = received_by(response.version());
    let headers = response.headers_mut();
    strip_hop_by_hop(headers, OneConnection::of(headers));
    extend(headers, VIA, true, &received_by);
}

/// This hop's member of `Via`.
pub(super) fn received_by(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 onrecord",
        Version::HTTP_2 => "2 onrecord",
        _ => "1.1 onrecord",
    })
}

/// Appends a list member to what is there, or replaces what is there where it is not believed.
fn extend(headers: &mut HeaderMap, name: HeaderName, keep: bool, member: &HeaderValue) {
    match headers.entry(&name) {
        Entry::Occupied(mut entry) if keep => {
            let mut list = Vec::with_capacity(64);
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

/// RFC 9110 §7.6.2; a count of 0 was refused before.
fn count_down(headers: &mut HeaderMap) {
    let Some(left) = headers.get(MAX_FORWARDS) else { return };
    let left = left.to_str().ok().and_then(|left| left.parse::<u32>().ok());
    if let Some(left) = left {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
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
        let peer = Peer { address: "192.0.2.7:5".parse().ok(), tls: None };
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
    fn each_request_of_a_connection_tells_its_own_host() {
        let peer = Peer { address: "192.0.2.7:5".parse().ok(), tls: None };
        let fields = ForwardedFields::new(&peer);
        for host in ["a.example", "a.example", "b.example", "a.example"] {
            let mut request = Request::get("/x").header(HOST, host).body(()).unwrap();
            prepare_request(&mut request, &fields, false, None);
            let expected = format!("for=192.0.2.7;host=\"{host}\";proto=http");
            assert_eq!(request.headers()["forwarded"], expected.as_str());
        }
    }

    #[test]
    fn connection_takes_out_nothing_that_says_what_a_request_is() {
        let named = "authorization, Cookie, x-forwarded-for, x-forwarded-user, user-agent, expect, x-mine";
        let headers = prepared(
            false,
            &[
                ("host", "a"),
                ("connection", named),
                ("authorization", "Bearer x"),
                ("cookie", "a=b"),
                ("x-forwarded-user", "eve"),
                ("user-agent", "x"),
                ("x-mine", "1"),
                ("proxy", "http://evil"),
                ("max-forwards", "7"),
            ],
        );
        for stays in ["authorization", "cookie", "x-forwarded-for", "x-forwarded-user", "user-agent"] {
            assert!(headers.contains_key(stays), "{stays}");
        }
        assert!(!headers.contains_key("x-mine") && !headers.contains_key("proxy"));
        assert_eq!(headers["max-forwards"], "7", "it counts for TRACE and OPTIONS alone");
    }

    #[test]
    fn trailers_do_not_pose_as_a_head() {
        let mut trailers = HeaderMap::new();
        for name in
            ["content-length", "host", "authorization", "transfer-encoding", "x-forwarded-for", "x-sum"]
        {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        strip_trailers(&mut trailers);
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
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
        // Without a Host there is nothing to put in its place.
        let said = [("x-forwarded-host", "shop.example")];
        assert!(!prepared(false, &said).contains_key("x-forwarded-host"));
        assert_eq!(prepared(true, &said)["x-forwarded-host"], "shop.example");
    }
}
