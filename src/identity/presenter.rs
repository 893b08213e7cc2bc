//! The workers' end: tokens that were not seen before are handed over, without waiting.

use super::facts::Facts;
use super::token::MAX_TOKEN;
use prometheus::IntCounter;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Fingerprints that a worker remembers; a power of two.
const SLOTS: usize = 1024;

/// A token on its way to the desk.
pub(super) struct Presented {
    pub(super) source: usize,
    pub(super) fingerprint: [u8; 16],
    pub(super) is_jwt: bool,
    /// Packers may wait for what comes of it.
    pub(super) awaited: bool,
    pub(super) token: Zeroizing<Vec<u8>>,
}

/// The way to the desk for the tokens of one source. Shared by all workers.
#[derive(Clone, Debug)]
pub struct Handover {
    pub(super) source: usize,
    pub(super) sender: mpsc::Sender<Presented>,
    pub(super) facts: Arc<Facts>,
    /// Tokens that are no JWTs are wanted, too.
    pub(super) opaque: bool,
    /// Tokens that were passed over, because the queue was full.
    pub(super) passed_over: IntCounter,
}

/// One worker's own: it remembers what it has handed over.
#[derive(Debug)]
pub struct Presenter {
    handover: Handover,
    seen: RefCell<Box<[[u8; 16]]>>,
    epoch: Cell<u64>,
}

impl Presenter {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(handover: &Handover) -> Self {
        Self {
            handover: handover.clone(),
            seen: RefCell::new(vec![[0; 16]; SLOTS].into_boxed_slice()),
            epoch: Cell::new(0),
        }
    }

    /// Whether tokens that are no JWTs are wanted, too.
    #[inline]
    #[must_use]
    pub fn takes_opaque(&self) -> bool {
        self.handover.opaque
    }

    /// Hands a token over, unless this worker has done so lately. Never waits; a token that
    /// finds the queue full comes again with its next request.
    #[inline]
    pub fn present(&self, fingerprint: [u8; 16], token: &[u8], is_jwt: bool) {
        let mut seen = self.seen.borrow_mut();
        let epoch = self.handover.facts.epoch.load(Ordering::Relaxed);
        if epoch != self.epoch.replace(epoch) {
            seen.fill([0; 16]);
        }
        let place = usize::from(u16::from_le_bytes([fingerprint[0], fingerprint[1]])) % SLOTS;
        if seen[place] != fingerprint && self.hand_over(fingerprint, token, is_jwt) {
            seen[place] = fingerprint;
        }
    }

    /// Whether the token is on its way, or never will be.
    #[cold]
    fn hand_over(&self, fingerprint: [u8; 16], token: &[u8], is_jwt: bool) -> bool {
        if token.len() > MAX_TOKEN {
            return true;
        }
        let Handover { source, sender, facts, passed_over, .. } = &self.handover;
        // Room first: a flood does not even cost the copies.
        let Ok(room) = sender.try_reserve() else {
            passed_over.inc();
            return false;
        };
        facts.waiting.fetch_add(1, Ordering::Release);
        let token = Zeroizing::new(token.to_vec());
        room.send(Presented { source: *source, fingerprint, is_jwt, awaited: true, token });
        true
    }
}
