//! What the task of a connection, its I/O and its exchanges tell each other: how far the client
//! got, and how long it may take from there.

use super::stall::{Stall, Stalls};
use super::streams::{Lost, Streams};
use crate::http1::Fault;
use crate::timer::{Timer, Timers};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// After so long without a request, a connection of HTTP/1.1 gives back what HTTP holds for the
/// next one.
const REST_AFTER: Duration = Duration::from_secs(1);

/// Time limits of a client connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct IoLimits {
    /// For a request head, from its first byte.
    pub head: Duration,
    /// For a connection without a request.
    pub idle: Duration,
    /// For the client to take some of a response.
    pub write: Duration,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests: nothing of the next one has come.
    Idle,
    /// Some bytes of a head have come.
    Head,
    /// A head was refused; nothing more is read.
    Refused,
    /// A request is being answered.
    Exchange,
}

/// What the connection's task, its I/O and its exchanges tell each other.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) phase: Cell<Phase>,
    head_start: Cell<Instant>,
    pub(super) timer: Timer,
    pub(super) limits: IoLimits,
    pub(super) open: Cell<usize>,
    pub(super) timed_out: Cell<bool>,
    multiplexed: Cell<bool>,
    /// Nothing of a response is left to be written.
    pub(super) answered: Cell<bool>,
    pub(super) fault: Cell<Option<Fault>>,
    /// Response bodies of an HTTP/2 connection that wait for the client to make room.
    offered: Cell<usize>,
    /// In HTTP/1.1, of a connection that is idle and may go to rest.
    pub(super) stall: Timer,
    /// Nothing of a next request has come, and the socket has nothing more.
    pub(super) is_drained: Cell<bool>,
    /// The same of each stream.
    stalls: Stalls,
    timers: Rc<Timers>,
    /// Requests that have come of this connection.
    requests: Cell<u64>,
    /// The streams of an HTTP/2 connection.
    streams: RefCell<Option<Streams>>,
}

impl Progress {
    pub(super) fn new(timers: &Rc<Timers>, limits: IoLimits) -> Rc<Self> {
        let timer = timers.timer();
        // A new connection has as long for its first byte as for its head.
        timer.set(limits.head);
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            head_start: Cell::new(Instant::now()),
            timer,
            limits,
            open: Cell::new(0),
            timed_out: Cell::new(false),
            multiplexed: Cell::new(false),
            answered: Cell::new(true),
            fault: Cell::new(None),
            offered: Cell::new(0),
            stall: timers.timer(),
            is_drained: Cell::new(false),
            stalls: Stalls::default(),
            timers: Rc::clone(timers),
            requests: Cell::new(0),
            streams: RefCell::new(None),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// When the first byte of the head that is being read came.
    pub(super) fn head_start(&self) -> Instant {
        self.head_start.get()
    }

    /// Whether the head did not come in time.
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out.get()
    }

    /// What the client sent that is refused, told once: at the head of a request (true), which
    /// makes a record of its own, or in a body, whose exchange has one.
    pub(super) fn take_fault(&self) -> Option<(Fault, bool)> {
        self.fault.take().map(|fault| (fault, self.phase.get() == Phase::Refused))
    }

    /// Ready when the client of an HTTP/2 connection has taken nothing of any response for as
    /// long as one of HTTP/1.1 may take for its next bytes: it keeps its windows shut.
    pub(super) fn poll_stall(&self, context: &Context<'_>) -> Poll<()> {
        self.stall.poll(context)
    }

    /// Whether a connection of HTTP/1.1 has been idle for some time: all is answered, and
    /// nothing is here of a next request.
    pub(super) fn poll_rest(&self, context: &Context<'_>) -> bool {
        let is_idle = self.phase.get() == Phase::Idle && self.open.get() == 0 && self.answered.get();
        is_idle && self.stall.poll(context).is_ready() && self.is_drained.get()
    }

    /// The connection carries many exchanges at once: heads are not told from bodies. Of the
    /// preface, so many bytes are still to come.
    pub(super) fn multiplex(&self, preface: usize) {
        *self.streams.borrow_mut() = Some(Streams::new(preface));
        self.multiplexed.set(true);
        self.phase.set(Phase::Exchange);
        self.timer.set(self.limits.idle);
    }

