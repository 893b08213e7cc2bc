//! The frame: how one entry of the log stands in a ring and in a segment.
//!
//! Both hold the same bytes, so that the recorder copies runs of frames from
//! ring to segment without looking into them. All integers are little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | CRC-32 (IEEE) of bytes 8..32 and the payload |
//! | 4..8 | the commit word, written last in a ring |
//! | 8..12 | payload length |
//! | 12 | [`Kind`] |
//! | 13 | version of the payload's byte form |
//! | 14..16 | lane |
//! | 16..24 | ring position of this frame's first byte; `u64::MAX` for a frame that was never in a ring |
//! | 24..32 | sequence |
//! | 32.. | payload, then zeros up to a multiple of 8 |

/// Bytes before the payload.
pub const HEADER: usize = 32;
/// Frames begin at multiples of this.
pub const ALIGNMENT: usize = 8;
/// The largest payload that is believed: a length above it is damage.
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;
/// The commit word of a complete frame.
pub const COMMITTED: u32 = 0x4345_524f;
/// The ring position of a frame that was never in a ring.
pub const NO_POSITION: u64 = u64::MAX;

/// What a frame holds. The spool itself treats all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The final account of an exchange.
    Record = 1,
    /// What is known of an exchange before its end.
    Intent = 2,
    /// A declared loss.
    Gap = 3,
    /// Where the lanes stand.
    Mark = 4,
    /// Nothing: fills a ring up to its end.
    Pad = 5,
    /// What was found out about a record after it was closed: fields that stand before its own.
    Supplement = 8,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Record,
            2 => Self::Intent,
            3 => Self::Gap,
            4 => Self::Mark,
            5 => Self::Pad,
            8 => Self::Supplement,
            _ => return None,
        })
    }
}

/// The header of a frame, without its check value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Version of the payload's byte form.
    pub version: u8,
    /// The lane that it came from.
    pub lane: u16,
    /// Ring position of the first byte, or [`NO_POSITION`].
    pub position: u64,
    /// The exchange's sequence; 0 for entries that have none.
    pub sequence: u64,
    /// Payload bytes.
    pub length: u32,
}

/// Bytes that a frame with this payload takes, padding included.
#[must_use]
pub const fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGNMENT)
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end inside the frame: more may follow, or the tail was torn off.
    #[error("the bytes end inside a frame")]
    Incomplete,
    /// The commit word, the kind or the length cannot be right.
    #[error("no frame begins here")]
    NotAFrame,
    /// The check value does not fit the bytes.
    #[error("the frame's check value does not fit its bytes")]
    Checksum,
}

impl Header {
    /// The 32 header bytes for this payload, commit word included.
    #[must_use]
    pub fn encode(&self, payload: &[u8]) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[4..8].copy_from_slice(&COMMITTED.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12] = self.kind as u8;
        bytes[13] = self.version;
        bytes[14..16].copy_from_slice(&self.lane.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        let crc = checksum(&bytes, payload);
        bytes[0..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header without checking the frame's bytes, for those who know that this process
    /// has just written them; with it the bytes that the whole frame takes. `None` when no
    /// complete frame stands here.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<(Self, usize)> {
        let (header, size) = Self::parse(bytes.first_chunk::<HEADER>()?).ok()?;
        (bytes.len() >= size).then_some((header, size))
    }

    fn parse(header: &[u8; HEADER]) -> Result<(Self, usize), FrameError> {
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let length = word(8);
        let kind = Kind::from_number(header[12]);
        let (Some(kind), COMMITTED, true) = (kind, word(4), length as usize <= MAX_PAYLOAD) else {
            return Err(FrameError::NotAFrame);
        };
        let lane = u16::from_le_bytes([header[14], header[15]]);
        let parsed = Self { kind, version: header[13], lane, position: long(16), sequence: long(24), length };
        Ok((parsed, size(length as usize)))
    }

    /// Reads the frame at the head of `bytes`: header, payload, and the bytes the frame takes.
    ///
    /// # Errors
    /// [`FrameError`]; the bytes are untrusted.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8], usize), FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Err(FrameError::Incomplete);
        };
        let (decoded, size) = Self::parse(header)?;
        if bytes.len() < size {
            return Err(FrameError::Incomplete);
        }
        let payload = &bytes[HEADER..HEADER + decoded.length as usize];
        if checksum(header, payload).to_le_bytes() != header[..4] {
            return Err(FrameError::Checksum);
        }
        Ok((decoded, payload, size))
    }
}

fn checksum(header: &[u8; HEADER], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[8..]);
    hasher.update(payload);
    hasher.finalize()
}

/// Appends a whole frame to `out`, padding included.
pub fn append(out: &mut Vec<u8>, kind: Kind, version: u8, lane: u16, sequence: u64, payload: &[u8]) {
    let header = Header {
        kind,
        version,
        lane,
        position: NO_POSITION,
        sequence,
        length: u32::try_from(payload.len()).expect("entries are far below 4 GiB"),
    };
    out.extend_from_slice(&header.encode(payload));
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_is_read_back_and_any_flipped_bit_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            lane: u16, sequence: u64, flip: usize,
        ) {
            let mut out = Vec::new();
            append(&mut out, Kind::Record, 1, lane, sequence, &payload);
            prop_assert_eq!(out.len(), size(payload.len()));
            let (header, read, length) = Header::decode(&out).unwrap();
            prop_assert_eq!((header.lane, header.sequence, read, length), (lane, sequence, &payload[..], out.len()));
            for end in 0..out.len() {
                prop_assert_eq!(Header::decode(&out[..end]), Err(FrameError::Incomplete));
            }
            let bit = flip % ((HEADER + payload.len()) * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&out).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>) {
            let _ = Header::decode(&bytes);
        }
    }
}
