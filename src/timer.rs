//! Time limits on a worker: one coarse clock, no timer a request.
//!
//! A worker ticks every 100 ms and looks through the deadlines that are set;
//! setting, moving and clearing one is a store. That is precise enough for time
//! limits of seconds, and costs a request nothing like a timer-wheel entry of the
//! runtime does. Nothing here leaves its worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often [`Timers::tick`] is to be called.
pub const TICK: Duration = Duration::from_millis(100);

const IDLE: u64 = u64::MAX;

/// A worker's deadlines.
#[derive(Debug, Default)]
pub struct Timers {
    now: Cell<u64>,
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
}

#[derive(Debug)]
struct Entry {
    deadline: u64,
    waker: Option<Waker>,
}

/// One deadline, which can be set, moved and cleared. Freed when dropped.
#[derive(Debug)]
pub struct Timer {
    timers: Rc<Timers>,
    key: u32,
}

impl Timers {
    /// Ticks since the worker's start.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Moves time on by one tick and wakes whoever's deadline has come.
    pub fn tick(&self) {
        let now = self.now.get() + 1;
        self.now.set(now);
        for entry in self.entries.borrow_mut().iter_mut() {
            if entry.deadline <= now
                && let Some(waker) = entry.waker.take()
            {
                waker.wake();
            }
        }
    }

    /// Wakes every task that waits for a deadline, so that it looks around.
    pub fn wake_all(&self) {
        for entry in self.entries.borrow_mut().iter_mut() {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// The tick that is surely this far from now.
    #[must_use]
    pub fn deadline(&self, after: Duration) -> u64 {
        let ticks = after.as_millis().div_ceil(TICK.as_millis());
        // One more, since the running tick has already begun.
        let ticks = u64::try_from(ticks).unwrap_or(IDLE - 1).saturating_add(1);
        self.now.get().saturating_add(ticks).min(IDLE - 1)
    }

    /// A new timer without a deadline.
    #[must_use]
    pub fn timer(self: &Rc<Self>) -> Timer {
        let key = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut entries = self.entries.borrow_mut();
            entries.push(Entry { deadline: IDLE, waker: None });
            u32::try_from(entries.len() - 1).expect("a worker has far fewer than 2^32 timers")
        });
        Timer { timers: Rc::clone(self), key }
    }
}

impl Timer {
    fn entry<R>(&self, f: impl FnOnce(&mut Entry) -> R) -> R {
        f(&mut self.timers.entries.borrow_mut()[self.key as usize])
    }

    /// Sets the deadline this far from now, rounded up to whole ticks.
    pub fn set(&self, after: Duration) {
        let deadline = self.timers.deadline(after);
        self.entry(|entry| entry.deadline = deadline);
    }

    /// Takes the deadline away.
    pub fn clear(&self) {
        self.entry(|entry| entry.deadline = IDLE);
    }

    /// Takes the deadline away and lets go of the task that waits for it, as a timer that is
    /// kept for another task has to.
    pub fn release(&self) {
        let waker = self.entry(|entry| {
            entry.deadline = IDLE;
            entry.waker.take()
        });
        drop(waker);
    }

    /// Whether there is a deadline.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.entry(|entry| entry.deadline) != IDLE
    }

    /// Whether the deadline has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.entry(|entry| entry.deadline) <= self.timers.now.get()
    }

    /// Ready when the deadline has come; otherwise the task is woken when it does.
    /// Only the task that asked last is woken. Cancel safe.
    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let now = self.timers.now.get();
        self.entry(|entry| {
            if entry.deadline <= now {
                return Poll::Ready(());
            }
            match &mut entry.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.entry(|entry| {
            entry.deadline = IDLE;
            entry.waker = None;
        });
        self.timers.free.borrow_mut().push(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_not_before_its_time_and_can_be_moved() {
        let timers = Rc::new(Timers::default());
        let timer = timers.timer();
        let context = Context::from_waker(Waker::noop());
        timer.set(Duration::from_millis(250));
        for _ in 0..3 {
            timers.tick();
            assert!(timer.poll(&context).is_pending());
        }
        timers.tick();
        assert!(timer.is_over() && timer.poll(&context).is_ready());
        timer.set(Duration::from_secs(u64::MAX));
        timers.tick();
        assert!(!timer.is_over());
        timer.set(Duration::ZERO);
        timer.clear();
        timers.tick();
        assert!(!timer.is_over());
    }

    #[test]
    fn a_dropped_timer_leaves_its_place_without_a_deadline() {
        let timers = Rc::new(Timers::default());
        let first = timers.timer();
        first.set(Duration::ZERO);
        drop(first);
        timers.tick();
        timers.tick();
        assert!(!timers.timer().is_over());
        assert_eq!(timers.entries.borrow().len(), 1);
    }
}
