//! A server that answers as no store should: endlessly, by halves, or never.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// These bytes, and the connection's end.
    Says(&'static str),
    /// These bytes first, then these for ever.
    Endless(&'static str, &'static str),
    /// These bytes first, then one of these each 50 ms.
    Drips(&'static str, &'static str),
    /// It reads the request, says this, and then nothing more, with the connection open.
    Stalls(&'static str),
    /// It reads nothing at all.
    Deaf,
}

struct Shared {
    manner: Mutex<Manner>,
    /// Most bytes that one answer got rid of.
    most: AtomicU64,
    stop: AtomicBool,
}

/// The server.
pub(crate) struct Wild {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Wild {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Mutex::new(Manner::Deaf);
        let shared = Arc::new(Shared { manner, most: AtomicU64::new(0), stop: AtomicBool::new(false) });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Self { address, shared }
    }

    /// From now on it answers so.
    pub(crate) fn set(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
        self.shared.most.store(0, Ordering::SeqCst);
    }

    /// Most bytes that somebody let it send in one answer since then.
    pub(crate) fn most_sent(&self) -> u64 {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn serve(&self, client: TcpStream) {
        let manner = *self.manner.lock().unwrap();
        // How it ends is the client's matter.
        let _ = self.answer(client, manner);
    }

    fn answer(&self, mut client: TcpStream, manner: Manner) -> io::Result<()> {
        client.set_read_timeout(Some(Duration::from_millis(100)))?;
        client.set_write_timeout(Some(Duration::from_millis(100)))?;
        if manner != Manner::Deaf {
            read_request(&mut client)?;
        }
        match manner {
            Manner::Says(text) => self.send(&mut client, text.as_bytes(), &mut 0)?,
            Manner::Deaf => self.wait(client, &mut 0),
            Manner::Stalls(text) => {
                let mut sent = 0;
                self.send(&mut client, text.as_bytes(), &mut sent)?;
                self.wait(client, &mut sent);
            }
            Manner::Endless(first, then) => {
                let mut sent = 0;
                self.send(&mut client, first.as_bytes(), &mut sent)?;
                let block = then.repeat(64 * 1024 / then.len());
                while !self.is_over() {
                    self.send(&mut client, block.as_bytes(), &mut sent)?;
                }
            }
            Manner::Drips(first, then) => {
                let mut sent = 0;
                self.send(&mut client, first.as_bytes(), &mut sent)?;
                while !self.is_over() {
                    self.send(&mut client, then.as_bytes(), &mut sent)?;
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        Ok(())
    }

    /// Until the client is gone.
    fn wait(&self, mut client: TcpStream, _: &mut u64) {
        let mut buffer = [0; 1024];
        while !self.is_over() {
            match client.read(&mut buffer) {
                Ok(0) => return,
                Err(error) if is_timeout(&error) => {}
                Err(_) => return,
                Ok(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn send(&self, client: &mut TcpStream, bytes: &[u8], sent: &mut u64) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() && !self.is_over() {
            match client.write(left) {
                Ok(count) => {
                    left = &left[count..];
                    *sent += count as u64;
                    self.most.fetch_max(*sent, Ordering::SeqCst);
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Reads until nothing more has come for a moment: what it holds does not matter.
fn read_request(client: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut any = false;
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => any = true,
            Err(error) if is_timeout(&error) && any => return Ok(()),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
}
