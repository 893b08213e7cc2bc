//! How soon a gateway takes traffic again after a crash that left a full spool, and
//! what memory that needs.
//!
//! `cargo bench --bench restart -- [segments] [MiB a segment] [folder]`: writes the log of
//! a dead boot with the spool's own writer (1,000 segments of about 10 MiB unless told
//! otherwise; the folder needs that room, and is emptied again), tears its last frame,
//! starts the real gateway on it, and prints the time to the first answer and its memory.
//! The same with an empty spool is printed before, to compare.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use onrecord::record::wire::{RecordWriter, WIRE_VERSION};
use onrecord::record::{Field, LaneMark, Mark, SequenceSet};
use onrecord::spool::frame::{self, Kind};
use onrecord::spool::fs::SystemFs;
use onrecord::spool::{Options, Spool};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Memory is watched for this long after the first answer: packing has begun by then.
const WATCH: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with('-')).collect();
    let number =
        |place: usize, otherwise: u64| arguments.get(place).and_then(|t| t.parse().ok()).unwrap_or(otherwise);
    let (segments, mib) = (number(0, 1_000), number(1, 10));
    let made = match arguments.get(2) {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let idle = measure(&made.path().join("idle"), 0);
    println!("idle: first answer after {:.3} s, resident {} KiB, peak {} KiB", idle.0, idle.1, idle.2);

    let root = made.path().join("full");
    let begun = Instant::now();
    let (records, bytes) = fill(&root.join("spool"), segments, mib * 1024 * 1024);
    println!(
        "a dead boot's log: {segments} segments, {:.2} GiB, {records} records, last frame torn; made in {:.0} s",
        bytes as f64 / (1u64 << 30) as f64,
        begun.elapsed().as_secs_f64()
    );
    let full = measure(&root, segments);
    println!(
        "after the crash: first answer after {:.3} s, resident {} KiB, peak {} KiB: {:+} KiB and {:+} KiB beside idle",
        full.0,
        full.1,
        full.2,
        full.1 as i64 - idle.1 as i64,
        full.2 as i64 - idle.2 as i64
    );
}

/// The log of a boot that died: real segments with marks at their heads, all sequences accounted for.
fn fill(dir: &Path, segments: u64, bytes: u64) -> (u64, u64) {
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    let options = Options {
        dir: dir.to_owned(),
        bytes: Some(2 * segments * bytes),
        segment_bytes: bytes,
        ..Options::default()
    };
    let boot = Uuid::now_v7();
    let spool = Spool::open(&options, Arc::new(SystemFs), boot, "bench").unwrap();
    let mut writer = spool.writer();
    let mut taken = 0u64;
    let mut now = 1_775_744_531_000_000u64;
    let mut frames = Vec::new();
    for _ in 0..segments {
        writer.rotate(&mark(taken), now).unwrap();
        let mut written = 0;
        while written + 256 * 1024 <= bytes {
            frames.clear();
            while frames.len() < 256 * 1024 - 1024 {
                frame::append(&mut frames, Kind::Record, WIRE_VERSION, 0, taken, &record(taken, now));
                taken += 1;
                now += 100;
            }
            writer.append(&frames).unwrap();
            written += frames.len() as u64;
        }
    }
    let (number, end) = writer.position();
    writer.sync().unwrap();
    let path = spool.boot_dir(boot);
    drop((writer, spool));
    // Power went in the middle of the last frame.
    let last = newest(&path);
    let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
    assert_eq!(file.metadata().unwrap().len(), end, "segment {number}");
    file.set_len(end - 100).unwrap();
    let sizes = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    (taken, sizes.sum())
}

fn newest(folder: &Path) -> PathBuf {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
    paths.sort();
    paths.pop().unwrap()
}

fn mark(taken: u64) -> Vec<u8> {
    let mut accounted = SequenceSet::new();
    if taken > 0 {
        accounted.insert_range(0, taken - 1);
    }
    let lane = LaneMark { lane: 0, taken, position: 0, accounted, reserved: 0 };
    let mut bytes = Vec::new();
    let mark = Mark { lanes: vec![lane], closed: false, destinations: None };
    frame::append(&mut bytes, Kind::Mark, 1, 0, 0, &mark.to_bytes());
    bytes
}

fn record(sequence: u64, now: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut record = RecordWriter::new(&mut bytes);
    let id =
        Uuid::from_u128((u128::from(now / 1000) << 80) | (0x7 << 76) | (0x2 << 62) | u128::from(sequence));
    record.bytes(Field::EventId, id.as_bytes());
    record.integer(Field::Start, now);
    record.text(Field::Source, "api");
    record.text(Field::Organization, "org-1");
    record.text(Field::Method, "GET");
    record.text(Field::Path, &format!("/spaces/p4lm9x2q7rts/environments/master/entries/{sequence:012}"));
    record.text(Field::Route, "/spaces/:space/environments/:environment/entries/:entry");
    record.text(Field::UserAgent, "contentful.js/10.6.21 (bench; measured) node.js/20.20.0; os Linux/v6.1;");
    record.text(Field::ActorAuthentication, "bearer");
    record.text(Field::ClientAddress, "192.0.2.17");
    record.text(Field::UpstreamAddress, "198.51.100.4:443");
    record.integer(Field::Status, 200);
    record.integer(Field::Duration, 1234);
    record.integer(Field::ResponseBodySize, 2048);
    record.integer(Field::Outcome, 1);
    bytes
}

/// Starts the gateway; seconds to the first answer, resident memory then, and its peak while it goes on.
fn measure(root: &Path, segments: u64) -> (f64, u64, u64) {
    fs::create_dir_all(root).unwrap();
    let (gateway, admin, upstream) = (free(), free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let origin = upstream.local_addr().unwrap();
    std::thread::spawn(move || serve(&upstream));
    let config = root.join("proxy.toml");
    let text = format!(
        "instance = \"bench\"\n[[source]]\nname = \"api\"\nlisten = \"{gateway}\"\nupstream = \"http://{origin}\"\n\
         [spool]\ndir = {:?}\nbytes = \"{}GiB\"\n[admin]\nlisten = \"{admin}\"\n\
         [[destination]]\nname = \"main\"\ntype = \"dir\"\npath = {:?}\n",
        root.join("spool"),
        (segments / 20).max(10),
        root.join("objects"),
    );
    fs::write(&config, text).unwrap();
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_onrecord"))
        .args(["run", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.join("log")).unwrap())
        .spawn()
        .unwrap();
    while !answers(gateway) {
        assert!(child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(root.join("log")).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(300), "no answer");
        std::thread::sleep(Duration::from_millis(2));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let resident = memory(&child, "VmRSS:");
    let until = Instant::now() + WATCH;
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
        assert!(answers(gateway));
    }
    let peak = memory(&child, "VmHWM:");
    child.kill().unwrap();
    child.wait().unwrap();
    let log = fs::read_to_string(root.join("log")).unwrap();
    for line in log.lines().filter(|line| line.contains("recovered") || line.contains("ERROR")) {
        println!("  {line}");
    }
    (seconds, resident, peak)
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.starts_with("HTTP/1.1 200")
}

fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    }
}

fn memory(child: &Child, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
