//! The preface, the form of each frame, and frames that are where they must not be.

use super::*;
use crate::harness::h2_frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, WITH_PRIORITY, frame, literal, setting,
};

/// A connection that has begun, and what is then sent on it.
macro_rules! on {
    ($peer:ident, $($then:tt)*) => { |$peer| { $peer.begin(&[])?; $($then)* } };
}

pub(super) const CASES: &[Case] = &[
    ("3.4 the preface is answered by settings", |peer| peer.begin(&[])),
    ("3.4 another preface ends the connection", |peer| {
        peer.bytes(b"PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n");
        peer.bytes(&frame(SETTINGS, 0, 0, &[]));
        peer.ends()
    }),
    ("3.4 a preface without settings behind it", |peer| {
        peer.bytes(PREFACE);
        peer.send(PING, 0, 0, &[0; 8]);
        peer.goes_away(&[PROTOCOL])
    }),
    (
        "4.1 a frame of unknown kind is passed over",
        on!(peer, {
            peer.send(0x16, 0, 0, &[0; 8]);
            peer.is_well()
        }),
    ),
    (
        "4.1 a flag without meaning is passed over",
        on!(peer, {
            peer.send(PING, 0x16, 0, b"flagged!");
            peer.wait(|frame| frame.kind == PING && frame.payload == b"flagged!")?;
            peer.is_well()
        }),
    ),
    (
        "4.1 the reserved bit is passed over",
        on!(peer, {
            peer.send(PING, 0, 1 << 31, b"reserved");
            peer.wait(|frame| frame.kind == PING && frame.payload == b"reserved").map(drop)
        }),
    ),
    (
        "4.2 a frame of 2^14 bytes",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, END_STREAM, 1, &[0; 16_384]);
            peer.answer(1)
        }),
    ),
    (
        "4.2 DATA beyond the largest frame",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, END_STREAM, 1, &[0; 16_385]);
            peer.is_reset(1, &[FRAME_SIZE])
        }),
    ),
    (
        "4.2 HEADERS beyond the largest frame",
        on!(peer, {
            let fields: Vec<u8> = (0..150).flat_map(|_| literal("x-dummy", &"a".repeat(110))).collect();
            let head = peer.head_and("GET", &fields);
            assert!(head.len() > 16_384);
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.goes_away(&[FRAME_SIZE])
        }),
    ),
    (
        "4.3 PRIORITY in the middle of a head",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, END_STREAM, 1, &head);
            peer.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "4.3 HEADERS of another stream in the middle of a head",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, END_STREAM, 1, &head);
            peer.get(3);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "5.4.1 after an error of the connection it is closed",
        on!(peer, {
            peer.send(PING, 0, 0, &[0; 4]);
            peer.ends()
        }),
    ),
    (
        "5.4.1 GOAWAY comes before that",
        on!(peer, {
            peer.send(PING, 0, 3, &[0; 8]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "5.5 an unknown frame on a stream is passed over",
        on!(peer, {
            peer.send(0xff, 0x7f, 1, &[0; 32]);
            peer.is_well()?;
            peer.get(1);
            peer.answer(1)
        }),
    ),
    (
        "5.5 an unknown frame in the middle of a head",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, END_STREAM, 1, &head);
            peer.send(0x16, 0, 1, &[0; 8]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.1 DATA",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, 0, 1, b"some");
            peer.send(DATA, 0, 1, b"");
            peer.send(DATA, PADDED, 1, b"\x05more12345"[..].split_at(10).0);
            peer.send(DATA, END_STREAM, 1, b"end");
            peer.answer(1)
        }),
    ),
    (
        "6.1 DATA of stream 0",
        on!(peer, {
            peer.send(DATA, END_STREAM, 0, b"test");
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.1 DATA with more padding than payload",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, END_STREAM | PADDED, 1, b"\x06Test");
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.2 HEADERS with padding and priority",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, WHOLE | PADDED, 1, &[&[2], &head[..], &[0, 0]].concat());
            peer.answer(1)?;
            peer.send(HEADERS, WHOLE | WITH_PRIORITY, 3, &[&[0, 0, 0, 0, 99], &head[..]].concat());
            peer.answer(3)?;
            let both = [&[1, 0x80, 0, 0, 1, 0], &head[..], &[0]].concat();
            peer.send(HEADERS, WHOLE | WITH_PRIORITY | PADDED, 5, &both);
            peer.answer(5)
        }),
    ),
    (
        "6.2 HEADERS of stream 0",
        on!(peer, {
            peer.get(0);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.2 HEADERS with more padding than payload",
        on!(peer, {
            let head = peer.head("GET");
            let length = u8::try_from(head.len()).unwrap();
            peer.send(HEADERS, WHOLE | PADDED, 1, &[&[length + 1], &head[..]].concat());
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.2 HEADERS too short for its padding and its priority",
        on!(peer, {
            peer.send(HEADERS, WHOLE | PADDED | WITH_PRIORITY, 1, &[0, 0, 0]);
            peer.goes_away(&[PROTOCOL, FRAME_SIZE])
        }),
    ),
    (
        "6.3 PRIORITY",
        on!(peer, {
            for (stream, depends) in [(1, 0u32), (1, 1 << 31), (5, 1), (7, 0), (3, 5)] {
                peer.send(PRIORITY, 0, stream, &[&depends.to_be_bytes()[..], &[255]].concat());
            }
            peer.get(1);
            peer.answer(1)?;
            peer.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
            peer.is_well()
        }),
    ),
    (
        "6.3 PRIORITY of stream 0",
        on!(peer, {
            peer.send(PRIORITY, 0, 0, &[0, 0, 0, 0, 255]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.3 PRIORITY of another length",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(PRIORITY, 0, 1, &[0x80, 0, 0, 1]);
            peer.is_reset(1, &[FRAME_SIZE])
        }),
    ),
    (
        "6.4 RST_STREAM of stream 0",
        on!(peer, {
            peer.send(RST_STREAM, 0, 0, &[0, 0, 0, 8]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.4 RST_STREAM of another length",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(RST_STREAM, 0, 1, &[0, 0, 0]);
            peer.goes_away(&[FRAME_SIZE])
        }),
    ),
    (
        "6.5 SETTINGS is acknowledged",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(MAX_FRAME, 20_000));
            peer.wait(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0 && frame.payload.is_empty())
                .map(drop)
        }),
    ),
    (
        "6.5 SETTINGS with ACK and a payload",
        on!(peer, {
            peer.send(SETTINGS, ACK, 0, &setting(ENABLE_PUSH, 0));
            peer.goes_away(&[FRAME_SIZE])
        }),
    ),
    (
        "6.5 SETTINGS of a stream",
        on!(peer, {
            peer.send(SETTINGS, 0, 1, &setting(3, 100));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.5 SETTINGS of another length",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &[0, 3, 0]);
            peer.goes_away(&[FRAME_SIZE])
        }),
    ),
    (
        "6.5.2 a bad ENABLE_PUSH",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(ENABLE_PUSH, 2));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.5.2 an initial window beyond 2^31-1",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 1 << 31));
            peer.goes_away(&[FLOW_CONTROL, UNSPECIFIC])
        }),
    ),
    (
        "6.5.2 a largest frame below 2^14",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(MAX_FRAME, 16_383));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.5.2 a largest frame above 2^24-1",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(MAX_FRAME, 1 << 24));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.5.2 a setting without meaning is passed over",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(0xff, 1));
            peer.is_well()
        }),
    ),
    (
        "6.6 PUSH_PROMISE of a client",
        on!(peer, {
            let head = peer.head("GET");
            peer.get(1);
            peer.send(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &head[..]].concat());
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.7 PING is answered by its own bytes",
        on!(peer, {
            peer.send(PING, 0, 0, b"h2h2h2h2");
            peer.wait(|frame| frame.kind == PING && frame.flags == ACK && frame.payload == b"h2h2h2h2")
                .map(drop)
        }),
    ),
    (
        "6.7 PING with ACK is not answered",
        on!(peer, {
            peer.send(PING, ACK, 0, b"no reply");
            peer.send(PING, 0, 0, b"a reply.");
            let pong = peer.wait(|frame| frame.kind == PING)?;
            (pong.payload == b"a reply.").then_some(()).ok_or_else(|| format!("{:?}", pong.payload))
        }),
    ),
    (
        "6.7 PING of a stream",
        on!(peer, {
            peer.send(PING, 0, 1, &[0; 8]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.7 PING of another length",
        on!(peer, {
            peer.send(PING, 0, 0, &[0; 6]);
            peer.goes_away(&[FRAME_SIZE])
        }),
    ),
    (
        "6.8 GOAWAY is taken",
        on!(peer, {
            peer.send(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0, b'b', b'y', b'e']);
            peer.is_well().or_else(|_| peer.ends())
        }),
    ),
    (
        "6.8 GOAWAY of a stream",
        on!(peer, {
            peer.send(GOAWAY, 0, 1, &[0; 8]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.8 GOAWAY too short",
        on!(peer, {
            peer.send(GOAWAY, 0, 0, &[0; 7]);
            peer.goes_away(&[FRAME_SIZE])
        }),
    ),
    (
        "6.9 WINDOW_UPDATE of nothing, of the connection",
        on!(peer, {
            peer.send(WINDOW_UPDATE, 0, 0, &[0; 4]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.9 WINDOW_UPDATE of nothing, of a stream",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(WINDOW_UPDATE, 0, 1, &[0; 4]);
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "6.9 WINDOW_UPDATE of another length",
        on!(peer, {
            peer.send(WINDOW_UPDATE, 0, 0, &[0, 0, 1]);
            peer.goes_away(&[FRAME_SIZE])
        }),
    ),
    (
        "6.10 a head in several frames",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, END_STREAM, 1, &head[..3]);
            peer.send(CONTINUATION, 0, 1, &head[3..9]);
            peer.send(CONTINUATION, 0, 1, &[]);
            peer.send(CONTINUATION, END_HEADERS, 1, &head[9..]);
            peer.answer(1)
        }),
    ),
    (
        "6.10 CONTINUATION followed by DATA",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, 0, 1, &head);
            peer.send(CONTINUATION, 0, 1, &literal("x", "y"));
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.10 CONTINUATION of stream 0",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, END_STREAM, 1, &head);
            peer.send(CONTINUATION, END_HEADERS, 0, &literal("x", "y"));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.10 CONTINUATION behind a head that has ended",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(CONTINUATION, END_HEADERS, 1, &literal("x", "y"));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.10 CONTINUATION behind the last CONTINUATION",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, 0, 1, &head);
            peer.send(CONTINUATION, END_HEADERS, 1, &literal("x", "y"));
            peer.send(CONTINUATION, END_HEADERS, 1, &literal("x", "z"));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "6.10 CONTINUATION behind DATA",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, 0, 1, b"test");
            peer.send(CONTINUATION, END_HEADERS, 1, &literal("x", "y"));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "7 GOAWAY with a code without meaning",
        on!(peer, {
            peer.send(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]);
            peer.is_well().or_else(|_| peer.ends())
        }),
    ),
    (
        "7 RST_STREAM with a code without meaning",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(RST_STREAM, 0, 1, &[0, 0, 0, 0xff]);
            peer.is_well()
        }),
    ),
];
