//! What an upstream answers on one connection: a response to each request, and nothing else.

use super::chunked::Chunked;
use super::fault::Fault;
use super::fields::{Framing, Length};
use super::lines::Lines;
use super::names::Names;
use super::scan::LineEnds;
use std::ops::Range;

/// Bytes of a response head.
const HEAD_BYTES: usize = 256 * 1024;
/// Field lines of a response head.
const HEAD_FIELDS: usize = 1_000;
/// Interim responses (1xx) before a final one.
const MAX_INTERIM: u8 = 16;

/// Follows the responses on one connection to an upstream.
///
/// As [`super::RequestGuard`] does with requests: a head goes on when it is whole and valid,
/// of a body what is well formed, and nothing after a fault. Bytes that belong to no response
/// are a fault, so that they are never taken for the answer to the next request.
#[derive(Clone, Debug)]
pub struct ResponseGuard {
    state: State,
    to_head: bool,
    interim: u8,
    is_chunked: bool,
    head: StatusLine,
    /// Kept from one head to the next, so that none of them allocates it.
    fields: Vec<FieldSpan>,
    was_expected: bool,
}

/// What comes next of a response, as a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing can be told before more has come.
    More,
    /// A whole head, of an interim response or a final one.
    Head(usize),
    /// Bytes of the chunked coding that are neither data nor trailers.
    Framing(usize),
    /// Data of the body.
    Data(usize),
    /// Trailer lines, whole or in part.
    Trailers(usize),
}

/// Where a field stands in its head; the value without the blanks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpan {
    name: (u32, u32),
    value: (u32, u32),
}

impl FieldSpan {
    #[inline]
    pub(super) fn new(name: Range<usize>, value: Range<usize>) -> Self {
        let place = |range: Range<usize>| (range.start as u32, range.end as u32);
        Self { name: place(name), value: place(value) }
    }

    /// The name's place.
    #[must_use]
    pub fn name(&self) -> Range<usize> {
        self.name.0 as usize..self.name.1 as usize
    }

    /// The value's place.
    #[must_use]
    pub fn value(&self) -> Range<usize> {
        self.value.0 as usize..self.value.1 as usize
    }
}

/// A status line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusLine {
    /// 100 to 999.
    pub status: u16,
    /// Whether it is HTTP/1.0.
    pub is_10: bool,
    reason: (u32, u32),
}

impl StatusLine {
    /// The reason's place in the head; empty where there is none.
    #[must_use]
    pub fn reason(&self) -> Range<usize> {
        self.reason.0 as usize..self.reason.1 as usize
    }
}

#[derive(Clone, Debug)]
enum State {
    /// No request waits for an answer.
    Idle,
    Head(Head),
    Exact(u64),
    Chunked(Chunked),
    /// To the connection's end.
    Endless,
    Refused(Fault),
}

#[derive(Clone, Debug, Default)]
struct Head {
    lines: Lines,
    status: Option<StatusLine>,
    framing: Framing,
    was_expected: bool,
}

impl Default for ResponseGuard {
    fn default() -> Self {
        let (head, fields) = Default::default();
        let (to_head, is_chunked, was_expected) = (false, false, false);
        Self { state: State::Idle, to_head, interim: 0, is_chunked, head, fields, was_expected }
    }
}

impl ResponseGuard {
    /// A request goes out, whose answer may come now. `to_head`: its method is HEAD, so that
    /// the answer has no body whatever it says.
    pub fn expect(&mut self, to_head: bool) {
        if matches!(self.state, State::Idle) {
            self.state = State::Head(Head::default());
            self.to_head = to_head;
            self.interim = 0;
            self.is_chunked = false;
        }
    }

    /// What these bytes begin with. Of a head it wants all that there is, from its beginning,
    /// each time; what it has said of a body is not to be shown again.
    ///
    /// # Errors
    /// What is wrong with the bytes. After a fault it is the same fault for ever.
    #[inline]
    pub fn next(&mut self, bytes: &[u8]) -> Result<Part, Fault> {
        self.next_of(bytes, None)
    }

