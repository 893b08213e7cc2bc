//! What each fuzz target does with its bytes, and what must hold then.

use bytes::BytesMut;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use onrecord::capture::redact::Redactor;
use onrecord::http1::{Fault, Piece, RequestGuard, RequestLimits, ResponseGuard, ResponseReader, Shapes};
use onrecord::pack::manifest::Manifest;
use onrecord::record::RecordView;
use onrecord::record::wire::Fields;
use onrecord::routes::{Catalogue, CatalogueFormat, RouteTable, paths};
use onrecord::spool::frame::{self, Header};
use std::path::Path;
use std::sync::LazyLock;

/// How pieces are cut: by the first byte of the input, so that the fuzzer chooses.
fn pieces(data: &[u8]) -> (usize, &[u8]) {
    match data.split_first() {
        Some((first, rest)) => (usize::from(*first).max(1), rest),
        None => (1, data),
    }
}

/// What clients send: the same goes on whatever pieces it comes in, and what has gone on is
/// judged the same a second time.
pub fn requests(data: &[u8]) {
    let (size, bytes) = pieces(data);
    let limits = RequestLimits { head_bytes: 8192, head_fields: 32 };
    let mut whole = RequestGuard::new(limits);
    let at = whole.advance(bytes);
    assert!(at <= bytes.len());
    if whole.fault().is_some() {
        assert_eq!(whole.advance(bytes), 0, "nothing goes on behind a fault");
    }
    let mut cut = RequestGuard::new(limits);
    let (mut gone, mut come) = (0, 0);
    while come < bytes.len() && cut.fault().is_none() && !cut.is_undecided() {
        come = (come + size).min(bytes.len());
        gone += cut.advance(&bytes[gone..come]);
        assert!(gone <= come);
    }
    // Which of two faults is told first depends on what has come; that there is one does not.
    assert_eq!(cut.fault().is_some(), whole.fault().is_some());
    // In pieces the good part of a body has gone on before the bad one came.
    assert!(gone >= at, "{gone} {at}");
    let mut again = RequestGuard::new(limits);
    assert_eq!(again.advance(&bytes[..at]), at);
    assert_eq!(again.fault(), None);
    if let Some(head) = first_head(&bytes[..at]) {
        assert!(!head.contains(&0), "a zero byte went on in a head");
    }
}

/// The first head of what went on.
fn first_head(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = &bytes[..end];
    for line in head.strip_prefix(b"\r\n").unwrap_or(head).split(|&byte| byte == b'\n') {
        assert!(!line.starts_with(b" ") && !line.starts_with(b"\t"), "a folded line went on");
    }
    Some(head)
}

/// What upstreams answer: as with requests.
pub fn responses(data: &[u8]) {
    let (size, bytes) = pieces(data);
    let to_head = size % 2 == 0;
    let mut whole = ResponseGuard::default();
    whole.expect(to_head);
    let at = whole.advance(bytes);
    let mut cut = ResponseGuard::default();
    cut.expect(to_head);
    let (mut gone, mut come) = (0, 0);
    while come < bytes.len() && cut.fault().is_none() {
        come = (come + size).min(bytes.len());
        gone += cut.advance(&bytes[gone..come]);
    }
    assert_eq!((gone, cut.fault()), (at, whole.fault()));
}

/// What upstreams answer, made into responses: the same however it is cut, and all bytes that the
/// guard lets go on are in it.
pub fn answers(data: &[u8]) {
    let (size, bytes) = pieces(data);
    let to_head = size % 2 == 0;
    let whole = read_answer(bytes, bytes.len().max(1), to_head);
    assert_eq!(read_answer(bytes, size, to_head), whole);
    let mut guard = ResponseGuard::default();
    guard.expect(to_head);
    guard.advance(bytes);
    if let Some(Fault::Surplus) = guard.fault() {
        assert!(whole.is_some_and(|(_, _, _, ended)| ended), "what is behind an answer is not in it");
    } else if guard.fault().is_some() {
        assert_eq!(whole, None);
    }
}

type Answer = (String, Vec<u8>, Option<HeaderMap>, bool);

