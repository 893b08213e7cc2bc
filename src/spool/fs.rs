//! The few file-system calls that the spool makes, behind two traits.
//!
//! [`SystemFs`] is the machine's file system; `sim::SimFs` is one in memory
//! that crashes, fills up, tears and forgets by seed, so that each promise of
//! the spool is tried against each way in which a disk can break it.

use std::fmt::Debug;
use std::fs::{DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of a file; 0 for a folder.
    pub bytes: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// A file system. Paths are taken as they are; every error is the operating
/// system's own, or looks like it.
pub trait Fs: Debug + Send + Sync {
    /// Creates a file (mode 0600) for reading and writing; it must not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// What lies at this path.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// The names in a folder, sorted; names that are not UTF-8 are not ours and are left out.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates one folder (mode 0700); its parent must exist.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` for the parent, or what the system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable: what was created, renamed or removed there.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file or a folder in one step; a file at `to` is replaced.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    ///
    /// # Errors
    /// What the system says.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged writer can still use where this folder lies.
    ///
    /// # Errors
    /// What the system says.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// Takes the exclusive lock of a file, which is created if it is missing;
    /// `None` if somebody else holds it. It ends with the process at the latest.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;

    /// Creates a folder and those above it; one that is there is fine.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        match self.create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match self.stat(dir)?.is_dir {
                true => Ok(()),
                false => Err(io::ErrorKind::NotADirectory.into()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir_all(dir.parent().ok_or(error)?)?;
                self.create_dir(dir)
            }
            other => other,
        }
    }
}

/// An open file. Reads and writes name their place, so that no position is shared.
pub trait File: Debug + Send + Sync {
    /// Writes some of `bytes` at `offset` and says how many.
    ///
    /// # Errors
    /// What the system says; nothing is known then of the bytes from `offset` on.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads some bytes from `offset`; 0 at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes what was written durable. After an error nothing that was written
    /// since the last success can be trusted, whatever a later call says.
    ///
    /// # Errors
    /// What the system says.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Bytes in the file.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;
}

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] Box<dyn Guard>);

impl Lock {
    /// Wraps what ends the lock when it is dropped.
    pub fn new(guard: impl Debug + Send + Sync + 'static) -> Self {
        Self(Box::new(guard))
    }
}

trait Guard: Debug + Send + Sync {}
impl<T: Debug + Send + Sync> Guard for T {}

/// Writes all of `bytes` at `offset`, however short the single writes are.
///
/// # Errors
/// The system's; a write that takes nothing is `WriteZero`.
pub fn write_all_at(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written.min(bytes.len())..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `buffer` from `offset` as far as the file goes and says how many bytes that were.
///
/// # Errors
/// The system's.
pub fn read_full_at(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The whole of a file.
///
/// # Errors
/// The system's.
pub fn read(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    let file = fs.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.length()?).unwrap_or(usize::MAX)];
    let length = read_full_at(&*file, &mut bytes, 0)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Makes a file with these bytes, or replaces one that is there; they are on disk when this
/// returns, the file's name is not. A crash in between can leave a part of them.
///
/// # Errors
/// The system's.
pub fn write_synced(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = match fs.create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs.remove_file(path)?;
            fs.create_new(path)?
        }
        other => other?,
    };
    write_all_at(&*file, bytes, 0)?;
    file.sync_data()
}

/// Whether something lies at this path.
///
/// # Errors
/// The system's, where it can't tell.
pub fn exists(fs: &dyn Fs, path: &Path) -> io::Result<bool> {
    match fs.stat(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Removes a folder with everything in it; one that is not there is fine.
///
/// # Errors
/// The system's; what is left can be removed by another call.
pub fn remove_all(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let names = match fs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for name in names {
        let path = dir.join(name);
        match fs.stat(&path)?.is_dir {
            true => remove_all(fs, &path)?,
            false => fs.remove_file(&path)?,
        }
    }
    fs.remove_dir(dir)
}

/// Whether this error says that there is no room.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFs;

impl Fs for SystemFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(std::fs::File::open(path)?))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let found = std::fs::metadata(path)?;
        Ok(Stat { bytes: if found.is_dir() { 0 } else { found.len() }, is_dir: found.is_dir() })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::File::open(dir)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::remove_dir(dir)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(dir)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl File for std::fs::File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
