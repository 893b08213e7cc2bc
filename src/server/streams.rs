//! Which streams of an HTTP/2 connection were begun, and which of them were ended for what the
//! client sent: the stack resets a stream that is no request (RFC 9113 §8.1.1) without a word
//! to anybody, and so it would make no record. Only the heads of frames are looked at.

/// Bytes of a frame's head (RFC 9113 §4.1).
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// PROTOCOL_ERROR (RFC 9113 §7).
const PROTOCOL_ERROR: u32 = 1;
/// REFUSED_STREAM.
const REFUSED_STREAM: u32 = 7;
/// Of a frame's payload, as much as is looked at.
const LOOKED_AT: usize = 4;

/// A frame, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    /// The first four bytes of the payload, if it has them.
    first: u32,
}

/// Finds frames in bytes that come in any pieces.
#[derive(Debug, Default)]
struct Frames {
    /// Still to be passed over.
    skip: usize,
    head: [u8; HEAD + LOOKED_AT],
    length: usize,
}

impl Frames {
    fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
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
            let [a, b, c, kind, flags, s1, s2, s3, s4, ..] = self.head;
            let payload = u32::from_be_bytes([0, a, b, c]) as usize;
            let [.., f1, f2, f3, f4] = self.head;
            let first = if self.length == HEAD { 0 } else { u32::from_be_bytes([f1, f2, f3, f4]) };
            self.skip = payload - (self.length - HEAD);
            self.length = 0;
            each(Frame { kind, flags, stream: u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]), first });
        }
    }

    fn is_mid_frame(&self) -> bool {
        self.skip > 0 || self.length > 0
    }

    /// How much of the frame that begins here is kept.
    fn wanted(&self) -> usize {
        let [a, b, c, kind, ..] = self.head;
        let is_reset = self.length >= HEAD && kind == RST_STREAM;
        if is_reset && u32::from_be_bytes([0, a, b, c]) as usize >= LOOKED_AT {
            HEAD + LOOKED_AT
        } else {
            HEAD
        }
    }
}

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    inbound: Frames,
    outbound: Frames,
    /// The newest that the client has begun.
    newest: u32,
    /// Whether the head of a stream goes on in the next frame.
    is_mid_head: bool,
    begun: u64,
    /// Streams that were reset for what the client sent on them, and those that were refused
    /// since too many were open; less those that were told.
    malformed: u64,
    refused: u64,
    told: u64,
}

/// Streams that never became a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// What came is no request.
    pub malformed: u64,
    /// Too many were open.
    pub refused: u64,
    /// They ended before they were looked at.
    pub ended: u64,
}

impl Streams {
    /// `preface` bytes of it are still to come.
    pub(super) fn new(preface: usize) -> Self {
        let inbound = Frames { skip: preface, ..Frames::default() };
        Self {
            inbound,
            outbound: Frames::default(),
            newest: 0,
            is_mid_head: false,
            begun: 0,
            malformed: 0,
            refused: 0,
            told: 0,
        }
    }

    /// What the client sent.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        let (newest, begun, is_mid_head) = (&mut self.newest, &mut self.begun, &mut self.is_mid_head);
        self.inbound.feed(bytes, |frame| {
            if matches!(frame.kind, HEADERS | CONTINUATION) {
                *is_mid_head = frame.flags & END_HEADERS == 0;
            }
            // Also trailers are HEADERS, of a stream that is there.
            if frame.kind == HEADERS && frame.stream > *newest {
                *newest = frame.stream;
                *begun += 1;
            }
        });
    }

    /// What was sent to the client.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let (malformed, refused) = (&mut self.malformed, &mut self.refused);
        self.outbound.feed(bytes, |frame| match (frame.kind, frame.first) {
            (RST_STREAM, PROTOCOL_ERROR) => *malformed += 1,
            (RST_STREAM, REFUSED_STREAM) => *refused += 1,
            _ => {}
        });
    }

    /// Those that were lost since the last call, when so many have become requests. While the
    /// head of the newest has not come whole, that one is still to be waited for.
    pub(super) fn take_lost(&mut self, requests: u64, is_over: bool) -> Lost {
        let kept_back = u64::from(!is_over && (self.is_mid_head || self.inbound.is_mid_frame()));
        let all = self.begun.saturating_sub(requests).saturating_sub(self.told + kept_back);
        // Also a request can end so: what is said of the cause is as near as this can be told.
        let malformed = all.min(self.malformed);
        let refused = (all - malformed).min(self.refused);
        self.told += all;
        self.malformed -= malformed;
        self.refused -= refused;
        Lost { malformed, refused, ended: all - malformed - refused }
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
            bytes.chunks(pieces).for_each(|piece| reader.feed(piece, |frame| found.push((frame.kind, frame.stream, frame.first))));
            let wanted: Vec<_> = frames.iter().map(|(kind, stream, payload)| {
                let first = payload.first_chunk::<4>().filter(|_| *kind == RST_STREAM).map_or(0, |first| u32::from_be_bytes(*first));
                (*kind, *stream, first)
            }).collect();
            // The head of the last frame may be all there is of it, but then it is told as well.
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn a_stream_is_begun_once_and_trailers_begin_none() {
        let mut streams = Streams::new(3);
        streams.received(b"PRI");
        for stream in [1, 1, 3, 7, 5, 7] {
            streams.received(&frame(HEADERS, END_HEADERS, stream, b"abc"));
        }
        streams.sent(&frame(RST_STREAM, 0, 3, &1u32.to_be_bytes()));
        streams.sent(&frame(RST_STREAM, 0, 7, &8u32.to_be_bytes()));
        streams.sent(&frame(RST_STREAM, 0, 7, &7u32.to_be_bytes()));
        assert_eq!(streams.take_lost(0, false), Lost { malformed: 1, refused: 1, ended: 1 });
        let open = frame(HEADERS, 0, 9, b"abc");
        streams.received(&open[..12]);
        assert_eq!(streams.take_lost(0, false), Lost::default());
        streams.received(&open[12..]);
        assert_eq!(streams.take_lost(0, false), Lost::default());
        assert_eq!(streams.take_lost(0, true), Lost { ended: 1, ..Lost::default() });
        assert_eq!(streams.take_lost(0, true), Lost::default());
    }
}
