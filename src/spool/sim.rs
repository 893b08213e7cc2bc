//! A file system in memory that fails on demand, for tests of what a crash leaves.
//!
//! It keeps two views: what the process sees, and what the disk holds. A sync
//! moves the one to the other. [`SimFs::kill`] ends the process: everything
//! written stays. [`SimFs::lose_power`] ends the machine: of what was not
//! synced a part survives, chosen by seed, torn in the middle of a write. A
//! failed fsync drops what it should have written, as Linux does: the process
//! still reads it, no later fsync saves it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fs::{File, Fs, Lock, Stat};

mod disk;

use disk::{Change, EIO, ENOSPC, Edit, Entry, Node, State, errno};

/// The file system; clones are the same one.
#[derive(Clone, Debug)]
pub struct SimFs(Arc<Mutex<State>>);

/// What is to go wrong. Calls are numbered from 1.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The process dies in this call: a write is torn, anything else is not done,
    /// and every later call fails until [`SimFs::kill`] or [`SimFs::lose_power`].
    pub crash_at: Option<u64>,
    /// This call fails with this `errno`.
    pub fail_call: Option<(u64, i32)>,
    /// So many of the next fsyncs of files fail with `EIO`.
    pub failing_syncs: u32,
    /// So many of the next fsyncs of folders fail with `EIO`.
    pub failing_dir_syncs: u32,
    /// So many of the next cuts fail with `EIO`.
    pub failing_cuts: u32,
    /// All files together may hold this many bytes.
    pub room: Option<u64>,
    /// Writes take a random part of what they are given.
    pub short_writes: bool,
    /// Nothing can be changed.
    pub read_only: bool,
}

