// peer: pingora-proxy with one JSON audit record per request (bounded channel -> writer thread).
// env: PORT, TLS_PORT, CERT, KEY, UPSTREAM, THREADS, LOG (path; empty = off), STEAL=0|1, GZIP unused
use async_trait::async_trait;
use crossbeam_channel::{bounded, Sender};
use pingora_core::server::{configuration::ServerConf, Server};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_proxy::{ProxyHttp, Session};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[global_allocator]
static A: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Rec {
    t0: u64,
    id: u64,
    method: http::Method,
    uri: http::Uri,
    status: u16,
    bytes: usize,
    us: u64,
    ua: Option<http::HeaderValue>,
    xc: Option<http::HeaderValue>,
    actor: Option<http::HeaderValue>,
}
struct P {
    up: String,
    tx: Option<Sender<Rec>>,
}
struct Ctx {
    start: Instant,
    t0: SystemTime,
}

fn esc(o: &mut Vec<u8>, s: &[u8]) {
    for &b in s {
        match b {
            b'"' => o.extend_from_slice(b"\\\""),
            b'\\' => o.extend_from_slice(b"\\\\"),
            0..=31 => {
                let _ = write!(o, "\\u{:04x}", b);
            }
            _ => o.push(b),
        }
    }
}
fn writer(rx: crossbeam_channel::Receiver<Rec>, path: String) {
    let mut f = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    let mut o: Vec<u8> = Vec::with_capacity(1 << 17);
    let mut last = Instant::now();
    loop {
        match rx.recv_timeout(Duration::from_millis(500)) {
            Ok(r) => {
                let _ = write!(o, "{{\"event.start\":{},\"http.request.id\":\"{:016x}{:016x}\",\"http.request.method\":\"{}\",\"url.path\":\"", r.t0, r.t0.wrapping_mul(0x9E3779B97F4A7C15), r.id, r.method);
                esc(&mut o, r.uri.path().as_bytes());
                o.extend_from_slice(b"\",\"url.query\":\"");
                esc(&mut o, r.uri.query().unwrap_or("").as_bytes());
                let _ = write!(o, "\",\"http.response.status_code\":{},\"http.response.body.bytes\":{},\"duration.us\":{},\"user_agent.original\":\"", r.status, r.bytes, r.us);
                esc(&mut o, r.ua.as_ref().map_or(b"", |v| v.as_bytes()));
                o.extend_from_slice(b"\",\"cache.status\":\"");
                esc(&mut o, r.xc.as_ref().map_or(b"", |v| v.as_bytes()));
                o.extend_from_slice(
                    b"\",\"contentful.organization.id\":\"6lZ5kYqYb1mXz3kYqYb1mX\",\"actor.id\":\"",
                );
                esc(&mut o, r.actor.as_ref().map_or(b"", |v| v.as_bytes()));
                o.extend_from_slice(b"\"}\n");
            }
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            Err(_) => {
                let _ = f.write_all(&o);
                return;
            }
        }
        if o.len() > 65536 || (last.elapsed() > Duration::from_millis(500) && !o.is_empty()) {
            let _ = f.write_all(&o);
            o.clear();
            last = Instant::now();
        }
    }
}
#[async_trait]
impl ProxyHttp for P {
    type CTX = Ctx;
    fn new_ctx(&self) -> Ctx {
        Ctx { start: Instant::now(), t0: SystemTime::now() }
    }
    async fn upstream_peer(&self, _s: &mut Session, _c: &mut Ctx) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.up.as_str(), false, String::new())))
    }
    async fn logging(&self, s: &mut Session, _e: Option<&Error>, c: &mut Ctx) {
        if let Some(tx) = &self.tx {
            let rq = s.req_header();
            let (st, xc) = s
                .response_written()
                .map_or((0, None), |r| (r.status.as_u16(), r.headers.get("x-cache").cloned()));
            let us = c.start.elapsed().as_micros() as u64;
            let _ = tx.try_send(Rec {
                t0: c.t0.duration_since(UNIX_EPOCH).unwrap().as_micros() as u64,
                id: us ^ (self as *const _ as u64),
                method: rq.method.clone(),
                uri: rq.uri.clone(),
                status: st,
                bytes: s.body_bytes_sent(),
                us,
                ua: rq.headers.get("user-agent").cloned(),
                xc,
                actor: rq.headers.get("x-actor").cloned(),
            });
        }
    }
}
fn main() {
    let e = |k: &str, d: &str| std::env::var(k).unwrap_or(d.into());
    let mut conf = ServerConf::default();
    conf.threads = e("THREADS", "1").parse().unwrap();
    conf.work_stealing = e("STEAL", "0") == "1";
    conf.upstream_keepalive_pool_size = 2048;
    conf.pid_file = format!("/tmp/pingora-{}.pid", std::process::id());
    conf.upgrade_sock = format!("/tmp/pingora-{}.sock", std::process::id());
    let mut s = Server::new_with_opt_and_conf(None, conf);
    s.bootstrap();
    let log = e("LOG", "");
    let tx = if log.is_empty() {
        None
    } else {
        let (tx, rx) = bounded(65536);
        std::thread::spawn(move || writer(rx, log));
        Some(tx)
    };
    let mut svc = pingora_proxy::http_proxy_service(
        &s.configuration,
        P { up: format!("127.0.0.1:{}", e("UPSTREAM", "18000")), tx },
    );
    svc.add_tcp(&format!("127.0.0.1:{}", e("PORT", "18190")));
    let cert = e("CERT", "");
    if !cert.is_empty() {
        let mut t = pingora_core::listeners::tls::TlsSettings::intermediate(&cert, &e("KEY", "")).unwrap();
        t.enable_h2();
        svc.add_tls_with_settings(&format!("127.0.0.1:{}", e("TLS_PORT", "18191")), None, t);
    }
    s.add_service(svc);
    s.run_forever();
}
