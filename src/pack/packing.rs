//! Packing step by step: what to do now by [`super::plan`], and one batch.

use super::lanes::Lanes;
use super::making::Making;
use super::manifest::{self, Manifest};
use super::outbox::{Batch, Outbox};
use super::packer::{PackError, PackEvent, PackReport, Packer};
use super::partition::Naming;
use super::plan::{Decision, Limits, MAX_WAITING, Situation, plan};
use super::signing::Change;
use super::source::{LogItem, LogSource};
use crate::evidence::anchor::Head;
use crate::evidence::merkle::{self, Tree};
use crate::format::time_text;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks for a supplement at the end of the log.
const SUPPLEMENT_WAIT: Duration = Duration::from_millis(20);
/// So often a batch looks for the supplements of its last records.
const SUPPLEMENT_LOOKS: u32 = 50;
/// A batch that finds little to take ends behind so many records that it does not take.
const MOST_FILTERED: u64 = 1_000_000;
/// So many frames a full batch reads on for them.
const SUPPLEMENT_FRAMES: u32 = 10_000;

/// A packer that holds its outbox.
#[derive(Debug)]
pub struct Packing {
    packer: Packer,
    outbox: Arc<Outbox>,
    chain: Chain,
}

/// What a step came to, and with it when the next one makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was committed.
    Packed,
    /// A batch could not be packed; it is tried again after a pause.
    Failed,
    /// The outbox is full; at the latest after this long it is looked at again.
    NoRoom(Duration),
    /// Nothing waits: there is nothing to do for this long, unless something is written.
    Wait(Duration),
    /// A batch gathers: it is due after this long, or earlier where it becomes full.
    Gather(Duration),
    /// It was stopped; there is nothing to do ever more.
    Ended,
}

impl Packing {
    /// Goes on where the newest batch stands.
    pub(super) fn resume(mut packer: Packer, outbox: Arc<Outbox>) -> Self {
        let now = packer.clock.monotonic();
        let chain = Chain::resume(&packer.options.destination, &outbox, &mut *packer.source, now);
        Self { packer, outbox, chain }
    }

    /// What is packed lies here.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Does what is to be done now. Never waits for anything but the disk.
    pub fn step(&mut self) -> Step {
        if self.packer.control.abandoned() {
            return Step::Ended;
        }
        let (situation, limits) = (self.situation(), self.packer.limits());
        let decision = plan(&situation, &limits);
        match decision {
            Decision::End => Step::Ended,
            Decision::Wait(time) if self.outbox.waiting().len() >= MAX_WAITING => Step::NoRoom(time),
            Decision::Wait(time) if situation.oldest.is_some() => Step::Gather(time),
            Decision::Wait(time) => Step::Wait(time),
            Decision::Pack | Decision::Heartbeat | Decision::Close => {
                match self.pack(decision == Decision::Pack, decision == Decision::Close) {
                    Ok(report) => {
                        (self.packer.observer)(PackEvent::Packed(&report));
                        Step::Packed
                    }
                    Err(PackError::Abandoned) => Step::Ended,
                    Err(error) => {
                        (self.packer.observer)(PackEvent::Failed(&error));
                        self.packer.source.seek(&self.chain.positions());
                        Step::Failed
                    }
                }
            }
        }
    }

    /// Waits until there is room in the outbox, at most this long.
    pub fn wait_for_room(&self, timeout: Duration) {
        self.outbox.wait_for_room(MAX_WAITING, timeout);
    }

    /// Waits until more is written, at most this long.
    pub fn wait_for_log(&mut self, timeout: Duration) {
        self.packer.source.wait(timeout);
    }

    fn situation(&mut self) -> Situation {
        let Self { packer, outbox, chain } = self;
        let pending = packer.source.pending();
        let newest = chain.newest.as_ref().map(|batch| &batch.manifest);
        // What is there and can't be read (a torn tail) must not hold up a stop.
        let stopping = packer.control.stopping();
        Situation {
            oldest: pending.oldest.filter(|_| !(stopping && chain.stuck)),
            bytes: pending.bytes,
            waiting: outbox.waiting().len(),
            // A chain begins with a manifest at once: it says from where on nothing may be missing.
            since_manifest: match chain.newest {
                Some(_) => packer.clock.monotonic().saturating_sub(chain.written),
                None => Duration::MAX,
            },
            stopping,
            closed: newest.is_some_and(|manifest| manifest.closed && manifest.boot == packer.options.boot),
        }
    }

    /// Makes and commits one batch; without `read`, one that holds only a manifest.
    fn pack(&mut self, read: bool, closed: bool) -> Result<PackReport, PackError> {
        let number = self.chain.newest.as_ref().map_or(0, |batch| batch.manifest.number + 1);
        let draft = self.outbox.draft(number)?;
        let packed = self.pack_into(&draft, number, read, closed);
        if packed.is_err() {
            self.outbox.discard(&draft);
        }
        packed
    }

