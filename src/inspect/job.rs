//! What workers hand to the inspector, and what it hands to the recorder.

use super::plan::BodyPlans;
use super::take::{Bounds, Taken};
use crate::routes::{RouteIndex, RouteTable, Settled};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

/// Exchanges that wait for the inspector at most.
const MOST_WAITING: usize = 8192;
/// Bytes of supplements that wait for the recorder at most.
const MOST_OUTBOX: usize = 8 << 20;

/// One exchange to be looked into.
#[derive(Debug)]
pub struct Job {
    /// The lane of its record.
    pub lane: u16,
    /// The sequence of its record.
    pub sequence: u64,
    /// The record's bytes, as they went into the ring.
    pub record: Vec<u8>,
    /// The routes of its source.
    pub routes: Arc<RouteTable>,
    /// What is wanted of them.
    pub plans: Arc<BodyPlans>,
    /// Its route.
    pub route: RouteIndex,
    /// What the heads decide of its action.
    pub settled: Settled,
    /// Nothing of it goes into the record.
    pub quiet: bool,
    /// Its request body, if it had one that is wanted.
    pub request: Option<Taken>,
    /// Its response body, if it had one that is wanted.
    pub response: Option<Taken>,
    /// Its place in the queue.
    pub reservation: Reservation,
}

pub(super) enum Message {
    Job(Box<Job>),
    Stop,
}

/// The way to the inspector.
#[derive(Clone, Debug)]
pub struct Queue {
    sender: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    bounds: Bounds,
}

/// A place in the queue; given back when it is dropped.
#[derive(Debug)]
pub struct Reservation(Arc<AtomicUsize>);

impl Queue {
    pub(super) fn new(sender: Sender<Message>, bounds: Bounds) -> Self {
        Self { sender, waiting: Arc::default(), bounds }
    }

    /// The bounds of bodies.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// A place for one exchange; `None` when too many wait.
    #[must_use]
    pub fn reserve(&self) -> Option<Reservation> {
        let place = Reservation(Arc::clone(&self.waiting));
        (self.waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(place)
    }

    /// Hands over an exchange, whose record is in the ring by now. Never waits.
    pub fn send(&self, job: Job) {
        // When the inspector has ended, the packer says so of the record: lost.
        let _ = self.sender.send(Message::Job(Box::new(job)));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Supplement frames on their way into the log.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Mutex<Vec<u8>>>);

impl Outbox {
    /// Takes what is there: whole frames. The records that they belong to are in the rings
    /// already, or further.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds whole frames; false, and nothing added, when too much waits.
    pub(super) fn put(&self, frames: &[u8]) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = waiting.len() + frames.len() <= MOST_OUTBOX;
        if fits {
            waiting.extend_from_slice(frames);
        }
        fits
    }
}
