//! The chunked coding (RFC 9112 §7.1), followed byte by byte outside the data.

use super::fault::Fault;
use super::grammar::is_token_byte;
use super::response::Part;

/// Digits of a chunk size; more are leading zeros or too large a number.
const MAX_DIGITS: u8 = 16;
/// Bytes of extensions in one chunk's line.
const MAX_EXTENSION: u32 = 1024;
/// Bytes of extensions in one message.
const MAX_EXTENSIONS: u32 = 8 * 1024;
/// Bytes of trailer lines in one message.
const MAX_TRAILERS: u32 = 8 * 1024;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    state: State,
    size: u64,
    digits: u8,
    /// Bytes of extensions in this chunk's line, then of trailers.
    line: u32,
    extensions: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// Blanks that stand before a `;`.
    BeforeSemicolon,
    NameStart,
    Name,
    AfterName,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { state: State::Size, size: 0, digits: 0, line: 0, extensions: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Follows the body as far as these bytes go or it ends. How many are well formed, and
    /// what is wrong with the next one.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Option<Fault>) {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                at += self.advance_data(bytes.len() - at);
                continue;
            }
            match self.step(bytes[at]) {
                Ok(next) => self.state = next,
                Err(fault) => return (at, Some(fault)),
            }
            at += 1;
        }
        (at, None)
    }

    /// Whether the next byte is data.
    pub(super) fn is_at_data(&self) -> bool {
        self.state == State::Data
    }

    /// What these bytes, of which there is one at least, begin with, as far as it is of one kind.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Part, Fault> {
        if self.state == State::Data {
            return Ok(Part::Data(self.advance_data(bytes.len())));
        }
        let kind = self.is_trailer(bytes.first().copied());
        let mut at = 0;
        while at < bytes.len()
            && !matches!(self.state, State::Data | State::Done)
            && self.is_trailer(bytes.get(at).copied()) == kind
        {
            match self.step(bytes[at]) {
                Ok(next) => self.state = next,
                // What stands before it goes on first; it is as wrong the next time.
                Err(_) if at > 0 => break,
                Err(fault) => return Err(fault),
            }
            at += 1;
        }
        Ok(if kind { Part::Trailers(at) } else { Part::Framing(at) })
    }

    /// Whether this byte, the next one, is of a trailer line.
    fn is_trailer(&self, byte: Option<u8>) -> bool {
        match self.state {
            State::TrailerStart => byte != Some(b'\r'),
            State::TrailerName | State::TrailerValue | State::TrailerLf => true,
            _ => false,
        }
    }

    /// Takes as much data as there is of the chunk, out of so many bytes.
    fn advance_data(&mut self, most: usize) -> usize {
        let here = usize::try_from(self.size).unwrap_or(usize::MAX).min(most);
        self.size -= here as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
        here
    }

    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        match self.state {
            State::Size => self.size(byte),
            State::SizeLf => match byte {
                b'\n' => Ok(self.line_end()),
                _ => Err(Fault::ChunkSize),
            },
            State::DataCr => expect(byte, b'\r', State::DataLf, Fault::ChunkEnd),
            State::DataLf => {
                (self.size, self.digits, self.line) = (0, 0, 0);
                expect(byte, b'\n', State::Size, Fault::ChunkEnd)
            }
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                self.trailer(byte)
            }
            State::EndLf => expect(byte, b'\n', State::Done, Fault::Trailer),
            State::Data | State::Done => Ok(self.state),
            _ => self.extension(byte),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if self.digits > 0 => return Ok(State::SizeLf),
            b';' if self.digits > 0 => return Ok(State::NameStart),
            // Blanks are allowed only where an extension follows (RFC 9112 §7.1.1, BWS).
            b' ' | b'\t' if self.digits > 0 => return Ok(State::BeforeSemicolon),
            _ => return Err(Fault::ChunkSize),
        };
        self.digits += 1;
        if self.digits > MAX_DIGITS || self.size >> 59 != 0 {
            return Err(Fault::ChunkSize);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn line_end(&mut self) -> State {
        self.extensions += self.line;
        self.line = 0;
        if self.size == 0 { State::TrailerStart } else { State::Data }
    }

    fn extension(&mut self, byte: u8) -> Result<State, Fault> {
        self.line += 1;
        if self.line > MAX_EXTENSION || self.extensions + self.line > MAX_EXTENSIONS {
            return Err(Fault::ChunkExtension);
        }
        let next = match (self.state, byte) {
            (State::BeforeSemicolon, b' ' | b'\t') => State::BeforeSemicolon,
            (State::BeforeSemicolon, b';') => State::NameStart,
            (State::BeforeSemicolon, _) => return Err(Fault::ChunkSize),
            (State::NameStart, b' ' | b'\t') => State::NameStart,
            (State::NameStart | State::Name, byte) if is_token_byte(byte) => State::Name,
            (State::Name | State::AfterName, b'=') => State::ValueStart,
            (State::Name | State::AfterName, b' ' | b'\t') => State::AfterName,
            (State::ValueStart, b' ' | b'\t') => State::ValueStart,
            (State::ValueStart, b'"') => State::Quoted,
            (State::ValueStart | State::Value, byte) if is_token_byte(byte) => State::Value,
            (State::Quoted, b'"') => State::AfterQuoted,
            (State::Quoted, b'\\') => State::QuotedPair,
            (State::Quoted | State::QuotedPair, b'\t' | b' '..=b'~' | 0x80..) => State::Quoted,
            (State::Value | State::AfterQuoted, b' ' | b'\t') => State::BeforeSemicolon,
            (State::Name | State::AfterName | State::Value | State::AfterQuoted, b';') => State::NameStart,
            (State::Name | State::Value | State::AfterQuoted, b'\r') => State::SizeLf,
            _ => return Err(Fault::ChunkExtension),
        };
        Ok(next)
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Fault> {
        self.line += 1;
        if self.line > MAX_TRAILERS {
            return Err(Fault::Trailer);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart | State::TrailerName, byte) if is_token_byte(byte) => Ok(State::TrailerName),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            _ => Err(Fault::Trailer),
        }
    }
}

