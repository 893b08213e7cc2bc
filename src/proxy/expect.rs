//! `Expect: 100-continue` from end to end (RFC 9110 §10.1.1): the client's body is asked for
//! when the upstream asks for it, so that an upstream which refuses by the head alone never
//! makes a client send.

use crate::timer::Timer;
use futures_util::task::AtomicWaker;
use http::Request;
use http::header::{EXPECT, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// An upstream that says nothing for so long does not know the expectation: the body is sent.
const PATIENCE: Duration = Duration::from_secs(1);

const WAITING: u8 = 0;
const WANTED: u8 = 1;
const UNWANTED: u8 = 2;

/// Whether an upstream wants the body that a client holds back.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    state: AtomicU8,
    waker: AtomicWaker,
}

impl Expectation {
    /// Whether a request holds its body back.
    pub(super) fn is_of<B: http_body::Body>(request: &Request<B>) -> bool {
        request
            .headers()
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
            && !request.body().is_end_stream()
    }

    /// Passes the expectation on with this request of HTTP/1.1.
    pub(super) fn pass_on<B>(request: &mut Request<B>) -> Arc<Self> {
        let expectation = Arc::new(Self::default());
        let told = Arc::clone(&expectation);
        request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        hyper::ext::on_informational(request, move |response| {
            if response.status() == http::StatusCode::CONTINUE {
                told.become_if_waiting(WANTED);
            }
        });
        expectation
    }

    fn become_if_waiting(&self, state: u8) -> bool {
        // The worker's own thread alone writes; the atomics are there for hyper's bounds.
        let changed =
            self.state.compare_exchange(WAITING, state, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if changed {
            self.waker.wake();
        }
        changed
    }

    /// The exchange is over. True: the body was never asked for, so the connection is of no
    /// more use, and its body ends with an error.
    pub(super) fn give_up(&self) -> bool {
        self.become_if_waiting(UNWANTED) || self.state.load(Ordering::Relaxed) == UNWANTED
    }
}

/// The body's side of it.
#[derive(Debug)]
pub(super) struct Held {
    expectation: Arc<Expectation>,
    timer: Timer,
}

impl Held {
    pub(super) fn new(expectation: Arc<Expectation>, timer: Timer) -> Self {
        timer.set(PATIENCE);
        Self { expectation, timer }
    }

    /// True when the body is to be sent, false when it never is. Cancel safe.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<bool> {
        self.expectation.waker.register(context.waker());
        match self.expectation.state.load(Ordering::Relaxed) {
            WANTED => Poll::Ready(true),
            UNWANTED => Poll::Ready(false),
            _ => self.timer.poll(context).map(|()| {
                self.expectation.become_if_waiting(WANTED);
                true
            }),
        }
    }
}
