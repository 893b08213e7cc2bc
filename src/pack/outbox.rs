//! The outbox of one destination: committed batches that wait for delivery.
//!
//! ```text
//! outbox/{destination}/lock                       held by who packs and ships
//! outbox/{destination}/.draft-{n:020}/            a batch in the making
//! outbox/{destination}/{n:020}/00000 00001 …      its objects
//! outbox/{destination}/{n:020}/manifest           its manifest
//! outbox/{destination}/{n:020}/manifest.copy      the same bytes once more
//! outbox/{destination}/{n:020}/expired            objects that were given up
//! outbox/{destination}/{n:020}/delivered          all of it has arrived
//! ```
//! A batch appears by one rename after each of its files is on disk; its bytes
//! never change. The newest stays, delivered or not: it is cursor and head of
//! the chain. Everything is derived from what lies there.
//!
//! Since a chain can't go on from a manifest that can't be read without telling
//! a number twice, each manifest stands there two times: damage to one of them
//! costs nothing. Damage to an object costs that object, which is given up and
//! declared.

mod files;

use super::manifest::{ExpiredEntry, Manifest, ManifestError};
use super::partition::escape;
use crate::error_chain::Chain;
use crate::evidence::note::Verifier;
use crate::record::GapCause;
use crate::spool::fs::{self, Fs, Lock};
use files::{
    DELIVERED, EXPIRED, MANIFEST, MANIFEST_COPY, expired_entries, read_batch, remove_drafts, remove_folder,
    repair, scan, set_aside, sync_folder, write_synced,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;

const DRAFT: &str = ".draft-";

/// Why the outbox can't be used.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The file system refused.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A batch is there and is not what was committed.
    #[error("{path} is damaged")]
    Damaged {
        /// The batch's folder, or the file that was damaged and could be replaced.
        path: PathBuf,
        /// What is wrong with its manifest; `None` where an object is missing or cut.
        source: Option<ManifestError>,
    },
}

/// Makes an error of an I/O error, naming operation and path.
pub(super) fn io_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> OutboxError + use<> {
    let path = path.to_owned();
    move |source| OutboxError::Io { operation, path, source }
}

/// The right to pack and ship for one destination; given back when dropped.
#[derive(Debug)]
pub struct OutboxLock {
    fs: Arc<dyn Fs>,
    folder: PathBuf,
    _lock: Lock,
}

impl OutboxLock {
    /// Takes the lock of a destination's outbox below the spool's directory.
    /// `None` while another process holds it.
    ///
    /// # Errors
    /// When folder or file can't be made.
    pub fn acquire(fs: &Arc<dyn Fs>, spool: &Path, destination: &str) -> Result<Option<Self>, OutboxError> {
        let outboxes = spool.join("outbox");
        let folder = outboxes.join(escape(destination.as_bytes()));
        if !fs::exists(&**fs, &folder).map_err(io_error("look at", &folder))? {
            fs.create_dir_all(&folder).map_err(io_error("make", &folder))?;
        }
        // Each time, since the one who made it may have died before this.
        sync_folder(&**fs, &outboxes)?;
        let path = folder.join("lock");
        let lock = fs.lock(&path).map_err(io_error("lock", &path))?;
        Ok(lock.map(|lock| Self { fs: Arc::clone(fs), folder, _lock: lock }))
    }
}

/// What became of an object that will not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryCause {
    /// It waited longer than the destination's retention.
    Retention,
    /// Its bytes in the outbox were damaged.
    Corruption,
}

impl ExpiryCause {
    fn of(cause: GapCause) -> Self {
        match cause {
            GapCause::Retention => Self::Retention,
            _ => Self::Corruption,
        }
    }
}

/// One object that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Its place in the manifest's list.
    pub index: usize,
    /// Why.
    pub cause: ExpiryCause,
}

/// A committed batch, as it is shipped.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's own bytes.
    pub note: Vec<u8>,
    /// The manifest's key.
    pub key: String,
    /// Objects that were given up.
    pub expired: Vec<Expired>,
}

impl Batch {
    /// The file of the object at this place in the manifest's list.
    #[must_use]
    pub fn object_path(&self, index: usize) -> PathBuf {
        self.folder.join(object_name(index))
    }

    fn note_expired(&mut self, stated: &ExpiredEntry) {
        let index = self.manifest.objects.iter().position(|object| object.key == stated.key);
        let known = |index: &usize| self.expired.iter().any(|expired| expired.index == *index);
        if let Some(index) = index.filter(|index| !known(index)) {
            self.expired.push(Expired { index, cause: ExpiryCause::of(stated.cause) });
        }
    }
}

pub(super) fn object_name(index: usize) -> String {
    format!("{index:05}")
}

/// The committed batches of one destination, shared by its packer and its shipper.
#[derive(Debug)]
pub struct Outbox {
    lock: OutboxLock,
    state: Mutex<State>,
    changed: Condvar,
    /// Packer and shipper both tidy up; one at a time.
    tidying: Mutex<()>,
    arrived: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Arc<Batch>>,
    /// Committed and not delivered, by number.
    waiting: BTreeMap<u64, Arc<Batch>>,
    /// Given up and not yet stated in a manifest.
    unstated: Vec<ExpiredEntry>,
    closed: bool,
}

