//! Requests and what none is, and the compression of their fields (RFC 7541, here HPACK).

use super::*;
use crate::harness::h2_frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, WHOLE, literal, text};

/// A connection that has begun, and what is then sent on it.
macro_rules! on {
    ($peer:ident, $($then:tt)*) => { |$peer| { $peer.begin(&[])?; $($then)* } };
}

/// A GET with more behind its head is no request.
macro_rules! refused_with {
    ($more:expr) => {
        on!(peer, {
            let head = peer.head_and("GET", &$more);
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.is_reset(1, &[PROTOCOL])?;
            peer.is_well()
        })
    };
}

/// The same where the name or the value is none: the stack ends the whole connection.
macro_rules! unreadable {
    ($more:expr) => {
        on!(peer, {
            let head = peer.head_and("GET", &$more);
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.is_reset(1, &[PROTOCOL])
        })
    };
}

/// A head that is no request: after the scheme these bytes, before it these.
macro_rules! refused_head {
    ($before:expr, $behind:expr) => {
        on!(peer, {
            let head = [&$before[..], &[peer.scheme()], &$behind[..], &[1], &text("gateway.test")].concat();
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.is_reset(1, &[PROTOCOL])?;
            peer.is_well()
        })
    };
}

/// A GET whose fields can't be decompressed.
macro_rules! broken {
    ($more:expr) => {
        on!(peer, {
            let head = peer.head_and("GET", &$more);
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.goes_away(&[COMPRESSION, UNSPECIFIC])
        })
    };
}

/// A GET with a field in this form is answered.
macro_rules! taken {
    ($more:expr) => {
        on!(peer, {
            let head = peer.head_and("GET", &$more);
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.answer(1)
        })
    };
}

