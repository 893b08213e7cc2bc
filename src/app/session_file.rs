//! The sessions that may still go on, in a file beside the spool, so that a restart does not
//! cut them in two.
//!
//! A file a destination, since each reads the log at its own pace. It is written after each
//! batch, replaced as a whole, and not forced to disk: after a loss of power, or a death right
//! behind a batch, sessions of that moment begin anew, and nothing else is lost.

use crate::enrich::session::Sessions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct SessionFile {
    path: PathBuf,
    sessions: Mutex<Sessions>,
}

impl SessionFile {
    /// Takes up what the file of this destination says, if there is one.
    pub(super) fn open(spool: &Path, destination: &str, gap: Duration) -> Arc<Self> {
        let path = spool.join("sessions").join(destination);
        let gap = u64::try_from(gap.as_micros()).unwrap_or(u64::MAX);
        let sessions =
            std::fs::read(&path).map_or_else(|_| Sessions::new(gap), |file| Sessions::resume(gap, &file));
        Arc::new(Self { path, sessions: Mutex::new(sessions) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes it. A disk that does not take it costs nothing but what the module says.
    pub(super) fn save(&self) {
        let bytes = self.lock().to_bytes();
        let written = self.path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
            let name = self.path.file_name().unwrap_or_default().to_string_lossy();
            let new = self.path.with_file_name(format!(".{name}.new"));
            std::fs::write(&new, bytes)?;
            std::fs::rename(new, &self.path)
        });
        if let Err(error) = written {
            tracing::debug!(%error, "the sessions could not be written; a restart begins them anew");
        }
    }
}
