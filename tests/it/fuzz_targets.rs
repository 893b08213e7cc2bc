//! The fuzz targets of `fuzz/` on the stable compiler: their seeds, and bounded random mutation
//! of them. `ONRECORD_FUZZ=N` sets how many inputs a target gets (2,000).

#[allow(unreachable_pub, reason = "it is a crate of its own for cargo-fuzz")]
#[path = "../../fuzz/src/targets.rs"]
mod targets;

use crate::harness::seed;
use std::path::Path;

/// What the mutator puts in: bytes and words that parsers care about.
const WORDS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b"\"",
    b"\\",
    b"%",
    b"&",
    b"/",
    b"..",
    b"\xff",
    b"0",
    b"ffffffffffffffff",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"{",
    b"[",
    b"\x7f",
];

fn run(name: &str, target: fn(&[u8]), extra: Vec<Vec<u8>>) {
    let mut seeds = extra;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    if let Ok(entries) = std::fs::read_dir(folder) {
        seeds.extend(entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()));
    }
    seeds.push(Vec::new());
    for bytes in &seeds {
        target(bytes);
    }
    let count = std::env::var("ONRECORD_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000);
    let mut random = fastrand::Rng::with_seed(seed(name));
    for _ in 0..count {
        let bytes = mutated(&seeds, &mut random);
        let result = std::panic::catch_unwind(|| target(&bytes));
        assert!(result.is_ok(), "{name} fails with {:?}", String::from_utf8_lossy(&bytes));
    }
}

fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        match random.u8(..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => {
                let end = (at + random.usize(..16)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                let to = (from + random.usize(..64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                let end = (at + random.usize(..32)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let word = WORDS[random.usize(..WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes
}

/// The raw bytes of a corpus, each with a first byte that says how they are cut.
fn raw(file: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let of_line = |line: &str| {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let raw = case["raw"].as_str().unwrap().chars().map(|character| character as u8);
        [7].into_iter().chain(raw).collect()
    };
    text.lines().map(of_line).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn requests() {
    run("requests", targets::requests, raw("requests.jsonl"));
}

#[test]
fn responses() {
    run("responses", targets::responses, raw("responses.jsonl"));
}

#[test]
fn answers() {
    run("answers", targets::answers, raw("responses.jsonl"));
}

#[test]
fn redaction() {
    let seeds =
        ["a=b&token=x&c", "https://u:p@h/p?sig=1#f", "access%5Ftoken=1;key=2", "&&=&=x&%", "a?b=c&code=%zz"];
    run("redaction", targets::redaction, texts(&seeds));
}

#[test]
fn routes() {
    let seeds = [
        "/spaces/a/environments/b/entries/c",
        "/spaces/a/entries",
        "/organizations/o/users",
        "/a/../b",
        "/%2f;",
        "*",
    ];
    run("routes", targets::routes, texts(&seeds));
}

#[test]
fn catalogues() {
    let presets: Vec<&str> =
        onrecord::routes::PRESETS.iter().map(|(_, text)| &text[..text.len().min(3000)]).collect();
    let small = r#"{"name":"x","namespace":"x","routes":[{"method":"GET","path":"/a/:b","action":"read"}]}"#;
    run("catalogue", targets::catalogue, texts(&[presets, vec![small]].concat()));
}

#[test]
fn wire() {
    let mut record = Vec::new();
    let mut writer = onrecord::record::RecordWriter::new(&mut record);
    writer.bytes(onrecord::record::Field::EventId, &[1; 16]);
    writer.integer(onrecord::record::Field::Start, 1_800_000_000_000_000);
    writer.text(onrecord::record::Field::Path, "/a/b");
    writer.integer(onrecord::record::Field::Outcome, 1);
    run("wire", targets::wire, vec![record]);
}

#[test]
fn segment() {
    let mut frames = Vec::new();
    for sequence in 0..3 {
        onrecord::spool::frame::append(
            &mut frames,
            onrecord::spool::frame::Kind::Record,
            1,
            0,
            sequence,
            b"payload",
        );
    }
    run("segment", targets::segment, vec![frames]);
}

#[test]
fn manifest() {
    run("manifest", targets::manifest, texts(&["{}", "a\n\n\u{2014} k AAAA\n"]));
}

#[test]
fn configuration() {
    let example =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml")).unwrap_or_default();
    let small = "[[source]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nupstream = \"http://b\"\n";
    run("configuration", targets::configuration, texts(&[&example, small]));
}

#[test]
fn cache_status() {
    let seeds = [
        "cache-status: a; hit, b; fwd=miss\nage: 5",
        "x-cache: TCP_HIT\ncf-cache-status: DYNAMIC",
        "age: -1",
    ];
    run("cache_status", targets::cache_status, texts(&seeds));
}
