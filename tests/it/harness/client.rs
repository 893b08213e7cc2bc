//! An HTTP/1.1 client over bare TCP, so that every byte is the test's own, and
//! an HTTP/2 client with prior knowledge.

use super::{PATIENCE, pattern_at};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: Vec<u8>,
    version: String,
    host: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    chunked: bool,
    trailers: Vec<(String, String)>,
}

/// `method target HTTP/1.1` with `Host: gateway.test`.
pub(crate) fn request(method: &str, target: impl AsRef<[u8]>) -> Request {
    Request {
        method: method.to_owned(),
        target: target.as_ref().to_vec(),
        version: "HTTP/1.1".to_owned(),
        host: Some("gateway.test".to_owned()),
        headers: Vec::new(),
        body: None,
        chunked: false,
        trailers: Vec::new(),
    }
}

/// A GET.
pub(crate) fn get(target: impl AsRef<[u8]>) -> Request {
    request("GET", target)
}

impl Request {
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    pub(crate) fn no_host(mut self) -> Self {
        self.host = None;
        self
    }

    pub(crate) fn version(mut self, version: &str) -> Self {
        self.version = version.to_owned();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self.chunked()
    }

    /// The head, with the empty line.
    pub(crate) fn head_bytes(&self) -> Vec<u8> {
        let mut out = format!("{} ", self.method).into_bytes();
        out.extend_from_slice(&self.target);
        out.extend_from_slice(format!(" {}\r\n", self.version).as_bytes());
        if let Some(host) = &self.host {
            out.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if self.chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(body) = &self.body {
            out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The body as it goes over the wire.
    pub(crate) fn body_bytes(&self) -> Vec<u8> {
        let body = self.body.as_deref().unwrap_or_default();
        if !self.chunked {
            return body.to_vec();
        }
        let mut out = Vec::with_capacity(body.len() + 64);
        for piece in body.chunks(10_007) {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        for (name, value) in &self.trailers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Sends it on a connection of its own and reads the answer.
    pub(crate) fn send(&self, to: SocketAddr) -> Response {
        Connection::open(to).exchange(self)
    }

    fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// A response, as much of it as came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// The message ended as its framing says.
    pub(crate) complete: bool,
    /// Interim responses before it.
    pub(crate) interim: Vec<u16>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as JSON: what an echo says.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// True if the body is the origin's pattern.
    pub(crate) fn is_pattern(&self) -> bool {
        self.body.iter().enumerate().all(|(at, byte)| *byte == pattern_at(at))
    }
}

/// The head of a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) interim: Vec<u16>,
}

/// One client connection: over TCP, unless it is said otherwise.
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(to: SocketAddr) -> Self {
        Self::try_open(to).unwrap_or_else(|error| panic!("connect to {to}: {error}"))
    }

    pub(crate) fn try_open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// The client's own address.
    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// A small receive buffer, for a reader that is to be slow.
    pub(crate) fn small_window(&self) {
        socket2::SockRef::from(&self.stream).set_recv_buffer_size(16 * 1024).unwrap();
    }

    /// Leaves at once, with a RST.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Leaves in peace, with a FIN.
    pub(crate) fn close(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Sends the pattern until nothing more is taken for half a second, or all is sent.
    pub(crate) fn send_until_stuck(&mut self, size: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while sent < size {
            let piece: Vec<u8> = (sent..size.min(sent + 65_536)).map(pattern_at).collect();
            match self.stream.write(&piece) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }
}

impl<S: Read + Write> Connection<S> {
    /// Over a stream that is there.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap_or_else(|error| panic!("send: {error}"));
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a whole request and reads its answer.
    pub(crate) fn exchange(&mut self, request: &Request) -> Response {
        let mut bytes = request.head_bytes();
        bytes.extend_from_slice(&request.body_bytes());
        // A refusal may come before all is sent, with the connection closed behind it.
        let sent = self.try_send(&bytes);
        self.response(request.is_head()).unwrap_or_else(|error| panic!("{error} (sending: {sent:?})"))
    }

    /// The answer to what was sent; an error if no whole head came.
    pub(crate) fn response(&mut self, to_head: bool) -> io::Result<Response> {
        let head = self.head()?;
        let mut response = Response {
            status: head.status,
            headers: head.headers.clone(),
            interim: head.interim.clone(),
            ..Response::default()
        };
        let mut body = Vec::new();
        match self.body(&head, to_head, |piece| body.extend_from_slice(piece)) {
            Ok(trailers) => {
                response.complete = true;
                response.trailers = trailers;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => {}
        }
        response.body = body;
        Ok(response)
    }

    /// Reads up to the end of the final head.
    pub(crate) fn head(&mut self) -> io::Result<Head> {
        let mut interim = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                    break at;
                }
                if self.fill()? == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("no head, only {:?}", String::from_utf8_lossy(&self.buffer)),
                    ));
                }
            };
            let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
            let text = String::from_utf8_lossy(&head[..end]).into_owned();
            let (line, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
            let status = line
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .ok_or_else(|| io::Error::other(format!("status line {line:?}")))?;
            if status < 200 && status != 101 {
                interim.push(status);
                continue;
            }
            return Ok(Head { status, headers: parse_headers(rest), interim });
        }
    }

    /// Reads the body that follows a head; the trailers if it ended well.
    pub(crate) fn body(
        &mut self,
        head: &Head,
        to_head: bool,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<Vec<(String, String)>> {
        self.body_until(head, to_head, |piece| {
            each(piece);
            true
        })
    }

    /// The same, but stops with an error as soon as `each` says false.
    pub(crate) fn body_until(
        &mut self,
        head: &Head,
        to_head: bool,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<Vec<(String, String)>> {
        if to_head || head.status == 204 || head.status == 304 {
            return Ok(Vec::new());
        }
        if find(&head.headers, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)
                    .map_err(|_| io::Error::other(format!("chunk size {line:?}")))?;
                if size == 0 {
                    break;
                }
                self.take(size, &mut each)?;
                self.line()?;
            }
            let mut trailers = Vec::new();
            loop {
                let line = self.line()?;
                if line.is_empty() {
                    return Ok(trailers);
                }
                trailers.extend(parse_headers(&line));
            }
        }
        if let Some(length) = find(&head.headers, "content-length").and_then(|text| text.parse().ok()) {
            self.take(length, &mut each)?;
            return Ok(Vec::new());
        }
        // Until the end of the connection.
        loop {
            if !self.buffer.is_empty() && !each(&self.buffer) {
                return Err(stopped());
            }
            self.buffer.clear();
            if self.fill()? == 0 {
                return Ok(Vec::new());
            }
        }
    }

    /// Reads body bytes as they come, at least this many.
    pub(crate) fn read_at_least(&mut self, count: usize) -> usize {
        while self.buffer.len() < count {
            assert!(self.fill().unwrap() > 0, "the connection ended early");
        }
        std::mem::take(&mut self.buffer).len()
    }

    /// The status of the next head, which stays to be read.
    pub(crate) fn peek_status(&mut self) -> u16 {
        while memchr::memmem::find(&self.buffer, b"\r\n").is_none() {
            assert!(self.fill().unwrap() > 0, "the connection ended early");
        }
        String::from_utf8_lossy(&self.buffer).split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// True if the other side closes without sending a byte more.
    pub(crate) fn is_closed_by_peer(&mut self) -> bool {
        self.buffer.is_empty() && self.fill().map_or(true, |got| got == 0)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        let got = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..got]);
        Ok(got)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, mut left: usize, each: &mut impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        while left > 0 {
            if self.buffer.is_empty() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = left.min(self.buffer.len());
            let goes_on = each(&self.buffer[..now]);
            self.buffer.drain(..now);
            left -= now;
            if !goes_on && left > 0 {
                return Err(stopped());
            }
        }
        Ok(())
    }
}

