//! A panic in one request harms no other: shown on the whole gateway, with a stack that panics
//! where a test tells it to.

use super::Gateway;
use crate::config;
use crate::journal::Actor;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use tokio::net::TcpStream;

/// An upstream that answers each request with two bytes; one for `/held` only when it is told to.
fn upstream() -> (SocketAddr, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((came, held), (release, released)) = (mpsc::channel(), mpsc::channel());
    let released = Arc::new(std::sync::Mutex::new(released));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, came, released) = (stream.unwrap(), came.clone(), Arc::clone(&released));
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|got| got == 1) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        if head.starts_with(b"GET /held") {
                            came.send(()).unwrap();
                            released.lock().unwrap().recv().unwrap();
                        }
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                        head.clear();
                    }
                }
            });
        }
    });
    (address, held, release)
}

fn start(folder: &Path, upstream: SocketAddr) -> (Gateway, SocketAddr) {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listen, admin) = (free(), free());
    let text = format!(
        "instance = \"test\"\n[server]\nworkers = 1\n\
         [[source]]\nname = \"api\"\nlisten = [\"{listen}\"]\nupstream = \"http://{upstream}\"\n\
         [ring]\ndir = \"{0}/ring\"\n[spool]\ndir = \"{0}/spool\"\n\
         [[destination]]\nname = \"archive\"\ntype = \"dir\"\npath = \"{0}/objects\"\n\
         [admin]\nlisten = \"{admin}\"\n",
        folder.display()
    );
    let config = config::parse(&folder.join("onrecord.toml"), &text).unwrap();
    (Gateway::start(config).unwrap(), listen)
}

fn get(path: &str, to: SocketAddr) -> http::Request<Empty<Bytes>> {
    let target = format!("http://{to}{path}");
    http::Request::get(target).header("host", to.to_string()).body(Empty::new()).unwrap()
}

/// Path, status, outcome and error of each exchange on record.
fn records(folder: &Path, into: &mut Vec<(String, u64, String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            records(&path, into);
        } else if path.extension().is_some_and(|end| end == "gz") {
            let mut text = String::new();
            GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
            for line in text.lines() {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                if record.get("url.path").is_some() {
                    let status = record["http.response.status_code"].as_u64().unwrap();
                    into.push((text("url.path"), status, text("event.outcome"), text("error.type")));
                }
            }
        }
    }
}

#[test]
fn a_panic_in_one_request_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (upstream, held, release) = upstream();
    let (gateway, address) = start(folder.path(), upstream);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let connect = || async { TokioIo::new(TcpStream::connect(address).await.unwrap()) };
        let (other, connection) = http1::handshake(connect().await).await.unwrap();
        tokio::spawn(connection);
        let mut other = other;
        let (mut streams, connection) =
            http2::handshake(TokioExecutor::new(), connect().await).await.unwrap();
        tokio::spawn(connection);
        for path in ["/panics", "/panics/at/once"] {
            // One exchange of HTTP/1.1 on a connection of its own, and one stream of HTTP/2 beside the panic.
            let beside = tokio::spawn(other.send_request(get("/held/1", address)));
            let stream = tokio::spawn(streams.send_request(get("/held/2", address)));
            for _ in 0..2 {
                held.recv().unwrap();
            }
            let (mut broken, connection) = http1::handshake(connect().await).await.unwrap();
            tokio::spawn(connection);
            assert!(broken.send_request(get(path, address)).await.is_err(), "{path}");
            assert!(streams.send_request(get(path, address)).await.is_err(), "{path}");
            // The worker goes on, with what was there before and with what comes.
            for _ in 0..2 {
                release.send(()).unwrap();
            }
            for response in [beside.await.unwrap().unwrap(), stream.await.unwrap().unwrap()] {
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
            }
            other.ready().await.unwrap();
            let response = streams.send_request(get("/after", address)).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        }
    });
    drop(runtime);
    gateway.stop(Actor::GATEWAY);
    let mut found = Vec::new();
    records(&folder.path().join("objects"), &mut found);
    found.sort();
    let good = |path: &str| (path.to_owned(), 200, "success".to_owned(), String::new());
    let bad = |path: &str| (path.to_owned(), 0, "failure".to_owned(), "internal".to_owned());
    let mut wanted = Vec::new();
    for _ in 0..2 {
        wanted.extend([good("/after"), good("/held/1"), good("/held/2")]);
        wanted.extend([bad("/panics"), bad("/panics/at/once")]);
    }
    wanted.sort();
    assert_eq!(found, wanted);
}
