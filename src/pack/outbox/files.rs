//! The files of an outbox: what a batch's folder holds, and how it is read back.

use super::{Batch, DRAFT, Expired, ExpiryCause, OutboxError, io_error, object_name};
use crate::error_chain::Chain;
use crate::evidence::note::{NoteError, Verifier};
use crate::format::{Compression, KeyTemplate};
use crate::pack::manifest::{ExpiredEntry, Manifest, ManifestError};
use crate::pack::partition::Naming;
use crate::record::GapCause;
use crate::spool::fs::{self, Fs};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub(super) const MANIFEST: &str = "manifest";
pub(super) const MANIFEST_COPY: &str = "manifest.copy";
pub(super) const DELIVERED: &str = "delivered";
pub(super) const EXPIRED: &str = "expired";

/// A batch as it lies there.
pub(super) struct Found {
    pub(super) batch: Batch,
    pub(super) delivered: bool,
    /// The one of the manifest's two files that is no use any more, and what is wrong with it.
    pub(super) damaged_copy: Option<(PathBuf, Option<ManifestError>)>,
}

pub(super) fn remove_drafts(fs: &dyn Fs, folder: &Path) -> Result<(), OutboxError> {
    for name in fs.list(folder).map_err(io_error("list", folder))? {
        if name.starts_with(DRAFT) {
            remove_folder(fs, &folder.join(name))?;
        }
    }
    Ok(())
}

/// The batches in the folder by number; strange names are left alone.
pub(super) fn scan(fs: &dyn Fs, folder: &Path) -> Result<BTreeMap<u64, PathBuf>, OutboxError> {
    let names = fs.list(folder).map_err(io_error("list", folder))?;
    let numbered = |name: &String| Some((name.parse().ok().filter(|_| name.len() == 20)?, folder.join(name)));
    Ok(names.iter().filter_map(numbered).collect())
}

/// Reads a batch: its manifest from either of its files, and whether its objects are all there.
pub(super) fn read_batch(
    fs: &dyn Fs,
    folder: &Path,
    number: u64,
    verifier: Option<&Verifier>,
) -> Result<Found, OutboxError> {
    let first = read_manifest(fs, &folder.join(MANIFEST), number, verifier);
    let copy = read_manifest(fs, &folder.join(MANIFEST_COPY), number, verifier);
    let damaged = |(path, error)| match error {
        OutboxError::Damaged { source, .. } => Some((path, source)),
        OutboxError::Io { .. } => None,
    };
    let ((note, manifest), damaged_copy) = match (first, copy) {
        (Ok(read), Ok(copy)) if read.0 == copy.0 => (read, None),
        // A bit of a signer's name makes it a stranger's signature, which nobody here can check:
        // of two that differ the one is right that is signed by our key.
        (Ok(read), Ok(copy)) => {
            let ours = |note: &[u8]| verifier.is_some_and(|verifier| verifier.open(note).is_ok());
            match ours(&copy.0) && !ours(&read.0) {
                true => (copy, Some((folder.join(MANIFEST), None))),
                false => (read, Some((folder.join(MANIFEST_COPY), None))),
            }
        }
        (Ok(read), Err(error)) => (read, damaged((folder.join(MANIFEST_COPY), error))),
        (Err(error), Ok(read)) => (read, damaged((folder.join(MANIFEST), error))),
        // One that can't be read now may be whole.
        (Err(error @ OutboxError::Io { .. }), Err(_)) | (Err(_), Err(error @ OutboxError::Io { .. })) => {
            return Err(error);
        }
        (Err(error), Err(_)) => return Err(error),
    };
    let marker = folder.join(DELIVERED);
    let delivered = fs::exists(fs, &marker).map_err(io_error("look at", &marker))?;
    let mut expired: Vec<Expired> = match fs::read(fs, &folder.join(EXPIRED)) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io_error("read", &folder.join(EXPIRED))(error)),
    };
    expired.retain(|expired| expired.index < manifest.objects.len());
    if !delivered {
        for (index, object) in manifest.objects.iter().enumerate() {
            let whole =
                fs.stat(&folder.join(object_name(index))).is_ok_and(|file| file.bytes == object.bytes);
            if !whole && !expired.iter().any(|expired| expired.index == index) {
                expired.push(Expired { index, cause: ExpiryCause::Corruption });
            }
        }
    }
    let key = Naming {
        prefix: &manifest.prefix,
        instance: &manifest.instance,
        boot: manifest.boot,
        destination: &manifest.destination,
        batch: number,
        format: &manifest.format,
        template: &KeyTemplate::default(),
        extension: "",
        compression: Compression::None,
    }
    .manifest(&note);
    let batch = Batch { folder: folder.to_owned(), manifest, note, key, expired };
    Ok(Found { batch, delivered, damaged_copy })
}

fn read_manifest(
    fs: &dyn Fs,
    path: &Path,
    number: u64,
    verifier: Option<&Verifier>,
) -> Result<(Vec<u8>, Manifest), OutboxError> {
    let damaged = |source| OutboxError::Damaged { path: path.parent().unwrap_or(path).to_owned(), source };
    let note = match fs::read(fs, path) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(None)),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    let manifest = Manifest::read(&note).map_err(|error| damaged(Some(error)))?;
    // A manifest of a former key can't be checked here; one of ours must fit.
    if let Some(Err(error @ NoteError::Forged)) = verifier.map(|verifier| verifier.open(&note)) {
        return Err(damaged(Some(ManifestError::Note(error))));
    }
    if manifest.number != number {
        return Err(damaged(None));
    }
    Ok((note, manifest))
}

/// Writes the manifest once more where it was damaged; the next start tries again.
pub(super) fn repair(fs: &dyn Fs, path: &Path, note: &[u8]) {
    let folder = path.parent().unwrap_or(path);
    if let Err(error) = write_synced(fs, path, note).and_then(|()| sync_folder(fs, folder)) {
        tracing::warn!(error = %Chain(&error), "a damaged copy of a manifest could not be replaced");
    }
}

pub(super) fn expired_entries(batch: &Batch) -> Vec<ExpiredEntry> {
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
pub(super) fn set_aside(fs: &dyn Fs, path: &Path, quarantine: &Path) -> Result<(), OutboxError> {
    fs.create_dir_all(quarantine).map_err(io_error("make", quarantine))?;
    let part = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("outbox-{}-{}", path.parent().map(part).unwrap_or_default(), part(path));
    let mut target = quarantine.join(&name);
    for copy in 1.. {
        if !fs::exists(fs, &target).map_err(io_error("look at", &target))? {
            break;
        }
        target = quarantine.join(format!("{name}.{copy}"));
    }
    fs.rename(path, &target).map_err(io_error("move to quarantine", path))
}

pub(super) fn remove_folder(fs: &dyn Fs, path: &Path) -> Result<(), OutboxError> {
    fs::remove_all(fs, path).map_err(io_error("remove", path))
}

pub(super) fn write_synced(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), OutboxError> {
    fs::write_synced(fs, path, bytes).map_err(io_error("write", path))
}

pub(super) fn sync_folder(fs: &dyn Fs, path: &Path) -> Result<(), OutboxError> {
    fs.sync_dir(path).map_err(io_error("sync", path))
}
