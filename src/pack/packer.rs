//! The packer of one destination: what it needs, and the loop that drives its steps.

use super::PackOptions;
use super::lanes::FoundGap;
use super::outbox::{Outbox, OutboxError, OutboxLock};
use super::packing::{Packing, Step};
use super::source::{LogSource, SourceError};
use crate::clock::Clock;
use crate::evidence::anchor::AnchorFile;
use crate::evidence::keys::SigningKey;
use crate::evidence::note::Verifier;
use crate::format::{Encoder, Enrich, KeyTemplate};
use crate::record::GapCause;
use crate::spool::fs::{Fs, SystemFs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;
use thiserror::Error;

/// Longest sleep: so often the flags of [`PackerControl`] are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Pause after a failure before the batch is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a batch was not packed. Nothing is lost by it: the log is still there.
#[derive(Debug, Error)]
pub enum PackError {
    /// The log can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The outbox can't be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The process ends before the batch is complete.
    #[error("packing was broken off; the log keeps what was not packed")]
    Abandoned,
}

/// What a batch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackReport {
    /// The batch number.
    pub number: u64,
    /// Objects in it.
    pub objects: u64,
    /// Records in its objects.
    pub records: u64,
    /// Records that this destination does not take.
    pub filtered: u64,
    /// Bytes before compression.
    pub bytes_in: u64,
    /// Bytes of the objects.
    pub bytes_out: u64,
    /// How long it took.
    pub duration: Duration,
    /// Declared losses by cause.
    pub gaps: Vec<(GapCause, u64)>,
    /// Those of them, and the objects given up, that the log itself does not declare.
    pub found: Vec<FoundGap>,
}

