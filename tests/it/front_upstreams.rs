//! The generated requests of `front_differential`, to servers that others have written: what their
//! logs say came is what the records say went on.

use crate::front_differential::{Then, compare};
use crate::harness::{PATIENCE, skip, until};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Nginx {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nginx {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Nginx can't be asked for a free port; it is given one that was free just now.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {at}/{name};\n"))
            .concat();
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log info;\n\
             events {{}}\n\
             http {{\n{temporary}\
             access_log {at}/access.log; keepalive_requests 1000000;\n\
             server {{ listen {address}; location / {{ return 200 \"\"; }} }}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let nginx = Self { child, address, folder };
        until("nginx", PATIENCE, || TcpStream::connect(address).ok());
        Some(nginx)
    }

    fn log(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn nginx_sees_the_requests_that_the_records_say() {
    const NAME: &str = "nginx_sees_the_requests_that_the_records_say";
    let Some(nginx) = Nginx::start() else { return skip(NAME, "nginx is not installed") };
    compare(nginx.address, Then::Reads, || nginx.log("access.log").lines().count());
    // It takes fewer methods, targets and names than HTTP allows. Where a request ends is not up to taste.
    for line in nginx.log("error.log").lines().filter(|line| line.contains("client sent")) {
        for about in ["chunked body", "\"Content-Length\"", "\"Transfer-Encoding\""] {
            assert!(!line.contains(about), "{line}");
        }
    }
}

#[test]
fn hyper_sees_the_requests_that_the_records_say() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, unread) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, refused) = (Arc::clone(&seen), Arc::clone(&unread));
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (count, refused) = (Arc::clone(&count), Arc::clone(&refused));
            tokio::spawn(async move {
                let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
                    count.fetch_add(1, Ordering::SeqCst);
                    async move {
                        let _ = request.into_body().collect().await;
                        Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
                    }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if served.is_err_and(|error| error.is_parse()) {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    compare(address, Then::Reads, || seen.load(Ordering::SeqCst));
    assert_eq!(unread.load(Ordering::SeqCst), 0, "heads that hyper could not read");
}
