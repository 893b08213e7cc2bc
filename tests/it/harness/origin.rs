//! An HTTP/1.1 origin over bare TCP, so that it can lie.
//!
//! Each request says what is to be done with it, in its query or in a header
//! `x-script` of the same form (the header wins). Keys:
//!
//! | key | meaning |
//! | --- | --- |
//! | `status` | status of the response (200) |
//! | `size` | bytes of the body (0) |
//! | `framing` | `length` (default), `chunked`, `close` (body ends with the connection) |
//! | `claim` | a Content-Length that is not the truth |
//! | `hold` | the response head waits until the test calls `release` with this name |
//! | `hold_body`, `hold_at` | the body waits so after `hold_at` bytes (0) |
//! | `hold_read` | the request's body is not read before `release` |
//! | `cut`, `cut_how` | after so many body bytes the connection is `close`d (default) or `reset` |
//! | `early` | `close` or `reset` before the response head |
//! | `garbage` | the answer is not HTTP |
//! | `endless_head` | the response head never ends |
//! | `never` | no answer at all |
//! | `trailers` | a chunked body ends with `x-checksum: 42` |
//! | `continue` | `no`: a request that expects 100 gets its final answer at once |
//! | `body` | this text is the body |
//! | `echo` | the body is JSON of what arrived: method, target, headers, body, trailers |
//! | `close` | the connection is closed after the response |
//! | `h` | `Name:Value`, one more response header; may repeat |

use super::client::{decode_form, find, parse_headers};
use super::{PATIENCE, pattern_at, until};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// A request as the origin saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Body bytes that arrived.
    pub(crate) body_bytes: u64,
    /// The body arrived whole.
    pub(crate) body_complete: bool,
    /// The body was the pattern of the harness.
    pub(crate) body_is_pattern: bool,
    pub(crate) trailers: Vec<(String, String)>,
    /// Body bytes that were written into the socket as a response.
    pub(crate) sent: u64,
    /// The connection that it came on.
    pub(crate) connection: u64,
}

impl Seen {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// All values of the headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    gates: Mutex<Gates>,
    moved: Condvar,
    stop: AtomicBool,
    connections: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
}

#[derive(Default)]
struct Gates {
    open: HashSet<String>,
    waiting: HashMap<String, usize>,
}

/// The origin. Ends when it is dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let for_accept = Arc::clone(&shared);
        let accept = std::thread::spawn(move || accept(&listener, &for_accept));
        Self { address, shared, accept: Some(accept) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was seen so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The one request whose target contains this text.
    pub(crate) fn one(&self, part: &str) -> Seen {
        let found: Vec<Seen> = self.seen().into_iter().filter(|seen| seen.target.contains(part)).collect();
        assert_eq!(found.len(), 1, "requests with `{part}` at the origin: {found:#?}");
        found.into_iter().next().unwrap()
    }

    /// How many requests have a target with this text.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.target.contains(part)).count()
    }

    /// Body bytes sent, by the request's `id` in the query.
    pub(crate) fn sent_by_id(&self) -> HashMap<u64, (usize, u64)> {
        let mut all = HashMap::new();
        for seen in self.shared.seen.lock().unwrap().iter() {
            let id = script(seen).get("id").and_then(|id| id.parse().ok());
            if let Some(id) = id {
                let entry = all.entry(id).or_insert((0, 0));
                entry.0 += 1;
                entry.1 = seen.sent.max(entry.1);
            }
        }
        all
    }

    /// Waits until a request waits at this gate.
    pub(crate) fn wait_for(&self, gate: &str) {
        self.wait_for_many(gate, 1);
    }

    /// Waits until so many requests wait at this gate.
    pub(crate) fn wait_for_many(&self, gate: &str, count: usize) {
        until(&format!("{count} request(s) at the gate `{gate}`"), PATIENCE, || {
            let gates = self.shared.gates.lock().unwrap();
            (gates.waiting.get(gate).copied().unwrap_or(0) >= count).then_some(())
        });
    }

    /// Opens a gate for good.
    pub(crate) fn release(&self, gate: &str) {
        self.shared.gates.lock().unwrap().open.insert(gate.to_owned());
        self.shared.moved.notify_all();
    }

    /// Closes the listener and every connection: from now on nobody answers here.
    pub(crate) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.moved.notify_all();
        if let Some(thread) = self.accept.take() {
            // Wakes the accept loop.
            let _ = TcpStream::connect(self.address);
            thread.join().unwrap();
        }
        for stream in self.shared.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes every connection that is open, so that a pool holds stale ones.
    pub(crate) fn close_connections(&self) {
        for stream in self.shared.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        if let Ok(clone) = stream.try_clone() {
            shared.open.lock().unwrap().insert(number, clone);
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let mut connection =
                Connection { stream, buffer: Vec::new(), number, shared: Arc::clone(&shared) };
            // An error is the other side's leaving, or what the script wanted.
            while let Ok(true) = connection.serve_one() {}
            // The clone goes last: only then is the socket closed.
            drop(connection);
            shared.open.lock().unwrap().remove(&number);
        });
    }
}

