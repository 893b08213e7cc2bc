//! Which destinations an operator has paused: a small file each in the spool folder, so that
//! a restart does not resume what somebody has halted.

use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The folder with a file for each paused destination. What is in a file is for people: who
/// paused it and when; that it is there is what counts.
#[derive(Clone, Debug)]
pub(super) struct Pauses {
    folder: PathBuf,
}

impl Pauses {
    /// In this spool folder; nothing is made before the first pause.
    pub(super) fn new(spool: &Path) -> Self {
        Self { folder: spool.join("paused") }
    }

    /// A name is safe as a file's: letters, digits, `.`, `_`, `-`, and no `..`.
    fn path(&self, destination: &str) -> PathBuf {
        self.folder.join(destination)
    }

    pub(super) fn is_paused(&self, destination: &str) -> bool {
        self.path(destination).exists()
    }

    /// Writes it down; it is on disk when this returns.
    pub(super) fn pause(&self, destination: &str, by: &str) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let told = json!({ "by": by, "at": jiff::Timestamp::now().to_string() });
        let mut file = File::create(self.path(destination))?;
        file.write_all(format!("{told}\n").as_bytes())?;
        file.sync_all()?;
        self.sync()
    }

    /// Forgets it; that is on disk when this returns.
    pub(super) fn resume(&self, destination: &str) -> io::Result<()> {
        match fs::remove_file(self.path(destination)) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()?;
        // The folder itself may be new.
        self.folder.parent().map_or(Ok(()), |spool| File::open(spool)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_there_until_it_is_taken_back() {
        let spool = tempfile::tempdir().unwrap();
        let pauses = Pauses::new(spool.path());
        assert!(!pauses.is_paused("main"));
        pauses.resume("main").unwrap();
        pauses.pause("main", "alice").unwrap();
        pauses.pause("main", "bob").unwrap();
        assert!(Pauses::new(spool.path()).is_paused("main") && !pauses.is_paused("other"));
        assert!(fs::read_to_string(spool.path().join("paused/main")).unwrap().contains("\"bob\""));
        pauses.resume("main").unwrap();
        assert!(!pauses.is_paused("main"));
    }
}
