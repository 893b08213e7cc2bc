//! One stream of HTTP/2 whose client takes nothing of its response: it is dropped, while the
//! others of its connection go on.
//!
//! hyper calls the service for a request and then hands the future of its stream to the
//! executor, in the same turn. So the executor knows which exchange a stream's future is of,
//! and can end it. h2 then resets the stream (CANCEL), and the account closes as aborted.

use super::progress::Progress;
use crate::timer::{Timer, Timers};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The time limit of one stream: set while its response waits for the client.
#[derive(Debug)]
pub(super) struct Stall {
    timer: Timer,
    /// `None`: it can't be told which it is.
    stream: Option<u32>,
}

impl Stall {
    /// The response waits for the client from now on, or does not wait any more (`None`).
    pub(super) fn wait(&self, limit: Option<Duration>) {
        match limit {
            Some(limit) => self.timer.set(limit),
            None => self.timer.clear(),
        }
    }
}

/// The limits of a connection's open streams.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    open: RefCell<Vec<Rc<Stall>>>,
    /// That of the request whose future the executor has not got yet.
    newest: RefCell<Option<Rc<Stall>>>,
}

impl Stalls {
    /// For the request that comes now.
    pub(super) fn begin(&self, timers: &Rc<Timers>, stream: Option<u32>) -> Rc<Stall> {
        let stall = Rc::new(Stall { timer: timers.timer(), stream });
        self.open.borrow_mut().push(Rc::clone(&stall));
        *self.newest.borrow_mut() = Some(Rc::clone(&stall));
        stall
    }

    /// The exchange is over.
    pub(super) fn end(&self, stall: &Rc<Stall>) {
        stall.wait(None);
        self.open.borrow_mut().retain(|open| !Rc::ptr_eq(open, stall));
    }

    /// The client has taken some of the response on this stream.
    pub(super) fn moved(&self, stream: u32, limit: Duration) {
        if let Some(stall) = self.open.borrow().iter().find(|stall| stall.stream == Some(stream))
            && stall.timer.is_set()
        {
            stall.timer.set(limit);
        }
    }
}

/// Runs the streams of an HTTP/2 connection on its own worker.
#[derive(Clone, Debug)]
pub(super) struct LocalExecutor(pub(super) Rc<Progress>);

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        let stall = self.0.stalls().newest.borrow_mut().take();
        tokio::task::spawn_local(Watched { future, stall });
    }
}

pin_project! {
    /// Ends with its future, or when its client has taken nothing for too long.
    struct Watched<F> {
        #[pin]
        future: F,
        stall: Option<Rc<Stall>>,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match (this.future.poll(context), this.stall) {
            (Poll::Ready(_), _) => Poll::Ready(()),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Pending, Some(stall)) => {
                ready!(stall.timer.poll(context));
                Poll::Ready(())
            }
        }
    }
}
