//! Upgrades (RFC 9110 §7.8): which are passed on, and the tunnel that follows.
//!
//! A client's wish is passed on if it is of HTTP/1.1, without a body, and for a protocol that
//! the source allows; never h2c, which would carry requests that nobody records. The
//! connection to the upstream is a new one. When the upstream switches, both connections
//! leave HTTP and a [`Tunnel`] copies bytes; its end is the exchange's end.

use super::options::Limits;
use super::upstream::{Lease, TunnelParts};
use crate::capture::Exchange;
use crate::record::ErrorType;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Method, Request, Version};
use http_body::Body;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a tunnel holds each way.
const BUFFER: usize = 16 * 1024;

/// How long the one side gets to take what is on its way when the other is gone.
const LINGER: Duration = Duration::from_secs(2);

/// The protocol that the client asks for, if it is one of `allowed` (lower case).
pub(super) fn wanted<B: Body>(request: &Request<B>, allowed: &[String]) -> Option<HeaderValue> {
    let headers = request.headers();
    let protocol = headers.get(UPGRADE)?;
    let fits = request.version() == Version::HTTP_11
        && *request.method() == Method::GET
        && request.body().is_end_stream()
        && headers.get_all(UPGRADE).iter().nth(1).is_none()
        && names_upgrade(headers)
        && is_one_of(protocol, allowed);
    fits.then(|| protocol.clone())
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let mut tokens =
        headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

fn is_one_of(protocol: &HeaderValue, allowed: &[String]) -> bool {
    allowed.iter().any(|name| protocol.as_bytes().trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

/// Writes the wish, or its answer, into a message whose hop-by-hop fields were taken out.
pub(super) fn write(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Whether the upstream switches to what was asked for.
pub(super) fn is_answer(headers: &HeaderMap, asked: &HeaderValue) -> bool {
    let said = headers.get(UPGRADE).map(|value| value.as_bytes().trim_ascii());
    said.is_some_and(|said| said.eq_ignore_ascii_case(asked.as_bytes().trim_ascii()))
}

/// The upstream's side of an upgraded connection, until the client's side has come too.
#[derive(Debug)]
pub struct Tunnel {
    parts: TunnelParts,
    /// Keeps the request counted at its address.
    _lease: Lease,
    limits: Rc<Limits>,
    idle: Duration,
}

impl Tunnel {
    pub(super) fn new(parts: TunnelParts, lease: Lease, limits: Rc<Limits>, idle: Duration) -> Self {
        Self { parts, _lease: lease, limits, idle }
    }

    /// Copies bytes both ways until both sides have ended, one breaks off, or nothing passes
    /// for too long; then closes the exchange. `read` was read from the client already.
    ///
    /// Dropped, it closes both connections and the exchange with them, as aborted.
    pub async fn run<C>(self, client: C, read: Bytes, exchange: Exchange)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let account = Rc::clone(exchange.account());
        let (mut client, mut upstream) = (client, self.parts.io);
        account.add_received(read.len());
        let mut out = OneWay::new(read);
        let mut back = OneWay::new(self.parts.read);
        let mut was = (false, false);
        account.timer().set(self.idle);
        let ended = poll_fn(|context| {
            let before = (out.taken, back.passed);
            let outward = out.pass(context, &mut client, &mut upstream);
            let backward = back.pass(context, &mut upstream, &mut client);
            account.add_received(usize::try_from(out.taken - before.0).unwrap_or(usize::MAX));
            account.add_sent(usize::try_from(back.passed - before.1).unwrap_or(usize::MAX));
            if outward.is_ready() && backward.is_ready() {
                return Poll::Ready(outcome(&out, &back));
            }
            let (is_half, is_broken) =
                (outward.is_ready() || backward.is_ready(), out.fails() || back.fails());
            let has_moved = (out.taken, back.passed) != before;
            if (is_half, is_broken) != was || (has_moved && !is_broken) {
                was = (is_half, is_broken);
                // One side has ended: the other gets as long as for a pause in a body to go on.
                // One side is gone: the other gets a moment to take what is on its way.
                let left = match was {
                    (_, true) => LINGER,
                    (true, false) => self.limits.body_timeout,
                    (false, false) => self.idle,
                };
                account.timer().set(left.min(self.idle));
            }
            match account.timer().poll(context) {
                Poll::Pending => Poll::Pending,
                // An end that the other side does not answer is an end.
                Poll::Ready(()) if is_half || is_broken => Poll::Ready(outcome(&out, &back)),
                Poll::Ready(()) => Poll::Ready(Err(ErrorType::TunnelIdle)),
            }
        })
        .await;
        match ended {
            Ok(()) => drop(exchange.finish()),
            Err(error) => exchange.abort(error),
        }
    }
}

/// How a tunnel ended, by what became of its directions.
fn outcome(out: &OneWay, back: &OneWay) -> Result<(), ErrorType> {
    // Who has said all it wanted may be gone before the rest reaches it: no break.
    let upstream_left = back.state == State::Over;
    let client_left = out.state == State::Over;
    match (out.fault, back.fault) {
        (Some(Fault::Reading), _) => Err(ErrorType::ClientAbort),
        (_, Some(Fault::Reading)) => Err(ErrorType::UpstreamReset),
        (Some(Fault::Writing), _) if !upstream_left => Err(ErrorType::UpstreamReset),
        (_, Some(Fault::Writing)) if !client_left => Err(ErrorType::ClientAbort),
        _ => Ok(()),
    }
}

/// One direction.
#[derive(Debug)]
struct OneWay {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes that the near side gave.
    taken: u64,
    /// Bytes handed to the far side.
    passed: u64,
    state: State,
    fault: Option<Fault>,
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes are passed on.
    Open,
    /// The far side is gone; what comes is read and thrown away, so that closing does not
    /// reset the near side, which may not have taken yet what it was sent (RFC 9112 §9.6).
    Sink,
    /// The near side has ended or is gone, and the far side is to be told.
    Ended,
    /// All was passed on, the end too.
    Over,
}

/// Which side of a copy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Reading,
    Writing,
}

impl OneWay {
    fn new(first: Bytes) -> Self {
        let mut buffer = vec![0; BUFFER.max(first.len())].into_boxed_slice();
        buffer[..first.len()].copy_from_slice(&first);
        let (start, end, taken) = (0, first.len(), 0);
        Self { buffer, start, end, taken, passed: 0, state: State::Open, fault: None }
    }

    fn fails(&self) -> bool {
        self.fault.is_some()
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Passes on what there is. Ready when the direction is over.
    fn pass<R, W>(&mut self, context: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.start < self.end && self.state != State::Sink {
                let piece = &self.buffer[self.start..self.end];
                match ready!(Pin::new(&mut *to).poll_write(context, piece)) {
                    Ok(written) if written > 0 => {
                        self.start += written;
                        self.passed += written as u64;
                    }
                    _ => {
                        self.fail(Fault::Writing);
                        self.state = State::Sink;
                    }
                }
            }
            match self.state {
                State::Over => return Poll::Ready(()),
                State::Ended => {
                    // The far side may have left before it is told of the end.
                    let _: io::Result<()> = ready!(Pin::new(&mut *to).poll_shutdown(context));
                    self.state = State::Over;
                }
                State::Open | State::Sink => {
                    let mut room = ReadBuf::new(&mut self.buffer);
                    match Pin::new(&mut *from).poll_read(context, &mut room) {
                        Poll::Ready(Ok(())) => {
                            (self.start, self.end) = (0, room.filled().len());
                            self.taken += self.end as u64;
                            if self.end == 0 {
                                self.state = State::Ended;
                            }
                        }
                        Poll::Ready(Err(_)) => {
                            self.fail(Fault::Reading);
                            (self.start, self.end) = (0, 0);
                            self.state = State::Ended;
                        }
                        Poll::Pending => {
                            // What lies in a TLS buffer goes out before the task sleeps.
                            if let Poll::Ready(Err(_)) = Pin::new(&mut *to).poll_flush(context) {
                                self.fail(Fault::Writing);
                                self.state = State::Sink;
                            }
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;

    fn asked(fields: &[(&'static str, &'static str)]) -> Option<HeaderValue> {
        let mut request = Request::get("/socket").body(Empty::<Bytes>::new()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        wanted(&request, &["websocket".to_owned()])
    }

    #[test]
    fn only_an_allowed_protocol_is_passed_on_and_only_if_asked_for_properly() {
        assert!(asked(&[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")]).is_some());
        assert!(asked(&[("upgrade", "h2c"), ("connection", "upgrade")]).is_none());
        assert!(asked(&[("upgrade", "websocket, h2c"), ("connection", "upgrade")]).is_none());
        assert!(asked(&[("upgrade", "websocket"), ("upgrade", "h2c"), ("connection", "upgrade")]).is_none());
        assert!(asked(&[("upgrade", "websocket")]).is_none(), "Connection does not name it");
        assert!(asked(&[("connection", "upgrade")]).is_none());
    }
}