/// What a packer tells the rest of the process.
#[derive(Debug)]
pub enum PackEvent<'a> {
    /// A batch was committed.
    Packed(&'a PackReport),
    /// A batch could not be packed and will be tried again.
    Failed(&'a PackError),
    /// A batch in the outbox was damaged and was set aside.
    Damaged(&'a OutboxError),
    /// From this batch on another key signs.
    KeyChanged {
        /// The batch number.
        number: u64,
        /// Whether the old key has signed the change.
        handed_over: bool,
    },
    /// The head of the chain could not be anchored; the next one covers it too.
    Unanchored(&'a std::io::Error),
}

/// Asks a packer to stop; shared with whoever stops the process.
#[derive(Clone, Debug, Default)]
pub struct PackerControl {
    asked: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    stop: AtomicBool,
    abandon: AtomicBool,
    /// The thread that packs, which may sleep.
    thread: OnceLock<Thread>,
}

impl PackerControl {
    /// Pack what is there, write the closing manifest, end.
    pub fn stop(&self) {
        self.ask(&self.asked.stop);
    }

    /// End at once; what is not committed stays in the log.
    pub fn abandon(&self) {
        self.ask(&self.asked.abandon);
    }

    fn ask(&self, what: &AtomicBool) {
        what.store(true, Ordering::SeqCst);
        if let Some(thread) = self.asked.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn stopping(&self) -> bool {
        self.asked.stop.load(Ordering::SeqCst)
    }

    pub(super) fn abandoned(&self) -> bool {
        self.asked.abandon.load(Ordering::SeqCst)
    }
}

/// Packs for one destination.
pub struct Packer {
    pub(super) options: PackOptions,
    pub(super) fs: Arc<dyn Fs>,
    pub(super) key: Arc<SigningKey>,
    pub(super) previous_key: Option<Arc<SigningKey>>,
    pub(super) anchor: Option<AnchorFile>,
    pub(super) clock: Clock,
    pub(super) source: Box<dyn LogSource>,
    pub(super) encoder: Box<dyn Encoder>,
    pub(super) key_template: KeyTemplate,
    pub(super) enrich: Option<Box<dyn Enrich>>,
    pub(super) observer: Box<dyn FnMut(PackEvent<'_>) + Send>,
    pub(super) control: PackerControl,
}

impl Packer {
    /// A packer that writes the format of its options.
    #[must_use]
    pub fn new(options: PackOptions, key: Arc<SigningKey>, clock: Clock, source: Box<dyn LogSource>) -> Self {
        let encoder = options.format.encoder();
        let key_template = options.format.key();
        let observer = Box::new(|_: PackEvent<'_>| {});
        let control = PackerControl::default();
        Self {
            options,
            fs: Arc::new(SystemFs),
            key,
            previous_key: None,
            anchor: None,
            clock,
            source,
            encoder,
            key_template,
            enrich: None,
            observer,
            control,
        }
    }

    /// Keeps its outbox on this file system, not on the machine's.
    #[must_use]
    pub fn with_fs(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    /// Can hand over from this key, should it have signed the newest manifest.
    #[must_use]
    pub fn with_previous_key(mut self, key: Option<Arc<SigningKey>>) -> Self {
        self.previous_key = key;
        self
    }

    /// Tells the head of the chain to this file after each batch.
    #[must_use]
    pub fn with_anchor(mut self, anchor: Option<AnchorFile>) -> Self {
        self.anchor = anchor;
        self
    }

    /// Adds to records what their bytes don't say.
    #[must_use]
    pub fn with_enrich(mut self, enrich: Box<dyn Enrich>) -> Self {
        self.enrich = Some(enrich);
        self
    }

    /// Is told what happens.
    #[must_use]
    pub fn with_observer(mut self, observer: Box<dyn FnMut(PackEvent<'_>) + Send>) -> Self {
        self.observer = observer;
        self
    }

    /// The means to stop it.
    #[must_use]
    pub fn control(&self) -> PackerControl {
        self.control.clone()
    }

    /// Packs until it is stopped; for a thread of its own. Hands over the outbox
    /// once it holds the lock, and closes it at its end. Failures are observed and
    /// tried again.
    ///
    /// # Errors
    /// When it is stopped while the outbox can't be opened.
    pub fn run(self, ready: tokio::sync::oneshot::Sender<Arc<Outbox>>) -> Result<(), PackError> {
        let mut waiting = self;
        let _ = waiting.control.asked.thread.set(std::thread::current());
        let mut packing = loop {
            let stopping = waiting.control.stopping() || waiting.control.abandoned();
            match waiting.open() {
                Opened::Packing(packing) => break packing,
                Opened::Held(_) if stopping => return Ok(()),
                Opened::Failed(_, error) if stopping => return Err(error),
                Opened::Held(packer) => {
                    std::thread::sleep(TICK);
                    waiting = packer;
                }
                Opened::Failed(packer, _) => {
                    std::thread::sleep(PAUSE);
                    waiting = packer;
                }
            }
        };
        let outbox = Arc::clone(packing.outbox());
        // Without a shipper the batches wait for the next start.
        let _ = ready.send(Arc::clone(&outbox));
        let _close = CloseAtEnd(&outbox);
        loop {
            match packing.step() {
                Step::Packed => {}
                Step::Failed => std::thread::sleep(PAUSE),
                Step::NoRoom(time) => packing.wait_for_room(time.min(TICK)),
                Step::Wait(time) => packing.wait_for_log(time.min(TICK)),
                // Not by the log, which moves fifty times a second.
                Step::Gather(time) => std::thread::park_timeout(time.min(TICK)),
                Step::Ended => return Ok(()),
            }
        }
    }

    /// Takes the lock of the outbox and opens it, if no other process holds it and the
    /// disk allows it; otherwise gives the packer back.
    #[must_use]
    pub fn open(mut self) -> Opened {
        match self.try_open() {
            Ok(Some(outbox)) => Opened::Packing(Packing::resume(self, Arc::new(outbox))),
            Ok(None) => Opened::Held(self),
            Err(error) => {
                (self.observer)(PackEvent::Failed(&error));
                Opened::Failed(self, error)
            }
        }
    }

    fn try_open(&mut self) -> Result<Option<Outbox>, PackError> {
        let Self { options, fs, .. } = self;
        let Some(lock) = OutboxLock::acquire(fs, &options.spool, &options.destination)? else {
            return Ok(None);
        };
        let verifier = Verifier::new(&options.signer, self.key.public());
        let (outbox, damaged) = Outbox::open(lock, &options.spool.join("quarantine"), Some(&verifier))?;
        for error in &damaged {
            (self.observer)(PackEvent::Damaged(error));
        }
        Ok(Some(outbox))
    }
}

/// What became of an attempt to begin.
#[derive(Debug)]
pub enum Opened {
    /// It can pack.
    Packing(Packing),
    /// Another process packs for this destination.
    Held(Packer),
    /// The outbox can't be used at the moment.
    Failed(Packer, PackError),
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("options", &self.options).finish_non_exhaustive()
    }
}

struct CloseAtEnd<'a>(&'a Outbox);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
