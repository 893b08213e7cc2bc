//! The spool as a whole: its folder, the boots in it, and who holds them.
//!
//! ```text
//! spool.dir/format  id          what this is, and which one
//! spool.dir/segments/{boot}/    lock, and the boot's segments, plain or compressed
//! spool.dir/outbox/  quarantine/  keys/
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::Options;
use super::content;
use super::cursor::{Cursor, ReadError};
use super::format::{self, COMPRESSED, Format, PLAIN, is_known};
use super::fs::{Fs, Lock, is_full};
use super::log::Reader;
use super::reader::{Place, read_header};
use super::retention::{Segment, default_bound};
use super::segment::{self, Id};
use super::tail::{Tail, Tails};
use super::writer::SegmentWriter;

const LOCK: &str = "lock";

/// The spool of this process. Shared by its writer, its readers and retention.
#[derive(Debug)]
pub struct Spool {
    pub(super) place: Place,
    pub(super) options: Options,
    pub(super) boot: Uuid,
    pub(super) instance: String,
    id: Uuid,
    bound: u64,
    locks: Mutex<BTreeMap<Uuid, Lock>>,
    /// Held while a segment goes, or gets its other file: one that is gone must not come back.
    pub(super) naming: Mutex<()>,
}

/// Why the spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder above it is missing.
    #[error("the folder above the spool {dir} does not exist; create it, or set spool.dir")]
    MissingParent {
        /// `spool.dir`.
        dir: PathBuf,
    },
    /// Something on the way is a file.
    #[error("{path} is not a folder")]
    NotADirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// It cannot be written to.
    #[error("cannot write to {path}: the spool needs a folder that this user can write to")]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error("no room for {path}")]
    Full {
        /// What was to be written.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Another version's spool.
    #[error("the spool {dir} has format {found}, this version reads formats {PLAIN} and {COMPRESSED}")]
    OtherVersion {
        /// `spool.dir`.
        dir: PathBuf,
        /// The version that it says.
        found: u32,
    },
    /// Another process holds this boot's lock.
    #[error("another process holds {path}")]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Why something in the spool could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {path}")]
pub struct RemoveError {
    /// The file or folder.
    pub path: PathBuf,
    /// The system's words.
    pub source: io::Error,
}

impl Spool {
    /// Opens the spool, makes what is missing of it, and takes this boot's lock
    /// and those of all boots that no living process holds.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: &Options, fs: Arc<dyn Fs>, boot: Uuid, instance: &str) -> Result<Self, OpenError> {
        let dir = options.dir.clone();
        make_dirs(&*fs, &dir)?;
        let format = settle_format(&*fs, &dir, boot)?;
        let spool = Self {
            place: Place {
                fs,
                tails: Arc::default(),
                segments: dir.join("segments"),
                quarantine: dir.join("quarantine"),
            },
            options: options.clone(),
            boot,
            instance: instance.to_owned(),
            id: format.id,
            bound: options.bytes.unwrap_or(format.bytes),
            locks: Mutex::default(),
            naming: Mutex::default(),
        };
        spool.lock_own()?;
        spool.adopt()?;
        Ok(spool)
    }

    /// The spool's id, the same in every life: names the default path of rings.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The life of this process.
    #[must_use]
    pub fn boot(&self) -> Uuid {
        self.boot
    }

    /// The name of the machine that this process runs under.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// How many bytes all segments together may take.
    #[must_use]
    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// How long a segment waits until it is compressed.
    #[must_use]
    pub fn compress_after(&self) -> Duration {
        self.options.compress_after
    }

    /// The folder of this spool.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// The folder of one boot's log.
    #[must_use]
    pub fn boot_dir(&self, boot: Uuid) -> PathBuf {
        self.place.segments.join(boot.to_string())
    }

    /// The folder of all outboxes.
    #[must_use]
    pub fn outbox_dir(&self) -> PathBuf {
        self.options.dir.join("outbox")
    }

    /// The name of the folder of the keys that were made here.
    pub const KEYS: &'static str = "keys";

    /// The folder of the keys that were made here.
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.options.dir.join(Self::KEYS)
    }

    /// The file system that it lies on.
    #[must_use]
    pub fn fs(&self) -> &Arc<dyn Fs> {
        &self.place.fs
    }

    /// Where the logs of the boots end, and a way to wait for more.
    #[must_use]
    pub fn tails(&self) -> &Arc<Tails> {
        &self.place.tails
    }

    /// The writer of this boot's log. To be asked for once.
    #[must_use]
    pub fn writer(&self) -> SegmentWriter {
        self.writer_of(self.boot, &self.instance, None)
    }

    /// The boots whose lock this process holds, oldest first, its own among them.
    #[must_use]
    pub fn boots(&self) -> Vec<Uuid> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Whether a boot has a folder in this spool, whoever holds it. Where the disk does not
    /// tell, it has.
    #[must_use]
    pub fn has_boot(&self, boot: Uuid) -> bool {
        super::fs::exists(&*self.place.fs, &self.boot_dir(boot)).unwrap_or(true)
    }

    /// The boots of dead processes, oldest first: each is to be recovered.
    #[must_use]
    pub fn leftovers(&self) -> Vec<Uuid> {
        self.boots().into_iter().filter(|boot| *boot != self.boot).collect()
    }

    /// The boots that other living processes hold in this spool.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn neighbours(&self) -> Result<Vec<Uuid>, OpenError> {
        let Place { fs, segments, .. } = &self.place;
        let names = fs.list(segments).map_err(failure("list", segments))?;
        let own = self.boots();
        Ok(names
            .iter()
            .filter_map(|name| segment::boot_of(name))
            .filter(|boot| !own.contains(boot))
            .collect())
    }

    /// Takes over the boots whose process has ended since, and names them.
    /// Recover them before a reader gets to them.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn adopt(&self) -> Result<Vec<Uuid>, OpenError> {
        let Place { fs, segments, .. } = &self.place;
        let names = fs.list(segments).map_err(failure("list", segments))?;
        let mut adopted = Vec::new();
        for boot in names.iter().filter_map(|name| segment::boot_of(name)) {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.contains_key(&boot) {
                continue;
            }
            let path = segments.join(boot.to_string()).join(LOCK);
            match fs.lock(&path) {
                Ok(Some(lock)) => {
                    locks.insert(boot, lock);
                    adopted.push(boot);
                }
                Ok(None) => {}
                // Its own process has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failure("lock", &path)(source)),
            }
        }
        Ok(adopted)
    }

    /// Reads from these cursors on, one a boot.
    #[must_use]
    pub fn reader(&self, cursors: impl IntoIterator<Item = Cursor>) -> Reader {
        Reader::new(&self.place, cursors)
    }

    /// All segments of the boots that this process holds, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn segments(&self) -> Result<Vec<Segment>, ReadError> {
        let Place { fs, segments, .. } = &self.place;
        let mut found = Vec::new();
        for boot in self.boots() {
            for files in content::list(&**fs, segments, boot)? {
                found.extend(files.measure(&**fs, segments, boot)?);
            }
        }
        Ok(found)
    }

    /// When a segment was created, in Unix microseconds; `None` if its header cannot be read.
    #[must_use]
    pub fn created(&self, id: Id) -> Option<u64> {
        read_header(&*self.place.fs, id, &self.place.segments).map(|header| header.created)
    }

    /// Removes a segment, so that it stays away after power loss too; one that is gone already is fine.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub fn remove_segment(&self, id: Id) -> Result<(), RemoveError> {
        let Place { fs, segments, .. } = &self.place;
        let naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        for path in content::paths(segments, id) {
            match fs.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RemoveError { path, source: error });
                }
                _ => {}
            }
        }
        drop(naming);
        let dir = segments.join(id.boot.to_string());
        match fs.sync_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RemoveError { path: dir, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Removes a boot's folder with everything in it, oldest segment first, and gives its lock up.
    ///
    /// # Errors
    /// [`RemoveError`]; asking again goes on from there.
    pub fn remove_boot(&self, boot: Uuid) -> Result<(), RemoveError> {
        let Place { fs, segments, tails, .. } = &self.place;
        let dir = segments.join(boot.to_string());
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let names = match fs.list(&dir) {
            Err(error) if gone(&error) => Vec::new(),
            other => other.map_err(|source| RemoveError { path: dir.clone(), source })?,
        };
        // The lock file sorts behind the digits of segments: it goes last.
        for name in &names {
            let path = dir.join(name);
            match fs.remove_file(&path) {
                Err(error) if !gone(&error) => return Err(RemoveError { path, source: error }),
                _ => {}
            }
        }
        match fs.remove_dir(&dir) {
            Err(error) if !gone(&error) => return Err(RemoveError { path: dir, source: error }),
            _ => {}
        }
        tails.forget(boot);
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(&boot);
        fs.sync_dir(segments).map_err(|source| RemoveError { path: segments.clone(), source })
    }

    /// Says of a boot which has been recovered, and whose log ends with its own
    /// last word, that nothing more will be written to it.
    pub fn close_boot(&self, boot: Uuid) {
        if let Some(tail) = self.place.tails.of(boot) {
            self.place.tails.publish(boot, Tail { closed: true, ..tail });
        }
    }

    /// A writer for a recovered boot which was closed and has to say more: the
    /// gaps of its released segments. `None` for this process's own boot, and
    /// for one that has not been recovered. Rotate first; drop the writer that
    /// recovery gave before.
    #[must_use]
    pub fn reopen(&self, boot: Uuid) -> Option<SegmentWriter> {
        let tail = self.place.tails.of(boot).filter(|_| boot != self.boot)?;
        let known = self.segments().ok()?;
        let of_boot = known.into_iter().map(|segment| segment.id).filter(|id| id.boot == boot);
        let instance = of_boot
            .filter_map(|id| read_header(&*self.place.fs, id, &self.place.segments))
            .last()
            .map_or_else(|| self.instance.clone(), |header| header.instance);
        Some(self.writer_of(boot, &instance, (tail.segment > 0).then_some((tail.segment, tail.length))))
    }

    pub(super) fn writer_of(&self, boot: Uuid, instance: &str, newest: Option<(u64, u64)>) -> SegmentWriter {
        let Place { fs, tails, segments, .. } = &self.place;
        SegmentWriter::open(fs.clone(), tails.clone(), segments, boot, instance, &self.options, newest)
    }

    /// The folder gets its name once it is locked, so that nobody takes it for a dead boot's.
    fn lock_own(&self) -> Result<(), OpenError> {
        let Place { fs, segments, .. } = &self.place;
        let named = segments.join(self.boot.to_string());
        let hidden = segments.join(format!(".{}", self.boot));
        fs.create_dir_all(&hidden).map_err(failure("create", &hidden))?;
        let path = hidden.join(LOCK);
        let lock = fs.lock(&path).map_err(failure("lock", &path))?.ok_or(OpenError::Locked { path })?;
        fs.rename(&hidden, &named).map_err(failure("name", &named))?;
        for dir in [&named, segments] {
            fs.sync_dir(dir).map_err(failure("sync", dir))?;
        }
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).insert(self.boot, lock);
        Ok(())
    }
}