    /// The same, where a head is expected to have these names.
    #[inline]
    pub(super) fn next_of(&mut self, bytes: &[u8], expected: Option<&Names>) -> Result<Part, Fault> {
        if bytes.is_empty() {
            return Ok(Part::More);
        }
        let part = match &mut self.state {
            State::Head(head) => match head.advance(bytes, &mut self.fields, expected) {
                Ok(Some(length)) => self.behind().map(|()| Part::Head(length)),
                Ok(None) => Ok(Part::More),
                Err(fault) => Err(fault),
            },
            State::Exact(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                if *left == 0 {
                    self.state = State::Idle;
                }
                Ok(Part::Data(here))
            }
            State::Chunked(chunked) => {
                let part = chunked.next(bytes);
                if chunked.is_done() {
                    self.state = State::Idle;
                }
                part
            }
            State::Endless => Ok(Part::Data(bytes.len())),
            State::Idle => Err(Fault::Surplus),
            State::Refused(fault) => Err(*fault),
        };
        if let Err(fault) = part {
            self.state = State::Refused(fault);
        }
        part
    }

    /// Looks at what has come, as [`super::RequestGuard::advance`] does: how much of it is well
    /// formed.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Ok(part) = self.next(&bytes[at..]) {
            match part {
                Part::More => break,
                Part::Head(length) | Part::Framing(length) | Part::Data(length) | Part::Trailers(length) => {
                    at += length
                }
            }
        }
        at
    }

    /// What follows a whole head (RFC 9112 §6.3).
    fn behind(&mut self) -> Result<(), Fault> {
        let State::Head(head) = &self.state else { return Ok(()) };
        self.was_expected = head.was_expected;
        self.head = head.status.ok_or(Fault::StatusLine)?;
        let status = self.head.status;
        let length = head.framing.length(self.head.is_10)?;
        self.state = match status {
            // Another protocol from here on; whether it was asked for is not known here.
            101 => State::Endless,
            100..=199 => {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err(Fault::Interim);
                }
                State::Head(Head::default())
            }
            _ if self.to_head || status == 204 || status == 304 => State::Idle,
            _ => match length {
                Length::Unsaid => State::Endless,
                Length::Exact(0) => State::Idle,
                Length::Exact(length) => State::Exact(length),
                Length::Chunked => {
                    self.is_chunked = true;
                    State::Chunked(Chunked::new())
                }
            },
        };
        Ok(())
    }

    /// The status line of the last whole head.
    #[must_use]
    pub fn status_line(&self) -> StatusLine {
        self.head
    }

    /// The fields of the last whole head, until the next bytes are looked at.
    #[must_use]
    pub fn fields(&self) -> &[FieldSpan] {
        &self.fields
    }

    /// Whether the last whole head had the names that were expected.
    pub(super) fn was_expected(&self) -> bool {
        self.was_expected
    }

    /// Whether no answer is due: the last one has ended, or none was asked for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether the next byte is of the chunked coding and not of the data in it.
    #[must_use]
    pub(super) fn is_between_data(&self) -> bool {
        matches!(&self.state, State::Chunked(chunked) if !chunked.is_at_data())
    }

    /// Whether the connection's end is the body's end.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        matches!(self.state, State::Endless)
    }

    /// Bytes of the body that are still to come, where its length was said before.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Exact(left) => Some(left),
            State::Idle if !self.is_chunked => Some(0),
            _ => None,
        }
    }

    /// Why nothing goes on any more.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self.state {
            State::Refused(fault) => Some(fault),
            _ => None,
        }
    }
}

impl Head {
    /// The length of the head, once it is whole.
    fn advance(
        &mut self,
        bytes: &[u8],
        fields: &mut Vec<FieldSpan>,
        expected: Option<&Names>,
    ) -> Result<Option<usize>, Fault> {
        // Once a head, so that one that comes byte by byte is not begun anew with each of them.
        if self.lines.are_new()
            && let Some(names) = expected
            && let Some(length) = self.advance_at_once(bytes, fields, names)
        {
            return Ok(Some(length));
        }
        loop {
            let start = self.lines.whole();
            let line = self.lines.next(bytes)?;
            if self.lines.whole() > HEAD_BYTES || line.is_none() && bytes.len() > HEAD_BYTES {
                return Err(Fault::HeadTooLarge);
            }
            let Some(line) = line else { return Ok(None) };
            if self.status.is_none() {
                self.status = Some(status_line(line)?);
                fields.clear();
            } else if line.is_empty() {
                return Ok(Some(self.lines.whole()));
            } else {
                if fields.len() >= HEAD_FIELDS {
                    return Err(Fault::TooManyFields);
                }
                let end = self.framing.field(line)?;
                fields.push(span(start, end, line));
            }
        }
    }
}