impl Outbox {
    /// Opens the outbox: drafts are removed, batches without a readable manifest go
    /// to `quarantine`, objects that are cut or missing are given up. Returns it with
    /// what was found damaged. With a verifier, a manifest that bears this key's
    /// signature and does not fit it counts as damaged.
    ///
    /// # Errors
    /// When the file system refuses; damage is no error.
    pub fn open(
        lock: OutboxLock,
        quarantine: &Path,
        verifier: Option<&Verifier>,
    ) -> Result<(Self, Vec<OutboxError>), OutboxError> {
        let (fs, folder) = (Arc::clone(&lock.fs), lock.folder.clone());
        let mut damaged = Vec::new();
        let mut batches: BTreeMap<u64, Batch> = BTreeMap::new();
        let mut delivered = Vec::new();
        remove_drafts(&*fs, &folder)?;
        for (number, path) in scan(&*fs, &folder)? {
            match read_batch(&*fs, &path, number, verifier) {
                Ok(found) => {
                    if let Some((file, source)) = found.damaged_copy {
                        repair(&*fs, &file, &found.batch.note);
                        // Earlier versions wrote no copy: that is no damage.
                        if source.is_some() {
                            damaged.push(OutboxError::Damaged { path: file, source });
                        }
                    }
                    if found.delivered {
                        delivered.push(number);
                    } else if found.batch.expired.iter().any(|e| e.cause == ExpiryCause::Corruption) {
                        damaged.push(OutboxError::Damaged { path, source: None });
                    }
                    batches.insert(number, found.batch);
                }
                Err(error @ OutboxError::Io { .. }) => return Err(error),
                Err(error) => {
                    set_aside(&*fs, &path, quarantine)?;
                    damaged.push(error);
                }
            }
        }
        let stated: Vec<ExpiredEntry> =
            batches.values().flat_map(|batch| batch.manifest.expired.iter().cloned()).collect();
        for entry in &stated {
            // What a manifest has stated as given up stays so, whatever became of the note of it.
            if let Some(batch) = batches.get_mut(&entry.number) {
                batch.note_expired(entry);
            }
        }
        let same =
            |one: &ExpiredEntry, other: &ExpiredEntry| (one.number, &one.key) == (other.number, &other.key);
        let mut unstated: Vec<ExpiredEntry> = batches.values().flat_map(expired_entries).collect();
        unstated.retain(|entry| !stated.iter().any(|stated| same(entry, stated)));
        let batches: BTreeMap<u64, Arc<Batch>> =
            batches.into_iter().map(|(number, batch)| (number, Arc::new(batch))).collect();
        let newest = batches.values().next_back().cloned();
        let mut waiting = batches;
        waiting.retain(|number, _| !delivered.contains(number));
        let state = State { newest, waiting, unstated, closed: false };
        let outbox = Self {
            lock,
            state: Mutex::new(state),
            changed: Condvar::new(),
            tidying: Mutex::new(()),
            arrived: tokio::sync::Notify::new(),
        };
        outbox.tidy();
        Ok((outbox, damaged))
    }

