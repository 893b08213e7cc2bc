//! Responses made of the bytes that the guard has found well formed: their heads are scanned
//! once, their bodies handed on without a copy.

use super::fault::Fault;
use super::response::{FieldSpan, Part, ResponseGuard};
use super::shapes::{Known, Shapes};
use super::values::value;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};

/// The most that one piece of a body holds: who takes pieces by their number, as HTTP/2 does for
/// a client that reads slowly, holds no more than it means to.
const PIECE: usize = 16 * 1024;

/// Reads the responses on one connection to an upstream.
#[derive(Debug, Default)]
pub struct ResponseReader {
    guard: ResponseGuard,
    /// Trailer lines that have come; the guard keeps them short.
    trailers: Vec<u8>,
}

/// The head of a final response, or of one that switches protocols.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All fields, in their order; those that go on if it is prepared.
    pub headers: HeaderMap,
    /// Whether the fields that speak of this connection alone have been taken out, and what
    /// [`Shapes::adding`] names has been added.
    pub is_prepared: bool,
    /// The reason, if it is another than the usual one of this status; empty where it has bytes
    /// that are not ASCII.
    pub reason: Option<Bytes>,
    /// Whether the upstream keeps the connection (RFC 9112 §9.3).
    pub keeps_alive: bool,
}

/// A piece of a response's body.
#[derive(Debug)]
pub enum Piece {
    /// Data, never empty.
    Data(Bytes),
    /// The trailers, behind all data.
    Trailers(HeaderMap),
}

impl ResponseReader {
    /// A request goes out, whose answer may come now. `to_head`: its method is HEAD.
    pub fn expect(&mut self, to_head: bool) {
        self.guard.expect(to_head);
        self.trailers.clear();
    }

    /// The head of the final response, taken out of the buffer once it is whole; `None`: more is
    /// needed. Interim responses before it are taken out too; `interim` is told their statuses.
    /// `shapes` has those of the upstream's answers before, of whatever connection.
    ///
    /// # Errors
    /// What is wrong with the bytes. The connection is of no more use.
    pub fn head(
        &mut self,
        buffer: &mut BytesMut,
        shapes: &mut Shapes,
        mut interim: impl FnMut(u16),
    ) -> Result<Option<ResponseHead>, Fault> {
        loop {
            match self.guard.next_of(buffer, Some(shapes.expected()))? {
                Part::Head(length) => match self.guard.status_line().status {
                    101 | 200.. => {
                        return self.make_head(buffer.split_to(length).freeze(), shapes).map(Some);
                    }
                    status => {
                        buffer.advance(length);
                        interim(status);
                    }
                },
                // There is nothing else before a final head.
                _ => return Ok(None),
            }
        }
    }

    fn make_head(&self, bytes: Bytes, shapes: &mut Shapes) -> Result<ResponseHead, Fault> {
        let line = self.guard.status_line();
        let fields = self.guard.fields();
        // What is added names the version; few upstreams speak the one before.
        let known = if line.is_10 { None } else { shapes.copy(&bytes, fields, self.guard.was_expected()) };
        let (headers, is_prepared, kept) = match known {
            Some(known) => {
                let Known { map, is_prepared, keeps_alive } = known?;
                (map, is_prepared, keeps_alive.or(is_prepared.then_some(true)))
            }
            None => {
                let headers = read_fields(&bytes, fields)?;
                shapes.note(&bytes, fields, &headers);
                (headers, false, None)
            }
        };
        let keeps_alive = kept.unwrap_or_else(|| keeps_alive(&headers, !line.is_10));
        let status = StatusCode::from_u16(line.status).map_err(|_| Fault::StatusLine)?;
        let reason = &bytes[line.reason()];
        let is_usual = status.canonical_reason().is_some_and(|usual| usual.as_bytes() == reason);
        let reason = match reason.is_ascii() {
            _ if is_usual => None,
            true => Some(bytes.slice(line.reason())),
            false => Some(Bytes::new()),
        };
        let version = if line.is_10 { Version::HTTP_10 } else { Version::HTTP_11 };
        Ok(ResponseHead { status, version, headers, is_prepared, reason, keeps_alive })
    }

