//! The manifests of one chain in the order of their numbers, read one by one.
//!
//! A chain's manifests lie in a folder a boot. The folders are merged by number,
//! page by page, so that memory does not grow with the number of manifests.

use super::merkle::{self, Hash};
use super::store::{self, EvidenceSource, Listing, ReadError};
use crate::pack::manifest::Manifest;
use crate::pack::partition::escape;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;

/// Names of manifests that are listed at once in the folder under way.
const PAGE: usize = 16_384;
/// No manifest is longer than this.
const MAX_MANIFEST: u64 = 256 * 1024 * 1024;

/// Where a chain lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainPlace {
    /// What stands before the keys of its objects, as they lie here: empty, or ends with `/`.
    pub(crate) root: String,
    /// The folder of its boots, ending with `/`.
    pub(crate) folder: String,
}

/// A manifest that is what its name says.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) hash: Hash,
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
}

/// What lies in a chain's folder.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Manifest(Box<Found>),
    /// It has a manifest's name and is none.
    Bad {
        path: String,
        number: u64,
        why: String,
    },
    /// It has no manifest's name.
    Foreign(String),
}

/// The chains in a folder of manifests, and what lies there and is none.
pub(crate) fn chains(
    source: &dyn EvidenceSource,
    manifests: &str,
    foreign: &mut dyn FnMut(String),
) -> Result<Vec<ChainPlace>, ReadError> {
    let root = manifests.strip_suffix("_manifests/").unwrap_or(manifests);
    let mut chains = Vec::new();
    for instance in folders(source, manifests, "instance=", foreign)? {
        for folder in folders(source, &instance, "destination=", foreign)? {
            chains.push(ChainPlace { root: root.to_owned(), folder });
        }
    }
    Ok(chains)
}

/// The folders below a folder whose names begin so; anything else is foreign.
fn folders(
    source: &dyn EvidenceSource,
    folder: &str,
    begin: &str,
    foreign: &mut dyn FnMut(String),
) -> Result<Vec<String>, ReadError> {
    let mut found = Vec::new();
    let mut listing = source.list(folder);
    loop {
        let page = listing.page(PAGE)?;
        if page.is_empty() {
            return Ok(found);
        }
        for entry in &page {
            let path = format!("{folder}{}", entry.name);
            if entry.is_folder && entry.name.starts_with(begin) {
                found.push(format!("{path}/"));
            } else if !entry.name.starts_with('.') {
                foreign(path);
            }
        }
    }
}

/// Reads a chain from its beginning.
pub(crate) struct ChainReader<'a> {
    source: &'a dyn EvidenceSource,
    place: &'a ChainPlace,
    boots: Vec<Boot<'a>>,
    /// The next of each boot: its number, name and boot.
    heads: BinaryHeap<Reverse<(u64, String, usize)>>,
    foreign: VecDeque<String>,
}

struct Boot<'a> {
    folder: String,
    listing: Box<dyn Listing + 'a>,
    page: VecDeque<(u64, String)>,
    ended: bool,
}

impl<'a> ChainReader<'a> {
    pub(crate) fn open(source: &'a dyn EvidenceSource, place: &'a ChainPlace) -> Result<Self, ReadError> {
        let mut foreign = VecDeque::new();
        let folders = folders(source, &place.folder, "boot=", &mut |path| foreign.push_back(path))?;
        let boot = |folder: String| {
            let listing = source.list(&folder);
            Boot { folder, listing, page: VecDeque::new(), ended: false }
        };
        let boots = folders.into_iter().map(boot).collect();
        let mut reader = Self { source, place, boots, heads: BinaryHeap::new(), foreign };
        for boot in 0..reader.boots.len() {
            // Most boots wait long for their turn: one name is enough until then.
            reader.advance(boot, 1)?;
        }
        Ok(reader)
    }

    /// What comes next; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, ReadError> {
        if let Some(path) = self.foreign.pop_front() {
            return Ok(Some(Item::Foreign(path)));
        }
        let Some(Reverse((number, name, boot))) = self.heads.pop() else { return Ok(None) };
        let folder = self.boots[boot].folder.clone();
        self.advance(boot, PAGE)?;
        self.read(&folder, number, &name).map(Some)
    }

    /// Puts the next name of a boot on the heap.
    fn advance(&mut self, number: usize, limit: usize) -> Result<(), ReadError> {
        let boot = &mut self.boots[number];
        while boot.page.is_empty() && !boot.ended {
            let page = boot.listing.page(limit)?;
            boot.ended = page.is_empty();
            for entry in page {
                match manifest_number(&entry.name).filter(|_| !entry.is_folder) {
                    Some(number) => boot.page.push_back((number, entry.name)),
                    None if entry.name.starts_with('.') => {}
                    None => self.foreign.push_back(format!("{}{}", boot.folder, entry.name)),
                }
            }
        }
        if let Some((place, name)) = boot.page.pop_front() {
            self.heads.push(Reverse((place, name, number)));
        }
        Ok(())
    }

    fn read(&self, folder: &str, number: u64, name: &str) -> Result<Item, ReadError> {
        let path = format!("{folder}{name}");
        let bad = |why: String| Ok(Item::Bad { path: path.clone(), number, why });
        let bytes = match store::read(self.source, &path, MAX_MANIFEST) {
            Err(error) if error.source.kind() == io::ErrorKind::FileTooLarge => {
                return bad("it is longer than any manifest".to_owned());
            }
            bytes => bytes?,
        };
        let Some(bytes) = bytes else { return bad("it vanished while it was read".to_owned()) };
        let hash = merkle::sha256(&bytes);
        if !name.ends_with(&format!("-{}.json", &merkle::hex(&hash)[..16])) {
            return bad("its bytes are not those that its name promises".to_owned());
        }
        let manifest = match Manifest::read(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => return bad(crate::error_chain::Chain(&error).to_string()),
        };
        let home = format!(
            "{}_manifests/instance={}/destination={}/boot={}/",
            self.place.root,
            escape(manifest.instance.as_bytes()),
            escape(manifest.destination.as_bytes()),
            manifest.boot
        );
        if manifest.number != number || folder != home {
            return bad("it belongs to another place".to_owned());
        }
        Ok(Item::Manifest(Box::new(Found { path, hash, bytes, manifest })))
    }
}

/// The number in a manifest's name: `manifest-{n:020}-{16 hex}.json`.
fn manifest_number(name: &str) -> Option<u64> {
    let (number, hash) = name.strip_prefix("manifest-")?.strip_suffix(".json")?.split_once('-')?;
    let hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    let fits = number.len() == 20 && hash.len() == 16 && hash.bytes().all(hex);
    fits.then(|| number.parse().ok()).flatten()
}

impl ChainPlace {
    /// Where an object with this key lies.
    pub(crate) fn object(&self, manifest: &Manifest, key: &str) -> String {
        format!("{}{}", self.root, key.strip_prefix(&manifest.prefix).unwrap_or(key))
    }
}
