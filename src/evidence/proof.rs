//! The proof of one record: a small file that is checked without the bucket.
//!
//! It holds the record's line, the line's path to an object's `records_root`, the
//! signed manifest that states this root, and that manifest's path to the tree
//! root of a newer signed manifest.

use super::chain::{ChainPlace, ChainReader, Item, chains};
use super::inclusion;
use super::merkle::{self, Hash};
use super::note::{self, Verifier};
use super::store::{EvidenceSource, ReadError};
use super::verify::lines::Rows;
use super::verify::{survey, unix_microseconds};
use crate::pack::manifest::{Manifest, ManifestError, ObjectEntry};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader};
use thiserror::Error;
use uuid::Uuid;

/// The version of this form.
pub const VERSION: u32 = 1;
/// Longest line, in bytes.
const MAX_LINE: u64 = 64 * 1024 * 1024;
/// An id's time may be so far behind the last start in its object, in milliseconds:
/// ids of one worker always ascend, also when its clock does not.
const ID_SLACK: u64 = 60_000;

/// A proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// [`VERSION`].
    pub onrecord_proof: u32,
    /// The record's `event.id`.
    pub event_id: Uuid,
    /// The record as it was delivered, without its newline.
    pub line: String,
    /// The object that holds it.
    pub object: String,
    /// Its place in the object, counted from 0.
    pub index: u64,
    /// The path from the line to the object's `records_root`, hexadecimal.
    pub path: Vec<String>,
    /// The manifest that names the object: a signed note.
    pub manifest: String,
    /// A newer manifest; absent where the record's is the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newer: Option<Newer>,
    /// The public keys that are published beside the objects, for readers without one.
    pub keys: Vec<String>,
}

/// The newest manifest of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newer {
    /// The signed note.
    pub manifest: String,
    /// The path from the record's manifest to this one's `tree_root`, hexadecimal.
    pub path: Vec<String>,
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proved {
    /// The record's `event.id`.
    pub event_id: Uuid,
    /// Who signed.
    pub signer: String,
    /// Whether the reader brought the key.
    pub pinned: bool,
    /// The instance that packed.
    pub instance: String,
    /// The destination.
    pub destination: String,
    /// The number and the time of the manifest.
    pub manifest: (u64, String),
    /// The number and the time of the newer one.
    pub newer: Option<(u64, String)>,
    /// The record.
    pub line: String,
}

/// Why there is no proof.
#[derive(Debug, Error)]
pub enum ProveError {
    /// Something can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No object that a manifest names holds the record.
    #[error("no object that a manifest names holds the event {0}")]
    Unknown(Uuid),
    /// The object is not as signed.
    #[error("{0} is not what was signed: run `onrecord verify`")]
    Altered(String),
    /// The manifests of the chain are not all there.
    #[error("{0}: manifests are missing, so that the newest tree can't be rebuilt: run `onrecord verify`")]
    Chain(String),
    /// The line or the manifest is no text.
    #[error("{0} holds bytes that are no UTF-8")]
    Text(String),
}

