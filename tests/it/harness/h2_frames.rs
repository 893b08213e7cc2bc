//! An HTTP/2 client that sends frames as they are given, broken ones too, and says what came back.

use std::collections::VecDeque;
use std::io::{Read, Write};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Also ACK.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 32;
/// A whole request in its head.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// One entry of SETTINGS.
pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A field that enters no table.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A string as it is, shorter than 127 bytes.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    fn code(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(u32::MAX, |code| u32::from_be_bytes(code.try_into().unwrap()))
    }
}

/// What a stream can be over.
pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// Whether what was wanted came; else what came instead.
pub(crate) type Told = Result<(), String>;

/// A connection.
pub(crate) struct Peer {
    wire: Box<dyn Wire>,
    is_tls: bool,
    buffer: Vec<u8>,
    frames: VecDeque<Frame>,
    /// Most streams at once, as the other side says.
    pub(crate) most_streams: Option<u32>,
    saw: Vec<String>,
}

impl Peer {
    /// Nothing is sent yet.
    pub(crate) fn new(wire: Box<dyn Wire>, is_tls: bool) -> Self {
        let (buffer, frames, saw) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { wire, is_tls, buffer, frames, most_streams: None, saw }
    }

    /// Sends the preface and these settings, and waits until both sides have agreed.
    pub(crate) fn begin(&mut self, settings: &[(u16, u32)]) -> Told {
        let settings: Vec<u8> = settings.iter().flat_map(|&(id, value)| setting(id, value)).collect();
        self.bytes(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
        let theirs = self.wait(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0)?;
        for entry in theirs.payload.chunks_exact(6) {
            if entry[..2] == [0, 3] {
                self.most_streams = Some(u32::from_be_bytes(entry[2..].try_into().unwrap()));
            }
        }
        self.send(SETTINGS, ACK, 0, &[]);
        self.wait(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0).map(drop)
    }

    /// The head of a request for 20 bytes.
    pub(crate) fn head(&self, method: &str) -> Vec<u8> {
        self.head_of(method, "/h2?size=20")
    }

    fn head_of(&self, method: &str, path: &str) -> Vec<u8> {
        let (scheme, path) = (self.scheme(), text(path));
        let method = match method {
            "GET" => vec![0x82],
            "POST" => vec![0x83],
            other => [&[0x02][..], &text(other)].concat(),
        };
        [&method[..], &[scheme, 0x04], &path, &[0x01], &text("gateway.test")].concat()
    }

    /// The same with more behind it.
    pub(crate) fn head_and(&self, method: &str, more: &[u8]) -> Vec<u8> {
        [&self.head(method)[..], more].concat()
    }

    /// The number of the scheme in the static table, as an indexed field.
    pub(crate) fn scheme(&self) -> u8 {
        if self.is_tls { 0x87 } else { 0x86 }
    }

    /// Sends a whole GET of this target.
    pub(crate) fn get_of(&mut self, stream: u32, target: &str) {
        let head = self.head_of("GET", target);
        self.send(HEADERS, WHOLE, stream, &head);
    }

    /// Sends a whole GET.
    pub(crate) fn get(&mut self, stream: u32) {
        let head = self.head("GET");
        self.send(HEADERS, WHOLE, stream, &head);
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes(&frame(kind, flags, stream, payload));
    }

    /// Whether they could be sent shows in what comes back.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
    }

    /// The next frame; an error when the connection has ended or nothing comes.
    fn next(&mut self) -> Result<Frame, String> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            let mut piece = [0; 16 * 1024];
            let got = match self.wire.read(&mut piece) {
                Ok(0) => return Err("the connection ended".to_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(format!("nothing came, but {:?}", self.saw));
                }
                Err(_) => return Err("the connection ended".to_owned()),
                Ok(got) => got,
            };
            self.buffer.extend_from_slice(&piece[..got]);
            while self.buffer.len() >= 9 {
                let length = u32::from_be_bytes([0, self.buffer[0], self.buffer[1], self.buffer[2]]) as usize;
                if self.buffer.len() < 9 + length {
                    break;
                }
                let all: Vec<u8> = self.buffer.drain(..9 + length).collect();
                let stream = u32::from_be_bytes(all[5..9].try_into().unwrap());
                let frame = Frame { kind: all[3], flags: all[4], stream, payload: all[9..].to_vec() };
                self.saw.push(format!("{}/{}@{}", frame.kind, frame.flags, frame.stream));
                self.frames.push_back(frame);
            }
        }
    }

    /// The next frame that is wanted; those before it are passed over.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Result<Frame, String> {
        loop {
            let frame = self.next()?;
            match frame.kind {
                _ if wanted(&frame) => return Ok(frame),
                GOAWAY => return Err(format!("GOAWAY {}", frame.code(4))),
                RST_STREAM => return Err(format!("RST_STREAM {} of {}", frame.code(0), frame.stream)),
                _ => {}
            }
        }
    }

    /// A 200 with its body to the end.
    pub(crate) fn answer(&mut self, stream: u32) -> Told {
        let head = self.wait(|frame| frame.kind == HEADERS && frame.stream == stream)?;
        if head.payload.first() != Some(&0x88) {
            return Err(format!("an answer, but not 200: {:02x?}", head.payload));
        }
        if head.flags & END_STREAM == 0 {
            self.wait(|frame| {
                frame.kind <= HEADERS && frame.stream == stream && frame.flags & END_STREAM != 0
            })?;
        }
        Ok(())
    }

    /// The head of an answer, whatever it says.
    pub(crate) fn answer_head(&mut self, stream: u32) -> Told {
        self.wait(|frame| frame.kind == HEADERS && frame.stream == stream).map(drop)
    }

    /// The next DATA of this stream has so many bytes.
    pub(crate) fn data(&mut self, stream: u32, size: usize) -> Told {
        let data = self.wait(|frame| frame.kind == DATA && frame.stream == stream)?;
        (data.payload.len() == size).then_some(()).ok_or_else(|| format!("{} bytes", data.payload.len()))
    }

    /// The connection is well: a PING is answered.
    pub(crate) fn is_well(&mut self) -> Told {
        self.send(PING, 0, 0, b"are well");
        self.wait(|frame| frame.kind == PING && frame.flags & ACK != 0 && frame.payload == b"are well")
            .map(drop)
    }

    /// GOAWAY with one of these codes, and then the end.
    pub(crate) fn goes_away(&mut self, codes: &[u32]) -> Told {
        let away = self.wait_any(|frame| frame.kind == GOAWAY)?;
        let code = away.code(4);
        if !codes.contains(&code) {
            return Err(format!("GOAWAY {code}"));
        }
        self.ends()
    }

    /// RST_STREAM with one of these codes, or the same said of the whole connection.
    pub(crate) fn is_reset(&mut self, stream: u32, codes: &[u32]) -> Told {
        let end = self
            .wait_any(|frame| frame.kind == GOAWAY || frame.kind == RST_STREAM && frame.stream == stream)?;
        let code = if end.kind == GOAWAY { end.code(4) } else { end.code(0) };
        let name = if end.kind == GOAWAY { "GOAWAY" } else { "RST_STREAM" };
        codes.contains(&code).then_some(()).ok_or_else(|| format!("{name} {code}"))
    }

    /// The connection ends, in whatever way.
    pub(crate) fn ends(&mut self) -> Told {
        match self.wait_any(|_| false) {
            Err(end) if end == "the connection ended" => Ok(()),
            other => Err(format!("still open: {other:?}")),
        }
    }

    fn wait_any(&mut self, wanted: impl Fn(&Frame) -> bool) -> Result<Frame, String> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }
}
