//! Which streams of an HTTP/2 connection were begun, and which of them were ended for what the
//! client sent: the stack resets a stream that is no request (RFC 9113 §8.1.1) without a word
//! to anybody, and so it would make no record. Only the heads of frames are looked at.

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, Frame, Frames, GOAWAY, HEADERS, RST_STREAM, SETTINGS,
};

use std::collections::VecDeque;

/// PROTOCOL_ERROR (RFC 9113 §7).
const PROTOCOL_ERROR: u32 = 1;
/// REFUSED_STREAM.
const REFUSED_STREAM: u32 = 7;
/// FRAME_SIZE_ERROR.
const FRAME_SIZE_ERROR: u32 = 6;

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
    has_settings: bool,
    /// Why nothing more is read: a code of RFC 9113 §7.
    fault: Option<u32>,
    /// Streams that were reset for what the client sent on them, and those that were refused
    /// since too many were open; less those that were told.
    malformed: u64,
    refused: u64,
    told: u64,
    /// Begun streams that have not become requests yet, oldest first. They become requests in
    /// this order.
    waiting: VecDeque<u32>,
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
        Self {
            inbound: Frames::behind(preface),
            outbound: Frames::default(),
            newest: 0,
            is_mid_head: false,
            begun: 0,
            has_settings: false,
            fault: None,
            malformed: 0,
            refused: 0,
            told: 0,
            waiting: VecDeque::new(),
        }
    }

    /// What the client sent.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        let Self { inbound, newest, begun, is_mid_head, has_settings, fault, waiting, .. } = self;
        inbound.feed(bytes, |frame| {
            if fault.is_some() {
                return;
            }
            *fault = fault_of(&frame, *has_settings, *newest);
            *has_settings = true;
            if matches!(frame.kind, HEADERS | CONTINUATION) {
                *is_mid_head = frame.flags & END_HEADERS == 0;
            }
            // Also trailers are HEADERS, of a stream that is there.
            if frame.kind == HEADERS && frame.stream > *newest {
                *newest = frame.stream;
                *begun += 1;
                waiting.push_back(frame.stream);
            }
        });
    }

    /// Why the connection must end, though the stack would go on: a code of RFC 9113 §7.
    pub(super) fn fault(&self) -> Option<u32> {
        self.fault
    }

    /// The GOAWAY that tells of it; `None`: it would come into the middle of another frame.
    pub(super) fn goodbye(&self) -> Option<[u8; 17]> {
        let code = self.fault.filter(|_| !self.outbound.is_mid_frame())?;
        let mut frame = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        frame[9..13].copy_from_slice(&self.newest.to_be_bytes());
        frame[13..].copy_from_slice(&code.to_be_bytes());
        Some(frame)
    }

    /// What was sent to the client; `each` is told the streams whose responses went on.
    pub(super) fn sent(&mut self, bytes: &[u8], mut each: impl FnMut(u32)) {
        let Self { outbound, malformed, refused, waiting, .. } = self;
        outbound.feed(bytes, |frame| match (frame.kind, frame.code()) {
            (DATA, _) => each(frame.stream),
            // The stack's own answer to a head that is too large.
            (HEADERS, _) => waiting.retain(|&stream| stream != frame.stream),
            (RST_STREAM, code) => {
                waiting.retain(|&stream| stream != frame.stream);
                match code {
                    PROTOCOL_ERROR => *malformed += 1,
                    REFUSED_STREAM => *refused += 1,
                    _ => {}
                }
            }
            _ => {}
        });
    }

    /// The stream of the request that has come: exact as long as no stream of the connection
    /// was lost at the same time.
    pub(super) fn next_request(&mut self) -> Option<u32> {
        self.waiting.pop_front()
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

/// What the stack takes, or answers with another code than the one that is meant for it.
fn fault_of(frame: &Frame, has_settings: bool, newest: u32) -> Option<u32> {
    // The preface ends with SETTINGS (RFC 9113 §3.4).
    if !has_settings && (frame.kind != SETTINGS || frame.flags & ACK != 0) {
        return Some(PROTOCOL_ERROR);
    }
    if !frame.has_right_length() {
        return Some(FRAME_SIZE_ERROR);
    }
    // Trailers that say what the request is (§8.1).
    let is_trailer = frame.kind == HEADERS && frame.stream != 0 && frame.stream <= newest;
    (is_trailer && frame.begins_with_pseudo_field()).then_some(PROTOCOL_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_stream_is_begun_once_and_trailers_begin_none() {
        let mut streams = Streams::new(3);
        streams.received(b"PRI");
        streams.received(&frame(SETTINGS, 0, 0, b""));
        for stream in [1, 1, 3, 7, 5, 7] {
            streams.received(&frame(HEADERS, END_HEADERS, stream, b"abc"));
        }
        streams.sent(&frame(RST_STREAM, 0, 3, &1u32.to_be_bytes()), |_| {});
        streams.sent(&frame(RST_STREAM, 0, 7, &8u32.to_be_bytes()), |_| {});
        streams.sent(&frame(RST_STREAM, 0, 7, &7u32.to_be_bytes()), |_| {});
        assert_eq!(streams.take_lost(0, false), Lost { malformed: 1, refused: 1, ended: 1 });
        let open = frame(HEADERS, 0, 9, b"abc");
        streams.received(&open[..12]);
        assert_eq!(streams.take_lost(0, false), Lost::default());
        streams.received(&open[12..]);
        assert_eq!(streams.take_lost(0, false), Lost::default());
        assert_eq!(streams.take_lost(0, true), Lost { ended: 1, ..Lost::default() });
        assert_eq!(streams.take_lost(0, true), Lost::default());
    }

    #[test]
    fn what_the_stack_would_take_is_refused_with_its_code() {
        let settings = frame(SETTINGS, 0, 0, b"");
        let head = frame(HEADERS, END_HEADERS, 1, b"\x82\x86\x84\x01\x01a");
        let trailers = |flags, block: &[u8]| frame(HEADERS, END_HEADERS | 1 | flags, 1, block);
        for (bytes, code) in [
            (frame(6, 0, 0, &[0; 8]), Some(PROTOCOL_ERROR)),
            (frame(SETTINGS, ACK, 0, b""), Some(PROTOCOL_ERROR)),
            ([&settings[..], &frame(6, 0, 0, &[0; 7])].concat(), Some(FRAME_SIZE_ERROR)),
            ([&settings[..], &frame(6, 0, 0, &[0; 8])].concat(), None),
            ([&settings[..], &head, &trailers(0, b"\0\x01xyz")].concat(), None),
            ([&settings[..], &head, &trailers(0, b"\x82")].concat(), Some(PROTOCOL_ERROR)),
            ([&settings[..], &head, &trailers(8, b"\x01\0\x05:path\x01/\0")].concat(), Some(PROTOCOL_ERROR)),
            (
                [&settings[..], &head, &trailers(40, b"\0\0\0\0\0\x09\0\x84\xb9\x58")].concat(),
                Some(PROTOCOL_ERROR),
            ),
            ([&settings[..], &head, &trailers(0, b"")].concat(), None),
        ] {
            for pieces in [1, 7, bytes.len()] {
                let mut streams = Streams::new(0);
                bytes.chunks(pieces).for_each(|piece| streams.received(piece));
                assert_eq!(streams.fault(), code, "{bytes:?}");
                assert_eq!(streams.goodbye().map(|frame| u32::from(frame[16])), code);
            }
        }
    }
}