/// Head, body and trailers, and whether the answer has ended; `None`: it is refused.
fn read_answer(bytes: &[u8], size: usize, to_head: bool) -> Option<Answer> {
    let (mut reader, mut shapes) = (ResponseReader::default(), Shapes::default());
    reader.expect(to_head);
    let mut buffer = BytesMut::new();
    let (mut head, mut body, mut trailers) = (None, Vec::new(), None);
    for piece in bytes.chunks(size) {
        buffer.extend_from_slice(piece);
        if head.is_none() {
            head = reader.head(&mut buffer, &mut shapes, |status| assert!(status < 200)).ok()?;
        }
        while head.is_some()
            && let Some(piece) = reader.body(&mut buffer).ok()?
        {
            match piece {
                Piece::Data(data) => {
                    assert!(!data.is_empty() && trailers.is_none());
                    body.extend_from_slice(&data);
                }
                Piece::Trailers(found) => trailers = Some(found),
            }
        }
        if reader.has_ended() {
            break;
        }
    }
    Some((format!("{head:?}"), body, trailers, reader.has_ended()))
}

/// Queries and URLs: the value of a secret name never comes out.
pub fn redaction(data: &[u8]) {
    static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(["mine"]));
    let mut out = Vec::new();
    REDACTOR.redact_query(data, &mut out);
    let mut again = Vec::new();
    REDACTOR.redact_query(&out, &mut again);
    assert_eq!(out, again, "redacting twice changes nothing");
    // Whatever stands before it, a secret pair behind an ampersand is found.
    let mut query = data.to_vec();
    query.extend_from_slice(b"&access_token=SECRET-0123&toke%6e=SECRET-4567&MINE=SECRET-89");
    out.clear();
    REDACTOR.redact_query(&query, &mut out);
    assert!(!out.windows(7).any(|window| window == b"SECRET-"), "{}", String::from_utf8_lossy(&out));
    out.clear();
    REDACTOR.redact_url(data, &mut out);
}

/// Paths: what matches is not odd, and does so again.
pub fn routes(data: &[u8]) {
    static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
        let all: Vec<Catalogue> = Catalogue::preset("contentful-management").into_iter().collect();
        assert!(!all.is_empty());
        RouteTable::build(&all, "api.example").unwrap_or_else(|problems| panic!("{problems:?}"))
    });
    for method in [&b"GET"[..], b"HEAD", b"POST", b"PUT", b"DELETE", b"BREW"] {
        if let Some(matched) = TABLE.find(method, data) {
            assert!(!paths::is_odd(data));
            let again = TABLE.find(method, data).map(|matched| matched.route);
            assert_eq!(again, Some(matched.route));
        }
    }
}

/// Catalogue files of both forms.
pub fn catalogue(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for format in [CatalogueFormat::Json, CatalogueFormat::Toml] {
        if let Ok(catalogue) = Catalogue::parse("fuzzed", text, format) {
            let _ = RouteTable::build(&[catalogue], "api.example");
        }
    }
}

/// A record's byte form.
pub fn wire(data: &[u8]) {
    for _ in Fields::new(data) {}
    if let Ok(view) = RecordView::parse(data) {
        let _ = (view.event_id(), view.start(), view.outcome(), view.cache_status(), view.error_type());
    }
}

/// Frames of a segment, one behind the other.
pub fn segment(data: &[u8]) {
    let mut rest = data;
    while let Ok((header, payload, length)) = Header::decode(rest) {
        assert!(length >= frame::HEADER && length <= rest.len() && length.is_multiple_of(frame::ALIGNMENT));
        assert!(payload.len() <= frame::MAX_PAYLOAD);
        let _ = header;
        rest = &rest[length..];
    }
    let _ = Header::peek(rest);
}

/// A manifest's text: what can be read is written and read again as the same.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::read(data) {
        let text = manifest.text();
        let again = Manifest::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(again.text(), text);
        let _ = (manifest.tree(), manifest.positions(), manifest.records());
    }
    let _ = onrecord::evidence::note::parse(data);
}

/// A configuration file: problems, never a panic.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = onrecord::config::parse(Path::new("proxy.toml"), text);
}

/// What caches say of themselves: one field's name a line, a colon, its value.
pub fn cache_status(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let _ = onrecord::capture::cache_status::cache_status(&headers);
}
