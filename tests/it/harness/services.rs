//! Small services of HTTP that a test makes up: token and metadata services of clouds.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method and target, such as `GET /token?x=1`.
    pub(crate) line: String,
    /// All header lines, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Status and body.
pub(crate) type Said = (u16, String);

/// A running service.
pub(crate) struct Services {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
}

impl Services {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let (mine, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, answer) = (Arc::clone(&mine), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let _ = one(client, &seen, &*answer);
                });
            }
        });
        Self { address, seen, stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that was asked, in its order.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn one(mut client: TcpStream, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Said) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let asked = loop {
        if let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&read[..end]).into_owned();
            let (line, head) = text.split_once("\r\n").unwrap_or((&text, ""));
            let head = head.to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if read.len() >= end + 4 + length.unwrap_or(0) {
                let line = line.trim_end_matches(" HTTP/1.1").to_owned();
                let body = String::from_utf8_lossy(&read[end + 4..]).into_owned();
                break Asked { line, head, body };
            }
        }
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            count => read.extend_from_slice(&buffer[..count]),
        }
    };
    seen.lock().unwrap().push(asked.clone());
    let (status, body) = answer(&asked);
    let kind = if body.starts_with('<') { "text/xml" } else { "application/json" };
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\nx-aws-ec2-metadata-token-ttl-seconds: 600\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    client.shutdown(Shutdown::Write)?;
    while client.read(&mut buffer)? > 0 {}
    Ok(())
}
