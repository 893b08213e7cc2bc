//! The manifest: the signed account of a batch.
//!
//! A manifest object is a signed note whose text is one line of JSON, this
//! structure. It says what the batch holds, where the chain stands, and where
//! the packer goes on; the newest one is all the state that a packer has.

use super::source::Position;
use crate::evidence::merkle::{self, Hash, Tree};
use crate::evidence::note;
use crate::record::{GapCause, SELF_LANE, SequenceSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

/// The version of this structure.
pub const VERSION: u32 = 1;

/// One manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The batch number: one more than the manifest before.
    pub number: u64,
    /// The instance that packed.
    pub instance: String,
    /// The destination.
    pub destination: String,
    /// The boot that packed.
    pub boot: Uuid,
    /// When, in RFC 3339.
    pub time: String,
    /// The software and its version.
    pub software: String,
    /// The objects' format.
    pub format: String,
    /// What stands before each key.
    pub prefix: String,
    /// True in the last manifest of a clean stop.
    pub closed: bool,
    /// The objects of this batch.
    pub objects: Vec<ObjectEntry>,
    /// The lanes that this batch speaks of.
    pub lanes: Vec<LaneEntry>,
    /// Objects of earlier batches that retention took before they were delivered.
    pub expired: Vec<ExpiredEntry>,
    /// SHA-256 of the manifest before; `None` at the beginning of a chain.
    pub previous: Option<String>,
    /// Number of manifests before this one in its chain.
    pub tree_size: u64,
    /// RFC 6962 tree hash over them.
    pub tree_root: String,
    /// The roots of the perfect subtrees of that tree, largest first: what is
    /// needed to extend it.
    pub tree_frontier: Vec<String>,
    /// Whole days older than this may be absent.
    pub retention_days: Option<u32>,
    /// Where the packer goes on, for each boot.
    pub cursor: Vec<CursorEntry>,
    /// While nothing happens a manifest is written at least so often; 0: not stated.
    #[serde(default)]
    pub heartbeat_seconds: u64,
    /// In a hand-over: from this manifest on another key signs. Both have signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_change: Option<KeyChange>,
}

/// One signing key follows another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key until now, as `name+id+base64`.
    pub old: String,
    /// The key from now on.
    pub new: String,
}

/// One object of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// Its key, prefix included.
    pub key: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its length before compression.
    pub uncompressed_bytes: u64,
    /// Records in it.
    pub records: u64,
    /// Earliest `event.start`, RFC 3339.
    pub first: String,
    /// Latest `event.start`, RFC 3339.
    pub last: String,
    /// RFC 6962 tree hash over its rows, lines without their newlines.
    pub records_root: String,
    /// How many of its records come from which lane.
    pub lanes: Vec<LaneCount>,
}

/// Records of one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCount {
    /// The boot that captured them.
    pub boot: Uuid,
    /// The lane.
    #[serde(serialize_with = "lane_out", deserialize_with = "lane_in")]
    pub lane: u16,
    /// How many.
    pub records: u64,
}

/// What a batch says of one lane. The counts and `covered`, `gaps` are this
/// batch's; `taken`, `open`, `accounted`, `totals` stand for all up to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneEntry {
    /// The instance that captured.
    pub instance: String,
    /// The boot that captured.
    pub boot: Uuid,
    /// The lane.
    #[serde(serialize_with = "lane_out", deserialize_with = "lane_in")]
    pub lane: u16,
    /// Sequences given out so far.
    pub taken: u64,
    /// Of these, how many were neither in the log nor declared lost.
    pub open: u64,
    /// Whether the boot writes nothing more.
    pub closed: bool,
    /// Sequences that this batch accounts for, as both ends of ranges.
    pub covered: SequenceSet,
    /// Records in this batch's objects.
    pub delivered: u64,
    /// Records that this destination does not take.
    pub filtered: u64,
    /// Which those are.
    #[serde(default, skip_serializing_if = "SequenceSet::is_empty")]
    pub filtered_sequences: SequenceSet,
    /// Losses that this batch declares.
    pub gaps: Vec<GapEntry>,
    /// Sequences accounted for in this chain so far.
    pub accounted: SequenceSet,
    /// Sums over this chain so far.
    pub totals: Totals,
}

