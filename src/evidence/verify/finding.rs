//! What can be wrong, as a closed list.

use serde::{Serialize, Serializer};

/// Declares the list with its stable names.
macro_rules! findings {
    ($($(#[doc = $doc:literal])+ $kind:ident => $name:literal, $integrity:literal, $completeness:literal;)+) => {
        /// What was found. The names are stable: scripts may go by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl FindingKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// Whether it takes away integrity.
            #[must_use]
            pub const fn breaks_integrity(self) -> bool {
                match self { $(Self::$kind => $integrity,)+ }
            }

            /// Whether it takes away completeness.
            #[must_use]
            pub const fn breaks_completeness(self) -> bool {
                match self { $(Self::$kind => $completeness,)+ }
            }
        }
    };
}

findings! {
    /// An object's bytes are not those that were signed.
    ObjectAltered => "object_altered", true, true;
    /// An object holds the bytes of another one.
    ObjectSwapped => "object_swapped", true, true;
    /// An object's records are not those that were signed (`--deep`).
    RecordsAltered => "records_altered", true, true;
    /// An object is gone and had no right to be.
    ObjectMissing => "object_missing", false, true;
    /// Of a day that retention may take, some objects are gone and some are there.
    DayPartlyAbsent => "day_partly_absent", false, true;
    /// Something lies among the objects that no manifest names.
    ForeignObject => "foreign_object", true, false;
    /// A manifest's bytes are not those that its name promises, or are no manifest.
    ManifestAltered => "manifest_altered", true, true;
    /// Manifests of a chain are gone.
    ManifestMissing => "manifest_missing", true, true;
    /// A chain is silent for longer than a heartbeat and was not closed: its end was
    /// cut off, or the gateway died or can't deliver.
    TailMissing => "tail_missing", true, true;
    /// A manifest does not follow from the one before.
    ChainBroken => "chain_broken", true, true;
    /// Two manifests of a chain have one number.
    Fork => "fork", true, true;
    /// A signature claims to be by a known key and is not.
    SignatureInvalid => "signature_invalid", true, false;
    /// Manifests are signed by another key than the pinned one, and no hand-over led there.
    SignerChanged => "signer_changed", true, false;
    /// No manifest of a chain is signed by the pinned key.
    SignerUnknown => "signer_unknown", true, false;
    /// A manifest is another one than was anchored under its number.
    AnchorContradicted => "anchor_contradicted", true, true;
    /// A manifest that was anchored is not there.
    AnchoredMissing => "anchored_missing", true, true;
    /// A manifest's sums contradict each other or those before.
    SumsDiffer => "sums_differ", false, true;
    /// A boot is over, and a sequence of it is neither delivered nor declared.
    SequenceUnaccounted => "sequence_unaccounted", false, true;
    /// A record's sequence is none that its manifest covers (`--deep`).
    RecordUnaccounted => "record_unaccounted", true, true;
    /// A sequence was delivered twice (`--deep`).
    RecordRepeated => "record_repeated", true, true;
    /// A record lies in another partition than its own (`--deep`).
    RecordMisplaced => "record_misplaced", true, false;
}

impl Serialize for FindingKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Where: an object's or manifest's path, or the folder of a chain.
    pub place: String,
    /// In words.
    pub detail: String,
    /// The records that it is about, where they are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Records>,
}

/// Records of one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Records {
    /// The boot that captured them.
    pub boot: uuid::Uuid,
    /// The lane, or `self`.
    pub lane: String,
    /// How many.
    pub count: u64,
    /// They are among these sequences, both ends inclusive.
    pub among: crate::record::SequenceSet,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.kind.as_str(), self.place, self.detail)?;
        for Records { boot, lane, count, among } in &self.records {
            write!(f, "\n    {count} records of boot {boot} lane {lane}, sequences")?;
            for (first, last) in among.iter().take(8) {
                if first == last { write!(f, " {first}")? } else { write!(f, " {first}-{last}")? }
            }
            if among.iter().nth(8).is_some() {
                f.write_str(" …")?;
            }
        }
        Ok(())
    }
}
