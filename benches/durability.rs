//! What durable routes cost, and what a disk that hangs costs async ones: the whole gateway in
//! this process, over loopback, before an origin that answers at once.
//!
//! - `cargo bench --bench durability -- throughput [clients] [seconds] [fsync ms]`: requests a
//!   second of an async and a durable route in turns, with an fsync that takes so long.
//! - `cargo bench --bench durability -- hang [windows] [seconds] [folder]`: p99 of an async
//!   route in turns with and without every fsync hanging, strict requests being refused
//!   meanwhile. With a folder on a file system of its own (a loop image) also with that frozen
//!   (`fsfreeze`, as root).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use onrecord::app::Gateway;
use onrecord::spool::fs::{File, Fs, Lock, Stat, SystemFs};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a hanging fsync hangs.
const HANG: Duration = Duration::from_secs(30);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with('-')).collect();
    let number = |place: usize, otherwise: u64| {
        arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    match arguments.first().map(String::as_str) {
        Some("hang") => hang(number(1, 6), number(2, 4), arguments.get(3).map(Path::new)),
        _ => throughput(number(1, 256), number(2, 3), number(3, 2)),
    }
}

/// The machine's file system with fsyncs of files that take longer, or hang.
#[derive(Clone, Debug, Default)]
struct SlowFs(Arc<Slow>);

#[derive(Debug, Default)]
struct Slow {
    microseconds: AtomicU64,
    syncs: AtomicU64,
    hanging: Mutex<bool>,
    changed: Condvar,
}

impl SlowFs {
    fn set_hanging(&self, hanging: bool) {
        *self.0.hanging.lock().unwrap() = hanging;
        self.0.changed.notify_all();
    }

    fn wait(&self) {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(self.0.microseconds.load(Ordering::Relaxed)));
        let hanging = self.0.hanging.lock().unwrap();
        drop(self.0.changed.wait_timeout_while(hanging, HANG, |hanging| *hanging).unwrap());
    }
}

impl Fs for SlowFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(SlowFile { file: SystemFs.create_new(path)?, fs: self.clone() }))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        SystemFs.open(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        SystemFs.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        SystemFs.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        SystemFs.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.wait();
        SystemFs.sync_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFs.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        SystemFs.remove_file(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        SystemFs.remove_dir(dir)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        SystemFs.free_space(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        SystemFs.lock(path)
    }
}

#[derive(Debug)]
struct SlowFile {
    file: Box<dyn File>,
    fs: SlowFs,
}

impl File for SlowFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.fs.wait();
        // The real disk's own time is not what is measured here.
        Ok(())
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

/// A gateway before a quick origin: GET is async, POST durable, DELETE strict.
struct Bed {
    gateway: Option<Gateway>,
    address: SocketAddr,
    root: tempfile::TempDir,
}

impl Bed {
    fn start(fs: &SlowFs, spool: Option<&Path>) -> Self {
        let origin = origin();
        let root = tempfile::tempdir().unwrap();
        let address = free_address();
        let spool = spool.map_or_else(|| root.path().join("spool"), |dir| dir.join("onrecord-bench-spool"));
        let text = format!(
            r#"
[[source]]
name = "api"
listen = "{address}"
upstream = "http://{origin}"
[source.durability]
methods = {{ DELETE = "strict" }}
wait = "1s"
[[destination]]
name = "main"
type = "dir"
path = "{objects}"
[spool]
dir = "{spool}"
[ring]
bytes = "64MiB"
[admin]
listen = "127.0.0.1:0"
"#,
            objects = root.path().join("objects").display(),
            spool = spool.display(),
        );
        let config = onrecord::config::parse(Path::new("bench.toml"), &text).unwrap();
        let gateway = Gateway::start_on(config, Arc::new(fs.clone())).unwrap();
        Self { gateway: Some(gateway), address, root }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop(onrecord::journal::Actor::GATEWAY);
        }
        let _ = self.root.path();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Answers every head with 100 bytes, on one thread for all connections.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                tokio::spawn(async move {
                    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}", "x".repeat(100));
                    let mut buffer = vec![0; 16 * 1024];
                    let mut filled = 0;
                    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]).await {
                        filled += read;
                        if buffer[..filled].ends_with(b"\r\n\r\n") {
                            filled = 0;
                            if stream.write_all(answer.as_bytes()).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
    });
    address
}