    /// The newest batch.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<Batch>> {
        self.lock().newest.clone()
    }

    /// The batches that wait, oldest first.
    #[must_use]
    pub fn waiting(&self) -> Vec<Arc<Batch>> {
        self.lock().waiting.values().cloned().collect()
    }

    /// Objects that were given up and are not yet stated in a manifest.
    #[must_use]
    pub fn unstated(&self) -> Vec<ExpiredEntry> {
        self.lock().unstated.clone()
    }

    /// An empty folder for a batch in the making.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn draft(&self, number: u64) -> Result<PathBuf, OutboxError> {
        let path = self.folder().join(format!("{DRAFT}{number:020}"));
        remove_folder(self.fs(), &path)?;
        let folder = self.batch_folder(number);
        if fs::exists(self.fs(), &folder).map_err(io_error("look at", &folder))? {
            // Of a commit that could neither be completed nor undone: nobody has seen it.
            self.fs().rename(&folder, &path).map_err(io_error("undo", &folder))?;
            remove_folder(self.fs(), &path)?;
        }
        self.fs().create_dir(&path).map_err(io_error("make", &path))?;
        Ok(path)
    }

    /// Gives back the room of a draft that will not be committed, as far as that works.
    pub fn discard(&self, draft: &Path) {
        if let Err(error) = remove_folder(self.fs(), draft) {
            tracing::debug!(error = %Chain(&error), "an unfinished batch stays for now");
        }
    }

    /// Makes a draft a batch: its files must be on disk already, its manifest is
    /// written here. The rename is the commitment.
    ///
    /// # Errors
    /// When the file system refuses; the batch then does not exist.
    pub fn commit(
        &self,
        draft: &Path,
        manifest: Manifest,
        note: Vec<u8>,
        key: String,
    ) -> Result<(), OutboxError> {
        for name in [MANIFEST, MANIFEST_COPY] {
            write_synced(self.fs(), &draft.join(name), &note)?;
        }
        sync_folder(self.fs(), draft)?;
        let folder = self.batch_folder(manifest.number);
        self.fs().rename(draft, &folder).map_err(io_error("commit", &folder))?;
        if let Err(error) = sync_folder(self.fs(), self.folder()) {
            // Power loss could still take it back, so it must not be shipped; the next
            // attempt makes another one of this number. What can't be undone here is
            // undone by the next draft.
            let _ = self.fs().rename(&folder, draft);
            return Err(error);
        }
        let batch = Arc::new(Batch { folder, manifest, note, key, expired: Vec::new() });
        {
            let mut state = self.lock();
            let stated = &batch.manifest.expired;
            state.unstated.retain(|e| !stated.iter().any(|s| (s.number, &s.key) == (e.number, &e.key)));
            state.waiting.insert(batch.manifest.number, Arc::clone(&batch));
            state.newest = Some(batch);
        }
        self.arrived.notify_one();
        self.tidy();
        Ok(())
    }

    /// Notes that a batch has arrived as a whole.
    ///
    /// # Errors
    /// When the file system refuses; the batch then goes on waiting.
    pub fn delivered(&self, number: u64) -> Result<(), OutboxError> {
        let folder = self.batch_folder(number);
        write_synced(self.fs(), &folder.join(DELIVERED), b"")?;
        sync_folder(self.fs(), &folder)?;
        self.lock().waiting.remove(&number);
        self.changed.notify_all();
        self.tidy();
        Ok(())
    }

    /// Gives up objects of a batch; its manifest is still delivered, and a later
    /// one states what is gone.
    ///
    /// # Errors
    /// When the file system refuses; nothing is then given up.
    pub fn expire(&self, number: u64, expired: &[Expired]) -> Result<(), OutboxError> {
        let Some(batch) = self.lock().waiting.get(&number).cloned() else { return Ok(()) };
        let mut all = batch.expired.clone();
        all.extend(expired.iter().filter(|new| !batch.expired.iter().any(|old| old.index == new.index)));
        let bytes = serde_json::to_vec(&all).expect("integers and names have a JSON form");
        let draft = batch.folder.join(".expired");
        write_synced(self.fs(), &draft, &bytes)?;
        let path = batch.folder.join(EXPIRED);
        self.fs().rename(&draft, &path).map_err(io_error("write", &path))?;
        sync_folder(self.fs(), &batch.folder)?;
        let changed = Batch { expired: all, ..Batch::clone(&batch) };
        let mut state = self.lock();
        for entry in expired_entries(&changed) {
            if !state.unstated.iter().any(|e| (e.number, &e.key) == (entry.number, &entry.key)) {
                state.unstated.push(entry);
            }
        }
        state.waiting.insert(number, Arc::new(changed));
        Ok(())
    }

    /// Says that nothing more will be committed.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Whether nothing more will be committed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The oldest batch that waits, as soon as there is one; `None` when there
    /// is none and none will come. For one shipper.
    pub async fn next_waiting(&self) -> Option<Arc<Batch>> {
        loop {
            {
                let state = self.lock();
                if let Some(batch) = state.waiting.values().next() {
                    return Some(Arc::clone(batch));
                }
                if state.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Waits until fewer than `count` batches wait, at most this long.
    pub fn wait_for_room(&self, count: usize, timeout: Duration) {
        let full = |state: &mut State| state.waiting.len() >= count;
        let _unused = self
            .changed
            .wait_timeout_while(self.lock(), timeout, full)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// Removes delivered batches but the newest; those with objects given up stay
    /// until a manifest states them. What can't be removed goes another time.
    fn tidy(&self) {
        if let Err(error) = self.remove_old() {
            tracing::warn!(error = %Chain(&error), "delivered batches stay in the outbox for now");
        }
    }

    fn remove_old(&self) -> Result<(), OutboxError> {
        let _one = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = {
            let state = self.lock();
            let mut keep: Vec<u64> = state.waiting.keys().copied().collect();
            keep.extend(state.unstated.iter().map(|entry| entry.number));
            let newest = state.newest.as_ref().map(|batch| batch.manifest.number);
            (keep, newest)
        };
        let (keep, Some(newest)) = keep else { return Ok(()) };
        for (number, path) in scan(self.fs(), self.folder())?.range(..newest) {
            if !keep.contains(number) {
                // Out of sight by one rename first: half a batch must never be seen.
                let draft = self.folder().join(format!("{DRAFT}{number:020}"));
                remove_folder(self.fs(), &draft)?;
                self.fs().rename(path, &draft).map_err(io_error("remove", path))?;
                remove_folder(self.fs(), &draft)?;
            }
        }
        Ok(())
    }

    fn fs(&self) -> &dyn Fs {
        &*self.lock.fs
    }

    fn folder(&self) -> &Path {
        &self.lock.folder
    }

    fn batch_folder(&self, number: u64) -> PathBuf {
        self.folder().join(format!("{number:020}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
