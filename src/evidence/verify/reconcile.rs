//! Names that are there and names that manifests know: what is left over.

use super::finding::{Finding, FindingKind};
use super::links::Links;
use super::report::Report;
use super::walk::{Census, Ground, Visitor, walk};
use crate::evidence::chain::{ChainPlace, ChainReader, Item};
use crate::evidence::note::Verifier;
use crate::evidence::store::{EvidenceSource, ReadError};
use crate::pack::plan::MAX_WAITING;
use crate::record::SequenceSet;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Compares what is there with what is named.
pub(super) struct Reconcile<'a> {
    source: &'a dyn EvidenceSource,
    there: &'a Census,
    named: Census,
    /// Objects whose bytes are not as signed, with the hash that they have.
    altered: Vec<(Finding, String)>,
    chains: Vec<Known>,
}

/// What is known of a chain.
struct Known {
    root: String,
    holes: SequenceSet,
    newest: Option<u64>,
    closed: bool,
    cut: bool,
}

/// A finding about something that no manifest names.
pub(super) fn foreign(place: String, detail: &str) -> Finding {
    Finding { kind: FindingKind::ForeignObject, place, detail: detail.to_owned(), records: Vec::new() }
}

impl<'a> Reconcile<'a> {
    pub(super) fn new(source: &'a dyn EvidenceSource, ground: &'a Ground) -> Self {
        let (there, named) = (&ground.census, ground.census.sibling());
        Self { source, there, named, altered: Vec::new(), chains: Vec::new() }
    }

    pub(super) fn named(&mut self, census: &Census, altered: Vec<(Finding, String)>) {
        self.named.absorb(census);
        self.altered.extend(altered);
    }

    pub(super) fn chain(&mut self, place: &ChainPlace, links: &Links) {
        self.chains.push(Known {
            root: place.root.clone(),
            holes: links.holes.clone(),
            newest: links.report.numbers.map(|(_, newest)| newest),
            closed: links.report.closed,
            cut: links.cut,
        });
    }

    /// Looks closer where the sums differ, and whose bytes altered objects hold.
    pub(super) fn end(mut self, places: &[ChainPlace], report: &mut Report) -> Result<(), ReadError> {
        let buckets = self.there.differing(&self.named);
        let mut left = Left { census: self.there, buckets: &buckets, names: BTreeSet::new() };
        if !buckets.is_empty() {
            walk(self.source, &mut left)?;
        }
        let mut names = left.names;
        let mut owners: HashMap<String, String> = HashMap::new();
        if !names.is_empty() || !self.altered.is_empty() {
            let wanted: HashSet<&str> = self.altered.iter().map(|(_, hash)| hash.as_str()).collect();
            for place in places {
                let mut reader = ChainReader::open(self.source, place)?;
                while let Some(item) = reader.next()? {
                    let Item::Manifest(found) = item else { continue };
                    for object in &found.manifest.objects {
                        let path = place.object(&found.manifest, &object.key);
                        names.remove(&path);
                        if wanted.contains(object.sha256.as_str()) {
                            owners.insert(object.sha256.clone(), path);
                        }
                    }
                }
            }
        }
        for (mut finding, hash) in std::mem::take(&mut self.altered) {
            if let Some(owner) = owners.get(&hash).filter(|owner| **owner != finding.place) {
                finding.kind = FindingKind::ObjectSwapped;
                finding.detail = format!("it holds the bytes of {owner}");
            }
            report.find(finding);
        }
        for name in names {
            match self.judge(&name) {
                Stray::Unproved => report.unproved += 1,
                Stray::Foreign => report.find(foreign(name, "no manifest names it")),
            }
        }
        Ok(())
    }

    /// An object whose manifest is a finding already, or may be under way, is no
    /// finding of its own.
    fn judge(&self, path: &str) -> Stray {
        let Some(number) = batch_number(path) else { return Stray::Foreign };
        let explains = |chain: &&Known| {
            let next = |newest: u64| number > newest && number - newest <= MAX_WAITING as u64 + 1;
            let under_way = !chain.closed && (chain.cut || chain.newest.is_none_or(next));
            path.starts_with(&chain.root)
                && (chain.holes.contains(number)
                    || under_way && chain.newest.is_none_or(|newest| number > newest))
        };
        if self.chains.iter().find(explains).is_some() { Stray::Unproved } else { Stray::Foreign }
    }
}

enum Stray {
    Foreign,
    Unproved,
}

/// The batch number in an object's name, `compacted-{source}-{uuid}-{n}.{extension}.gz`.
fn batch_number(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?;
    let (stem, _) = name.strip_prefix("compacted-")?.split_once('.')?;
    let (rest, number) = stem.rsplit_once('-')?;
    let uuid = rest.get(rest.len().checked_sub(36)?..)?;
    uuid.parse::<uuid::Uuid>().ok().and(number.parse().ok())
}

/// Collects the names in some buckets.
struct Left<'a> {
    census: &'a Census,
    buckets: &'a HashSet<u64>,
    names: BTreeSet<String>,
}

impl Visitor for Left<'_> {
    fn manifests(&mut self, _: &str) {}

    fn key(&mut self, _: Verifier) {}

    fn file(&mut self, path: &str) {
        if self.census.is_in(path, self.buckets) {
            self.names.insert(path.to_owned());
        }
    }

    fn temporary(&mut self) {}
}