/// Requests of one method by so many clients, one after the other on each connection, for so
/// long: how many were answered 200.
fn closed_loop(to: SocketAddr, method: &'static str, clients: u64, time: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answered = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let answered = Arc::clone(&answered);
                tokio::spawn(async move {
                    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let request =
                        format!("{method} /things/1 HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\n\r\n");
                    let mut buffer = vec![0; 4096];
                    while begun.elapsed() < time {
                        stream.write_all(request.as_bytes()).await.unwrap();
                        let mut filled = 0;
                        // The body ends with an x, and nothing before it does so alone.
                        while !is_whole(&buffer[..filled]) {
                            filled += stream.read(&mut buffer[filled..]).await.unwrap();
                        }
                        assert!(buffer.starts_with(b"HTTP/1.1 200"));
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        answered.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
    })
}

/// Whether these bytes are the origin's whole answer: a head and 100 bytes.
fn is_whole(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\r\n\r\n").is_some_and(|head| bytes.len() >= head + 4 + 100)
}

fn throughput(clients: u64, seconds: u64, fsync: u64) {
    let fs = SlowFs::default();
    let bed = Bed::start(&fs, None);
    fs.0.microseconds.store(fsync * 1000, Ordering::Relaxed);
    let time = Duration::from_secs(seconds);
    closed_loop(bed.address, "GET", clients, Duration::from_secs(1));
    let mut ratios = Vec::new();
    for round in 1..=5 {
        let fast = closed_loop(bed.address, "GET", clients, time);
        let syncs = fs.0.syncs.load(Ordering::Relaxed);
        let durable = closed_loop(bed.address, "POST", clients, time);
        let syncs = fs.0.syncs.load(Ordering::Relaxed) - syncs;
        ratios.push(durable / fast);
        println!(
            "round {round}: async {fast:.0}/s, durable {durable:.0}/s ({:.1} requests an fsync): {:.3}",
            durable * time.as_secs_f64() / syncs.max(1) as f64,
            durable / fast
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("{clients} clients, fsync of {fsync} ms: durable has {:.3} of async (median)", ratios[2]);
}

/// Sends one request on a connection of its own and returns the status.
fn status(to: SocketAddr, method: &str) -> u16 {
    let mut stream = TcpStream::connect(to).unwrap();
    let request =
        format!("{method} /strict HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Latencies of an async route, in microseconds, at a steady pace on few connections.
fn paced(to: SocketAddr, time: Duration) -> Vec<u64> {
    const CONNECTIONS: u32 = 4;
    const PACE: Duration = Duration::from_millis(2);
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(to).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = [0; 4096];
                let mut all = Vec::new();
                let begun = Instant::now();
                let mut due = begun;
                while begun.elapsed() < time {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    due += PACE;
                    let sent = Instant::now();
                    stream.write_all(b"GET /things/1 HTTP/1.1\r\nhost: bench\r\n\r\n").unwrap();
                    let mut filled = 0;
                    while !is_whole(&buffer[..filled]) {
                        filled += stream.read(&mut buffer[filled..]).unwrap();
                    }
                    assert!(buffer.starts_with(b"HTTP/1.1 200"));
                    all.push(sent.elapsed().as_micros() as u64);
                }
                all
            })
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

fn p99(latencies: &mut [u64]) -> u64 {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

/// Processor time of this process so far, in milliseconds: load, origin and gateway together.
fn processor() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<i64> =
        stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // Behind the name: one letter, then numbers; user and system time in hundredths of a second.
    u64::try_from((fields[10] + fields[11]) * 10).unwrap()
}

/// Runs a window while strict requests come, and says how those were answered.
fn window(bed: &Bed, time: Duration) -> (Vec<u64>, [u64; 2]) {
    let ended = Arc::new(AtomicBool::new(false));
    let strict = {
        let (ended, to) = (Arc::clone(&ended), bed.address);
        std::thread::spawn(move || {
            let mut counts = [0; 2];
            while !ended.load(Ordering::Relaxed) {
                match status(to, "DELETE") {
                    200 => counts[0] += 1,
                    503 => counts[1] += 1,
                    other => panic!("a strict request was answered {other}"),
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            counts
        })
    };
    let latencies = paced(bed.address, time);
    ended.store(true, Ordering::Relaxed);
    (latencies, strict.join().unwrap())
}

fn hang(windows: u64, seconds: u64, folder: Option<&Path>) {
    let fs = SlowFs::default();
    let bed = Bed::start(&fs, folder);
    let time = Duration::from_secs(seconds);
    let freeze = |flag: &str| {
        if let Some(folder) = folder {
            assert!(Command::new("fsfreeze").arg(flag).arg(folder).status().unwrap().success());
        }
    };
    window(&bed, Duration::from_secs(2));
    let mut sums: [(Vec<u64>, [u64; 2]); 3] = Default::default();
    for number in 1..=windows {
        let mut line = format!("window {number}: p99 µs");
        for (kind, name) in ["baseline", "hanging", "frozen"].iter().enumerate() {
            match kind {
                1 => fs.set_hanging(true),
                2 if folder.is_none() => continue,
                2 => freeze("-f"),
                _ => {}
            }
            // The trouble begins before it is measured; the first to notice it waits for it.
            std::thread::sleep(Duration::from_millis(1500));
            let before = processor();
            let (mut latencies, strict) = window(&bed, time);
            let used = processor() - before;
            fs.set_hanging(false);
            if kind == 2 {
                freeze("-u");
            }
            line += &format!(
                " {name} {} (strict {}/{} refused, {used} ms CPU)",
                p99(&mut latencies),
                strict[1],
                strict[0] + strict[1]
            );
            sums[kind].0.append(&mut latencies);
            sums[kind].1[0] += strict[0];
            sums[kind].1[1] += strict[1];
            until_strict(&bed);
        }
        println!("{line}");
    }
    let base = p99(&mut sums[0].0);
    for (name, (latencies, strict)) in ["hanging", "frozen"].iter().zip(&mut sums[1..]) {
        if !latencies.is_empty() {
            let p99 = p99(latencies);
            println!(
                "{name}: p99 of async {p99} µs, baseline {base} µs: {:.3}; of {} strict requests {} were refused",
                p99 as f64 / base as f64,
                strict[0] + strict[1],
                strict[1],
            );
        }
    }
}

fn until_strict(bed: &Bed) {
    while status(bed.address, "DELETE") != 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
}
