//! A directory as destination.
//!
//! An object is written under a temporary name that begins with a dot (readers
//! of partitioned data skip those), synced, and renamed without replacing. The
//! temporary file is locked while it is written: a leftover of a crash is taken
//! over, a living writer's is left alone.

use super::destination::{Advice, Body, BoxFuture, Cause, Created, Destination, Object, PutError};
use crate::evidence::merkle;
use aws_lc_rs::digest;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const COPY_BUFFER: usize = 128 * 1024;
/// So often a temporary name is fought for before the attempt is given up.
const TURNS: usize = 8;

/// A directory, and who may read what is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirOptions {
    /// Its path; made if it is missing.
    pub path: PathBuf,
    /// Permissions of objects; `None`: as the umask of the process leaves them.
    pub file_mode: Option<u32>,
    /// Permissions of folders that are made; `None`: as the umask of the process leaves them.
    pub folder_mode: Option<u32>,
}

impl DirOptions {
    /// A directory with the permissions that the umask leaves.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file_mode: None, folder_mode: None }
    }
}

/// A directory that objects are created in.
#[derive(Clone, Debug)]
pub struct DirStore {
    options: DirOptions,
}

impl DirStore {
    /// A store in this directory, which is made at the first write if it is missing.
    #[must_use]
    pub fn new(options: &DirOptions) -> Self {
        Self { options: options.clone() }
    }
}

impl Destination for DirStore {
    fn create<'a>(&'a self, object: Object<'a>) -> BoxFuture<'a, Result<Created, PutError>> {
        let options = self.options.clone();
        let key = object.key.to_owned();
        let body = match object.body {
            Body::File(path) => Content::File(path.to_owned()),
            Body::Bytes(bytes) => Content::Bytes(bytes.to_vec()),
        };
        let sha256 = object.sha256;
        Box::pin(async move {
            let task = tokio::task::spawn_blocking(move || create(&options, &key, &body, &sha256));
            task.await.unwrap_or_else(|error| Err(PutError::new(Cause::ServerError, error.to_string())))
        })
    }

    fn silence(&self) -> Cause {
        Cause::ServerError
    }

    fn place(&self) -> String {
        self.options.path.display().to_string()
    }
}

enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

fn create(
    options: &DirOptions,
    key: &str,
    content: &Content,
    sha256: &merkle::Hash,
) -> Result<Created, PutError> {
    let segment = |s: &str| !s.is_empty() && !s.starts_with('.') && !s.contains('\0');
    if !key.split('/').all(segment) {
        return Err(PutError::new(Cause::Policy, format!("the key `{key}` is no path below the directory")));
    }
    let path = options.path.join(key);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(PutError::new(Cause::Policy, format!("the key `{key}` names no file")));
    };
    if path.symlink_metadata().is_ok() {
        // Perhaps of an attempt whose last sync failed.
        sync_folder(folder).map_err(|error| refusal("sync", folder, &error))?;
        return Ok(Created::AlreadyThere);
    }
    make_folders(folder, options.folder_mode)?;
    let draft = folder.join(format!(".{}", name.to_string_lossy()));
    let mut file = lock_draft(&draft, options.file_mode.unwrap_or(0o666))?;
    if let Some(mode) = options.file_mode {
        // What the umask took from it, and what a leftover had.
        set_mode(&draft, mode)?;
    }
    let done = write(&mut file, &draft, content, sha256).and_then(|()| publish(&draft, &path));
    if !matches!(done, Ok(Created::Created)) {
        // Under the lock still, so it is ours. A later attempt would take it over anyway.
        let _ = fs::remove_file(&draft);
    }
    if done.is_ok() {
        sync_folder(folder).map_err(|error| refusal("sync", folder, &error))?;
    }
    done
}

/// Makes the folders that are missing, each synced into its parent.
fn make_folders(folder: &Path, mode: Option<u32>) -> Result<(), PutError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folders(parent, mode)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(refusal("make", folder, &error));
        }
        // Another one has made it, and given it its mode.
        Err(_) => {}
        Ok(()) => {
            if let Some(mode) = mode {
                set_mode(folder, mode)?;
            }
        }
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(parent).map_err(|error| refusal("sync", parent, &error))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), PutError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| refusal("change", path, &error))
}

/// The temporary file, empty and locked.
fn lock_draft(draft: &Path, mode: u32) -> Result<File, PutError> {
    for _ in 0..TURNS {
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).mode(mode).open(draft);
        let file = file.map_err(|error| refusal("open", draft, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let words = format!("{} is being written by another process", draft.display());
                return Err(PutError { cause: Cause::Throttled, words, advice: Advice::Now });
            }
            Err(TryLockError::Error(error)) => return Err(refusal("lock", draft, &error)),
        }
        // Between opening and locking, another writer may have renamed or removed the file.
        let held = file.metadata().map_err(|error| refusal("read", draft, &error))?;
        let there = draft.symlink_metadata().ok();
        if there.is_none_or(|there| (there.dev(), there.ino()) != (held.dev(), held.ino())) {
            continue;
        }
        // A crash between link and unlink: these bytes are the object's own.
        if held.nlink() > 1 {
            fs::remove_file(draft).map_err(|error| refusal("remove", draft, &error))?;
            continue;
        }
        file.set_len(0).map_err(|error| refusal("write", draft, &error))?;
        return Ok(file);
    }
    let words = format!("{} keeps changing", draft.display());
    Err(PutError { cause: Cause::Throttled, words, advice: Advice::BackOff })
}

/// Writes and syncs the bytes; what is not what was packed is not delivered.
fn write(file: &mut File, draft: &Path, content: &Content, sha256: &merkle::Hash) -> Result<(), PutError> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        file.write_all(bytes).map_err(|error| refusal("write", draft, &error))
    };
    match content {
        Content::Bytes(bytes) => put(bytes)?,
        Content::File(path) => {
            let mut source = File::open(path).map_err(|error| refusal("open", path, &error))?;
            let mut buffer = vec![0; COPY_BUFFER];
            loop {
                match source.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => put(&buffer[..length])?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(refusal("read", path, &error)),
                }
            }
        }
    }
    if merkle::finish(hash) != *sha256 {
        let words = "the bytes in the outbox are not those that were packed".to_owned();
        return Err(PutError { cause: Cause::ServerError, words, advice: Advice::GiveUp });
    }
    file.sync_all().map_err(|error| refusal("sync", draft, &error))
}

/// Gives the file its name, unless that is taken.
fn publish(draft: &Path, path: &Path) -> Result<Created, PutError> {
    let renamed = match renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag; a link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(draft, path).and_then(|()| fs::remove_file(draft))
        }
        other => other.map_err(io::Error::from),
    };
    match renamed {
        Ok(()) => Ok(Created::Created),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Created::AlreadyThere),
        Err(error) => Err(refusal("name", path, &error)),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn refusal(operation: &str, path: &Path, error: &io::Error) -> PutError {
    use io::ErrorKind as Kind;
    let cause = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Cause::Quota,
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Cause::Permission,
        Kind::NotFound | Kind::NotADirectory => Cause::NotFound,
        Kind::InvalidFilename | Kind::IsADirectory => Cause::Policy,
        Kind::TimedOut | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::StaleNetworkFileHandle => {
            Cause::Network
        }
        _ => Cause::ServerError,
    };
    PutError::new(cause, format!("cannot {operation} {}: {error}", path.display()))
}