/// Sums of a lane over a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// In objects.
    pub delivered: u64,
    /// Not for this destination.
    pub filtered: u64,
    /// Declared lost, expired objects included.
    pub declared: u64,
}

/// A declared loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapEntry {
    /// Which sequences.
    pub sequences: SequenceSet,
    /// How many.
    pub count: u64,
    /// Why.
    pub cause: GapCause,
    /// False where the count is an upper bound.
    pub exact: bool,
    /// When it was noticed, RFC 3339.
    pub noticed: String,
}

/// An object that is named by an earlier manifest and will never be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiredEntry {
    /// The batch that named it.
    pub number: u64,
    /// Its key.
    pub key: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Records in it.
    pub records: u64,
    /// Why it is gone: `retention`, or `corruption` where its bytes in the outbox were damaged.
    pub cause: GapCause,
    /// How many of its records come from which lane.
    pub lanes: Vec<LaneCount>,
}

/// Where reading goes on in one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorEntry {
    /// The boot.
    pub boot: Uuid,
    /// Segment number.
    pub segment: u64,
    /// Bytes from the segment's beginning.
    pub offset: u64,
}

/// Why bytes are not a manifest of this software.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not a signed note.
    #[error(transparent)]
    Note(#[from] note::NoteError),
    /// The note's text is not a manifest.
    #[error("the note does not hold a manifest")]
    Json(#[from] serde_json::Error),
    /// It is of a later version.
    #[error("manifest version {0} is not known to this software")]
    Version(u32),
    /// Its tree frontier does not fit its size or root.
    #[error("the manifest's tree does not fit its root")]
    Tree,
}

impl Manifest {
    /// The text that is signed: one line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            serde_json::to_string(self).expect("strings, integers and lists always have a JSON form");
        text.push('\n');
        text
    }

    /// Reads a manifest from its note. The signature is not checked here.
    ///
    /// # Errors
    /// Each [`ManifestError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let note = note::parse(bytes)?;
        let manifest: Self = serde_json::from_str(note.text)?;
        if manifest.version > VERSION {
            return Err(ManifestError::Version(manifest.version));
        }
        manifest.tree().ok_or(ManifestError::Tree)?;
        Ok(manifest)
    }

    /// The tree of all manifests before this one, if frontier and root agree.
    #[must_use]
    pub fn tree(&self) -> Option<Tree> {
        let frontier: Option<Vec<Hash>> = self.tree_frontier.iter().map(|text| merkle::unhex(text)).collect();
        let tree = Tree::resume(self.tree_size, frontier?)?;
        (merkle::hex(&tree.root()) == self.tree_root).then_some(tree)
    }

    /// The cursor as a log source takes it.
    #[must_use]
    pub fn positions(&self) -> Vec<(Uuid, Position)> {
        let place = |c: &CursorEntry| (c.boot, Position { segment: c.segment, offset: c.offset });
        self.cursor.iter().map(place).collect()
    }

    /// Records in its objects.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.objects.iter().fold(0, |sum, object| sum.saturating_add(object.records))
    }
}

/// How a lane is shown: its number, or `self` for the gateway's own records.
#[must_use]
pub fn lane_text(lane: u16) -> String {
    if lane == SELF_LANE { "self".to_owned() } else { lane.to_string() }
}

/// A number, as in records; only the gateway's own lane has a name.
fn lane_out<S: Serializer>(lane: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    match *lane {
        SELF_LANE => serializer.serialize_str("self"),
        lane => serializer.serialize_u16(lane),
    }
}

fn lane_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lane {
        Number(u16),
        Name(String),
    }
    match Lane::deserialize(deserializer)? {
        Lane::Number(lane) => Ok(lane),
        Lane::Name(name) if name == "self" => Ok(SELF_LANE),
        Lane::Name(name) => Err(serde::de::Error::custom(format!("`{name}` is not a lane"))),
    }
}