/// The script of a request: its query, overridden by `x-script`.
fn script(seen: &Seen) -> HashMap<String, String> {
    let query = seen.target.split_once('?').map_or("", |(_, query)| query);
    let mut all: HashMap<String, String> = decode_form(query).into_iter().collect();
    all.extend(decode_form(seen.header("x-script").unwrap_or("")));
    all
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    number: u64,
    shared: Arc<Shared>,
}

impl Connection {
    /// One request and its response. False: the connection is over.
    fn serve_one(&mut self) -> io::Result<bool> {
        let Some(mut seen) = self.read_head()? else { return Ok(false) };
        let script = script(&seen);
        let on = |key: &str| script.contains_key(key);
        let number = |key: &str| script.get(key).and_then(|text| text.parse::<usize>().ok());
        let index = {
            let mut all = self.shared.seen.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };

        if let Some(gate) = script.get("hold_read") {
            self.wait(gate)?;
        }
        let expects = seen.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        let refused = expects && script.get("continue").is_some_and(|value| value == "no");
        if expects && !refused {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if !refused {
            let read = self.read_body(&mut seen, index);
            self.shared.seen.lock().unwrap()[index] = seen.clone();
            read?;
        }
        if let Some(gate) = script.get("hold") {
            self.wait(gate)?;
        }
        match script.get("early").map(String::as_str) {
            Some("reset") => return self.reset(),
            Some(_) => return Ok(false),
            None => {}
        }
        if on("never") {
            // Until the other side closes.
            let mut rest = [0; 1024];
            while self.stream.read(&mut rest)? > 0 {}
            return Ok(false);
        }
        if on("garbage") {
            self.stream.write_all(b"\x16\x03\x01 this is not HTTP at all\r\n\r\n\0\0\0")?;
            return Ok(false);
        }
        if on("endless_head") {
            self.stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                self.stream
                    .write_all(b"X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")?;
            }
        }

        let status = number("status").unwrap_or(200);
        let echo = on("echo").then(|| echo(&seen));
        let echo = echo.or_else(|| script.get("body").map(|text| text.clone().into_bytes()));
        let size = echo.as_ref().map_or(number("size").unwrap_or(0), Vec::len);
        let framing = script.get("framing").map_or("length", String::as_str);
        let chunked = framing == "chunked" || on("trailers");
        let close = on("close") || framing == "close" || refused;
        let no_body = seen.method == "HEAD" || status == 204 || status == 304 || status < 200;

        let mut head = format!("HTTP/1.1 {status} Scripted\r\nServer: origin\r\n");
        if chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else if framing != "close" && status != 204 {
            head.push_str(&format!("Content-Length: {}\r\n", number("claim").unwrap_or(size)));
        }
        if on("trailers") {
            head.push_str("Trailer: x-checksum\r\n");
        }
        if close {
            head.push_str("Connection: close\r\n");
        }
        for (name, value) in all_headers(&seen) {
            head.push_str(&format!("{name}:{value}\r\n"));
        }
        head.push_str("\r\n");
        if no_body || size == 0 && !chunked {
            self.stream.write_all(head.as_bytes())?;
            return Ok(!close);
        }

        let end = number("cut").unwrap_or(size).min(size);
        let hold_body = script.get("hold_body");
        let hold_at = number("hold_at").unwrap_or(0).min(end);
        let mut out = head.into_bytes();
        let mut at = 0;
        let mut held = false;
        while at < end || hold_body.is_some() && !held {
            if let Some(gate) = hold_body
                && !held
                && at == hold_at
            {
                self.stream.write_all(&out)?;
                out.clear();
                self.wait(gate)?;
                held = true;
                continue;
            }
            let limit = if hold_body.is_some() && !held { hold_at } else { end };
            let next = limit.min(at + 16 * 1024);
            if chunked {
                out.extend_from_slice(format!("{:x}\r\n", next - at).as_bytes());
            }
            match &echo {
                Some(body) => out.extend_from_slice(&body[at..next]),
                None => out.extend((at..next).map(pattern_at)),
            }
            if chunked {
                out.extend_from_slice(b"\r\n");
            }
            let wrote = self.stream.write_all(&out);
            out.clear();
            // What the kernel may have taken counts as sent: an upper bound.
            self.shared.seen.lock().unwrap()[index].sent = next as u64;
            wrote?;
            at = next;
        }
        self.stream.write_all(&out)?;
        if number("cut").is_some() {
            return if script.get("cut_how").is_some_and(|how| how == "reset") {
                self.reset()
            } else {
                Ok(false)
            };
        }
        if chunked {
            let end: &[u8] = if on("trailers") { b"0\r\nx-checksum: 42\r\n\r\n" } else { b"0\r\n\r\n" };
            self.stream.write_all(end)?;
        }
        // A lie about the length ends the connection, as it would with a broken server.
        Ok(!close && number("claim").is_none_or(|claim| claim == size))
    }

