//! The frames of an HTTP/2 connection, found in its bytes. Of each, its head is looked at, and
//! the first bytes of its payload where they matter.

/// Bytes of a frame's head (RFC 9113 §4.1).
const HEAD: usize = 9;
/// Kinds of frames (§6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
/// Flags.
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 32;
/// Of a frame's payload, as much as is looked at: a pad length, a priority, and the first three
/// bytes of a head.
const LOOKED_AT: usize = 9;

/// A frame, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    length: usize,
    /// The first bytes of the payload, if they are looked at.
    first: [u8; LOOKED_AT],
}

impl Frame {
    /// The code of an RST_STREAM.
    pub(super) fn code(&self) -> u32 {
        let [a, b, c, d, ..] = self.first;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether its length is one that its kind can have.
    pub(super) fn has_right_length(&self) -> bool {
        match self.kind {
            PRIORITY => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS if self.flags & ACK != 0 => self.length == 0,
            SETTINGS => self.length.is_multiple_of(6),
            PING => self.length == 8,
            GOAWAY => self.length >= 8,
            _ => true,
        }
    }

    /// Whether the first field of a HEADERS frame has a name that begins with a colon: by the
    /// static table, or as it is, or in Huffman's code (RFC 7541 §6, appendices A and B).
    pub(super) fn begins_with_pseudo_field(&self) -> bool {
        let padding = usize::from(self.flags & PADDED != 0);
        let before = padding + if self.flags & WITH_PRIORITY == 0 { 0 } else { 5 };
        // Beyond the payload all is zero, which is a literal without a name.
        match self.first[before.min(LOOKED_AT - 3)..] {
            [0 | 0x10 | 0x40, length, first, ..] if length & 0x80 == 0 => length > 0 && first == b':',
            [0 | 0x10 | 0x40, _, first, ..] => first >> 1 == 0x5c,
            [field, ..] => matches!(field, 0x81..=0x8e | 0x41..=0x4e | 0x01..=0x0e | 0x11..=0x1e),
            [] => false,
        }
    }
}

/// Finds frames in bytes that come in any pieces.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Still to be passed over.
    skip: usize,
    head: [u8; HEAD + LOOKED_AT],
    length: usize,
}

impl Frames {
    /// So many bytes come before the first frame.
    pub(super) fn behind(skip: usize) -> Self {
        Self { skip, ..Self::default() }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let wanted = self.wanted();
            let taken = (wanted - self.length).min(bytes.len());
            self.head[self.length..self.length + taken].copy_from_slice(&bytes[..taken]);
            self.length += taken;
            bytes = &bytes[taken..];
            // With the head whole, it may turn out that some of the payload is wanted too.
            if self.length < self.wanted() {
                continue;
            }
            let [_, _, _, kind, flags, s1, s2, s3, s4, first @ ..] = &mut self.head;
            // What is left of an earlier frame is none of this one's.
            first[self.length - HEAD..].fill(0);
            let stream = u32::from_be_bytes([*s1 & 0x7f, *s2, *s3, *s4]);
            let (kind, flags, first) = (*kind, *flags, *first);
            let length = self.payload();
            self.skip = length - (self.length - HEAD);
            self.length = 0;
            each(Frame { kind, flags, stream, length, first });
        }
    }

    pub(super) fn is_mid_frame(&self) -> bool {
        self.skip > 0 || self.length > 0
    }

    fn payload(&self) -> usize {
        let [a, b, c, ..] = self.head;
        u32::from_be_bytes([0, a, b, c]) as usize
    }

    /// How much of the frame that begins here is kept.
    fn wanted(&self) -> usize {
        let kind = self.head[3];
        if self.length >= HEAD && matches!(kind, RST_STREAM | HEADERS) {
            HEAD + self.payload().min(LOOKED_AT)
        } else {
            HEAD
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(
            frames in proptest::collection::vec((0u8..10, 0u32..9, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
            pieces in 1usize..60,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, stream, payload)| frame(*kind, 0, *stream, payload)).collect();
            let mut found = Vec::new();
            let mut reader = Frames::default();
            bytes.chunks(pieces).for_each(|piece| reader.feed(piece, |frame| found.push((frame.kind, frame.stream, frame.length, frame.first))));
            let wanted: Vec<_> = frames.iter().map(|(kind, stream, payload)| {
                let mut first = [0; LOOKED_AT];
                if matches!(*kind, RST_STREAM | HEADERS) {
                    let here = payload.len().min(LOOKED_AT);
                    first[..here].copy_from_slice(&payload[..here]);
                }
                (*kind, *stream, payload.len(), first)
            }).collect();
            // The head of the last frame may be all there is of it, but then it is told as well.
            prop_assert_eq!(found, wanted);
        }
    }
}
