//! `Expect: 100-continue` from end to end (RFC 9110 §10.1.1): the client's body is asked for
//! when the upstream asks for it, so that an upstream which refuses by the head alone never
//! makes a client send.

use crate::timer::Timer;
use http::Request;
use http::header::{EXPECT, HeaderValue};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// An upstream that says nothing for so long does not know the expectation: the body is sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether an upstream wants the body that a client holds back.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    state: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wish {
    /// The upstream has said nothing yet.
    #[default]
    Waiting,
    Wanted,
    Unwanted,
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
    pub(super) fn pass_on<B>(request: &mut Request<B>) -> Rc<Self> {
        request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        Rc::default()
    }

    /// The upstream asks for the body.
    pub(super) fn is_wanted(&self) {
        self.become_if_waiting(Wish::Wanted);
    }

    fn become_if_waiting(&self, state: Wish) {
        if self.state.get() == Wish::Waiting {
            self.state.set(state);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }

    /// The exchange is over. True: the body was never asked for, so the connection is of no
    /// more use, and its body ends with an error.
    pub(super) fn give_up(&self) -> bool {
        self.become_if_waiting(Wish::Unwanted);
        self.state.get() == Wish::Unwanted
    }
}

/// The body's side of it.
#[derive(Debug)]
pub(super) struct Held {
    expectation: Rc<Expectation>,
    timer: Timer,
}

impl Held {
    pub(super) fn new(expectation: Rc<Expectation>, timer: Timer) -> Self {
        timer.set(PATIENCE);
        Self { expectation, timer }
    }

    /// True when the body is to be sent, false when it never is. Cancel safe.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<bool> {
        self.expectation.waker.replace(Some(context.waker().clone()));
        match self.expectation.state.get() {
            Wish::Wanted => Poll::Ready(true),
            Wish::Unwanted => Poll::Ready(false),
            Wish::Waiting => self.timer.poll(context).map(|()| {
                self.expectation.become_if_waiting(Wish::Wanted);
                true
            }),
        }
    }
}
