//! States and numbers of streams, priorities, flow control.

use super::*;
use crate::harness::h2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PRIORITY, RST_STREAM, SETTINGS, WHOLE,
    WINDOW_UPDATE, WITH_PRIORITY, frame, literal, setting,
};

/// A connection that has begun, and what is then sent on it.
macro_rules! on {
    ($peer:ident, $($then:tt)*) => { |$peer| { $peer.begin(&[])?; $($then)* } };
}

/// The same, with stream 1 half closed: its request is whole, and its answer can't leave.
macro_rules! half_closed {
    ($peer:ident, $($then:tt)*) => {
        |$peer| {
            $peer.begin(&[(INITIAL_WINDOW, 0)])?;
            $peer.get(1);
            $peer.answer_head(1)?;
            $($then)*
        }
    };
}

/// The same, with stream 1 over: both sides have ended it.
macro_rules! over {
    ($peer:ident, $($then:tt)*) => {
        |$peer| {
            $peer.begin(&[])?;
            $peer.get(1);
            $peer.answer(1)?;
            $($then)*
        }
    };
}

/// The same, with stream 1 taken back by the client.
macro_rules! taken_back {
    ($peer:ident, $($then:tt)*) => {
        |$peer| {
            $peer.begin(&[])?;
            let head = $peer.head("POST");
            $peer.send(HEADERS, END_HEADERS, 1, &head);
            $peer.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            $($then)*
        }
    };
}

fn window(more: u32) -> [u8; 4] {
    more.to_be_bytes()
}