pub(super) const CASES: &[Case] = &[
    (
        "8.1 GET, HEAD, POST, OPTIONS",
        on!(peer, {
            for (number, method) in (0u32..).zip(["GET", "HEAD", "POST", "OPTIONS"]) {
                let head = peer.head(method);
                peer.send(HEADERS, WHOLE, 2 * number + 1, &head);
                peer.answer(2 * number + 1)?;
            }
            Ok(())
        }),
    ),
    (
        "8.1 POST with trailers",
        on!(peer, {
            let head = peer.head_and("POST", &literal("trailer", "x-test"));
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, 0, 1, b"test");
            peer.send(HEADERS, WHOLE, 1, &literal("x-test", "ok"));
            peer.answer(1)
        }),
    ),
    (
        "8.1 a second head without END_STREAM",
        on!(peer, {
            let head = peer.head("POST");
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, 0, 1, b"test");
            peer.send(HEADERS, END_HEADERS, 1, &literal("x-test", "ok"));
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    ("8.2 a name in capitals", unreadable!(literal("X-TEST", "ok"))),
    ("8.2 a name with a colon in it", unreadable!(literal("x:test", "ok"))),
    ("8.2 a name with a blank", unreadable!(literal("x test", "ok"))),
    ("8.2 a line feed in a value", unreadable!(literal("x-test", "a\nb: c"))),
    ("8.2 a NUL in a value", unreadable!(literal("x-test", "a\0b"))),
    ("8.3 an unknown pseudo-field", unreadable!(literal(":test", "ok"))),
    ("8.3 a pseudo-field of responses", refused_with!([0x88])),
    (
        "8.3 a pseudo-field in trailers",
        on!(peer, {
            let head = peer.head_and("POST", &literal("trailer", "x-test"));
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, 0, 1, b"test");
            peer.send(HEADERS, WHOLE, 1, &[0x82]);
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "8.3 a pseudo-field behind a field",
        on!(peer, {
            let head = [literal("x-test", "ok"), peer.head("GET")].concat();
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    ("8.2.2 Connection", refused_with!(literal("connection", "keep-alive"))),
    ("8.2.2 Keep-Alive", refused_with!(literal("keep-alive", "timeout=5"))),
    ("8.2.2 Proxy-Connection", refused_with!(literal("proxy-connection", "keep-alive"))),
    ("8.2.2 Transfer-Encoding", refused_with!(literal("transfer-encoding", "chunked"))),
    ("8.2.2 Upgrade", refused_with!(literal("upgrade", "websocket"))),
    ("8.2.2 TE with more than trailers", refused_with!(literal("te", "trailers, deflate"))),
    ("8.2.2 TE with trailers is taken", taken!(literal("te", "trailers"))),
    ("8.3.1 no method", refused_head!([], [0x84])),
    (
        "8.3.1 no scheme",
        on!(peer, {
            let head = [&[0x82, 0x84, 1][..], &text("gateway.test")].concat();
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    ("8.3.1 no path", refused_head!([0x82], [])),
    ("8.3.1 an empty path", refused_head!([0x82], [0x04, 0x00])),
    ("8.3.1 two methods", refused_head!([0x82, 0x82], [0x84])),
    ("8.3.1 two schemes", refused_head!([0x82, 0x86], [0x84])),
    ("8.3.1 two paths", refused_head!([0x82], [0x84, 0x84])),
    (
        "8.1.1 a length that is less than the DATA",
        on!(peer, {
            let head = peer.head_and("POST", &literal("content-length", "1"));
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "8.1.1 a length that is less than several DATA",
        on!(peer, {
            let head = peer.head_and("POST", &literal("content-length", "1"));
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, 0, 1, b"test");
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "8.1.1 a length that is more than the DATA",
        on!(peer, {
            let head = peer.head_and("POST", &literal("content-length", "9"));
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, END_STREAM, 1, b"test");
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "8.1.1 a length and no DATA",
        on!(peer, {
            let head = peer.head_and("POST", &literal("content-length", "9"));
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.is_reset(1, &[PROTOCOL])
        }),
    ),
    (
        "8.1.1 a length that the DATA has",
        on!(peer, {
            let head = peer.head_and("POST", &literal("content-length", "4"));
            peer.send(HEADERS, END_HEADERS, 1, &head);
            peer.send(DATA, 0, 1, b"te");
            peer.send(DATA, END_STREAM, 1, b"st");
            peer.answer(1)
        }),
    ),
    ("HPACK 2.3.3 an index beyond both tables", broken!([0xc8])),
    (
        "HPACK 2.3.3 the name of an index beyond both tables",
        broken!([&[0x7f, 0x40], &text("a")[..]].concat()),
    ),
    ("HPACK 4.2 a change of the table's size behind fields", broken!([0x21])),
    (
        "HPACK 4.2 changes of the table's size before the fields",
        on!(peer, {
            let head = [&[0x20, 0x3f, 0xe1, 0x1f][..], &peer.head("GET")].concat();
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.answer(1)
        }),
    ),
    ("HPACK 5.1 an integer that does not end", broken!([0xff; 12])),
    ("HPACK 5.2 more than 7 bits of padding", broken!([0, 1, b'x', 0x84, 0x49, 0x50, 0x9f, 0xff])),
    ("HPACK 5.2 padding of zeros", broken!([0, 1, b'x', 0x83, 0x94, 0xe7, 0x40])),
    (
        "HPACK 5.2 the end of a string as a symbol of it",
        broken!([0, 1, b'x', 0x86, 0x94, 0xe7, 0x83, 0xff, 0xff, 0xff]),
    ),
    ("HPACK 6.1 a field with index 0", broken!([0x80])),
    (
        "HPACK 6.1 a field of the dynamic table",
        on!(peer, {
            let head = peer.head_and("GET", &[&[0x40][..], &text("x-test"), &text("ok")].concat());
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.answer(1)?;
            let head = peer.head_and("GET", &[0xbe]);
            peer.send(HEADERS, WHOLE, 3, &head);
            peer.answer(3)
        }),
    ),
    ("HPACK 6.2.1 a literal that is indexed, its name too", taken!([&[0x7a][..], &text("agent/1")].concat())),
    ("HPACK 6.2.1 a literal that is indexed", taken!([&[0x40][..], &text("x-test"), &text("ok")].concat())),
    (
        "HPACK 6.2.2 a literal that is not, its name is",
        taken!([&[0x0f, 0x2b][..], &text("agent/1")].concat()),
    ),
    ("HPACK 6.2.2 a literal that is not", taken!(literal("x-test", "ok"))),
    (
        "HPACK 6.2.3 a literal that never is, its name is",
        taken!([&[0x1f, 0x2b][..], &text("agent/1")].concat()),
    ),
    ("HPACK 6.2.3 a literal that never is", taken!([&[0x10][..], &text("x-test"), &text("ok")].concat())),
    ("HPACK 5.2 a string in Huffman's code", taken!([0, 1, b'x', 0x82, 0x94, 0xe7])),
    (
        "HPACK 6.3 a table larger than is allowed",
        on!(peer, {
            let head = [&[0x3f, 0xe2, 0x1f][..], &peer.head("GET")].concat();
            peer.send(HEADERS, WHOLE, 1, &head);
            peer.goes_away(&[COMPRESSION, UNSPECIFIC])
        }),
    ),
    (
        "HPACK 4.3 a broken block in CONTINUATION",
        on!(peer, {
            let head = peer.head("GET");
            peer.send(HEADERS, END_STREAM, 1, &head);
            peer.send(CONTINUATION, END_HEADERS, 1, &[0x80]);
            peer.goes_away(&[COMPRESSION, UNSPECIFIC])
        }),
    ),
];