    /// The next piece of the body, taken out of the buffer; `None`: more is needed, or the
    /// response [has ended](Self::has_ended).
    ///
    /// # Errors
    /// What is wrong with the bytes. The connection is of no more use.
    pub fn body(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, Fault> {
        while !self.guard.is_idle() {
            match self.guard.next(&buffer[..buffer.len().min(PIECE)])? {
                Part::Data(length) => {
                    let data = buffer.split_to(length).freeze();
                    self.look_ahead(buffer);
                    return Ok(Some(Piece::Data(data)));
                }
                Part::Framing(length) => buffer.advance(length),
                Part::Trailers(length) => self.keep_trailers(buffer, length),
                Part::More | Part::Head(_) => return Ok(None),
            }
        }
        if self.trailers.is_empty() {
            return Ok(None);
        }
        let trailers = std::mem::take(&mut self.trailers);
        read_trailers(trailers.into()).map(|trailers| Some(Piece::Trailers(trailers)))
    }

    /// Passes over what follows the data, so that its end is known with the last piece of it.
    /// A fault there is told the next time.
    fn look_ahead(&mut self, buffer: &mut BytesMut) {
        while self.guard.is_between_data() {
            match self.guard.next(buffer) {
                Ok(Part::Framing(length)) => buffer.advance(length),
                Ok(Part::Trailers(length)) => self.keep_trailers(buffer, length),
                _ => return,
            }
        }
    }

    fn keep_trailers(&mut self, buffer: &mut BytesMut, length: usize) {
        self.trailers.extend_from_slice(&buffer[..length]);
        buffer.advance(length);
    }

    /// Whether all of the response has been taken out.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.guard.is_idle() && self.trailers.is_empty()
    }

    /// Whether the connection's end is the body's end.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.guard.is_endless()
    }

    /// Bytes of the body that are still to come, where its length was said before: not for a
    /// chunked one, even where its end has come already.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.guard.remaining()
    }
}

/// The fields one by one.
fn read_fields(bytes: &Bytes, fields: &[FieldSpan]) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        // The guard has seen that it is a token; one that is too long for a name is refused.
        let name = HeaderName::from_bytes(&bytes[field.name()]).map_err(|_| Fault::FieldName)?;
        headers.append(name, value(bytes.slice(field.value())).ok_or(Fault::Control)?);
    }
    Ok(headers)
}

/// Whether the connection is kept (RFC 9112 §9.3), `usually` without a word.
fn keeps_alive(headers: &HeaderMap, usually: bool) -> bool {
    let says = |option| headers.get_all(CONNECTION).iter().any(|value| names(value, option));
    (usually || says(b"keep-alive")) && !says(b"close")
}

/// Whether this value of `Connection` names the option.
fn names(value: &HeaderValue, option: &[u8]) -> bool {
    value.as_bytes().split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(option))
}

