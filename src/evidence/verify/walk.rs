//! The tree of what is there: where chains lie, which public keys are published,
//! and sums over the names of all else.
//!
//! To see that the names in the manifests are the names that are there, neither
//! list is kept: both are summed in buckets, by a hash that is new each time.
//! Only buckets whose sums differ are looked at name by name.

use crate::evidence::note::Verifier;
use crate::evidence::store::{self, EvidenceSource, ReadError};
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

const BUCKETS: usize = 1024;
/// Entries of a folder that are listed at once.
const PAGE: usize = 8192;
/// Keys are at most 1,024 bytes long, so that deeper trees hold nothing of ours.
const MAX_DEPTH: usize = 64;
/// A published key is a line.
const MAX_KEY_FILE: u64 = 4096;
/// Names that are compared one by one, at most.
const MAX_NAMES: u64 = 200_000;

/// The folder of manifests below each prefix.
const MANIFESTS: &str = "_manifests";
/// The folder of the gateway's own: probes and public keys.
const OWN: &str = "_onrecord";

/// Sums over names.
#[derive(Clone, Debug)]
pub(super) struct Census {
    random: RandomState,
    sums: Vec<u64>,
    counts: Vec<u64>,
}

impl Census {
    pub(super) fn new() -> Self {
        Self { random: RandomState::new(), sums: vec![0; BUCKETS], counts: vec![0; BUCKETS] }
    }

    /// An empty one that can be taken from this one.
    pub(super) fn sibling(&self) -> Self {
        Self { random: self.random.clone(), sums: vec![0; BUCKETS], counts: vec![0; BUCKETS] }
    }

    pub(super) fn add(&mut self, name: &str) {
        let hash = self.random.hash_one(name);
        let bucket = (hash % BUCKETS as u64) as usize;
        self.sums[bucket] = self.sums[bucket].wrapping_add(hash);
        self.counts[bucket] += 1;
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds all of a sibling.
    pub(super) fn absorb(&mut self, other: &Self) {
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.wrapping_add(*other);
        }
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
    }

    /// The buckets in which this and a sibling differ, as many as can be looked at.
    pub(super) fn differing(&self, other: &Self) -> HashSet<u64> {
        let mut names = 0;
        let differs = |bucket: &usize| {
            self.sums[*bucket] != other.sums[*bucket] || self.counts[*bucket] != other.counts[*bucket]
        };
        let fits = |bucket: &usize| {
            let first = names == 0;
            names += self.counts[*bucket];
            first || names <= MAX_NAMES
        };
        (0..BUCKETS).filter(differs).take_while(fits).map(|bucket| bucket as u64).collect()
    }

    pub(super) fn is_in(&self, name: &str, buckets: &HashSet<u64>) -> bool {
        buckets.contains(&(self.random.hash_one(name) % BUCKETS as u64))
    }
}

/// What is met on a walk.
pub(super) trait Visitor {
    /// A folder of manifests, its path ending with `/`.
    fn manifests(&mut self, folder: &str);
    /// A published public key.
    fn key(&mut self, key: Verifier);
    /// Any other file.
    fn file(&mut self, path: &str);
    /// A temporary file.
    fn temporary(&mut self);
}

/// Walks over all that is there, folders of manifests excepted.
pub(super) fn walk(source: &dyn EvidenceSource, visitor: &mut dyn Visitor) -> Result<(), ReadError> {
    folder(source, "", 0, visitor)
}

fn folder(
    source: &dyn EvidenceSource,
    path: &str,
    depth: usize,
    visitor: &mut dyn Visitor,
) -> Result<(), ReadError> {
    let own = path.ends_with(&format!("{OWN}/")) && is_segment(path, OWN);
    let mut listing = source.list(path);
    loop {
        let page = listing.page(PAGE)?;
        if page.is_empty() {
            return Ok(());
        }
        for entry in &page {
            let below = format!("{path}{}", entry.name);
            if !entry.is_folder {
                if entry.name.starts_with('.') {
                    visitor.temporary();
                } else if own && is_probe(&entry.name) {
                } else if let Some(key) = published(source, &below, own, &entry.name)? {
                    visitor.key(key);
                } else {
                    visitor.file(&below);
                }
            } else if entry.name == MANIFESTS {
                visitor.manifests(&format!("{below}/"));
            } else if depth < MAX_DEPTH {
                folder(source, &format!("{below}/"), depth + 1, visitor)?;
            } else {
                // Nothing of ours lies so deep: the folder itself is what is foreign.
                visitor.file(&below);
            }
        }
    }
}

fn is_segment(folder: &str, name: &str) -> bool {
    folder.trim_end_matches('/').rsplit('/').next() == Some(name)
}

/// Whether a name is that of a probe of a boot.
fn is_probe(name: &str) -> bool {
    name.strip_prefix("probe-").is_some_and(|boot| boot.parse::<uuid::Uuid>().is_ok())
}

/// The public key in a file of the gateway's own folder, if its name and text agree.
fn published(
    source: &dyn EvidenceSource,
    path: &str,
    own: bool,
    name: &str,
) -> Result<Option<Verifier>, ReadError> {
    let Some(id) = name.strip_prefix("key-").and_then(|name| name.strip_suffix(".pub")).filter(|_| own)
    else {
        return Ok(None);
    };
    let bytes = match store::read(source, path, MAX_KEY_FILE) {
        Err(error) if error.source.kind() == std::io::ErrorKind::FileTooLarge => None,
        bytes => bytes?,
    };
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.and_then(|text| Verifier::parse(text.trim_end()));
    Ok(key.filter(|key| key.id() == id))
}

/// What a first walk finds.
pub(super) struct Ground {
    /// Folders of manifests.
    pub(super) manifests: Vec<String>,
    /// Published public keys.
    pub(super) keys: Vec<Verifier>,
    /// The names of all else.
    pub(super) census: Census,
    pub(super) temporary: u64,
}

impl Ground {
    pub(super) fn survey(source: &dyn EvidenceSource) -> Result<Self, ReadError> {
        let mut ground =
            Self { manifests: Vec::new(), keys: Vec::new(), census: Census::new(), temporary: 0 };
        walk(source, &mut ground)?;
        Ok(ground)
    }
}

impl Visitor for Ground {
    fn manifests(&mut self, folder: &str) {
        self.manifests.push(folder.to_owned());
    }

    fn key(&mut self, key: Verifier) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    fn file(&mut self, path: &str) {
        self.census.add(path);
    }

    fn temporary(&mut self) {
        self.temporary += 1;
    }
}
