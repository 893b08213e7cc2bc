//! The outbox of one destination: committed batches that wait for delivery.
//!
//! ```text
//! outbox/{destination}/lock                       held by who packs and ships
//! outbox/{destination}/.draft-{n:020}/            a batch in the making
//! outbox/{destination}/{n:020}/00000 00001 …      its objects
//! outbox/{destination}/{n:020}/manifest           its manifest
//! outbox/{destination}/{n:020}/expired            objects that were given up
//! outbox/{destination}/{n:020}/delivered          all of it has arrived
//! ```
//! A batch appears by one rename after each of its files is on disk; its bytes
//! never change. The newest stays, delivered or not: it is cursor and head of
//! the chain. Everything is derived from what lies there.

use super::manifest::{ExpiredEntry, Manifest, ManifestError};
use super::partition::{Naming, escape};
use crate::evidence::note::{NoteError, Verifier};
use crate::record::GapCause;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;

const MANIFEST: &str = "manifest";
const DELIVERED: &str = "delivered";
const EXPIRED: &str = "expired";
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
        /// The batch's folder.
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
    folder: PathBuf,
    _file: File,
}

impl OutboxLock {
    /// Takes the lock of a destination's outbox below the spool's directory.
    /// `None` while another process holds it.
    ///
    /// # Errors
    /// When folder or file can't be made.
    pub fn acquire(spool: &Path, destination: &str) -> Result<Option<Self>, OutboxError> {
        let folder = spool.join("outbox").join(escape(destination.as_bytes()));
        fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
        let path = folder.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { folder, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
        }
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
}

pub(super) fn object_name(index: usize) -> String {
    format!("{index:05}")
}

/// The committed batches of one destination, shared by its packer and its shipper.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    _lock: OutboxLock,
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
    /// Opens the outbox: drafts are removed, damaged batches go to `quarantine`.
    /// Returns it with what was found damaged. With a verifier, a manifest that
    /// bears this key's signature and does not fit it counts as damaged.
    ///
    /// # Errors
    /// When the file system refuses; damage is no error.
    pub fn open(
        lock: OutboxLock,
        quarantine: &Path,
        verifier: Option<&Verifier>,
    ) -> Result<(Self, Vec<OutboxError>), OutboxError> {
        let folder = lock.folder.clone();
        let mut state = State::default();
        let mut damaged = Vec::new();
        let mut stated: Vec<(u64, String)> = Vec::new();
        let mut given_up = Vec::new();
        remove_drafts(&folder)?;
        for (number, path) in scan(&folder)? {
            let batch = match read_batch(&path, number, verifier) {
                Ok(batch) => Arc::new(batch),
                Err(error @ OutboxError::Io { .. }) => return Err(error),
                Err(error) => {
                    set_aside(&path, quarantine)?;
                    damaged.push(error);
                    continue;
                }
            };
            stated.extend(batch.manifest.expired.iter().map(|e| (e.number, e.key.clone())));
            given_up.extend(expired_entries(&batch));
            if !path.join(DELIVERED).exists() {
                state.waiting.insert(number, Arc::clone(&batch));
            }
            state.newest = Some(batch);
        }
        given_up.retain(|entry| !stated.contains(&(entry.number, entry.key.clone())));
        state.unstated = given_up;
        let outbox = Self {
            folder,
            _lock: lock,
            state: Mutex::new(state),
            changed: Condvar::new(),
            tidying: Mutex::new(()),
            arrived: tokio::sync::Notify::new(),
        };
        outbox.remove_old()?;
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
        let path = self.folder.join(format!("{DRAFT}{number:020}"));
        remove_folder(&path)?;
        fs::create_dir(&path).map_err(io_error("make", &path))?;
        Ok(path)
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
        write_synced(&draft.join(MANIFEST), &note)?;
        sync_folder(draft)?;
        let folder = self.folder.join(format!("{:020}", manifest.number));
        fs::rename(draft, &folder).map_err(io_error("commit", &folder))?;
        sync_folder(&self.folder)?;
        let batch = Arc::new(Batch { folder, manifest, note, key, expired: Vec::new() });
        {
            let mut state = self.lock();
            let stated = &batch.manifest.expired;
            state.unstated.retain(|e| !stated.iter().any(|s| (s.number, &s.key) == (e.number, &e.key)));
            state.waiting.insert(batch.manifest.number, Arc::clone(&batch));
            state.newest = Some(batch);
        }
        self.arrived.notify_one();
        self.remove_old()
    }