/// Lines that the guard has found to be `name:value CRLF`.
fn read_trailers(bytes: Bytes) -> Result<HeaderMap, Fault> {
    let mut trailers = HeaderMap::new();
    let mut start = 0;
    while let Some(length) = memchr::memchr(b'\r', &bytes[start..]) {
        let line = &bytes[start..start + length];
        let colon = memchr::memchr(b':', line).ok_or(Fault::Trailer)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| Fault::Trailer)?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| Fault::Trailer)?;
        trailers.append(name, value);
        // Behind the CR stands LF.
        start = (start + length + 2).min(bytes.len());
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that comes of these bytes, however they are cut.
    fn read(
        bytes: &[u8],
        to_head: bool,
        cut: usize,
    ) -> Result<(ResponseHead, Vec<u8>, Option<HeaderMap>, bool), Fault> {
        let (mut reader, mut shapes) = (ResponseReader::default(), Shapes::default());
        reader.expect(to_head);
        let mut buffer = BytesMut::new();
        let (mut head, mut body, mut trailers) = (None, Vec::new(), None);
        for piece in bytes.chunks(cut) {
            buffer.extend_from_slice(piece);
            if head.is_none() {
                head = reader.head(&mut buffer, &mut shapes, |_| {})?;
            }
            while head.is_some()
                && let Some(piece) = reader.body(&mut buffer)?
            {
                match piece {
                    Piece::Data(data) => {
                        assert!(!data.is_empty() && trailers.is_none());
                        body.extend_from_slice(&data);
                    }
                    Piece::Trailers(found) => trailers = Some(found),
                }
            }
        }
        let ended = reader.has_ended();
        head.map(|head| (head, body, trailers, ended)).ok_or(Fault::StatusLine)
    }

    #[test]
    fn a_response_comes_out_as_it_was_sent_however_it_is_cut() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\nHTTP/1.1 200 Fine\r\nX:\t a \r\n\
            Set-Cookie: a\r\nx: b\r\nset-cookie: \r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n\
            6\r\n world\r\n0\r\nX-Sum: 1 \r\nY:\r\n\r\n";
        for cut in 1..text.len() {
            let (head, body, trailers, ended) = read(text.as_bytes(), false, cut).unwrap();
            assert_eq!(
                (head.status, head.version, head.keeps_alive),
                (StatusCode::OK, Version::HTTP_11, true)
            );
            assert_eq!(head.reason.as_deref(), Some(&b"Fine"[..]));
            let all = |name: &str| -> Vec<Vec<u8>> {
                head.headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
            };
            assert_eq!(
                (all("x"), all("set-cookie")),
                (vec![b"a".to_vec(), b"b".to_vec()], vec![b"a".to_vec(), Vec::new()])
            );
            assert_eq!((body.as_slice(), ended), (&b"hello world"[..], true));
            let trailers = trailers.unwrap();
            assert!(trailers.len() == 2 && trailers["x-sum"] == "1" && trailers["y"].is_empty());
        }
    }

    #[test]
    fn the_last_piece_of_a_body_is_known_to_be_the_last() {
        for body in ["Content-Length: 2\r\n\r\nok", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]
        {
            let text = format!("HTTP/1.1 200 OK\r\n{body}");
            let (mut reader, mut shapes) = (ResponseReader::default(), Shapes::default());
            reader.expect(false);
            let mut buffer = BytesMut::from(text.as_bytes());
            assert!(reader.head(&mut buffer, &mut shapes, |_| {}).unwrap().is_some());
            assert!(!reader.has_ended());
            assert!(matches!(reader.body(&mut buffer), Ok(Some(Piece::Data(data))) if data == "ok"));
            assert!(reader.has_ended() && buffer.is_empty());
        }
    }

    #[test]
    fn whether_the_connection_is_kept_is_said_by_version_and_fields() {
        for (text, keeps) in [
            ("HTTP/1.1 204 \r\n\r\n", true),
            ("HTTP/1.1 204 \r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.1 204 \r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false),
            ("HTTP/1.0 204 \r\n\r\n", false),
            ("HTTP/1.0 204 \r\nConnection: Keep-Alive\r\n\r\n", true),
            ("HTTP/1.0 204 \r\nConnection: keep-alive, close\r\n\r\n", false),
        ] {
            assert_eq!(read(text.as_bytes(), false, 7).unwrap().0.keeps_alive, keeps, "{text:?}");
        }
    }

    #[test]
    fn a_reason_is_kept_where_it_is_not_the_usual_one() {
        for (text, reason) in [
            ("HTTP/1.1 200 OK\r\n\r\n", None),
            ("HTTP/1.1 200 \r\n\r\n", Some("")),
            ("HTTP/1.1 200\r\n\r\n", Some("")),
            ("HTTP/1.1 200 All well\r\n\r\n", Some("All well")),
            ("HTTP/1.1 299 \r\n\r\n", Some("")),
            ("HTTP/1.1 200 \u{e9}\r\n\r\n", Some("")),
        ] {
            let head = read(text.as_bytes(), true, 9).unwrap().0;
            assert_eq!(head.reason.as_deref(), reason.map(str::as_bytes), "{text:?}");
        }
    }

    #[test]
    fn a_head_has_a_thousand_fields_at_most() {
        let text = |count| format!("HTTP/1.1 204 No\r\n{}\r\n", "X-Many: y\r\n".repeat(count));
        assert_eq!(read(text(1_000).as_bytes(), false, 4_000).unwrap().0.headers.len(), 1_000);
        assert_eq!(read(text(1_001).as_bytes(), false, 4_000).err(), Some(Fault::TooManyFields));
    }

    proptest! {
        #[test]
        fn any_body_in_any_chunks_comes_out_whole(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
            cut in 1usize..400,
        ) {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            let (_, body, trailers, ended) = read(&bytes, false, cut).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert!(ended && trailers.is_none());
            let broken = &bytes[..bytes.len() - 1];
            prop_assert!(!read(broken, false, cut).unwrap().3);
        }
    }
}
