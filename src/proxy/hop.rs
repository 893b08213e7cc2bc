//! What this hop changes of a request's fields, found in one pass over them and carried out while
//! the head is written (RFC 9110 §7.6, RFC 7239).
//!
//! Most requests need the same few changes: the upstream's Host, and who has asked. Changing a map
//! for that, only to write the map out afterwards, takes a dozen look-ups and insertions a
//! request. A [`Hop`] says instead, by position, which fields are left out and which get a member
//! more, and what is written behind them. What is not so plain (fields that `Connection` names,
//! lists in several fields, other protocols, expectations) goes by
//! [`prepare_request`](super::headers::prepare_request), which says the same of all requests; a
//! test holds the two against each other.

use super::headers::{ForwardedFields, received_by};
use super::upstream::line;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Method, Request, Uri};

/// The changes of one request's fields.
#[derive(Debug)]
pub(super) struct Hop<'a> {
    fields: &'a ForwardedFields,
    /// The upstream's authority; `None`: the client's Host stays.
    host: Option<&'a HeaderValue>,
    /// Bit n: the n-th value of the map is not written.
    left_out: u64,
    /// Places of the client's Host and of what is continued.
    client_host: Option<u8>,
    for_list: Option<u8>,
    forwarded_list: Option<u8>,
    via_list: Option<u8>,
    /// Whether a trusted proxy has said them.
    has_proto: bool,
    has_host: bool,
    /// What is asked of the upstream, where it is not what the client has asked.
    target: Option<Uri>,
}

/// What a field is to a hop.
enum Kind {
    Other,
    /// It speaks of this connection alone.
    OneConnection,
    Connection,
    Host,
    For,
    Proto,
    ForwardedHost,
    Forwarded,
    Via,
    Cookie,
    /// Whatever it asks for takes more than a pass.
    Odd,
}

fn kind(name: &HeaderName) -> Kind {
    const LENGTHS: u32 = 1 << 2
        | 1 << 3
        | 1 << 4
        | 1 << 5
        | 1 << 6
        | 1 << 7
        | 1 << 9
        | 1 << 10
        | 1 << 14
        | 1 << 15
        | 1 << 16
        | 1 << 17
        | 1 << 18
        | 1 << 19;
    let name = name.as_str();
    if name.len() >= 32 || LENGTHS & 1 << name.len() == 0 {
        return Kind::Other;
    }
    match name {
        "connection" => Kind::Connection,
        "keep-alive"
        | "proxy-connection"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "transfer-encoding"
        | "http2-settings"
        | "proxy" => Kind::OneConnection,
        "host" => Kind::Host,
        "x-forwarded-for" => Kind::For,
        "x-forwarded-proto" => Kind::Proto,
        "x-forwarded-host" => Kind::ForwardedHost,
        "forwarded" => Kind::Forwarded,
        "via" => Kind::Via,
        "cookie" => Kind::Cookie,
        // "close": what `Connection: close` would take out.
        "te" | "upgrade" | "expect" | "close" => Kind::Odd,
        _ => Kind::Other,
    }
}