    /// Streams of HTTP/2 that were begun and never became a request, since the last call.
    pub(super) fn take_lost(&self, is_over: bool) -> Lost {
        let mut streams = self.streams.borrow_mut();
        streams.as_mut().map_or_else(Lost::default, |streams| streams.take_lost(self.requests.get(), is_over))
    }

    /// What came; false: it ends an HTTP/2 connection.
    pub(super) fn received(&self, bytes: &[u8]) -> bool {
        let mut streams = self.streams.borrow_mut();
        let Some(streams) = &mut *streams else { return true };
        streams.received(bytes);
        streams.fault().is_none()
    }

    /// Whether an HTTP/2 connection was ended here for its frames.
    pub(super) fn has_bad_frame(&self) -> bool {
        self.streams.borrow().as_ref().is_some_and(|streams| streams.fault().is_some())
    }

    pub(super) fn goodbye(&self) -> Option<[u8; 17]> {
        self.streams.borrow().as_ref().and_then(Streams::goodbye)
    }

    pub(super) fn sent<'a>(
        &self,
        result: &Poll<io::Result<usize>>,
        slices: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let mut streams = self.streams.borrow_mut();
        let (&Poll::Ready(Ok(mut rest)), Some(streams)) = (result, streams.as_mut()) else { return };
        for slice in slices {
            let here = rest.min(slice.len());
            streams.sent(&slice[..here], |stream| {
                self.stalls.moved(stream, self.limits.write);
                if self.offered.get() > 0 {
                    self.stall.set(self.limits.write);
                }
            });
            rest -= here;
        }
    }

    pub(super) fn read(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.head_start.set(Instant::now());
            self.timer.set(self.limits.head);
        }
    }

    /// The client has taken what it was given: the time limit is again that of the phase.
    pub(super) fn wrote(&self) {
        if self.open.get() > 0 {
            self.timer.clear();
        } else {
            self.timer.set(self.limits.idle);
        }
    }

    pub(super) fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    /// A request has come; in HTTP/2 its stream has a time limit of its own.
    fn begin(&self) -> Option<Rc<Stall>> {
        self.requests.set(self.requests.get() + 1);
        self.open.set(self.open.get() + 1);
        self.phase.set(Phase::Exchange);
        self.timer.clear();
        if !self.multiplexed.get() {
            self.stall.clear();
            self.is_drained.set(false);
        }
        self.answered.set(false);
        let mut streams = self.streams.borrow_mut();
        let stream = streams.as_mut()?.next_request();
        Some(self.stalls.begin(&self.timers, stream))
    }

    fn end(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            if !self.multiplexed.get() {
                self.phase.set(Phase::Idle);
                self.stall.set(REST_AFTER);
            }
            self.timer.set(self.limits.idle);
        }
    }
}

/// Held by each exchange of a connection while it lasts.
#[derive(Debug)]
pub(super) struct InExchange {
    progress: Rc<Progress>,
    offers: bool,
    stall: Option<Rc<Stall>>,
}

impl InExchange {
    pub(super) fn new(progress: &Rc<Progress>) -> Self {
        let stall = progress.begin();
        Self { progress: Rc::clone(progress), offers: false, stall }
    }

    /// Notes whether the response waits for the client to take more of it; in HTTP/1.1 the
    /// socket tells.
    pub(super) fn offer(&mut self, offers: bool) {
        let progress = &self.progress;
        if offers && progress.multiplexed.get() {
            progress.stall.set(progress.limits.write);
        }
        if let Some(stall) = &self.stall {
            stall.wait(offers.then_some(progress.limits.write));
        }
        match (self.offers, offers) {
            (false, true) => progress.offered.set(progress.offered.get() + 1),
            (true, false) => progress.offered.set(progress.offered.get() - 1),
            _ => {}
        }
        if progress.offered.get() == 0 {
            progress.stall.clear();
        }
        self.offers = offers;
    }
}

impl Drop for InExchange {
    fn drop(&mut self) {
        self.offer(false);
        if let Some(stall) = &self.stall {
            self.progress.stalls.end(stall);
        }
        self.progress.end();
    }
}