fn make_dirs(fs: &dyn Fs, dir: &Path) -> Result<(), OpenError> {
    match fs.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs.stat(dir) {
            Ok(stat) if !stat.is_dir => return Err(OpenError::NotADirectory { path: dir.to_owned() }),
            Ok(_) => {}
            Err(source) => return Err(failure("look at", dir)(source)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::MissingParent { dir: dir.to_owned() });
        }
        other => {
            other.map_err(failure("create", dir))?;
            if let Some(parent) = dir.parent() {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                fs.sync_dir(parent).map_err(failure("sync", parent))?;
            }
        }
    }
    for name in ["segments", "outbox", "quarantine", "keys"] {
        let path = dir.join(name);
        fs.create_dir_all(&path).map_err(failure("create", &path))?;
    }
    fs.sync_dir(dir).map_err(failure("sync", dir))
}

/// Reads what the spool says of itself, and writes it where it is missing or damaged.
fn settle_format(fs: &dyn Fs, dir: &Path, mark: Uuid) -> Result<Format, OpenError> {
    let (format_path, id_path) = (dir.join("format"), dir.join("id"));
    let text = format::read(fs, &format_path).map_err(failure("read", &format_path))?;
    let format = text.as_deref().and_then(Format::decode);
    if let Some(found) = format.as_ref().map(|format| format.version).filter(|found| !is_known(*found)) {
        return Err(OpenError::OtherVersion { dir: dir.to_owned(), found });
    }
    let text = format::read(fs, &id_path).map_err(failure("read", &id_path))?;
    let id = text.as_deref().and_then(format::decode_id);
    let settled = match &format {
        Some(format) => format.clone(),
        None => {
            let free = fs.free_space(dir).map_err(failure("measure the free space of", dir))?;
            // Of a spool that was there before nobody knows any more what it holds.
            let version = if id.is_some() { COMPRESSED } else { PLAIN };
            Format { version, id: id.unwrap_or(mark), bytes: default_bound(free) }
        }
    };
    // The format comes last: while it is missing, the spool is not complete.
    let mut changed = false;
    if id != Some(settled.id) {
        format::replace(fs, &id_path, mark, &format::encode_id(settled.id))
            .map_err(failure("write", &id_path))?;
        changed = true;
    }
    if format.is_none() {
        format::replace(fs, &format_path, mark, &settled.encode()).map_err(failure("write", &format_path))?;
        changed = true;
    }
    if changed {
        fs.sync_dir(dir).map_err(failure("sync", dir))?;
    }
    Ok(settled)
}

fn failure<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotADirectory => OpenError::NotADirectory { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                OpenError::NotWritable { path, source }
            }
            _ if is_full(&source) => OpenError::Full { path, source },
            _ => OpenError::Io { operation, path, source },
        }
    }
}
