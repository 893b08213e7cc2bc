//! What a worker's connections to one upstream read into and write from, and have in common.

use super::super::UpstreamIo;
use crate::http1::Shapes;
use crate::proxy::headers::received_by;
use bytes::BytesMut;
use http::Version;
use http::header::VIA;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;

/// Bytes that are got at once to read into, for many answers.
const BLOCK: usize = 64 * 1024;
/// The least that is read at once.
pub(super) const LEAST_READ: usize = 8 * 1024;
/// The most that is asked for at once, where an upstream fills what it is given.
const MOST_READ: usize = 256 * 1024;
/// A buffer for heads that has grown above this is not kept.
const MOST_KEPT: usize = 64 * 1024;

/// A worker's buffers. Many exchanges take turns: each takes out of the block what has come for
/// it, without a copy, and the block is used again when all that was taken is gone.
#[derive(Debug)]
pub(in crate::proxy::upstream) struct Buffers {
    block: RefCell<BytesMut>,
    head: RefCell<Vec<u8>>,
    /// What its answers look like.
    pub(super) shapes: RefCell<Shapes>,
}

impl Default for Buffers {
    fn default() -> Self {
        let shapes = Shapes::adding(VIA, received_by(Version::HTTP_11));
        Self { block: RefCell::default(), head: RefCell::default(), shapes: RefCell::new(shapes) }
    }
}

impl Buffers {
    /// Reads once, behind what is held already. `wanted` follows how much comes at once.
    ///
    /// # Errors
    /// The connection's.
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        io: &mut UpstreamIo,
        held: &mut BytesMut,
        wanted: &mut usize,
    ) -> Poll<io::Result<usize>> {
        let mut block = self.block.borrow_mut();
        let into = if held.is_empty() { &mut *block } else { &mut *held };
        let room = into.capacity() - into.len();
        if room < *wanted {
            into.reserve(BLOCK.max(*wanted));
        }
        let room = into.capacity() - into.len();
        let come = ready!(pin!(io.read_buf(into)).poll(context))?;
        if come == room {
            *wanted = (*wanted * 2).min(MOST_READ);
        }
        if held.is_empty() {
            *held = block.split();
        }
        Poll::Ready(Ok(come))
    }

    /// An empty buffer for a request's head.
    pub(super) fn take_head(&self) -> Vec<u8> {
        self.head.take()
    }

    /// Takes it back when all of it is written.
    pub(super) fn give_head(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= MOST_KEPT {
            buffer.clear();
            self.head.replace(buffer);
        }
    }
}
