//! The packer of one destination: a loop around [`super::plan`], and one batch.

use super::lanes::Lanes;
use super::making::Making;
use super::manifest::{self, Manifest};
use super::outbox::{Outbox, OutboxError, OutboxLock};
use super::partition::Naming;
use super::plan::{Decision, Limits, MAX_WAITING, Situation, plan};
use super::signing::Change;
use super::source::{LogItem, LogSource, SourceError};
use super::{Batch, PackOptions};
use crate::clock::Clock;
use crate::evidence::anchor::{AnchorFile, Head};
use crate::evidence::keys::SigningKey;
use crate::evidence::merkle::{self, Tree};
use crate::evidence::note::Verifier;
use crate::format::{Encoder, Enrich, Flat, time_text};
use crate::record::GapCause;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    flags: Arc<(AtomicBool, AtomicBool)>,
}

impl PackerControl {
    /// Pack what is there, write the closing manifest, end.
    pub fn stop(&self) {
        self.flags.0.store(true, Ordering::SeqCst);
    }

    /// End at once; what is not committed stays in the log.
    pub fn abandon(&self) {
        self.flags.1.store(true, Ordering::SeqCst);
    }

    fn stopping(&self) -> bool {
        self.flags.0.load(Ordering::SeqCst)
    }

    fn abandoned(&self) -> bool {
        self.flags.1.load(Ordering::SeqCst)
    }
}

