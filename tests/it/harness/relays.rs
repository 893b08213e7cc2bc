//! Proxies that note what they are asked: HTTP with CONNECT and whole requests, the same over TLS,
//! and SOCKS 5.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How it is spoken to.
#[derive(Clone)]
pub(crate) enum Speech {
    Http,
    Https(Arc<rustls::ServerConfig>),
    Socks,
}

/// A running proxy, to whom every host is one server.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Relay {
    /// With a login (`user:password`) it lets nobody through without. `None` for the server: it
    /// connects to where it is asked to.
    pub(crate) fn start(speech: Speech, server: Option<SocketAddr>, login: Option<&'static str>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let one = One { server, login, seen: Arc::clone(&noted), peer };
                let speech = speech.clone();
                tokio::spawn(async move {
                    // What goes wrong shows at the client.
                    let _ = match speech {
                        Speech::Http => one.http(stream).await,
                        Speech::Socks => one.socks(stream).await,
                        Speech::Https(config) => match TlsAcceptor::from(config).accept(stream).await {
                            Ok(stream) => one.http(stream).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        Self { address, seen, _runtime: runtime }
    }

    /// What was asked: `PEER CONNECT host:port` of tunnels, `PEER` and the head of whole requests.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

struct One {
    server: Option<SocketAddr>,
    login: Option<&'static str>,
    seen: Arc<Mutex<Vec<String>>>,
    peer: SocketAddr,
}

impl One {
    fn note(&self, what: &str) {
        self.seen.lock().unwrap().push(format!("{} {what}", self.peer.ip()));
    }

    async fn reach(&self, target: &str) -> io::Result<TcpStream> {
        match self.server {
            Some(server) => TcpStream::connect(server).await,
            None => TcpStream::connect(target).await,
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let (line, rest) = head.split_once("\r\n").unwrap();
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap_or_default());
        let wanted = self.login.map(|login| {
            use base64::Engine as _;
            format!("basic {}", base64::engine::general_purpose::STANDARD.encode(login))
        });
        let given = rest.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("proxy-authorization")
                .then(|| value.trim().replacen("Basic", "basic", 1))
        });
        if wanted.is_some() && wanted != given {
            self.note("REFUSED");
            let answer = b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return stream.write_all(answer).await;
        }
        if method == "CONNECT" {
            self.note(line.trim_end_matches(" HTTP/1.1"));
            let mut server = self.reach(target).await?;
            stream.write_all(b"HTTP/1.1 200 Go\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
            return Ok(());
        }
        self.note(&head);
        let bare = target.strip_prefix("http://").unwrap_or(target);
        let (authority, path) = bare.split_once('/').unwrap_or((bare, ""));
        let mut server = self.reach(authority).await?;
        let lines: Vec<&str> =
            rest.lines().filter(|line| !line.to_ascii_lowercase().starts_with("proxy-")).collect();
        // One request a connection: what follows would be for this proxy.
        let head = format!("{method} /{path} HTTP/1.1\r\nconnection: close\r\n{}\r\n", lines.join("\r\n"));
        server.write_all(head.trim_end().as_bytes()).await?;
        server.write_all(b"\r\n\r\n").await?;
        tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
        Ok(())
    }

    async fn socks(&self, mut stream: TcpStream) -> io::Result<()> {
        let count = {
            stream.read_u8().await?;
            stream.read_u8().await?
        };
        let mut methods = vec![0; count.into()];
        stream.read_exact(&mut methods).await?;
        if let Some(login) = self.login {
            if !methods.contains(&2) {
                self.note("REFUSED");
                return stream.write_all(&[5, 0xff]).await;
            }
            stream.write_all(&[5, 2]).await?;
            stream.read_u8().await?;
            let mut parts = Vec::new();
            for _ in 0..2 {
                let mut part = vec![0; stream.read_u8().await?.into()];
                stream.read_exact(&mut part).await?;
                parts.push(String::from_utf8_lossy(&part).into_owned());
            }
            let is_it = parts.join(":") == login;
            stream.write_all(&[1, u8::from(!is_it)]).await?;
            if !is_it {
                self.note("REFUSED");
                return Ok(());
            }
        } else {
            stream.write_all(&[5, 0]).await?;
        }
        let mut head = [0; 5];
        stream.read_exact(&mut head).await?;
        let mut host = vec![0; head[4].into()];
        stream.read_exact(&mut host).await?;
        let port = stream.read_u16().await?;
        let target = format!("{}:{port}", String::from_utf8_lossy(&host));
        self.note(&format!("CONNECT {target}"));
        let mut server = self.reach(&target).await?;
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
        Ok(())
    }
}
