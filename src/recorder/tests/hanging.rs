//! A file system whose fsyncs of files hang while the test holds them.

use crate::spool::fs::{File, Fs, Lock, Stat};
use crate::spool::sim::SimFs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Clone, Debug)]
pub(super) struct HangingFs {
    pub(super) inner: SimFs,
    gate: Arc<Mutex<()>>,
    syncs: Arc<AtomicU64>,
}

impl HangingFs {
    pub(super) fn new(inner: &SimFs) -> Self {
        Self { inner: inner.clone(), gate: Arc::default(), syncs: Arc::default() }
    }

    /// Every fsync of a file hangs until this is dropped.
    pub(super) fn hang(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }

    /// Fsyncs of files that have ended.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    fn wrap(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(HangingFile { file, fs: self.clone() })
    }
}

impl Fs for HangingFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.create_new(path).map(|file| self.wrap(file))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.open(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.inner.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_space(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        self.inner.lock(path)
    }
}

#[derive(Debug)]
struct HangingFile {
    file: Box<dyn File>,
    fs: HangingFs,
}

impl File for HangingFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        let _open = self.fs.gate.lock().unwrap();
        self.file.sync_data()?;
        self.fs.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}
