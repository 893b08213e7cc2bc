//! Bad networks and sick servers: a TCP proxy that breaks what passes through
//! it, and a server that always gives the same answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a connection or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Pass,
    /// Connections are reset, new ones as soon as they are made.
    Refuse,
    /// Reset after so many bytes of the client's.
    ResetRequest(u64),
    /// Bytes of the client are swallowed for ever.
    Stall,
    /// The server gets all of the request, and its answer gets lost with the connection.
    LoseAnswer,
    /// Half of the answer comes through.
    HalfAnswer,
    /// So many bytes of the answer come through.
    CutAnswer(u64),
}

type Policy = Arc<dyn Fn(u64) -> Fault + Send + Sync>;

struct Shared {
    target: SocketAddr,
    /// From the number of the answer, counted from 0 over all connections. Faults of
    /// connections and requests ask with the number of the answers so far.
    policy: Mutex<Policy>,
    answers: AtomicU64,
    struck: AtomicU64,
    stop: AtomicBool,
}

/// A proxy in front of one server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            policy: Mutex::new(Arc::new(|_| Fault::Pass)),
            answers: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.connection(client));
            }
        });
        Self { address, shared }
    }

    /// From now on this happens to everything.
    pub(crate) fn set(&self, fault: Fault) {
        self.choose(move |_| fault);
    }

    /// From now on this happens to the answer of this number.
    pub(crate) fn choose(&self, policy: impl Fn(u64) -> Fault + Send + Sync + 'static) {
        *self.shared.policy.lock().unwrap() = Arc::new(policy);
    }

    /// How often something was broken.
    pub(crate) fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn fault(&self, number: u64) -> Fault {
        let policy = Arc::clone(&self.policy.lock().unwrap());
        policy(number)
    }

    fn now(&self) -> Fault {
        self.fault(self.answers.load(Ordering::SeqCst))
    }

    fn strike(&self, streams: &[&TcpStream]) {
        self.struck.fetch_add(1, Ordering::SeqCst);
        for stream in streams {
            let _ = socket2::SockRef::from(*stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn connection(self: Arc<Self>, client: TcpStream) {
        if self.now() == Fault::Refuse {
            return self.strike(&[&client]);
        }
        let Ok(server) = TcpStream::connect(self.target) else { return self.strike(&[&client]) };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
        let answering = Arc::clone(&self);
        let answers = std::thread::spawn(move || answering.answers(server_too, client_too));
        self.requests(client, server);
        let _ = answers.join();
    }

    fn requests(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        let mut sent = 0;
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            let mut bytes = &buffer[..length];
            match self.now() {
                Fault::Refuse => return self.strike(&[&client, &server]),
                Fault::Stall => {
                    self.struck.fetch_add(1, Ordering::SeqCst);
                    while self.now() == Fault::Stall && !self.stop.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    break;
                }
                Fault::ResetRequest(after) if sent + length as u64 > after => {
                    bytes = &bytes[..usize::try_from(after.saturating_sub(sent)).unwrap()];
                    let _ = server.write_all(bytes);
                    return self.strike(&[&client, &server]);
                }
                _ => {}
            }
            if server.write_all(bytes).is_err() {
                break;
            }
            sent += length as u64;
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    fn answers(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        let mut left = u64::MAX;
        while let Ok(length @ 1..) = server.read(&mut buffer) {
            let bytes = &buffer[..length];
            // Answers to writes are small, so that each begins a read of its own.
            if bytes.starts_with(b"HTTP/1.1 ") && !bytes.starts_with(b"HTTP/1.1 100") {
                match self.fault(self.answers.fetch_add(1, Ordering::SeqCst)) {
                    Fault::LoseAnswer => return self.strike(&[&client, &server]),
                    Fault::HalfAnswer => {
                        let _ = client.write_all(&bytes[..length / 2]);
                        self.struck.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                    Fault::CutAnswer(bytes) => left = bytes,
                    _ => {}
                }
            }
            if left < length as u64 {
                let _ = client.write_all(&bytes[..left as usize]);
                self.struck.fetch_add(1, Ordering::SeqCst);
                break;
            }
            left -= if left == u64::MAX { 0 } else { length as u64 };
            if client.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
}

/// A server that reads each request to its end and gives the same answer to all.
pub(crate) struct Sick {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    stop: Arc<AtomicBool>,
}

impl Sick {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, stop) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicBool>::default());
        let (mine, stopped) = (Arc::clone(&answer), Arc::clone(&stop));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let answer = Arc::clone(&mine);
                std::thread::spawn(move || {
                    let _ = answer_one(client, &answer);
                });
            }
        });
        Self { address, answer, stop }
    }

    /// Bytes that are sent to whoever asks.
    pub(crate) fn say(&self, bytes: impl Into<Vec<u8>>) {
        *self.answer.lock().unwrap() = bytes.into();
    }

    /// An answer with these header lines and this body.
    pub(crate) fn answer(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.say(format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ));
    }

    /// An error as the protocol has it.
    pub(crate) fn error(&self, status: &str, code: &str, message: &str) {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <Resource>/x</Resource><RequestId>1</RequestId></Error>"
        );
        self.answer(status, "content-type: application/xml\r\n", &body);
    }
}

impl Drop for Sick {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer_one(mut client: TcpStream, answer: &Mutex<Vec<u8>>) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let head = memchr::memmem::find(&read, b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if read.len() >= head + 4 + length.unwrap_or(0) {
                break;
            }
        }
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
    let bytes = answer.lock().unwrap().clone();
    client.write_all(&bytes)?;
    client.shutdown(Shutdown::Write)?;
    // Until the other side is through, so that no reset overtakes the answer.
    while client.read(&mut buffer)? > 0 {}
    Ok(())
}