impl Head {
    /// The length of the head, if it is whole and has these names.
    #[inline]
    fn advance_at_once(&mut self, bytes: &[u8], fields: &mut Vec<FieldSpan>, names: &Names) -> Option<usize> {
        let mut lines = LineEnds::of(bytes);
        let end = lines.next()?;
        let status = status_line(&bytes[..end]).ok()?;
        let mut framing = Framing::default();
        fields.clear();
        let length = names.read((bytes, &mut lines), end + 2, &mut framing, |field| fields.push(field))?;
        if length > HEAD_BYTES {
            return None;
        }
        (self.status, self.framing, self.was_expected) = (Some(status), framing, true);
        Some(length)
    }
}

/// Where name and value of a line stand that begins at `start` and whose name ends at `end`.
#[inline]
fn span(start: usize, end: usize, line: &[u8]) -> FieldSpan {
    let place = |at: usize| (start + at) as u32;
    let mut value = end + 1..line.len();
    while matches!(line.get(value.start), Some(b' ' | b'\t')) && value.start < value.end {
        value.start += 1;
    }
    while value.start < value.end && matches!(line.get(value.end - 1), Some(b' ' | b'\t')) {
        value.end -= 1;
    }
    FieldSpan { name: (place(0), place(end)), value: (place(value.start), place(value.end)) }
}

/// The blank behind the status may be missing, as many servers leave it out with the reason.
fn status_line(line: &[u8]) -> Result<StatusLine, Fault> {
    let (version, rest) = line.split_at_checked(9).ok_or(Fault::StatusLine)?;
    let is_10 = match version {
        b"HTTP/1.1 " => false,
        b"HTTP/1.0 " => true,
        _ => return Err(Fault::StatusLine),
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    match rest {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..]
            if reason.is_empty() || reason[0] == b' ' =>
        {
            let status = digit(*a) * 100 + digit(*b) * 10 + digit(*c);
            let end = line.len() as u32;
            Ok(StatusLine { status, is_10, reason: (end.min(13), end) })
        }
        _ => Err(Fault::StatusLine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], to_head: bool) -> (usize, Option<Fault>) {
        let mut whole = ResponseGuard::default();
        whole.expect(to_head);
        let at = whole.advance(bytes);
        let mut slow = ResponseGuard::default();
        slow.expect(to_head);
        let mut gone = 0;
        for come in 1..=bytes.len() {
            gone += slow.advance(&bytes[gone..come]);
            if slow.fault().is_some() {
                break;
            }
        }
        assert_eq!((gone, slow.fault()), (at, whole.fault()), "{bytes:?}");
        (at, whole.fault())
    }

    #[test]
    fn a_response_goes_on_as_far_as_it_is_one() {
        for (text, to_head) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
            ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.1 200 \u{e9}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", false),
            ("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true),
            (
                "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 \r\nContent-Length:1\r\n\r\nx",
                false,
            ),
        ] {
            assert_eq!(read(text.as_bytes(), to_head), (text.len(), None), "{text:?}");
            let more = format!("{text}HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!(read(more.as_bytes(), to_head), (text.len(), Some(Fault::Surplus)), "{text:?}");
        }
        let endless = "HTTP/1.0 200 OK\r\n\r\nto the end\0\n";
        assert_eq!(read(endless.as_bytes(), false), (endless.len(), None));
    }

    #[test]
    fn a_response_that_lies_about_its_form_is_refused() {
        for (text, fault) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                Fault::BothLengths,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
                Fault::RepeatedContentLength,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", Fault::ContentLength),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Fault::TransferCoding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferEncodingIn10),
            ("HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n", Fault::BareLf),
            ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Fault::ObsFold),
            ("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", Fault::BareCr),
            ("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", Fault::Nul),
            ("HTTP/1.1 200 O\0K\r\n\r\n", Fault::Nul),
            ("HTTP/1.1 20 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 2000 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/2 200 OK\r\n\r\n", Fault::StatusLine),
            ("ICY 200 OK\r\n\r\n", Fault::StatusLine),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::StatusLine),
        ] {
            assert_eq!(read(text.as_bytes(), false), (0, Some(fault)), "{text:?}");
        }
        let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(40);
        assert_eq!(read(flood.as_bytes(), false).1, Some(Fault::Interim));
        let large = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD_BYTES));
        let mut guard = ResponseGuard::default();
        guard.expect(false);
        assert_eq!((guard.advance(large.as_bytes()), guard.fault()), (0, Some(Fault::HeadTooLarge)));
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let mut guard = ResponseGuard::default();
        assert_eq!(guard.advance(b"HTTP/1.1 408 Timeout\r\n\r\n"), 0);
        assert_eq!(guard.fault(), Some(Fault::Surplus));
    }
}
