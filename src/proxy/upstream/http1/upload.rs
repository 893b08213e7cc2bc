//! A request on its way out: its head, and behind it the body, frame by frame.

use super::super::UpstreamIo;
use super::buffers::Buffers;
use super::encode::{Framing, encode, line};
use super::error::Http1Error;
use crate::proxy::body::RequestBody;
use crate::proxy::hop::Hop;
use bytes::{Buf, Bytes};
use http::Request;
use http::header::{HeaderMap, HeaderName};
use http_body::{Body, Frame};
use std::cell::Cell;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Frames up to this size are copied behind the head or the chunk's size, for one plain write.
const COPIED: usize = 4 * 1024;
/// The body is not asked for more while so much waits to be written.
const MOST_WAITING: usize = 16 * 1024;

/// A request that is being sent. Its parts go out in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Encoded bytes, and how far they are written.
    out: Vec<u8>,
    written: usize,
    /// A large frame.
    data: Bytes,
    /// What ends its chunk.
    tail: &'static [u8],
    /// What is still to come of the body.
    body: Option<(RequestBody, Framing)>,
    is_open: bool,
}

impl Upload {
    /// Begins with this request, changed by `hop`; nothing is written yet.
    pub(super) fn new(request: Request<RequestBody>, hop: Option<&Hop<'_>>, buffers: &Buffers) -> Self {
        let mut out = buffers.take_head();
        let framing = encode(&request, hop, &mut out);
        let body = (framing != Framing::Empty).then(|| (request.into_body(), framing));
        Self { out, body, is_open: true, ..Self::default() }
    }

    /// Whether something is still to be sent.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Sends as much as can be sent now. Ready when all is sent. `reached` becomes true with the
    /// first byte that leaves.
    ///
    /// # Errors
    /// The connection's, or the body's. There is nothing more to be sent then.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        io: &mut UpstreamIo,
        reached: &Cell<bool>,
        buffers: &Buffers,
    ) -> Poll<Result<(), Http1Error>> {
        if !self.is_open {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(self.send(context, io, reached));
        self.is_open = false;
        self.body = None;
        self.data = Bytes::new();
        buffers.give_head(std::mem::take(&mut self.out));
        Poll::Ready(result)
    }

    fn send(
        &mut self,
        context: &mut Context<'_>,
        io: &mut UpstreamIo,
        reached: &Cell<bool>,
    ) -> Poll<Result<(), Http1Error>> {
        loop {
            self.fill(context)?;
            if self.waiting() == 0 {
                // What lies in a TLS buffer goes out before the task sleeps.
                ready!(Pin::new(&mut *io).poll_flush(context))?;
                return if self.body.is_some() { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            let written = ready!(self.write(context, io))?;
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            if !io.is_deaf() {
                reached.set(true);
            }
            self.advance(written);
        }
    }

    fn write(&self, context: &mut Context<'_>, io: &mut UpstreamIo) -> Poll<io::Result<usize>> {
        let (io, out) = (Pin::new(io), &self.out[self.written..]);
        if self.data.is_empty() && self.tail.is_empty() {
            return io.poll_write(context, out);
        }
        let slices = [out, &self.data, self.tail].map(IoSlice::new);
        // Empty slices in front would make a write of nothing where only the first one is taken.
        let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
        io.poll_write_vectored(context, &slices[first..])
    }

    fn waiting(&self) -> usize {
        self.out.len() - self.written + self.data.len() + self.tail.len()
    }

    fn advance(&mut self, mut written: usize) {
        let here = written.min(self.out.len() - self.written);
        self.written += here;
        written -= here;
        let here = written.min(self.data.len());
        self.data.advance(here);
        written -= here;
        self.tail = &self.tail[written.min(self.tail.len())..];
        if self.waiting() == 0 {
            self.out.clear();
            self.written = 0;
        }
    }

    /// Takes what the body has now, as long as there is room.
    fn fill(&mut self, context: &mut Context<'_>) -> Result<(), Http1Error> {
        while self.data.is_empty()
            && self.tail.is_empty()
            && self.waiting() < MOST_WAITING
            && let Some((body, framing)) = &mut self.body
        {
            let frame = match Pin::new(&mut *body).poll_frame(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => None,
                Poll::Ready(Some(frame)) => Some(frame?),
            };
            let is_last = frame.as_ref().is_none_or(Frame::is_trailers) || body.is_end_stream();
            let trailers = match frame.map(Frame::into_data) {
                Some(Ok(data)) if !data.is_empty() => {
                    match framing {
                        Framing::Chunked(_) => {
                            // Writing into memory does not fail.
                            let _ = write!(self.out, "{:x}\r\n", data.len());
                            self.tail = b"\r\n";
                        }
                        Framing::Exact(left) => {
                            *left = left.checked_sub(data.len() as u64).ok_or(Http1Error::RequestLength)?;
                        }
                        Framing::Empty => {}
                    }
                    self.data = data;
                    None
                }
                Some(Err(frame)) => frame.into_trailers().ok(),
                _ => None,
            };
            if self.data.len() <= COPIED {
                self.out.extend_from_slice(&self.data);
                self.out.extend_from_slice(self.tail);
                (self.data, self.tail) = (Bytes::new(), b"");
            }
            if is_last {
                self.end(trailers)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Http1Error> {
        match self.body.take() {
            Some((_, Framing::Exact(1..))) => return Err(Http1Error::RequestLength),
            Some((_, Framing::Chunked(announced))) => match trailers {
                Some(trailers) => self.write_trailers(&trailers, &announced),
                None if self.tail.is_empty() => self.out.extend_from_slice(b"0\r\n\r\n"),
                None => self.tail = b"\r\n0\r\n\r\n",
            },
            _ => {}
        }
        Ok(())
    }

    /// Those that the head has announced: others the upstream may not expect (RFC 9110 §6.6.2).
    fn write_trailers(&mut self, trailers: &HeaderMap, announced: &[HeaderName]) {
        self.out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            if announced.contains(name) {
                line(&mut self.out, name.as_str().as_bytes(), value.as_bytes());
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }
}
