//! What it costs a core to encode a record in each format, before compression; and how many bytes
//! a record takes, before and after it.

#![allow(missing_docs, reason = "the macros of criterion make undocumented items")]
#![allow(clippy::print_stdout, reason = "sizes are told beside the times")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onrecord::format::{Class, Context, Dialect, Entry, FormatOptions, OcsfOptions, Version};
use onrecord::record::{Field, Outcome, RecordView, RecordWriter};
use std::hint::black_box;
use std::io::Write as _;

const RECORDS: u64 = 20_000;

/// Records as a management API sees them: a few actors and agents, many entries.
fn records() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let record = |number: u64| {
        let mut out = Vec::new();
        let mut w = RecordWriter::new(&mut out);
        let start = 1_775_744_531_123_456 + number * 900 + random.u64(..800);
        let id = uuid::Builder::from_unix_timestamp_millis(
            start / 1000,
            &random.u128(..).to_be_bytes()[..10].try_into().expect("ten bytes are taken"),
        );
        w.bytes(Field::EventId, id.into_uuid().as_bytes());
        w.integer(Field::Start, start);
        w.integer(Field::Duration, 20_000 + random.u64(..200_000));
        w.integer(Field::Status, if random.u8(..20) == 0 { 404 } else { 200 });
        w.integer(Field::ResponseBodySize, random.u64(..40_000));
        w.integer(Field::RequestBodySize, random.u64(..4_000));
        w.integer(Field::Outcome, Outcome::Success as u64);
        w.integer(Field::ClientPort, 1024 + random.u64(..60_000));
        w.integer(Field::ProtocolVersion, 11);
        w.integer(Field::UpstreamDuration, 19_000 + random.u64(..200_000));
        w.integer(Field::UpstreamAttempts, 1);
        w.integer(Field::CacheStatus, 2);
        w.bytes(Field::CredentialId, &[random.u8(..40); 16]);
        let entry = format!("{:022x}", random.u128(..) >> 40);
        let actor = format!("user{}", random.u8(..50));
        let (method, action, template) = match random.u8(..4) {
            0 => ("PUT", "update", "/spaces/:space/environments/:environment/entries/:entry"),
            1 => ("PUT", "publish", "/spaces/:space/environments/:environment/entries/:entry/published"),
            _ => ("GET", "read", "/spaces/:space/environments/:environment/entries/:entry"),
        };
        let path = template
            .replace(":space", "p4lm9x2q7rts")
            .replace(":environment", "master")
            .replace(":entry", &entry);
        for (field, text) in [
            (Field::Source, "cma"),
            (Field::Namespace, "contentful"),
            (Field::Organization, "274qvl9SkVAlToItncE81X"),
            (Field::Space, "p4lm9x2q7rts"),
            (Field::Environment, "master"),
            (Field::Method, method),
            (Field::Route, template),
            (Field::Path, path.as_str()),
            (Field::Query, if method == "GET" { "locale=en-US" } else { "" }),
            (
                Field::UserAgent,
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Mobile Safari/537.36",
            ),
            (Field::Action, action),
            (Field::Category, "content"),
            (Field::ResourceType, "Entry"),
            (Field::ResourceId, entry.as_str()),
            (Field::ActorType, "user"),
            (Field::ActorId, actor.as_str()),
            (Field::ActorProvenance, "verified"),
            (Field::ActorAuthentication, "bearer"),
            (Field::CredentialKey, "default"),
            (Field::ClientAddress, "198.51.100.24"),
            (Field::TlsVersion, "1.3"),
            (Field::UpstreamAddress, "192.0.2.10:443"),
        ] {
            w.text(field, text);
        }
        out
    };
    (0..RECORDS).map(record).collect()
}

fn encode(criterion: &mut Criterion) {
    let records = records();
    let views: Vec<_> =
        records.iter().map(|record| RecordView::parse(record).expect("just written")).collect();
    let ocsf = |version, class| Dialect::Ocsf(OcsfOptions { version, class, ..OcsfOptions::default() });
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1000));
    for (name, dialect) in [
        ("flat", Dialect::Flat),
        ("ocsf 1.8.0 6003", ocsf(Version::V1_8, Class::ApiActivity)),
        ("ocsf 1.3.0 6001", ocsf(Version::V1_3, Class::WebResourcesActivity)),
        ("ecs", Dialect::Ecs),
        ("csv", Dialect::Csv(Vec::new())),
        ("contentful-legacy", Dialect::ContentfulLegacy),
    ] {
        let options = FormatOptions { dialect, ..FormatOptions::default() };
        let mut encoder = options.encoder();
        let mut out = Vec::with_capacity(64 << 20);
        let entry = |record, sequence| Entry {
            record,
            context: Context {
                instance: "gw-1",
                boot: "01965f3c-0000-7000-8000-000000000001",
                lane: 0,
                sequence,
            },
            enrichment: None,
        };
        for (sequence, record) in views.iter().enumerate() {
            encoder.encode(&entry(record, sequence as u64), &mut out);
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        gzip.write_all(&out).expect("memory takes all");
        let packed = gzip.finish().expect("memory takes all").len();
        println!(
            "{name}: {} bytes a record, {} after gzip -1",
            out.len() as u64 / RECORDS,
            packed as u64 / RECORDS
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                for (sequence, record) in views[..1000].iter().enumerate() {
                    encoder.encode(&entry(record, sequence as u64), &mut out);
                }
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