/// Packs for one destination.
pub struct Packer {
    options: PackOptions,
    key: Arc<SigningKey>,
    previous_key: Option<Arc<SigningKey>>,
    anchor: Option<AnchorFile>,
    clock: Clock,
    source: Box<dyn LogSource>,
    encoder: Box<dyn Encoder>,
    enrich: Option<Box<dyn Enrich>>,
    observer: Box<dyn FnMut(PackEvent<'_>) + Send>,
    control: PackerControl,
}

impl Packer {
    /// A packer that writes the `flat` format.
    #[must_use]
    pub fn new(options: PackOptions, key: Arc<SigningKey>, clock: Clock, source: Box<dyn LogSource>) -> Self {
        let encoder = Box::new(Flat::new(options.timestamps));
        let observer = Box::new(|_: PackEvent<'_>| {});
        let control = PackerControl::default();
        Self {
            options,
            key,
            previous_key: None,
            anchor: None,
            clock,
            source,
            encoder,
            enrich: None,
            observer,
            control,
        }
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
    /// once it holds the lock, and closes it at its end.
    ///
    /// # Errors
    /// When the outbox can't be opened. Later failures are observed and tried again.
    pub fn run(mut self, ready: tokio::sync::oneshot::Sender<Arc<Outbox>>) -> Result<(), PackError> {
        let Some(outbox) = self.open()? else { return Ok(()) };
        let outbox = Arc::new(outbox);
        // Without a shipper the batches wait for the next start.
        let _ = ready.send(Arc::clone(&outbox));
        let _close = CloseAtEnd(&outbox);
        let mut chain = Chain::resume(self.options.boot, &outbox, &mut *self.source, self.clock.monotonic());
        while !self.control.abandoned() {
            let decision = plan(&self.situation(&outbox, &chain), &self.limits());
            let closed = decision == Decision::Close;
            match decision {
                Decision::End => break,
                Decision::Wait(time) if outbox.waiting().len() >= MAX_WAITING => {
                    outbox.wait_for_room(MAX_WAITING, time.min(TICK));
                }
                Decision::Wait(time) => self.source.wait(time.min(TICK)),
                Decision::Pack | Decision::Heartbeat | Decision::Close => {
                    let read = decision == Decision::Pack;
                    match self.pack(&outbox, &mut chain, read, closed) {
                        Ok(report) => (self.observer)(PackEvent::Packed(&report)),
                        Err(PackError::Abandoned) => break,
                        Err(error) => {
                            (self.observer)(PackEvent::Failed(&error));
                            self.source.seek(&chain.positions());
                            std::thread::sleep(PAUSE);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the lock, as soon as no other process holds it, and opens the outbox.
    fn open(&mut self) -> Result<Option<Outbox>, PackError> {
        let lock = loop {
            if let Some(lock) = OutboxLock::acquire(&self.options.spool, &self.options.destination)? {
                break lock;
            }
            if self.control.stopping() || self.control.abandoned() {
                return Ok(None);
            }
            std::thread::sleep(TICK);
        };
        let verifier = Verifier::new(&self.options.signer, self.key.public());
        let quarantine = self.options.spool.join("quarantine");
        let (outbox, damaged) = Outbox::open(lock, &quarantine, Some(&verifier))?;
        for error in &damaged {
            (self.observer)(PackEvent::Damaged(error));
        }
        Ok(Some(outbox))
    }

    fn limits(&self) -> Limits {
        Limits {
            interval: self.options.interval,
            object_bytes: self.options.object_bytes,
            heartbeat: self.options.heartbeat,
        }
    }

    fn situation(&mut self, outbox: &Outbox, chain: &Chain) -> Situation {
        let pending = self.source.pending();
        let newest = chain.newest.as_ref().map(|batch| &batch.manifest);
        // What is there and can't be read (a torn tail) must not hold up a stop.
        let stopping = self.control.stopping();
        Situation {
            oldest: pending.oldest.filter(|_| !(stopping && chain.stuck)),
            bytes: pending.bytes,
            waiting: outbox.waiting().len(),
            // A chain begins with a manifest at once: it says from where on nothing may be missing.
            since_manifest: match chain.newest {
                Some(_) => self.clock.monotonic().saturating_sub(chain.written),
                None => Duration::MAX,
            },
            stopping,
            closed: newest.is_some_and(|manifest| manifest.closed && manifest.boot == self.options.boot),
        }
    }

    /// Makes and commits one batch; without `read`, one that holds only a manifest.
    fn pack(
        &mut self,
        outbox: &Outbox,
        chain: &mut Chain,
        read: bool,
        closed: bool,
    ) -> Result<PackReport, PackError> {
        let begun = self.clock.monotonic();
        let number = chain.newest.as_ref().map_or(0, |batch| batch.manifest.number + 1);
        let draft = outbox.draft(number)?;
        let mut lanes = chain.lanes.clone();
        lanes.next_batch();
        let now = self.clock.unix_microseconds();
        let mut report = PackReport { number, ..PackReport::default() };
        report.gaps = lanes.forget(self.options.boot, now, |boot| self.source.exists(boot));
        let expired = outbox.unstated();
        expired.iter().for_each(|entry| lanes.expire(entry));

        let mut making = Making::new(&self.options, &draft, lanes, report, now);
        while read && making.report.bytes_in < self.options.object_bytes {
            if self.control.abandoned() {
                return Err(PackError::Abandoned);
            }
            match self.source.next()? {
                LogItem::Frame(frame) => {
                    making.frame(&frame, &mut *self.encoder, self.enrich.as_deref_mut())?
                }
                LogItem::Lost { boot, instance, after, cause } => {
                    making.lanes.read(boot, instance.as_deref(), after);
                    making.lanes.lost(boot, cause);
                }
                LogItem::End => break,
            }
        }

        let naming = self.naming(number);
        let (mut lanes, mut report, objects) = making.finish(&naming)?;
        let (previous, mut tree) = chain.link();
        let change = self.change(chain);
        let manifest = Manifest {
            version: manifest::VERSION,
            number,
            instance: self.options.instance.clone(),
            destination: self.options.destination.clone(),
            boot: self.options.boot,
            time: time_text(self.clock.unix_microseconds()),
            software: concat!("onrecord/", env!("CARGO_PKG_VERSION")).to_owned(),
            format: self.encoder.name().to_owned(),
            prefix: self.options.prefix.clone(),
            closed,
            objects,
            lanes: lanes.entries(),
            expired,
            previous,
            tree_size: tree.size(),
            tree_root: merkle::hex(&tree.root()),
            tree_frontier: tree.frontier().iter().map(|hash| merkle::hex(hash)).collect(),
            retention_days: self.options.retention_days,
            cursor: lanes.cursor(),
            heartbeat_seconds: self.options.heartbeat.as_secs().max(1),
            key_change: change.stated(&self.options.signer, &self.key),
        };
        report.records = manifest.records();
        report.objects = manifest.objects.len() as u64;
        report.bytes_out = manifest.objects.iter().map(|object| object.bytes).sum();
        let note = change.sign(&manifest.text(), &self.options.signer, &self.key);
        let key = naming.manifest(&note);
        tree.push(&note);
        let head = self.anchor.as_ref().map(|_| {
            let chain = (self.options.instance.as_str(), self.options.destination.as_str());
            Head::new((&self.options.signer, &self.key), chain, number, &note, &tree)
        });
        outbox.commit(&draft, manifest, note, key)?;
        if let Some(handed_over) = change.handed_over() {
            (self.observer)(PackEvent::KeyChanged { number, handed_over });
        }
        if let (Some(file), Some(head)) = (&self.anchor, head)
            && let Err(error) = file.append(&head)
        {
            (self.observer)(PackEvent::Unanchored(&error));
        }

        lanes.committed();
        chain.lanes = lanes;
        let before = chain.positions();
        chain.newest = outbox.newest();
        chain.stuck = read && chain.positions() == before;
        chain.written = self.clock.monotonic();
        self.source.committed(&chain.positions());
        report.duration = chain.written.saturating_sub(begun);
        Ok(report)
    }

    /// Whether another key signs from now on, by what the newest manifest was signed with.
    fn change(&self, chain: &Chain) -> Change {
        let Some(newest) = &chain.newest else { return Change::None };
        Change::after(&newest.note, &self.options.signer, &self.key, self.previous_key.as_ref())
    }

    fn naming(&self, batch: u64) -> Naming<'_> {
        Naming {
            prefix: &self.options.prefix,
            instance: &self.options.instance,
            boot: self.options.boot,
            destination: &self.options.destination,
            batch,
            format: self.encoder.name(),
            extension: self.encoder.extension(),
        }
    }
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

/// What one batch hands to the next.
struct Chain {
    newest: Option<Arc<Batch>>,
    lanes: Lanes,
    written: Duration,
    /// Whether the newest batch found nothing to read.
    stuck: bool,
}

impl Chain {
    fn resume(own: uuid::Uuid, outbox: &Outbox, source: &mut dyn LogSource, now: Duration) -> Self {
        let newest = outbox.newest();
        let lanes =
            newest.as_ref().map_or_else(|| Lanes::begin_chain(own), |batch| Lanes::resume(&batch.manifest));
        let chain = Self { newest, lanes, written: now, stuck: false };
        source.seek(&chain.positions());
        source.committed(&chain.positions());
        chain
    }

    fn positions(&self) -> Vec<(uuid::Uuid, super::Position)> {
        self.newest.as_ref().map_or_else(Vec::new, |batch| batch.manifest.positions())
    }

    /// The hash of the newest manifest, and the tree of all up to it.
    fn link(&self) -> (Option<String>, Tree) {
        let Some(batch) = &self.newest else { return (None, Tree::new()) };
        let mut tree = batch.manifest.tree().expect("a manifest is read only when its tree fits its root");
        tree.push(&batch.note);
        (Some(merkle::hex(&merkle::sha256(&batch.note))), tree)
    }
}