fn stopped() -> io::Error {
    io::Error::other("the client wanted no more")
}

/// Header lines as pairs, values without the space around them.
pub(crate) fn parse_headers(lines: &str) -> Vec<(String, String)> {
    lines
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// The first header of a name.
pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The pairs of a query, percent-decoded.
pub(crate) fn decode_form(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// An HTTP/2 connection with prior knowledge.
#[derive(Clone)]
pub(crate) struct H2 {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    authority: String,
}

impl H2 {
    pub(crate) async fn open(to: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(to).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        Self { sender, authority: to.to_string() }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, method: &str, target: &str, body: Vec<u8>) -> Response {
        let incoming = self.start(method, target, body).await;
        let mut response = Response {
            status: incoming.status().as_u16(),
            headers: incoming
                .headers()
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            ..Response::default()
        };
        if let Ok(body) = incoming.into_body().collect().await {
            response.complete = true;
            if let Some(trailers) = body.trailers() {
                response.trailers = trailers
                    .iter()
                    .map(|(name, value)| {
                        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                    })
                    .collect();
            }
            response.body = body.to_bytes().to_vec();
        }
        response
    }

    /// Sends a request and reads the head alone.
    pub(crate) async fn start(
        &self,
        method: &str,
        target: &str,
        body: Vec<u8>,
    ) -> hyper::Response<hyper::body::Incoming> {
        let mut sender = self.sender.clone();
        sender.ready().await.unwrap();
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.authority))
            .header("user-agent", "h2-client/1")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        sender.send_request(request).await.unwrap()
    }
}