pub(super) const CASES: &[Case] = &[
    (
        "5.1 idle: DATA",
        on!(peer, {
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "5.1 idle: RST_STREAM",
        on!(peer, {
            peer.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "5.1 idle: WINDOW_UPDATE",
        on!(peer, {
            peer.send(WINDOW_UPDATE, 0, 1, &window(100));
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "5.1 idle: CONTINUATION",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(CONTINUATION, END_HEADERS, 1, &head);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "5.1 idle: PRIORITY is taken",
        on!(peer, {
            peer.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]);
            peer.is_well()
        }),
    ),
    (
        "5.1 half closed: DATA",
        half_closed!(peer, {
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.is_reset(1, &[CLOSED, UNSPECIFIC])
        }),
    ),
    (
        "5.1 half closed: HEADERS",
        half_closed!(peer, {
            peer.get(1);
            peer.is_reset(1, &[CLOSED, UNSPECIFIC])
        }),
    ),
    (
        "5.1 half closed: CONTINUATION",
        half_closed!(peer, {
            peer.send(CONTINUATION, END_HEADERS, 1, &literal("x", "y"));
            peer.goes_away(&[CLOSED, PROTOCOL])
        }),
    ),
    (
        "5.1 half closed: WINDOW_UPDATE and PRIORITY are taken",
        half_closed!(peer, {
            peer.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]);
            peer.send(WINDOW_UPDATE, 0, 1, &window(100));
            peer.data(1, 20)?;
            peer.is_well()
        }),
    ),
    (
        "5.1 half closed: RST_STREAM is taken",
        half_closed!(peer, {
            peer.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            peer.is_well()
        }),
    ),
    (
        "5.1 taken back: DATA",
        taken_back!(peer, {
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.is_reset(1, &[CLOSED, UNSPECIFIC])
        }),
    ),
    (
        "5.1 taken back: HEADERS",
        taken_back!(peer, {
            peer.get(1);
            peer.is_reset(1, &[CLOSED, UNSPECIFIC])
        }),
    ),
    (
        "5.1 taken back: CONTINUATION",
        taken_back!(peer, {
            peer.send(CONTINUATION, END_HEADERS, 1, &literal("x", "y"));
            peer.goes_away(&[CLOSED, PROTOCOL])
        }),
    ),
    (
        "5.1 closed: DATA",
        over!(peer, {
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.is_reset(1, &[CLOSED, UNSPECIFIC])
        }),
    ),
    (
        "5.1 closed: HEADERS",
        over!(peer, {
            peer.get(1);
            peer.goes_away(&[CLOSED, UNSPECIFIC])
        }),
    ),
    (
        "5.1 closed: CONTINUATION",
        over!(peer, {
            peer.send(CONTINUATION, END_HEADERS, 1, &literal("x", "y"));
            peer.goes_away(&[CLOSED, PROTOCOL])
        }),
    ),
    (
        "5.1 closed: PRIORITY is taken",
        over!(peer, {
            peer.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]);
            peer.is_well()
        }),
    ),
    (
        "5.1 closed: WINDOW_UPDATE and RST_STREAM just after are taken",
        over!(peer, {
            peer.send(WINDOW_UPDATE, 0, 1, &window(100));
            peer.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            peer.is_well()
        }),
    ),
    (
        "5.1.1 an even number",
        on!(peer, {
            peer.get(2);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    (
        "5.1.1 a number below the last",
        on!(peer, {
            peer.get(5);
            peer.answer(5)?;
            peer.get(3);
            peer.goes_away(&[PROTOCOL])
        }),
    ),
    ("5.1.2 more streams than may be open", |peer| {
        peer.begin(&[(INITIAL_WINDOW, 0)])?;
        let most = peer.most_streams.ok_or("no limit is said")?;
        for number in 0..=most {
            peer.get(2 * number + 1);
        }
        peer.is_reset(2 * most + 1, &[REFUSED, PROTOCOL])
    }),
    (
        "5.3.1 HEADERS of a stream that depends on itself",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, WHOLE | WITH_PRIORITY, 1, &[&[0, 0, 0, 1, 255], &head[..]].concat());
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "5.3.1 PRIORITY of a stream that depends on itself",
        on!(peer, {
            peer.send(PRIORITY, 0, 1, &[0, 0, 0, 1, 255]);
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "6.5.3 of several values the last counts",
        on!(peer, {
            let both = [setting(INITIAL_WINDOW, 100), setting(INITIAL_WINDOW, 1)].concat();
            peer.send(SETTINGS, 0, 0, &both);
            peer.get(1);
            peer.data(1, 1)
        }),
    ),
    (
        "6.9.1 no more is sent than the window has room for",
        on!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 1));
            peer.get(1);
            peer.data(1, 1)?;
            peer.is_well()?;
            peer.send(WINDOW_UPDATE, 0, 1, &window(7));
            peer.data(1, 7)?;
            peer.send(WINDOW_UPDATE, 0, 1, &window(100));
            peer.data(1, 12)
        }),
    ),
    (
        "6.9.1 the window of the connection beyond 2^31-1",
        on!(peer, {
            peer.send(WINDOW_UPDATE, 0, 0, &window(i32::MAX as u32));
            peer.send(WINDOW_UPDATE, 0, 0, &window(i32::MAX as u32));
            peer.goes_away(&[FLOW_CONTROL])
        }),
    ),
    (
        "6.9.1 the window of a stream beyond 2^31-1",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            // In one write: the answer, which waits for the window, would end the stream before.
            let update = frame(WINDOW_UPDATE, 0, 1, &window(i32::MAX as u32));
            peer.bytes(&[update.clone(), update].concat());
            peer.is_reset(1, &[FLOW_CONTROL])
        }),
    ),
    (
        "6.9.2 a new initial window moves those of open streams",
        half_closed!(peer, {
            peer.send(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 1));
            peer.data(1, 1)
        }),
    ),
    ("6.9.2 a window can be below nothing", |peer| {
        peer.begin(&[(INITIAL_WINDOW, 3)])?;
        peer.get(1);
        peer.data(1, 3)?;
        peer.send(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, 2));
        peer.send(WINDOW_UPDATE, 0, 1, &window(2));
        peer.data(1, 1)
    }),
    (
        "6.9.2 an initial window that takes one of a stream beyond 2^31-1",
        half_closed!(peer, {
            let update = frame(WINDOW_UPDATE, 0, 1, &window(i32::MAX as u32));
            let settings = frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, i32::MAX as u32));
            // In one write, as above.
            peer.bytes(&[update, settings].concat());
            peer.goes_away(&[FLOW_CONTROL])
        }),
    ),
];
