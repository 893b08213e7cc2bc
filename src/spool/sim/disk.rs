//! What the simulated disk holds: what the process sees, what is durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Faults;

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) random: fastrand::Rng,
    pub(super) calls: u64,
    pub(super) faults: Faults,
    pub(super) life: u64,
    pub(super) dead: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) seen: BTreeMap<PathBuf, Entry>,
    pub(super) durable: BTreeMap<PathBuf, Entry>,
    pub(super) pending: Vec<Change>,
    pub(super) locks: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Entry {
    Dir,
    File(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) seen: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Edit>,
}

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(PathBuf, Entry),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Node {
    pub(super) fn edit(bytes: &mut Vec<u8>, edit: &Edit) {
        match edit {
            Edit::Length(length) => bytes.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0),
            Edit::Write(offset, written) => {
                let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
                let end = offset.saturating_add(written.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[offset..end].copy_from_slice(written);
            }
        }
    }

    pub(super) fn lose_power(&mut self, random: &mut fastrand::Rng) {
        let kept = random.usize(..=self.pending.len());
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        for edit in pending.by_ref().take(kept) {
            Self::edit(&mut self.durable, &edit);
        }
        if let Some(Edit::Write(offset, mut bytes)) = pending.next() {
            let torn = random.usize(..=bytes.len());
            match random.bool() {
                true => bytes.truncate(torn),
                false => bytes[torn..].fill(0),
            }
            Self::edit(&mut self.durable, &Edit::Write(offset, bytes));
        }
        self.seen.clone_from(&self.durable);
    }
}

impl Change {
    pub(super) fn apply(self, to: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Self::Put(path, entry) => drop(to.insert(path, entry)),
            Self::Remove(path) => drop(to.remove(&path)),
            Self::Rename(old, new) => {
                let moved: Vec<PathBuf> = to.keys().filter(|path| path.starts_with(&old)).cloned().collect();
                for path in moved {
                    if let Some(entry) = to.remove(&path) {
                        to.insert(moved_path(&path, &old, &new), entry);
                    }
                }
            }
        }
    }

    pub(super) fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Put(path, _) | Self::Remove(path) => path.parent() == Some(dir),
            Self::Rename(old, new) => old.parent() == Some(dir) || new.parent() == Some(dir),
        }
    }

    /// What is pending below a folder goes with the folder when that is renamed.
    pub(super) fn follow(&mut self, old: &Path, new: &Path) {
        let follow = |path: &mut PathBuf| {
            if path != old {
                *path = moved_path(path, old, new);
            }
        };
        match self {
            Self::Put(path, _) | Self::Remove(path) => follow(path),
            Self::Rename(one, other) => {
                follow(one);
                follow(other);
            }
        }
    }
}

fn moved_path(path: &Path, old: &Path, new: &Path) -> PathBuf {
    match path.strip_prefix(old) {
        Ok(rest) if rest.as_os_str().is_empty() => new.to_owned(),
        Ok(rest) => new.join(rest),
        Err(_) => path.to_owned(),
    }
}

pub(super) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;
pub(super) const EROFS: i32 = 30;

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Entry::Dir)]);
        Self {
            random: fastrand::Rng::with_seed(seed),
            calls: 0,
            faults: Faults::default(),
            life: 0,
            dead: false,
            nodes: Vec::new(),
            seen: root.clone(),
            durable: root,
            pending: Vec::new(),
            locks: BTreeSet::new(),
        }
    }

    /// Every call passes here; `Err` means that it is not done.
    pub(super) fn enter(&mut self, changes: bool) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the process is dead"));
        }
        self.calls += 1;
        if self.faults.crash_at == Some(self.calls) {
            self.dead = true;
            return Err(io::Error::other("the process died in this call"));
        }
        match self.faults.fail_call {
            Some((call, code)) if call == self.calls => Err(errno(code)),
            _ if changes && self.faults.read_only => Err(errno(EROFS)),
            _ => Ok(()),
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.seen);
        self.pending.push(change);
    }

    pub(super) fn add_node(&mut self, path: &Path) -> usize {
        self.nodes.push(Node::default());
        let node = self.nodes.len() - 1;
        self.change(Change::Put(path.to_owned(), Entry::File(node)));
        node
    }

    pub(super) fn vacant(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|parent| self.seen.get(parent)) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            Some(Entry::Dir) if self.seen.contains_key(path) => Err(io::ErrorKind::AlreadyExists.into()),
            Some(Entry::Dir) => Ok(()),
        }
    }

    pub(super) fn entry(&self, path: &Path) -> io::Result<Entry> {
        self.seen.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn dir(&self, path: &Path) -> io::Result<()> {
        match self.entry(path)? {
            Entry::Dir => Ok(()),
            Entry::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn free(&self) -> u64 {
        let linked = self.seen.values().filter_map(|entry| match entry {
            Entry::File(node) => Some(self.nodes[*node].seen.len() as u64),
            Entry::Dir => None,
        });
        self.faults.room.unwrap_or(1 << 40).saturating_sub(linked.sum())
    }
}
