//! How fast `verify` reads objects, and that its memory does not grow with their number.
//!
//! `cargo bench --bench verify -- [objects] [KiB an object] [folder]`: makes a bucket,
//! verifies it on one thread, prints rate and peak memory, then does the same with
//! `--deep`. Objects are real ones: compressed lines, as large as said when they are
//! unpacked. Run it with different numbers of objects to compare the memory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use onrecord::evidence::keys::SigningKey;
use onrecord::evidence::merkle::{Tree, hex, sha256};
use onrecord::evidence::note;
use onrecord::evidence::store::DirSource;
use onrecord::evidence::verify::{VerifyOptions, verify};
use onrecord::pack::manifest::{LaneCount, LaneEntry, Manifest, ObjectEntry, Totals, VERSION};
use onrecord::record::SequenceSet;
use std::fs;
use std::io::Write as _;
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
    let unpacked = fill(root, objects, kib * 1024) / 1_000_000;
    for deep in [false, true] {
        let options = VerifyOptions {
            keys: Vec::new(),
            anchor: None,
            at: 1_775_744_531_000_000,
            deep,
            threads: 1,
            any_beginning: false,
        };
        // So that the peak is that of this pass alone.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let begun = Instant::now();
        let report = verify(&DirSource::new(root), &options, &|_| {}).unwrap();
        let time = begun.elapsed().as_secs_f64();
        assert!(report.is_clean(), "{report}");
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
        println!(
            "{}: {} objects, {} manifests, {} records, {:.0} MB ({unpacked} MB unpacked) in {time:.2} s: \
             {:.0} MB/s ({:.0} MB/s unpacked) on one thread; {peak}",
            if deep { "--deep" } else { "hashes" },
            report.objects,
            report.manifests,
            report.records,
            report.bytes as f64 / 1e6,
            report.bytes as f64 / 1e6 / time,
            unpacked as f64 / time
        );
    }
}

/// A record of a usual size.
fn line(sequence: u64, random: &mut fastrand::Rng) -> String {
    let id = Uuid::from_u128((1_775_744_530_000 << 80) | (7 << 76) | (2 << 62) | u128::from(sequence));
    let (trace, resource) = (random.u128(..), random.u64(..));
    format!(
        "{{\"event.id\":\"{id}\",\"api.organization.id\":\"o\",\"api.space.id\":\"p4lm9x2q7rts\",\
         \"api.cache.status\":\"\",\"api.request.id\":\"{id}\",\"event.start\":\"2026-04-09T14:22:10.123456Z\",\
         \"event.end\":\"2026-04-09T14:22:10.125456Z\",\"duration.microseconds\":{},\
         \"http.request.method\":\"GET\",\"http.route\":\"/spaces/:space/entries/:entry\",\
         \"url.path\":\"/spaces/p4lm9x2q7rts/entries/{resource:016x}\",\"url.query\":\"\",\
         \"http.response.status_code\":200,\"http.response.body.size\":{},\
         \"user_agent.original\":\"contentful.js/10.6.21 node.js/20.20.0; os Linux/v6.1;\",\
         \"event.outcome\":\"success\",\"client.address\":\"192.0.2.{}\",\"trace.id\":\"{trace:032x}\",\
         \"onrecord.instance\":\"bench\",\"onrecord.boot\":\"{}\",\"onrecord.lane\":0,\
         \"onrecord.sequence\":{sequence},\"schema.version\":\"1\"}}\n",
        random.u32(500..90_000),
        random.u32(100..60_000),
        random.u8(..),
        Uuid::nil()
    )
}

/// Objects with their signed manifests. Returns the bytes of all lines.
fn fill(root: &Path, objects: usize, bytes: usize) -> u64 {
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let (mut tree, mut previous, mut taken, mut unpacked) = (Tree::new(), None, 0u64, 0u64);
    let home = format!("_manifests/instance=bench/destination=bench/boot={}", Uuid::nil());
    fs::create_dir_all(root.join(&home)).unwrap();
    let batches = objects.div_ceil(BATCH);
    for number in 0..batches {
        let folder = "log_source=b/organization_id=o/year=2026/month=04/day=09".to_owned();
        fs::create_dir_all(root.join(&folder)).unwrap();
        let first = taken;
        let mut entries = Vec::new();
        for index in number * BATCH..objects.min((number + 1) * BATCH) {
            let (mut lines, mut tree, before) = (String::new(), Tree::new(), taken);
            while lines.len() < bytes {
                let line = line(taken, &mut random);
                tree.push(line.trim_end().as_bytes());
                lines.push_str(&line);
                taken += 1;
            }
            unpacked += lines.len() as u64;
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(lines.as_bytes()).unwrap();
            let content = gzip.finish().unwrap();
            let id = Uuid::from_u128(index as u128);
            let key = format!("{folder}/compacted-b-{id}-{number}.jsonl.gz");
            fs::write(root.join(&key), &content).unwrap();
            entries.push(ObjectEntry {
                key,
                sha256: hex(&sha256(&content)),
                bytes: content.len() as u64,
                uncompressed_bytes: lines.len() as u64,
                records: taken - before,
                first: "2026-04-09T14:22:10.123456Z".into(),
                last: "2026-04-09T14:22:10.123456Z".into(),
                records_root: hex(&tree.root()),
                lanes: vec![LaneCount { boot: Uuid::nil(), lane: 0, records: taken - before }],
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
            lanes: vec![LaneEntry {
                instance: "bench".into(),
                boot: Uuid::nil(),
                lane: 0,
                taken,
                open: 0,
                closed: number + 1 == batches,
                covered: range(first, taken),
                delivered: taken - first,
                filtered: 0,
                filtered_sequences: SequenceSet::new(),
                gaps: Vec::new(),
                accounted: range(0, taken),
                totals: Totals { delivered: taken, filtered: 0, declared: 0 },
            }],
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
    unpacked
}

fn range(from: u64, to: u64) -> SequenceSet {
    let mut set = SequenceSet::new();
    if from < to {
        set.insert_range(from, to - 1);
    }
    set
}
