//! Finds the next frame behind damage.

use memchr::memmem;

use super::frame::{self, ALIGNMENT, FrameError, HEADER, Header, MAX_PAYLOAD};

/// So many bytes are checked in one search, at most: bytes that only look like
/// frames, of which a client can send many, must not hold a reader up.
const MAX_CHECKED: usize = 32 * 1024 * 1024;

/// How many of `bytes` to give up, always at least one frame alignment unless they end before.
///
/// A frame that is damaged begins at `bytes[0]`, at a multiple of 8 in its
/// file. `complete` says that the segment ends with these bytes. What follows
/// the bytes given up is a frame, or the end, or the place to search on from.
pub(super) fn damaged(bytes: &[u8], complete: bool) -> usize {
    if let Some(next) = stated_end(bytes)
        && (next == bytes.len() && complete || Header::decode(bytes.get(next..).unwrap_or(&[])).is_ok())
    {
        return next;
    }
    let mut checked = 0;
    for found in memmem::find_iter(bytes, &frame::COMMITTED.to_le_bytes()) {
        let Some(at) = found.checked_sub(4).filter(|at| *at > 0 && at % ALIGNMENT == 0) else { continue };
        match Header::decode(&bytes[at..]) {
            Ok(_) => return at,
            Err(FrameError::Incomplete) if !complete => return at,
            Err(FrameError::Checksum) => checked += stated_end(&bytes[at..]).unwrap_or(HEADER),
            Err(FrameError::Incomplete | FrameError::NotAFrame) => {}
        }
        if checked > MAX_CHECKED {
            return at;
        }
    }
    match complete {
        true => bytes.len(),
        // A header that is cut off by the end of these bytes may begin in the last of them.
        false => (bytes.len().saturating_sub(HEADER) / ALIGNMENT * ALIGNMENT).max(ALIGNMENT).min(bytes.len()),
    }
}

/// Where the frame at the head of `bytes` ends, if its header can be believed
/// so far. This is tried first: what lies inside a frame comes from clients and
/// can be made to look like a frame.
fn stated_end(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let committed = header[4..8] == frame::COMMITTED.to_le_bytes();
    (committed && length <= MAX_PAYLOAD).then(|| frame::size(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::frame::Kind;
    use proptest::prelude::*;

    fn frames(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, payload) in payloads.iter().enumerate() {
            frame::append(&mut out, Kind::Record, 1, 0, sequence as u64, payload);
        }
        out
    }

    #[test]
    fn a_frame_inside_a_damaged_frame_is_not_taken_for_one_of_the_log() {
        let inner = frames(&[b"forged"]);
        let mut log = frames(&[&inner, b"true"]);
        log[HEADER] ^= 1;
        assert_eq!(damaged(&log, true), frame::size(inner.len()));
    }

    #[test]
    fn behind_a_damaged_header_the_next_commit_word_is_found() {
        let mut log = frames(&[b"one", b"two"]);
        log[4] ^= 1;
        assert_eq!(damaged(&log, true), frame::size(3));
        assert_eq!(damaged(&log[..frame::size(3) + 20], false), frame::size(3));
    }

    #[test]
    fn a_torn_tail_is_given_up_to_its_end() {
        let log = frames(&[b"one"]);
        assert_eq!(damaged(&log[..log.len() - 8], true), log.len() - 8);
    }

    proptest! {
        #[test]
        fn any_bytes_are_given_up_in_steps_that_end(mut bytes: Vec<u8>, complete: bool, seeds in 0..4_usize) {
            for _ in 0..seeds {
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&frame::COMMITTED.to_le_bytes());
            }
            let given = damaged(&bytes, complete);
            prop_assert!(given <= bytes.len() && (given > 0 || bytes.is_empty()));
        }
    }
}
