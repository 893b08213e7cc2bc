//! What origin and session cost a record, on the packer's thread.

#![allow(missing_docs, reason = "the macros of criterion make undocumented items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onrecord::enrich::{add_meaning, session::Sessions};
use onrecord::format::Enrichment;
use onrecord::record::{Field, RecordView, RecordWriter};
use std::hint::black_box;

const RECORDS: u64 = 1000;

/// A write or a read of one of many entries by one of some actors, as the SDKs send it.
fn record(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::new(&mut bytes);
    writer.bytes(Field::EventId, &u128::from(number).to_be_bytes());
    writer.integer(Field::Start, 1_775_000_000_000_000 + number * 1000);
    writer.text(Field::Source, "cma");
    writer.text(Field::Method, if number.is_multiple_of(2) { "PUT" } else { "GET" });
    writer.text(Field::Space, "p4lm9x2q7rts");
    writer.text(Field::Environment, "master");
    writer.text(Field::UserAgent, "axios/1.21.1");
    writer.text(
        Field::UserAgentProduct,
        "sdk contentful-management-plain.js/0.0.0; platform node.js/v20.20.2; os Linux/v20.20.2;",
    );
    writer.text(Field::Action, "update");
    writer.text(Field::ResourceType, "Entry");
    writer.text(Field::ResourceId, &format!("entry{}", number % 300));
    writer.bytes(Field::CredentialId, &u128::from(number % 40).to_be_bytes());
    writer.integer(Field::RouteFlags, 0);
    bytes
}

fn enrich(criterion: &mut Criterion) {
    let records: Vec<Vec<u8>> = (0..RECORDS).map(record).collect();
    let mut sessions = Sessions::new(30_000_000);
    let mut group = criterion.benchmark_group("enrichment");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("origin and session", |bencher| {
        bencher.iter(|| {
            for bytes in &records {
                let record = RecordView::parse(bytes).expect("the bytes are a record");
                let mut out = Enrichment::default();
                add_meaning(&mut sessions, &record, &mut out);
                black_box(&out);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, enrich);
criterion_main!(benches);