    fn pack_into(
        &mut self,
        draft: &Path,
        number: u64,
        read: bool,
        closed: bool,
    ) -> Result<PackReport, PackError> {
        let Self { packer, outbox, chain } = self;
        let begun = packer.clock.monotonic();
        let mut lanes = chain.lanes.clone();
        lanes.next_batch();
        let now = packer.clock.unix_microseconds();
        let mut report = PackReport { number, ..PackReport::default() };
        report.gaps = lanes.forget(packer.options.boot, now, |boot| packer.source.exists(boot));
        let expired = outbox.unstated();
        expired.iter().for_each(|entry| lanes.expire(entry, now));

        let mut making =
            Making::new(&packer.options, &*packer.encoder, &packer.fs, draft, lanes, report, now);
        let (mut looks, mut beyond) = (SUPPLEMENT_LOOKS, SUPPLEMENT_FRAMES);
        let full = |making: &Making<'_>| {
            making.report.bytes_in >= packer.options.object_bytes || making.report.filtered >= MOST_FILTERED
        };
        // A full batch reads a little further, for the supplements of its last records.
        while read && (!full(&making) || beyond > 0 && making.is_waiting()) {
            beyond -= u32::from(full(&making));
            if packer.control.abandoned() {
                return Err(PackError::Abandoned);
            }
            match packer.source.next()? {
                LogItem::Frame(frame) => {
                    making.frame(&frame, &mut *packer.encoder, packer.enrich.as_deref_mut())?
                }
                LogItem::Lost { boot, instance, after, cause } => {
                    making.lanes.read(boot, instance.as_deref(), after);
                    making.lanes.lost(boot, cause);
                }
                // The last moments' exchanges may still be looked into.
                LogItem::End if looks > 0 && making.is_waiting_for(packer.options.boot) => {
                    looks -= 1;
                    packer.source.wait(SUPPLEMENT_WAIT);
                }
                LogItem::End => break,
            }
        }
        making.release_all(&mut *packer.encoder, packer.enrich.as_deref_mut())?;

        let naming = packer.naming(number);
        let (mut lanes, mut report, objects) = making.finish(&naming)?;
        let (previous, mut tree) = chain.link();
        let change = packer.change(chain);
        let manifest = Manifest {
            version: manifest::VERSION,
            number,
            instance: packer.options.instance.clone(),
            destination: packer.options.destination.clone(),
            boot: packer.options.boot,
            time: time_text(packer.clock.unix_microseconds()),
            software: concat!("onrecord/", env!("CARGO_PKG_VERSION")).to_owned(),
            format: packer.encoder.name().to_owned(),
            prefix: packer.options.prefix.clone(),
            closed,
            objects,
            lanes: lanes.entries(),
            expired,
            previous,
            tree_size: tree.size(),
            tree_root: merkle::hex(&tree.root()),
            tree_frontier: tree.frontier().iter().map(|hash| merkle::hex(hash)).collect(),
            retention_days: packer.options.retention_days,
            cursor: lanes.cursor(),
            heartbeat_seconds: packer.options.heartbeat.as_secs().max(1),
            key_change: change.stated(&packer.options.signer, &packer.key),
        };
        report.records = manifest.records();
        report.objects = manifest.objects.len() as u64;
        report.bytes_out = manifest.objects.iter().map(|object| object.bytes).sum();
        let note = change.sign(&manifest.text(), &packer.options.signer, &packer.key);
        let key = naming.manifest(&note);
        tree.push(&note);
        let head = packer.anchor.as_ref().map(|_| {
            let chain = (packer.options.instance.as_str(), packer.options.destination.as_str());
            Head::new((&packer.options.signer, &packer.key), chain, number, &note, &tree)
        });
        outbox.commit(draft, manifest, note, key)?;
        if let Some(handed_over) = change.handed_over() {
            (packer.observer)(PackEvent::KeyChanged { number, handed_over });
        }
        if let (Some(file), Some(head)) = (&packer.anchor, head)
            && let Err(error) = file.append(&head)
        {
            (packer.observer)(PackEvent::Unanchored(&error));
        }

        lanes.committed();
        chain.lanes = lanes;
        let before = chain.positions();
        chain.newest = outbox.newest();
        chain.stuck = read && chain.positions() == before;
        chain.written = packer.clock.monotonic();
        packer.source.committed(&chain.positions());
        report.duration = chain.written.saturating_sub(begun);
        Ok(report)
    }
}

impl Packer {
    fn limits(&self) -> Limits {
        Limits {
            interval: self.options.schedule.interval(self.options.interval, self.clock.unix_microseconds()),
            schedule: self.options.schedule,
            object_bytes: self.options.object_bytes,
            heartbeat: self.options.heartbeat,
        }
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
            template: &self.key_template,
            extension: self.encoder.extension(),
            compression: self.options.format.compression(),
        }
    }
}

/// What one batch hands to the next.
#[derive(Debug)]
struct Chain {
    newest: Option<Arc<Batch>>,
    lanes: Lanes,
    written: Duration,
    /// Whether the newest batch found nothing to read.
    stuck: bool,
}

impl Chain {
    fn resume(destination: &str, outbox: &Outbox, source: &mut dyn LogSource, now: Duration) -> Self {
        let newest = outbox.newest();
        let lanes = newest
            .as_ref()
            .map_or_else(|| Lanes::begin_chain(destination), |batch| Lanes::resume(&batch.manifest));
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
