//! Which batches of a chain hold what happened in a time, to copy them elsewhere as they are.

use super::chain::{ChainPlace, ChainReader, Found, Item, chains};
use super::store::{EvidenceSource, ReadError};
use crate::pack::manifest::Manifest;
use crate::pack::partition::escape;

/// The folder of manifests.
const MANIFESTS: &str = "_manifests/";

/// A chain that can be copied from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyChain {
    place: ChainPlace,
}

/// One batch, as it lies in its source.
#[derive(Clone, Debug)]
pub struct CopyBatch {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's bytes.
    pub bytes: Vec<u8>,
    /// The manifest's key without the prefix of its chain.
    pub key: String,
    root: String,
}

impl CopyBatch {
    /// Where an object of it lies in the source, and its key without the prefix of its chain.
    #[must_use]
    pub fn object(&self, key: &str) -> (String, String) {
        let bare = key.strip_prefix(&self.manifest.prefix).unwrap_or(key).to_owned();
        (format!("{}{bare}", self.root), bare)
    }
}

impl CopyChain {
    /// Every chain in a source.
    ///
    /// # Errors
    /// [`ReadError`] when it can't be listed.
    pub fn all(source: &dyn EvidenceSource) -> Result<Vec<Self>, ReadError> {
        let found = chains(source, MANIFESTS, &mut |_| {})?;
        Ok(found.into_iter().map(|place| Self { place }).collect())
    }

    /// Whether it is one of this destination.
    #[must_use]
    pub fn is_of(&self, destination: &str) -> bool {
        self.place.folder.ends_with(&format!("/destination={}/", escape(destination.as_bytes())))
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.place.folder
    }

    /// Gives each batch from the first to the last one with something of that time, in their
    /// order and without a hole, so that what is copied is a piece of the chain. Both times are
    /// Unix microseconds; the end is not part of it. What is no manifest goes to `bad`.
    ///
    /// # Errors
    /// [`ReadError`], or what `take` returns.
    pub fn batches<E: From<ReadError>>(
        &self,
        source: &dyn EvidenceSource,
        time: std::ops::Range<u64>,
        bad: &mut dyn FnMut(String),
        take: &mut dyn FnMut(CopyBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = ChainReader::open(source, &self.place)?;
        let mut between: Option<Vec<CopyBatch>> = None;
        while let Some(item) = reader.next()? {
            let found = match item {
                Item::Manifest(found) => *found,
                Item::Bad { path, why, .. } => {
                    bad(format!("{path}: {why}"));
                    continue;
                }
                Item::Foreign(_) => continue,
            };
            let holds = holds(&found.manifest, &time);
            let batch = self.batch(found);
            match (&mut between, holds) {
                (None, false) => {}
                (None, true) => {
                    between = Some(Vec::new());
                    take(batch)?;
                }
                (Some(between), false) => between.push(batch),
                (Some(between), true) => {
                    for batch in std::mem::take(between).into_iter().chain([batch]) {
                        take(batch)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn batch(&self, found: Found) -> CopyBatch {
        let root = self.place.root.clone();
        let key = found.path.strip_prefix(&root).unwrap_or(&found.path).to_owned();
        CopyBatch { manifest: found.manifest, bytes: found.bytes, key, root }
    }
}

/// Whether an object of it has a record of that time.
fn holds(manifest: &Manifest, time: &std::ops::Range<u64>) -> bool {
    let micros = |text: &str| {
        text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_microsecond()).ok())
    };
    manifest.objects.iter().any(|object| match (micros(&object.first), micros(&object.last)) {
        (Some(first), Some(last)) => first < time.end && last >= time.start,
        // Better copied than left out.
        _ => true,
    })
}
