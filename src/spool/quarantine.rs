//! Keeps bytes that failed their check, for whoever wants to look into them.

use std::io;
use std::path::{Path, PathBuf};

use super::fs::{Fs, write_all_at};
use super::segment::Id;

/// Copies damaged bytes into a file that says where they stood. A second copy
/// of the same bytes is the first one. It is a kindness, not a promise: `None`
/// if it could not be written, and the reader goes on.
pub(super) fn keep(fs: &dyn Fs, dir: &Path, segment: Id, offset: u64, bytes: &[u8]) -> Option<PathBuf> {
    let Id { boot, number } = segment;
    let path = dir.join(format!("{boot}-{number:020}-{offset:020}-{:010}.bad", bytes.len()));
    match write(fs, &path, bytes) {
        Ok(()) => Some(path),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "damaged bytes of the spool could not be kept");
            None
        }
    }
}

fn write(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = match fs.create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs.stat(path)?.bytes == bytes.len() as u64 {
                return Ok(());
            }
            fs.remove_file(path)?;
            fs.create_new(path)?
        }
        other => other?,
    };
    let written = write_all_at(&*file, bytes, 0).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a copy takes room and helps nobody.
        let _ = fs.remove_file(path);
    }
    written
}