/// Whether this value of `Connection` says nothing but how long the connection is to last.
fn is_plain_connection(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

impl<'a> Hop<'a> {
    /// The changes of this request, if they are plain. `host` is the upstream's authority, or
    /// `None` to keep the client's; `trusted`: the peer's forwarding fields are believed.
    #[inline]
    pub(super) fn of<B>(
        request: &Request<B>,
        fields: &'a ForwardedFields,
        trusted: bool,
        host: Option<&'a HeaderValue>,
    ) -> Option<Self> {
        let headers = request.headers();
        if headers.len() > 64 || matches!(*request.method(), Method::TRACE | Method::OPTIONS) {
            return None;
        }
        let mut hop = Self {
            fields,
            host,
            left_out: 0,
            client_host: None,
            for_list: None,
            forwarded_list: None,
            via_list: None,
            has_proto: false,
            has_host: false,
            target: None,
        };
        let mut has_cookie = false;
        for (place, (name, value)) in (0u8..).zip(headers) {
            let bit = 1 << place;
            let once = |list: &mut Option<u8>| list.replace(place).is_none();
            let is_plain = match kind(name) {
                Kind::Other => true,
                Kind::OneConnection => {
                    hop.left_out |= bit;
                    true
                }
                Kind::Connection => {
                    hop.left_out |= bit;
                    is_plain_connection(value)
                }
                Kind::Host => {
                    hop.left_out |= bit;
                    once(&mut hop.client_host)
                }
                Kind::For if trusted => once(&mut hop.for_list),
                Kind::Forwarded if trusted => once(&mut hop.forwarded_list),
                Kind::Proto if trusted => {
                    hop.has_proto = true;
                    true
                }
                Kind::ForwardedHost if trusted => {
                    hop.has_host = true;
                    true
                }
                Kind::For | Kind::Forwarded | Kind::Proto | Kind::ForwardedHost => {
                    hop.left_out |= bit;
                    true
                }
                Kind::Via => once(&mut hop.via_list),
                // HTTP/2 may send several, HTTP/1.1 may not.
                Kind::Cookie => !std::mem::replace(&mut has_cookie, true),
                Kind::Odd => false,
            };
            if !is_plain {
                return None;
            }
        }
        Some(hop)
    }

    /// The same for another authority of the upstream, and with this target.
    pub(super) fn to(self, host: Option<&'a HeaderValue>, target: Option<Uri>) -> Self {
        Self { host: host.or(self.host), target, ..self }
    }

    /// What is asked of the upstream.
    pub(super) fn target<'t, B>(&'t self, request: &'t Request<B>) -> &'t Uri {
        self.target.as_ref().unwrap_or(request.uri())
    }

    /// Writes the request's fields, but for those that `leave_out` names.
    #[inline]
    pub(super) fn write<B>(
        &self,
        request: &Request<B>,
        out: &mut Vec<u8>,
        mut leave_out: impl FnMut(&HeaderName) -> bool,
    ) {
        let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let mut client_host = authority;
        for (place, (name, value)) in (0u8..).zip(request.headers()) {
            let value = value.as_bytes();
            if self.left_out & 1 << place != 0 {
                if self.client_host == Some(place) {
                    client_host = authority.or(Some(value));
                }
                continue;
            }
            if leave_out(name) {
                continue;
            }
            let here = Some(place);
            if here == self.for_list {
                list(out, b"x-forwarded-for", value, self.fields.address());
            } else if here == self.via_list {
                list(out, b"via", value, received_by(request.version()).as_bytes());
            } else if here != self.forwarded_list {
                line(out, name.as_str().as_bytes(), value);
            }
        }
        self.write_added(request, client_host, out);
    }

    fn write_added<B>(&self, request: &Request<B>, client_host: Option<&[u8]>, out: &mut Vec<u8>) {
        if self.for_list.is_none() {
            line(out, b"x-forwarded-for", self.fields.address());
        }
        if !self.has_proto {
            line(out, b"x-forwarded-proto", self.fields.proto());
        }
        if let Some(host) = client_host
            && !self.has_host
        {
            line(out, b"x-forwarded-host", host);
        }
        out.extend_from_slice(b"forwarded: ");
        if let Some(place) = self.forwarded_list
            && let Some(before) = request.headers().values().nth(usize::from(place))
        {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(b", ");
        }
        self.fields.write_element(client_host, out);
        out.extend_from_slice(b"\r\n");
        if self.via_list.is_none() {
            line(out, b"via", received_by(request.version()).as_bytes());
        }
        if let Some(host) = self.host.map(HeaderValue::as_bytes).or(client_host) {
            line(out, HOST.as_str().as_bytes(), host);
        }
    }
}

fn list(out: &mut Vec<u8>, name: &[u8], before: &[u8], member: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(before);
    out.extend_from_slice(b", ");
    out.extend_from_slice(member);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::headers::prepare_request;
    use super::*;
    use crate::capture::Peer;
    use http::Version;
    use http::header::HeaderMap;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn upstream() -> HeaderValue {
        HeaderValue::from_static("up.example:8080")
    }

    fn fields() -> ForwardedFields {
        ForwardedFields::new(&Peer { address: "192.0.2.7:5".parse().ok(), tls: None })
    }

    /// Name and value of each line, sorted; several values of a name stay in their order.
    fn sorted<'a>(lines: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, Vec<u8>)> {
        let mut lines: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        lines
    }

    /// What a hop writes.
    fn written(hop: &Hop<'_>, request: &Request<()>) -> Vec<(String, Vec<u8>)> {
        let mut out = Vec::new();
        hop.write(request, &mut out, |_| false);
        let text = std::str::from_utf8(&out).unwrap();
        let lines = text.strip_suffix("\r\n").unwrap().split("\r\n");
        sorted(lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name, value.as_bytes())))
    }

    fn request(version: Version, uri: &str, said: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri).body(()).unwrap();
        for (name, value) in said {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_map() {
        let fields = fields();
        for said in [
            &[("connection", "close, x-mine"), ("x-mine", "1")][..],
            &[("connection", "upgrade"), ("upgrade", "websocket")],
            &[("te", "trailers")],
            &[("expect", "100-continue")],
            &[("close", "1"), ("connection", "close")],
            &[("cookie", "a"), ("cookie", "b")],
            &[("via", "1.1 a"), ("via", "1.1 b")],
            &[("host", "a"), ("host", "b")],
        ] {
            assert!(
                Hop::of(&request(Version::HTTP_11, "/", said), &fields, false, None).is_none(),
                "{said:?}"
            );
        }
        let many: Vec<(String, &str)> = (0..65).map(|number| (format!("x-{number}"), "")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert!(Hop::of(&request(Version::HTTP_11, "/", &many), &fields, false, None).is_none());
        assert!(Hop::of(&request(Version::HTTP_11, "/", &many[1..]), &fields, false, None).is_some());
    }

    #[test]
    fn a_usual_request_is_plain() {
        let fields = fields();
        let said = [("host", "api.example"), ("connection", "keep-alive"), ("accept", "*/*")];
        let request = request(Version::HTTP_11, "/x", &said);
        let upstream = upstream();
        let hop = Hop::of(&request, &fields, false, Some(&upstream)).unwrap();
        let expected = [
            ("accept", "*/*"),
            ("forwarded", "for=192.0.2.7;host=\"api.example\";proto=http"),
            ("host", "up.example:8080"),
            ("via", "1.1 onrecord"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "api.example"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(written(&hop, &request), sorted(expected.into_iter().map(|(n, v)| (n, v.as_bytes()))));
    }

    proptest! {
        #[test]
        fn a_hop_writes_what_a_changed_map_has(
            said in proptest::collection::vec(
                (
                    select(vec![
                        "host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy",
                        "proxy-authenticate", "http2-settings", "transfer-encoding", "x-forwarded-for",
                        "x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "cookie", "te", "x-mine",
                        "accept", "authorization", "close", "max-forwards", "content-length", "expect",
                    ]),
                    select(vec!["keep-alive", "close", "a", "b.example", "for=\"_x\"", "close, x-mine", "7", "a\"b"]),
                ),
                0..9,
            ),
            (trusted, own_host) in (any::<bool>(), any::<bool>()),
            version in select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]),
            uri in select(vec!["/x?y", "http://client.example/x"]),
        ) {
            let fields = fields();
            let upstream = upstream();
            let host = own_host.then_some(&upstream);
            let mut request = request(version, uri, &said);
            if let Some(hop) = Hop::of(&request, &fields, trusted, host) {
                let written = written(&hop, &request);
                prepare_request(&mut request, &fields, trusted, host);
                let headers: &HeaderMap = request.headers();
                let kept = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
                prop_assert_eq!(written, sorted(kept));
            }
        }
    }
}
