//! What a client sends on one connection: heads and bodies, one after the other.

use super::chunked::Chunked;
use super::fault::Fault;
use super::fields::{Framing, Length};
use super::lines::Lines;
use super::names::Names;
use super::scan::LineEnds;
use super::target::request_line;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of a head with its request line.
    pub head_bytes: usize,
    /// Field lines in a head.
    pub head_fields: usize,
}

/// Follows the requests on one connection.
///
/// A head is let go on when it is whole and valid; of a body, what is well formed. After a
/// fault nothing goes on any more: where the next message would begin is not known.
#[derive(Clone, Debug)]
pub struct RequestGuard {
    limits: RequestLimits,
    state: State,
    is_mid_head: bool,
    /// Those of the last head that was read line by line.
    names: Names,
}

#[derive(Clone, Debug)]
enum State {
    Head(Head),
    Exact(u64),
    Chunked(Chunked),
    /// Behind a head that asks for another protocol: what follows is either the next request
    /// or no HTTP/1.1 any more, which the answer decides.
    Undecided,
    Tunnel,
    Refused(Fault),
}

#[derive(Clone, Debug, Default)]
struct Head {
    lines: Lines,
    had_empty_line: bool,
    is_10: Option<bool>,
    fields: usize,
    framing: Framing,
}

impl RequestGuard {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new(limits: RequestLimits) -> Self {
        Self { limits, state: State::Head(Head::default()), is_mid_head: false, names: Names::default() }
    }

    /// Looks at what has come. `bytes` begins where the last call's answer ended; what it did
    /// not let go on is given again, with what has come since.
    ///
    /// Returns how many bytes from the front may go on. Where that is not all of them, the
    /// rest is a head that is not whole, belongs to what is undecided, or begins with the
    /// [`fault`](Self::fault).
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        let mut message = None;
        self.is_mid_head = false;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Head(head) => match head.advance(rest, self.limits, &mut self.names) {
                    Ok(Some((length, next))) => {
                        message = Some(at);
                        at += length;
                        self.state = next;
                    }
                    Ok(None) => {
                        self.is_mid_head = head.has_begun(rest);
                        return at;
                    }
                    Err(fault) => {
                        self.is_mid_head = true;
                        self.state = State::Refused(fault);
                        return at;
                    }
                },
                State::Exact(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.state = State::Head(Head::default());
                    }
                }
                State::Chunked(chunked) => {
                    let (here, fault) = chunked.advance(rest);
                    at += here;
                    if let Some(fault) = fault {
                        self.state = State::Refused(fault);
                        // Nothing of this request has gone on yet: nothing ever does.
                        self.is_mid_head = message.is_some();
                        return message.unwrap_or(at);
                    }
                    if chunked.is_done() {
                        self.state = State::Head(Head::default());
                    }
                }
                State::Tunnel => return bytes.len(),
                State::Undecided | State::Refused(_) => return at,
            }
        }
        at
    }

    /// Why nothing goes on any more.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self.state {
            State::Refused(fault) => Some(fault),
            _ => None,
        }
    }

    /// Gives back what is kept for the next head of a connection that has none to come for long.
    pub fn rest(&mut self) {
        self.names = Names::default();
    }

    /// Whether a part of a head has come, or a request that is refused from its head on.
    #[must_use]
    pub fn is_mid_head(&self) -> bool {
        self.is_mid_head
    }

    /// Whether the next byte begins or continues a head.
    #[must_use]
    pub fn is_at_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Whether what follows waits for the answer to a request for another protocol.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    /// The answer was an ordinary one: what follows is the next request.
    pub fn stay(&mut self) {
        if self.is_undecided() {
            self.state = State::Head(Head::default());
        }
    }

    /// The protocol was switched: what follows is not looked at.
    pub fn switch(&mut self) {
        self.state = State::Tunnel;
    }
}

impl Head {
    /// The length of the head and what follows it, once it is whole.
    fn advance(
        &mut self,
        bytes: &[u8],
        limits: RequestLimits,
        names: &mut Names,
    ) -> Result<Option<(usize, State)>, Fault> {
        // Once a head, so that one that comes byte by byte is not begun anew with each of them.
        if self.lines.are_new()
            && let Some(read) = Self::advance_at_once(bytes, limits, names)
        {
            return Ok(Some(read));
        }
        loop {
            let line = self.lines.next(bytes)?;
            if self.lines.whole() > limits.head_bytes || line.is_none() && bytes.len() > limits.head_bytes {
                return Err(if self.is_10.is_none() { Fault::TargetTooLong } else { Fault::HeadTooLarge });
            }
            let Some(line) = line else { return Ok(None) };
            match self.is_10 {
                None if line.is_empty() && !self.had_empty_line => {
                    // RFC 9112 §2.2: one empty line before a request is forgiven.
                    self.had_empty_line = true;
                }
                None => {
                    self.is_10 = Some(request_line(line)?.is_10);
                    names.clear();
                }
                Some(is_10) if line.is_empty() => {
                    return Ok(Some((self.lines.whole(), behind(&self.framing, is_10)?)));
                }
                Some(_) => {
                    self.fields += 1;
                    if self.fields > limits.head_fields {
                        return Err(Fault::TooManyFields);
                    }
                    let end = self.framing.field(line)?;
                    // Where there are too many, none is expected.
                    if names.len() + 1 == self.fields {
                        names.push(&line[..end]);
                    }
                }
            }
        }
    }

