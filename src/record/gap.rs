//! Declared losses and the standing of lanes, as they travel in the log.

use super::field::closed_list;
use super::ranges::SequenceSet;
use serde::{Deserialize, Serialize};

closed_list! {
    /// Why records were lost.
    GapCause {
        /// The lane's ring had no room when the exchange ended.
        RingFull = 1 => "ring_full",
        /// The spool had no room: the disk was full, or the oldest segment was released.
        SpoolFull = 2 => "spool_full",
        /// The spool could not be written or read.
        IoError = 3 => "io_error",
        /// Bytes on disk failed their check.
        Corruption = 4 => "corruption",
        /// They waited longer than the destination's retention.
        Retention = 5 => "retention",
        /// The gateway or the machine died and nothing of them could be recovered.
        UncleanEnd = 6 => "unclean_end",
        /// A single record was too large for the ring.
        TooLarge = 7 => "too_large",
    }
}

impl Serialize for GapCause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for GapCause {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::ALL
            .iter()
            .find(|cause| cause.as_str() == text)
            .copied()
            .ok_or_else(|| serde::de::Error::custom(format!("unknown gap cause `{text}`")))
    }
}

/// A declared loss: which sequences of one lane, when it was noticed, why.
///
/// A gap is an entry of the log like any record, so that a loss reaches every
/// destination in its place. A destination that has already packed some of the
/// named sequences (a released segment that it had read in part) declares only
/// the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The lane whose sequences are lost.
    pub lane: u16,
    /// Which sequences.
    pub sequences: SequenceSet,
    /// Why.
    pub cause: GapCause,
    /// False where the number is an upper bound, after a loss of power.
    pub exact: bool,
    /// Unix microseconds at which the loss was noticed.
    pub noticed: u64,
}

/// Where one lane stands: everything below `taken` is accounted for, in the
/// ring, or still open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneMark {
    /// The lane.
    pub lane: u16,
    /// Sequences given out so far; the next one to be given.
    pub taken: u64,
    /// Ring position behind the newest frame that is in the log.
    pub position: u64,
    /// Sequences that are in the log, as a record or in a gap.
    pub accounted: SequenceSet,
    /// No sequence from here on is given out before a mark with a higher number is on disk:
    /// what power loss can have taken lies below. 0: not stated (marks of earlier versions).
    #[serde(default)]
    pub reserved: u64,
}

/// The standing of all lanes of a boot. Written at the head of each segment, so
/// that recovery reads one segment and not all of them, and again whenever
/// the numbers moved, so that a batch can state its sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// One entry a lane.
    pub lanes: Vec<LaneMark>,
    /// True when this boot will write nothing more.
    pub closed: bool,
    /// The destinations that its process had when the boot began. To them, what of this boot is
    /// let go of before they have read it is lost; to one that came later it is history. `None`:
    /// not stated (marks of earlier versions).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
}

/// Gaps and marks are rare: their byte form is JSON, which every later version
/// can read and extend.
macro_rules! json_bytes {
    ($($name:ident),+) => {$(
        impl $name {
            /// The bytes that stand in a frame.
            #[must_use]
            pub fn to_bytes(&self) -> Vec<u8> {
                serde_json::to_vec(self).expect("integers, strings and lists always have a JSON form")
            }

            /// Reads the bytes of a frame.
            ///
            /// # Errors
            /// When the bytes are not this entry's JSON.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(bytes)
            }
        }
    )+};
}
json_bytes!(Gap, Mark);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_and_a_mark_survive_their_byte_form() {
        let gap = Gap {
            lane: 1,
            sequences: [4, 5, 9].into_iter().collect(),
            cause: GapCause::RingFull,
            exact: true,
            noticed: 1,
        };
        assert_eq!(Gap::from_bytes(&gap.to_bytes()).unwrap(), gap);
        let mark = Mark {
            lanes: vec![LaneMark {
                lane: 1,
                taken: 10,
                position: 64,
                accounted: gap.sequences.clone(),
                reserved: 65_536,
            }],
            closed: true,
            destinations: Some(vec!["main".to_owned()]),
        };
        assert_eq!(Mark::from_bytes(&mark.to_bytes()).unwrap(), mark);
        assert!(Gap::from_bytes(br#"{"cause":"no such"}"#).is_err());
        let older = br#"{"lanes":[{"lane":1,"taken":10,"position":64,"accounted":[[4,5]]}],"closed":true}"#;
        assert_eq!(Mark::from_bytes(older).unwrap().lanes[0].reserved, 0, "a mark of an earlier version");
    }
}