fn expect(byte: u8, expected: u8, next: State, fault: Fault) -> Result<State, Fault> {
    if byte == expected { Ok(next) } else { Err(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed whole and byte by byte: both must say the same.
    fn read(body: &[u8]) -> (usize, Option<Fault>, bool) {
        let mut whole = Chunked::new();
        let (at, fault) = whole.advance(body);
        let mut slow = Chunked::new();
        let mut count = 0;
        let mut slow_fault = None;
        for byte in body {
            let (one, found) = slow.advance(std::slice::from_ref(byte));
            count += one;
            slow_fault = found;
            if found.is_some() || slow.is_done() {
                break;
            }
        }
        assert_eq!((count, slow_fault, slow.is_done()), (at, fault, whole.is_done()), "{body:?}");
        (at, fault, whole.is_done())
    }

    #[test]
    fn a_valid_body_is_followed_to_its_end_and_no_further() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A\r\n0123456789\r\n000\r\n\r\n",
            "1;a\r\nx\r\n0;b=c\r\n\r\n",
            "1 ; a = b ;c=\"d\\\"; \u{e9}\" ;e\r\nx\r\n0\r\n\r\n",
            "0\r\nX-Sum: 1\r\nY:\r\n\r\n",
            "0000000000000001\r\nx\r\n0\r\n\r\n",
        ] {
            let (at, fault, done) = read(format!("{body}GET /").as_bytes());
            assert_eq!((at, fault, done), (body.len(), None, true), "{body:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (body, fault) in [
            ("\r\n", Fault::ChunkSize),
            (";a\r\n", Fault::ChunkSize),
            ("+1\r\n", Fault::ChunkSize),
            ("-1\r\n", Fault::ChunkSize),
            ("0x1\r\n", Fault::ChunkSize),
            (" 1\r\n", Fault::ChunkSize),
            ("1 \r\n", Fault::ChunkSize),
            ("1\nx", Fault::ChunkSize),
            ("1\rx", Fault::ChunkSize),
            ("1_0\r\n", Fault::ChunkSize),
            ("g\r\n", Fault::ChunkSize),
            ("8000000000000000\r\n", Fault::ChunkSize),
            ("fffffffffffffffff\r\n", Fault::ChunkSize),
            ("00000000000000001\r\n", Fault::ChunkSize),
            ("1;\r\n", Fault::ChunkExtension),
            ("1;a=\r\n", Fault::ChunkExtension),
            ("1;a\nx\r\n", Fault::ChunkExtension),
            ("1;a=\"\r\n", Fault::ChunkExtension),
            ("1;a=\"b\"c\r\n", Fault::ChunkExtension),
            ("1;\0\r\n", Fault::ChunkExtension),
            ("1;a b\r\n", Fault::ChunkExtension),
            ("1;a \r\n", Fault::ChunkExtension),
            ("1\r\nxy\r\n", Fault::ChunkEnd),
            ("1\r\nx\n0", Fault::ChunkEnd),
            ("1\r\nx\ry", Fault::ChunkEnd),
            ("0\r\n X: y\r\n", Fault::Trailer),
            ("0\r\nX : y\r\n", Fault::Trailer),
            ("0\r\nX\r\n", Fault::Trailer),
            ("0\r\n: y\r\n", Fault::Trailer),
            ("0\r\nX: \0\r\n", Fault::Trailer),
            ("0\r\nX: y\n\r\n", Fault::Trailer),
            ("0\r\n\n", Fault::Trailer),
            ("0\r\n\rG", Fault::Trailer),
        ] {
            assert_eq!(read(body.as_bytes()).1, Some(fault), "{body:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_have_a_limit() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(2000));
        assert_eq!(read(long.as_bytes()).1, Some(Fault::ChunkExtension));
        let many = format!("1;{}\r\nx\r\n", "a".repeat(900)).repeat(20);
        assert_eq!(read(many.as_bytes()).1, Some(Fault::ChunkExtension));
        let trailers = format!("0\r\n{}\r\n", "X: yyyyyyyyyyyyyyyy\r\n".repeat(1000));
        assert_eq!(read(trailers.as_bytes()).1, Some(Fault::Trailer));
    }
}