    /// The same, if the head is whole and has these names.
    #[inline]
    fn advance_at_once(bytes: &[u8], limits: RequestLimits, names: &Names) -> Option<(usize, State)> {
        if names.len() == 0 || names.len() > limits.head_fields {
            return None;
        }
        let mut lines = LineEnds::of(bytes);
        let end = lines.next()?;
        let is_10 = request_line(&bytes[..end]).ok()?.is_10;
        let mut framing = Framing::default();
        let length = names.read((bytes, &mut lines), end + 2, &mut framing, |_| {})?;
        if length > limits.head_bytes {
            return None;
        }
        Some((length, behind(&framing, is_10).ok()?))
    }

    /// Whether more than an empty line has come.
    fn has_begun(&self, bytes: &[u8]) -> bool {
        self.is_10.is_some() || !matches!(bytes, b"" | b"\r" | b"\r\n" | b"\r\n\r")
    }
}

/// What follows a head (RFC 9112 §6.3).
fn behind(framing: &Framing, is_10: bool) -> Result<State, Fault> {
    Ok(match framing.length(is_10)? {
        Length::Exact(length @ 1..) => State::Exact(length),
        Length::Chunked => State::Chunked(Chunked::new()),
        _ if framing.upgrade && !is_10 => State::Undecided,
        _ => State::Head(Head::default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { head_bytes: 8192, head_fields: 20 };

    /// How much goes on, and why no more; the same whatever the pieces are.
    fn read(bytes: &[u8]) -> (usize, Option<Fault>) {
        let mut whole = RequestGuard::new(LIMITS);
        let at = whole.advance(bytes);
        for size in [1, 2, 3, 7] {
            let mut guard = RequestGuard::new(LIMITS);
            let (mut gone, mut come) = (0, 0);
            while come < bytes.len() && guard.fault().is_none() {
                come = (come + size).min(bytes.len());
                gone += guard.advance(&bytes[gone..come]);
            }
            assert_eq!((gone, guard.fault()), (at, whole.fault()), "{size} at a time: {bytes:?}");
        }
        (at, whole.fault())
    }

    #[test]
    fn requests_follow_one_another_as_their_framing_says() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        ] {
            let twice = format!("{text}{text}");
            assert_eq!(read(twice.as_bytes()), (twice.len(), None), "{text}");
            let cut = &twice[..twice.len() - 1];
            assert!(read(cut.as_bytes()).0 < twice.len(), "{text}");
        }
    }

    #[test]
    fn nothing_goes_on_of_a_head_that_is_refused_nor_behind_it() {
        let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for (bad, fault) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", Fault::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Fault::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", Fault::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Fault::BareCr),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Fault::ObsFold),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Fault::ObsFold),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Fault::RequestLine),
            ("\nGET / HTTP/1.1\r\n\r\n", Fault::BareLf),
            ("\x16\x03\x01", Fault::Control),
            ("GET / HTTP/1.1\r\nHost: a\0", Fault::Nul),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Fault::BothLengths,
            ),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferEncodingIn10),
        ] {
            let text = format!("{good}{bad}");
            assert_eq!(read(text.as_bytes()), (good.len(), Some(fault)), "{bad:?}");
            let behind = format!("{text}{good}");
            let mut guard = RequestGuard::new(LIMITS);
            assert_eq!(guard.advance(behind.as_bytes()), good.len());
            assert_eq!(guard.advance(good.as_bytes()), 0);
        }
    }

    #[test]
    fn a_body_goes_on_up_to_the_byte_that_breaks_its_form_unless_it_came_with_its_head() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "5\r\nhello\r\nZ";
        let mut guard = RequestGuard::new(LIMITS);
        assert_eq!(guard.advance(head.as_bytes()), head.len());
        assert_eq!(guard.advance(body.as_bytes()), body.len() - 1);
        assert_eq!((guard.fault(), guard.is_mid_head()), (Some(Fault::ChunkSize), false));
        let mut guard = RequestGuard::new(LIMITS);
        assert_eq!(guard.advance(format!("{head}{body}").as_bytes()), 0);
        assert_eq!((guard.fault(), guard.is_mid_head()), (Some(Fault::ChunkSize), true));
    }

    #[test]
    fn heads_have_a_limit_whether_they_end_or_not() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000));
        assert_eq!(read(long.as_bytes()), (0, Some(Fault::TargetTooLong)));
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(9000));
        assert_eq!(read(endless.as_bytes()), (0, Some(Fault::HeadTooLarge)));
        let whole = format!("{endless}\r\n\r\n");
        assert_eq!(read(whole.as_bytes()), (0, Some(Fault::HeadTooLarge)));
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(21));
        assert_eq!(read(fields.as_bytes()), (0, Some(Fault::TooManyFields)));
        let just = format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(20));
        assert_eq!(read(just.as_bytes()), (just.len(), None));
    }

    #[test]
    fn what_follows_a_request_for_another_protocol_waits_for_the_answer() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
        let text = format!("{head}\u{1}binary");
        let mut guard = RequestGuard::new(LIMITS);
        assert_eq!(guard.advance(text.as_bytes()), head.len());
        assert!(guard.is_undecided() && guard.fault().is_none());
        let mut stays = guard.clone();
        stays.stay();
        assert_eq!(stays.advance(b"\x01binary"), 0);
        assert_eq!(stays.fault(), Some(Fault::Control));
        guard.switch();
        assert_eq!(guard.advance(b"\x01binary"), 7);
    }

    #[test]
    fn an_empty_line_is_not_yet_a_request() {
        let mut guard = RequestGuard::new(LIMITS);
        for text in ["\r", "\r\n", "\r\n\r"] {
            assert_eq!(guard.advance(text.as_bytes()), 0);
            assert!(!guard.is_mid_head(), "{text:?}");
        }
        let mut guard = RequestGuard::new(LIMITS);
        guard.advance(b"\r\nG");
        assert!(guard.is_mid_head());
    }
}
