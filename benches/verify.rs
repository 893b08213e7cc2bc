//! How fast `verify` reads objects, and that its memory does not grow with their number.
//!
//! `cargo bench --bench verify -- [objects] [KiB an object] [folder]`: makes a bucket,
//! verifies it on one thread, prints rate and peak memory. Run it with different
//! numbers of objects to compare the memory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use onrecord::evidence::keys::SigningKey;
use onrecord::evidence::merkle::{Tree, hex, sha256};
use onrecord::evidence::note;
use onrecord::evidence::store::DirSource;
use onrecord::evidence::verify::{VerifyOptions, verify};
use onrecord::pack::manifest::{Manifest, ObjectEntry, VERSION};
use std::fs;
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

/// Objects of one batch.
const BATCH: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with('-')).collect();
    let number = |place: usize, otherwise: usize| {
        arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (objects, kib) = (number(0, 2_000), number(1, 512));
    let made = tempfile::tempdir().unwrap();
    let root = arguments.get(2).map_or(made.path(), Path::new);
    fill(root, objects, kib * 1024);
    let options =
        VerifyOptions { keys: Vec::new(), anchor: None, at: 1_775_744_531_000_000, deep: false, threads: 1 };
    let begun = Instant::now();
    let report = verify(&DirSource::new(root), &options, &|_| {}).unwrap();
    let time = begun.elapsed().as_secs_f64();
    assert!(report.is_clean(), "{report}");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!(
        "{} objects, {} manifests, {:.0} MB in {time:.2} s: {:.0} MB/s on one thread; {peak}",
        report.objects,
        report.manifests,
        report.bytes as f64 / 1e6,
        report.bytes as f64 / 1e6 / time
    );
}

/// Objects of random bytes with their signed manifests.
fn fill(root: &Path, objects: usize, bytes: usize) {
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let (mut tree, mut previous) = (Tree::new(), None);
    let home = format!("_manifests/instance=bench/destination=bench/boot={}", Uuid::nil());
    fs::create_dir_all(root.join(&home)).unwrap();
    let batches = objects.div_ceil(BATCH);
    for number in 0..batches {
        let folder =
            format!("log_source=b/organization_id=o/year=2026/month=04/day={:02}", 1 + number * 28 / batches);
        fs::create_dir_all(root.join(&folder)).unwrap();
        let mut entries = Vec::new();
        for index in number * BATCH..objects.min((number + 1) * BATCH) {
            let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(bytes).collect();
            let id = Uuid::from_u128(index as u128);
            let key = format!("{folder}/compacted-b-{id}-{number}.jsonl.gz");
            fs::write(root.join(&key), &content).unwrap();
            entries.push(ObjectEntry {
                key,
                sha256: hex(&sha256(&content)),
                bytes: bytes as u64,
                uncompressed_bytes: 0,
                records: 0,
                first: String::new(),
                last: String::new(),
                records_root: hex(&sha256(&[])),
                lanes: Vec::new(),
            });
        }
        let manifest = Manifest {
            version: VERSION,
            number: number as u64,
            instance: "bench".into(),
            destination: "bench".into(),
            boot: Uuid::nil(),
            time: "2026-04-09T14:22:11Z".into(),
            software: "bench".into(),
            format: "flat".into(),
            prefix: String::new(),
            closed: number + 1 == batches,
            objects: entries,
            lanes: Vec::new(),
            expired: Vec::new(),
            previous: previous.take(),
            tree_size: tree.size(),
            tree_root: hex(&tree.root()),
            tree_frontier: tree.frontier().iter().map(|hash| hex(hash)).collect(),
            retention_days: None,
            cursor: Vec::new(),
            heartbeat_seconds: 60,
            key_change: None,
        };
        let note = note::sign(&manifest.text(), "onrecord/bench", &key);
        let hash = hex(&sha256(&note));
        fs::write(root.join(&home).join(format!("manifest-{number:020}-{}.json", &hash[..16])), &note)
            .unwrap();
        tree.push(&note);
        previous = Some(hash);
    }
}
