//! What an upstream answers on one connection: a response to each request, and nothing else.

use super::chunked::Chunked;
use super::fault::Fault;
use super::fields::{Framing, Length};
use super::lines::Lines;

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
    status: Option<(u16, bool)>,
    fields: usize,
    framing: Framing,
}

impl Default for ResponseGuard {
    fn default() -> Self {
        Self { state: State::Idle, to_head: false, interim: 0 }
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
        }
    }

    /// Looks at what has come, as [`super::RequestGuard::advance`] does.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Head(head) => match head.advance(rest) {
                    Ok(Some(length)) => {
                        let head = std::mem::take(head);
                        match self.behind(&head) {
                            Ok(next) => {
                                at += length;
                                self.state = next;
                            }
                            Err(fault) => {
                                self.state = State::Refused(fault);
                                return at;
                            }
                        }
                    }
                    Ok(None) => return at,
                    Err(fault) => {
                        self.state = State::Refused(fault);
                        return at;
                    }
                },
                State::Exact(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.state = State::Idle;
                    }
                }
                State::Chunked(chunked) => {
                    let (here, fault) = chunked.advance(rest);
                    at += here;
                    if let Some(fault) = fault {
                        self.state = State::Refused(fault);
                        return at;
                    }
                    if chunked.is_done() {
                        self.state = State::Idle;
                    }
                }
                State::Endless => return bytes.len(),
                State::Idle => {
                    self.state = State::Refused(Fault::Surplus);
                    return at;
                }
                State::Refused(_) => return at,
            }
        }
        at
    }

    /// What follows a whole head (RFC 9112 §6.3).
    fn behind(&mut self, head: &Head) -> Result<State, Fault> {
        let (status, is_10) = head.status.ok_or(Fault::StatusLine)?;
        let length = head.framing.length(is_10)?;
        match status {
            // Another protocol from here on; whether it was asked for is not known here.
            101 => Ok(State::Endless),
            100..=199 => {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    Err(Fault::Interim)
                } else {
                    Ok(State::Head(Head::default()))
                }
            }
            _ if self.to_head || status == 204 || status == 304 => Ok(State::Idle),
            _ => Ok(match length {
                Length::Unsaid => State::Endless,
                Length::Exact(0) => State::Idle,
                Length::Exact(length) => State::Exact(length),
                Length::Chunked => State::Chunked(Chunked::new()),
            }),
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
    fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            let line = self.lines.next(bytes)?;
            if self.lines.whole() > HEAD_BYTES || line.is_none() && bytes.len() > HEAD_BYTES {
                return Err(Fault::HeadTooLarge);
            }
            let Some(line) = line else { return Ok(None) };
            if self.status.is_none() {
                self.status = Some(status_line(line)?);
            } else if line.is_empty() {
                return Ok(Some(self.lines.whole()));
            } else {
                self.fields += 1;
                if self.fields > HEAD_FIELDS {
                    return Err(Fault::TooManyFields);
                }
                self.framing.field(line)?;
            }
        }
    }
}

/// Status, and whether it is HTTP/1.0. The blank behind the status may be missing, as many
/// servers leave it out with the reason.
fn status_line(line: &[u8]) -> Result<(u16, bool), Fault> {
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
            Ok((digit(*a) * 100 + digit(*b) * 10 + digit(*c), is_10))
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
