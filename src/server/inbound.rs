//! What has come from a client and may not go on yet: hyper sees whole, valid heads and
//! well-formed bodies, and nothing else.

use crate::http1::{Fault, RequestGuard};
use tokio::io::ReadBuf;

/// What is kept of an emptied buffer, so that an idle connection holds no memory.
const KEPT: usize = 1024;
/// Bytes that may come behind a request for another protocol before it is answered.
const MOST_UNDECIDED: usize = 64 * 1024;

/// Bytes on their way from the socket to hyper.
#[derive(Debug)]
pub(super) struct Inbound {
    /// `None`: HTTP/2, which has frames instead.
    guard: Option<RequestGuard>,
    held: Vec<u8>,
    /// Of what is held, this much has gone on,
    gone: usize,
    /// and this much may.
    cleared: usize,
    /// A head has been cleared that the connection's account of time does not know yet.
    has_head: bool,
}

impl Inbound {
    /// `first` was read to tell HTTP/1.1 from HTTP/2.
    pub(super) fn new(guard: Option<RequestGuard>, first: Vec<u8>) -> Self {
        let mut inbound = Self { guard, held: first, gone: 0, cleared: 0, has_head: false };
        inbound.examine();
        inbound
    }

    fn examine(&mut self) {
        let new = &self.held[self.cleared..];
        let Some(guard) = &mut self.guard else {
            self.cleared = self.held.len();
            return;
        };
        let was_at_head = guard.is_at_head();
        let here = guard.advance(new);
        self.has_head |= was_at_head && here > 0;
        self.cleared += here;
    }

    /// Hands on what may go on, as much of it as there is room for. False: nothing may.
    pub(super) fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let here = (self.cleared - self.gone).min(buffer.remaining());
        if here == 0 {
            return false;
        }
        buffer.put_slice(&self.held[self.gone..self.gone + here]);
        self.gone += here;
        if self.gone == self.cleared {
            self.held.drain(..self.gone);
            (self.gone, self.cleared) = (0, 0);
            if self.held.is_empty() {
                self.held.shrink_to(KEPT);
            }
        }
        true
    }

    /// Takes in what was read into `buffer` behind `before`, and leaves of it there what may
    /// go on. In the usual case, a whole request in one read, nothing is copied.
    pub(super) fn take_in(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let Some(guard) = &mut self.guard else { return };
        let new = &buffer.filled()[before..];
        if self.held.is_empty() {
            let was_at_head = guard.is_at_head();
            let here = guard.advance(new);
            self.has_head |= was_at_head && here > 0;
            self.held.extend_from_slice(&new[here..]);
            buffer.set_filled(before + here);
        } else {
            self.held.extend_from_slice(new);
            buffer.set_filled(before);
            self.examine();
            self.hand_on(buffer);
        }
    }

    /// Whether a head has come since the last call, whole or in part.
    pub(super) fn take_head(&mut self) -> bool {
        std::mem::take(&mut self.has_head) || self.is_mid_head()
    }

    /// Whether a part of a head has come.
    pub(super) fn is_mid_head(&self) -> bool {
        self.guard.as_ref().is_some_and(RequestGuard::is_mid_head)
    }

    /// Whether nothing is here, and the next byte begins a head.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.guard.as_ref().is_some_and(RequestGuard::is_at_head)
    }

    /// Whether something may go on.
    pub(super) fn has_cleared(&self) -> bool {
        self.gone < self.cleared
    }

    /// Takes back what went on and was not used; it goes on again before the rest.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if let Some(guard) = &mut self.guard {
            guard.rest();
        }
        if bytes.is_empty() {
            return;
        }
        self.held.drain(..self.gone);
        self.cleared = self.cleared - self.gone + bytes.len();
        self.gone = 0;
        self.held.splice(..0, bytes.iter().copied());
    }

    /// Whether something has come that has not gone on.
    pub(super) fn has_more(&self) -> bool {
        !self.held.is_empty() || self.fault().is_some() || self.is_undecided()
    }

    /// Why nothing goes on any more.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.guard.as_ref().and_then(RequestGuard::fault)
    }

    /// Whether what comes waits for the answer to a request for another protocol.
    pub(super) fn is_undecided(&self) -> bool {
        self.guard.as_ref().is_some_and(RequestGuard::is_undecided)
    }

    /// Whether no more is to be read until that answer is there.
    pub(super) fn is_full(&self) -> bool {
        self.is_undecided() && self.held.len() >= MOST_UNDECIDED
    }

    /// The answer was an ordinary one.
    pub(super) fn stay(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.stay();
        }
        self.examine();
    }

    /// The protocol was switched: all goes on as it comes.
    pub(super) fn switch(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.switch();
        }
        self.examine();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::RequestLimits;

    /// Reads `pieces` as a socket would bring them; what hyper got after each.
    fn read(inbound: &mut Inbound, pieces: &[&[u8]], room: usize) -> Vec<u8> {
        let mut got = Vec::new();
        let mut space = vec![0; room];
        for piece in pieces {
            for part in piece.chunks(room) {
                let mut buffer = ReadBuf::new(&mut space);
                buffer.put_slice(part);
                inbound.take_in(&mut buffer, 0);
                got.extend_from_slice(buffer.filled());
                loop {
                    let mut buffer = ReadBuf::new(&mut space);
                    if !inbound.hand_on(&mut buffer) {
                        break;
                    }
                    got.extend_from_slice(buffer.filled());
                }
            }
        }
        got
    }

    #[test]
    fn what_may_go_on_goes_on_in_order_whatever_the_pieces_are() {
        let limits = RequestLimits { head_bytes: 8192, head_fields: 10 };
        let one = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let text = [&one[..], one, one, b"GET / HTTP/1.1\nbad"].concat();
        for room in [1, 5, 16, 64, 1024] {
            for first in [0, 1, 24] {
                let mut inbound = Inbound::new(Some(RequestGuard::new(limits)), text[..first].to_vec());
                let got = read(&mut inbound, &[&text[first..]], room);
                assert_eq!(got, [&one[..], one, one].concat(), "{room} {first}");
                assert_eq!(inbound.fault(), Some(Fault::BareLf));
            }
        }
    }
}