    /// Notes that a batch has arrived as a whole.
    ///
    /// # Errors
    /// When the file system refuses; the batch then goes on waiting.
    pub fn delivered(&self, number: u64) -> Result<(), OutboxError> {
        let folder = self.folder.join(format!("{number:020}"));
        write_synced(&folder.join(DELIVERED), b"")?;
        sync_folder(&folder)?;
        self.lock().waiting.remove(&number);
        self.changed.notify_all();
        self.remove_old()
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
        let _ = fs::remove_file(&draft);
        write_synced(&draft, &bytes)?;
        let path = batch.folder.join(EXPIRED);
        fs::rename(&draft, &path).map_err(io_error("write", &path))?;
        sync_folder(&batch.folder)?;
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
    /// until a manifest states them.
    fn remove_old(&self) -> Result<(), OutboxError> {
        let _one = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = {
            let state = self.lock();
            let mut keep: Vec<u64> = state.waiting.keys().copied().collect();
            keep.extend(state.newest.as_ref().map(|batch| batch.manifest.number));
            keep.extend(state.unstated.iter().map(|entry| entry.number));
            keep
        };
        for (number, path) in scan(&self.folder)? {
            if !keep.contains(&number) && path.join(DELIVERED).exists() {
                // Out of sight by one rename first: half a batch must never be seen.
                let draft = self.folder.join(format!("{DRAFT}{number:020}"));
                remove_folder(&draft)?;
                fs::rename(&path, &draft).map_err(io_error("remove", &path))?;
                remove_folder(&draft)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove_drafts(folder: &Path) -> Result<(), OutboxError> {
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let path = entry.map_err(io_error("list", folder))?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(DRAFT.as_bytes())) {
            remove_folder(&path)?;
        }
    }
    Ok(())
}

/// The batches in the folder by number; strange names are left alone.
fn scan(folder: &Path) -> Result<BTreeMap<u64, PathBuf>, OutboxError> {
    let mut batches = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let path = entry.map_err(io_error("list", folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.len() == 20
            && let Ok(number) = name.parse()
        {
            batches.insert(number, path);
        }
    }
    Ok(batches)
}

fn read_batch(folder: &Path, number: u64, verifier: Option<&Verifier>) -> Result<Batch, OutboxError> {
    let damaged = |source| OutboxError::Damaged { path: folder.to_owned(), source };
    let path = folder.join(MANIFEST);
    let note = match fs::read(&path) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(None)),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let manifest = Manifest::read(&note).map_err(|error| damaged(Some(error)))?;
    // A manifest of a former key can't be checked here; one of ours must fit.
    if let Some(Err(error @ NoteError::Forged)) = verifier.map(|verifier| verifier.open(&note)) {
        return Err(damaged(Some(ManifestError::Note(error))));
    }
    let delivered = folder.join(DELIVERED).exists();
    let whole = manifest.objects.iter().enumerate().all(|(index, object)| {
        fs::metadata(folder.join(object_name(index))).is_ok_and(|file| file.len() == object.bytes)
    });
    if manifest.number != number || !(whole || delivered) {
        return Err(damaged(None));
    }
    let expired = match fs::read(folder.join(EXPIRED)) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let key = Naming {
        prefix: &manifest.prefix,
        instance: &manifest.instance,
        boot: manifest.boot,
        destination: &manifest.destination,
        batch: number,
        format: &manifest.format,
        extension: "",
    }
    .manifest(&note);
    Ok(Batch { folder: folder.to_owned(), manifest, note, key, expired })
}

fn expired_entries(batch: &Batch) -> Vec<ExpiredEntry> {
    let entry = |expired: &Expired| {
        let object = batch.manifest.objects.get(expired.index)?;
        Some(ExpiredEntry {
            number: batch.manifest.number,
            key: object.key.clone(),
            sha256: object.sha256.clone(),
            records: object.records,
            cause: match expired.cause {
                ExpiryCause::Retention => GapCause::Retention,
                ExpiryCause::Corruption => GapCause::Corruption,
            },
            lanes: object.lanes.clone(),
        })
    };
    batch.expired.iter().filter_map(entry).collect()
}

/// Moves a damaged batch out of the way, under a name that is free.
fn set_aside(path: &Path, quarantine: &Path) -> Result<(), OutboxError> {
    fs::create_dir_all(quarantine).map_err(io_error("make", quarantine))?;
    let part = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("outbox-{}-{}", path.parent().map(part).unwrap_or_default(), part(path));
    let mut target = quarantine.join(&name);
    for copy in 1.. {
        if !target.exists() {
            break;
        }
        target = quarantine.join(format!("{name}.{copy}"));
    }
    fs::rename(path, &target).map_err(io_error("move to quarantine", path))
}

fn remove_folder(path: &Path) -> Result<(), OutboxError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), OutboxError> {
    let mut file = File::create(path).map_err(io_error("write", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error("write", path))
}

pub(super) fn sync_folder(path: &Path) -> Result<(), OutboxError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("sync", path))
}