impl SimFs {
    /// An empty file system whose chances come from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State::new(seed))))
    }

    /// Changes what is to go wrong.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// Changes the chances from here on.
    pub fn reseed(&self, seed: u64) {
        self.state().random = fastrand::Rng::with_seed(seed);
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Whether the process died in a call and has not been ended since.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Another file system in the same state, to try another end of the same story.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Ends the process: files that are open are of no use any more, locks are
    /// free, what was written stays, faults are over.
    pub fn kill(&self) {
        let mut state = self.state();
        state.life += 1;
        state.dead = false;
        state.faults = Faults::default();
        state.locks.clear();
    }

    /// Ends the machine: as [`SimFs::kill`], and a random part of what was not synced is lost.
    pub fn lose_power(&self) {
        self.kill();
        let mut state = self.state();
        let State { random, pending, durable, nodes, .. } = &mut *state;
        let kept = random.usize(..=pending.len());
        for change in pending.drain(..).take(kept) {
            change.apply(durable);
        }
        let known = durable.clone();
        durable.retain(|path, _| path.ancestors().skip(1).all(|dir| known.get(dir) == Some(&Entry::Dir)));
        for node in nodes {
            node.lose_power(random);
        }
        state.seen = state.durable.clone();
    }

    /// Flips a bit of a file, seen and durable alike.
    pub fn flip(&self, path: &Path, bit: usize) {
        self.damage(path, |bytes| {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    /// Changes a file behind everybody's back, seen and durable alike; creates it if it is missing.
    pub fn damage(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state();
        let node = match state.seen.get(path) {
            Some(Entry::File(node)) => *node,
            _ => state.add_node(path),
        };
        change(&mut state.nodes[node].seen);
        state.nodes[node].durable = state.nodes[node].seen.clone();
        state.nodes[node].pending.clear();
        state.durable.insert(path.to_owned(), Entry::File(node));
    }

    /// The bytes of a file as the process sees them.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        match state.seen.get(path)? {
            Entry::File(node) => Some(state.nodes[*node].seen.clone()),
            Entry::Dir => None,
        }
    }

    /// The paths of all files.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.state();
        state.seen.iter().filter(|(_, entry)| **entry != Entry::Dir).map(|(path, _)| path.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs for SimFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        state.enter(true)?;
        state.vacant(path)?;
        let node = state.add_node(path);
        Ok(Box::new(SimFile { fs: self.clone(), node, life: state.life }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        state.enter(false)?;
        match state.entry(path)? {
            Entry::File(node) => Ok(Box::new(SimFile { fs: self.clone(), node, life: state.life })),
            Entry::Dir => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let mut state = self.state();
        state.enter(false)?;
        Ok(match state.entry(path)? {
            Entry::File(node) => Stat { bytes: state.nodes[node].seen.len() as u64, is_dir: false },
            Entry::Dir => Stat { bytes: 0, is_dir: true },
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.enter(false)?;
        state.dir(dir)?;
        let below = state.seen.keys().filter(|path| path.parent() == Some(dir));
        Ok(below.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(true)?;
        state.vacant(dir)?;
        state.change(Change::Put(dir.to_owned(), Entry::Dir));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(false)?;
        state.dir(dir)?;
        let failing = state.faults.failing_dir_syncs > 0;
        let State { pending, durable, .. } = &mut *state;
        let (mine, others): (Vec<_>, Vec<_>) = pending.drain(..).partition(|change| change.touches(dir));
        if failing {
            *pending = mine.into_iter().chain(others).collect();
            state.faults.failing_dir_syncs -= 1;
            return Err(errno(EIO));
        }
        *pending = others;
        mine.into_iter().for_each(|change| change.apply(durable));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(true)?;
        state.entry(from)?;
        match state.vacant(to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if state.entry(to)? == Entry::Dir {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
            }
            other => other?,
        }
        state.pending.iter_mut().for_each(|change| change.follow(from, to));
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(true)?;
        match state.entry(path)? {
            Entry::Dir => return Err(io::ErrorKind::IsADirectory.into()),
            Entry::File(_) => state.change(Change::Remove(path.to_owned())),
        }
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(true)?;
        state.dir(dir)?;
        if state.seen.keys().any(|path| path.parent() == Some(dir)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.change(Change::Remove(dir.to_owned()));
        Ok(())
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.enter(false)?;
        state.dir(dir)?;
        Ok(state.free())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut state = self.state();
        state.enter(true)?;
        let node = match state.entry(path) {
            Ok(Entry::File(node)) => node,
            Ok(Entry::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            Err(_) => {
                state.vacant(path)?;
                state.add_node(path)
            }
        };
        let taken = state.locks.insert(node);
        Ok(taken.then(|| Lock::new(SimLock { fs: self.clone(), node, life: state.life })))
    }
}

#[derive(Debug)]
struct SimLock {
    fs: SimFs,
    node: usize,
    life: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.fs.state();
        if state.life == self.life {
            state.locks.remove(&self.node);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    node: usize,
    life: u64,
}

impl SimFile {
    fn enter(&self, changes: bool) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.fs.state();
        if state.life != self.life {
            return Err(io::Error::other("the process that opened this file is dead"));
        }
        state.enter(changes)?;
        Ok(state)
    }
}

impl File for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.fs.state();
        let alive = !state.dead && state.life == self.life;
        let entered = if alive { state.enter(true) } else { Err(io::Error::other("the process is dead")) };
        let torn = alive && state.dead;
        let mut count = bytes.len();
        if entered.is_err() || state.faults.short_writes {
            count = state.random.usize(usize::from(entered.is_ok() && count > 0)..=count);
        }
        if entered.is_err() && !torn {
            entered?;
            return Ok(0);
        }
        let growth = (offset + count as u64).saturating_sub(state.nodes[self.node].seen.len() as u64);
        let missing = growth.saturating_sub(state.free());
        count = count.saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
        if count == 0 && !bytes.is_empty() && !torn {
            return Err(errno(ENOSPC));
        }
        let edit = Edit::Write(offset, bytes[..count].to_vec());
        let node = &mut state.nodes[self.node];
        if count > 0 {
            Node::edit(&mut node.seen, &edit);
            node.pending.push(edit);
        }
        entered.map(|()| count)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.enter(false)?;
        let bytes = &state.nodes[self.node].seen;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.enter(false)?;
        let failing = state.faults.failing_syncs > 0;
        let node = &mut state.nodes[self.node];
        let pending = std::mem::take(&mut node.pending);
        if failing {
            state.faults.failing_syncs -= 1;
            return Err(errno(EIO));
        }
        pending.iter().for_each(|edit| Node::edit(&mut node.durable, edit));
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.enter(true)?;
        if state.faults.failing_cuts > 0 {
            state.faults.failing_cuts -= 1;
            return Err(errno(EIO));
        }
        let node = &mut state.nodes[self.node];
        Node::edit(&mut node.seen, &Edit::Length(bytes));
        node.pending.push(Edit::Length(bytes));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.enter(false)?;
        Ok(state.nodes[self.node].seen.len() as u64)
    }
}