/// Why a proof does not hold.
#[derive(Debug, Error)]
pub enum ProofError {
    /// It is of a later version.
    #[error("proof version {0} is not known to this software")]
    Version(u32),
    /// A manifest in it is none.
    #[error("a manifest in it is none")]
    Manifest(#[from] ManifestError),
    /// A manifest in it is not signed by the key.
    #[error("manifest {0} is not signed by a key that counts")]
    Signature(u64),
    /// The line is not the record it is said to be.
    #[error("the line is not the record {0}")]
    Record(Uuid),
    /// The path does not lead from the line to the manifest.
    #[error("the line is not part of the object that the manifest names")]
    Line,
    /// The path does not lead from the manifest to the newer one.
    #[error("the manifest is not part of the newer one's tree")]
    Tree,
}

/// Makes the proof of the record with this id.
///
/// # Errors
/// [`ProveError`].
pub fn prove(source: &dyn EvidenceSource, id: Uuid) -> Result<Proof, ProveError> {
    let (folders, keys) = survey(source)?;
    let mut places = Vec::new();
    for folder in &folders {
        places.extend(chains(source, folder, &mut |_| {})?);
    }
    // First where the id's time says; then everywhere.
    for everywhere in [false, true] {
        for place in &places {
            if let Some(proof) = in_chain(source, place, id, everywhere, &keys)? {
                return Ok(proof);
            }
        }
    }
    Err(ProveError::Unknown(id))
}

fn in_chain(
    source: &dyn EvidenceSource,
    place: &ChainPlace,
    id: Uuid,
    everywhere: bool,
    keys: &[Verifier],
) -> Result<Option<Proof>, ProveError> {
    let mut reader = ChainReader::open(source, place)?;
    let mut leaves: Vec<Hash> = Vec::new();
    let mut whole = true;
    let mut proof: Option<(Proof, u64)> = None;
    let mut newest = None;
    while let Some(item) = reader.next()? {
        let Item::Manifest(found) = item else { continue };
        whole &= found.manifest.number == leaves.len() as u64;
        leaves.push(merkle::leaf_hash(&found.bytes));
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| ProveError::Text(found.path.clone()))
        };
        let objects = found.manifest.objects.iter().filter(|object| everywhere || may_hold(object, id));
        for object in objects {
            if proof.is_some() {
                break;
            }
            let path = place.object(&found.manifest, &object.key);
            if let Some((line, index, route)) =
                in_object(source, &path, object, id, Rows::of(&found.manifest.format))?
            {
                let made = Proof {
                    onrecord_proof: VERSION,
                    event_id: id,
                    line,
                    object: object.key.clone(),
                    index,
                    path: texts(&route),
                    manifest: text(&found.bytes)?,
                    newer: None,
                    keys: keys.iter().map(ToString::to_string).collect(),
                };
                proof = Some((made, found.manifest.number));
            }
        }
        newest = proof.is_some().then_some(found);
    }
    let (Some((mut proof, number)), Some(newest)) = (proof, newest) else { return Ok(None) };
    if newest.manifest.number > number {
        let broken = || ProveError::Chain(place.folder.clone());
        let size = newest.manifest.tree_size as usize;
        let forerunners = leaves.get(..size).filter(|_| whole).ok_or_else(broken)?;
        if merkle::hex(&inclusion::root(forerunners)) != newest.manifest.tree_root {
            return Err(broken());
        }
        let path = inclusion::path(forerunners, number as usize).ok_or_else(broken)?;
        let manifest = String::from_utf8(newest.bytes).map_err(|_| ProveError::Text(newest.path.clone()))?;
        proof.newer = Some(Newer { manifest, path: texts(&path) });
    }
    Ok(Some(proof))
}

/// Whether an object's times fit the time in an id.
fn may_hold(object: &ObjectEntry, id: Uuid) -> bool {
    let milliseconds = (id.as_u128() >> 80) as u64;
    let time = |text: &str| unix_microseconds(text).map(|time| time / 1000);
    match (time(&object.first), time(&object.last)) {
        (Some(first), Some(last)) => (first..=last.saturating_add(ID_SLACK)).contains(&milliseconds),
        _ => true,
    }
}

type FoundLine = (String, u64, Vec<Hash>);

fn in_object(
    source: &dyn EvidenceSource,
    path: &str,
    entry: &ObjectEntry,
    id: Uuid,
    rows: Rows,
) -> Result<Option<FoundLine>, ProveError> {
    // Other rows do not say which record they are.
    if !rows.are_numbered() {
        return Ok(None);
    }
    let Some(reader) = source.open(path)? else { return Ok(None) };
    let wanted = id.hyphenated().to_string();
    let reader = BufReader::new(reader);
    let mut lines: Box<dyn std::io::BufRead> = match path.ends_with(".gz") {
        true => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(reader))),
        false => Box::new(reader),
    };
    let (mut leaves, mut found) = (Vec::new(), None);
    let mut line = Vec::new();
    loop {
        line.clear();
        let altered = |_| ProveError::Altered(path.to_owned());
        if std::io::Read::take(&mut lines, MAX_LINE).read_until(b'\n', &mut line).map_err(altered)? == 0 {
            break;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        if found.is_none()
            && memchr::memmem::find(line, wanted.as_bytes()).is_some()
            && rows.read(line).is_some_and(|line| line.id == wanted)
        {
            let text = String::from_utf8(line.to_vec()).map_err(|_| ProveError::Text(path.to_owned()))?;
            found = Some((text, leaves.len()));
        }
        leaves.push(merkle::leaf_hash(line));
    }
    let Some((line, index)) = found else { return Ok(None) };
    if merkle::hex(&inclusion::root(&leaves)) != entry.records_root {
        return Err(ProveError::Altered(path.to_owned()));
    }
    let route = inclusion::path(&leaves, index).unwrap_or_default();
    Ok(Some((line, index as u64, route)))
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| merkle::hex(hash)).collect()
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| merkle::unhex(text)).collect()
}