    fn reset(&self) -> io::Result<bool> {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO))?;
        Ok(false)
    }

    /// Waits at a gate until the test opens it, the origin stops, or the other side is gone.
    fn wait(&self, gate: &str) -> io::Result<()> {
        let mut gates = self.shared.gates.lock().unwrap();
        *gates.waiting.entry(gate.to_owned()).or_default() += 1;
        let gone = || {
            // Closed by the other side: a peek that returns nothing.
            self.stream.set_nonblocking(true).is_ok()
                && match self.stream.peek(&mut [0; 1]) {
                    Ok(0) => true,
                    Ok(_) => false,
                    Err(error) => error.kind() != io::ErrorKind::WouldBlock,
                }
        };
        let result = loop {
            if gates.open.contains(gate) {
                break Ok(());
            }
            if self.shared.stop.load(Ordering::SeqCst) || gone() {
                break Err(io::ErrorKind::ConnectionAborted.into());
            }
            let turn = std::time::Duration::from_millis(50);
            gates = self.shared.moved.wait_timeout(gates, turn).unwrap().0;
        };
        self.stream.set_nonblocking(false)?;
        result
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        let got = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..got]);
        Ok(got)
    }

    fn read_head(&mut self) -> io::Result<Option<Seen>> {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        let (line, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        Ok(Some(Seen {
            method: parts.next().unwrap_or_default(),
            target: parts.next().unwrap_or_default(),
            version: parts.next().unwrap_or_default(),
            headers: parse_headers(rest),
            body_is_pattern: true,
            connection: self.number,
            ..Seen::default()
        }))
    }

    fn read_body(&mut self, seen: &mut Seen, index: usize) -> io::Result<()> {
        if seen.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)
                    .map_err(|_| io::Error::other(format!("chunk size `{line}`")))?;
                if size == 0 {
                    break;
                }
                self.take(size, seen, index)?;
                self.line()?;
            }
            loop {
                let line = self.line()?;
                if line.is_empty() {
                    break;
                }
                seen.trailers.extend(parse_headers(&line));
            }
        } else if let Some(length) = seen.header("content-length").and_then(|text| text.parse().ok()) {
            self.take(length, seen, index)?;
        }
        seen.body_complete = true;
        Ok(())
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

    fn take(&mut self, mut left: usize, seen: &mut Seen, index: usize) -> io::Result<()> {
        while left > 0 {
            if self.buffer.is_empty() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = left.min(self.buffer.len());
            for (offset, byte) in self.buffer.drain(..now).enumerate() {
                seen.body_is_pattern &= byte == pattern_at(seen.body_bytes as usize + offset);
            }
            seen.body_bytes += now as u64;
            self.shared.seen.lock().unwrap()[index].body_bytes = seen.body_bytes;
            left -= now;
        }
        Ok(())
    }
}

/// Response headers that the script asks for: every `h` of query and header.
fn all_headers(seen: &Seen) -> Vec<(String, String)> {
    let query = seen.target.split_once('?').map_or("", |(_, query)| query);
    [query, seen.header("x-script").unwrap_or("")]
        .into_iter()
        .flat_map(decode_form)
        .filter(|(key, _)| key == "h")
        .filter_map(|(_, text)| text.split_once(':').map(|(n, v)| (n.to_owned(), v.to_owned())))
        .collect()
}

fn echo(seen: &Seen) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "method": seen.method,
        "target": seen.target,
        "version": seen.version,
        "headers": seen.headers,
        "body_bytes": seen.body_bytes,
        "body_is_pattern": seen.body_is_pattern,
        "trailers": seen.trailers,
    }))
    .unwrap()
}