/// Checks a proof, with these keys, or without any by those that it brings itself.
///
/// # Errors
/// [`ProofError`].
pub fn check(proof: &Proof, keys: &[Verifier]) -> Result<Proved, ProofError> {
    if proof.onrecord_proof > VERSION {
        return Err(ProofError::Version(proof.onrecord_proof));
    }
    let brought: Vec<Verifier> = proof.keys.iter().filter_map(|text| Verifier::parse(text)).collect();
    let known = if keys.is_empty() { &brought } else { keys };
    let manifest = Manifest::read(proof.manifest.as_bytes())?;
    let read = Rows::of(&manifest.format).read(proof.line.as_bytes());
    let is_record = read.is_some_and(|line| line.id.parse() == Ok(proof.event_id));
    if !is_record || proof.line.contains('\n') {
        return Err(ProofError::Record(proof.event_id));
    }
    let object = manifest.objects.iter().find(|object| object.key == proof.object);
    let object = object.ok_or(ProofError::Line)?;
    let leaf = merkle::leaf_hash(proof.line.as_bytes());
    let path = hashes(&proof.path).ok_or(ProofError::Line)?;
    let root = inclusion::root_from_path(&leaf, proof.index, object.records, &path);
    if root.map(|root| merkle::hex(&root)).as_ref() != Some(&object.records_root) {
        return Err(ProofError::Line);
    }
    let signed = |text: &str| {
        let note = note::parse(text.as_bytes()).ok()?;
        known.iter().find(|key| key.check_under_any_name(&note).is_ok())
    };
    // A newer manifest that is signed vouches for the older one, whoever signed that.
    let newer = match &proof.newer {
        None => None,
        Some(newer) => {
            let head = Manifest::read(newer.manifest.as_bytes())?;
            let path = hashes(&newer.path).ok_or(ProofError::Tree)?;
            let leaf = merkle::leaf_hash(proof.manifest.as_bytes());
            let root = inclusion::root_from_path(&leaf, manifest.number, head.tree_size, &path);
            if root.map(|root| merkle::hex(&root)).as_ref() != Some(&head.tree_root) {
                return Err(ProofError::Tree);
            }
            signed(&newer.manifest).map(|signer| (signer, (head.number, head.time)))
        }
    };
    let signer = newer.as_ref().map(|(signer, _)| *signer).or_else(|| signed(&proof.manifest));
    let signer = signer.ok_or(ProofError::Signature(manifest.number))?;
    Ok(Proved {
        event_id: proof.event_id,
        signer: signer.to_string(),
        pinned: !keys.is_empty(),
        instance: manifest.instance,
        destination: manifest.destination,
        manifest: (manifest.number, manifest.time),
        newer: newer.map(|(_, head)| head),
        line: proof.line.clone(),
    })
}

impl std::fmt::Display for Proved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { event_id, signer, instance, destination, line, .. } = self;
        writeln!(f, "{line}")?;
        let (number, time) = &self.manifest;
        writeln!(
            f,
            "event {event_id} is in manifest {number} of {instance} for {destination}, made at {time}"
        )?;
        if let Some((number, time)) = &self.newer {
            writeln!(f, "that manifest is in the tree of manifest {number}, made at {time}")?;
        }
        let pinned = if self.pinned { "the pinned key" } else { "signer not pinned" };
        writeln!(f, "the proof holds: signed by {signer} ({pinned})")
    }
}
