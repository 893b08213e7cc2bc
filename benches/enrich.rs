//! What enrichment costs a record, on the packer's thread: origin and session alone, and all of
//! it as a destination does it, with actors half from a directory and half learned from the API.

#![allow(missing_docs, reason = "the macros of criterion make undocumented items")]

use arc_swap::{ArcSwap, ArcSwapOption};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onrecord::capture::actor::Fingerprinter;
use onrecord::enrich::actor::{Identify, Resolver, SourceActors};
use onrecord::enrich::directory::{Directory, DirectoryFormat};
use onrecord::enrich::invocations::Invocations;
use onrecord::enrich::privacy::{Personal, Privacy};
use onrecord::enrich::{add_meaning, session::Sessions};
use onrecord::format::Enrichment;
use onrecord::identity::{Learned, Who};
use onrecord::record::{Field, RecordView, RecordWriter};
use onrecord::routes::Route;
use onrecord::secret::Secret;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

const RECORDS: u64 = 1000;
const CREDENTIALS: u64 = 40;
const BEGIN: u64 = 1_775_000_000_000_000;
/// A month, in microseconds.
const MONTH: u64 = 30 * 86_400_000_000;

/// A write or a read of one of many entries by one of some actors, as the SDKs send it.
fn record(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::new(&mut bytes);
    writer.bytes(Field::EventId, &u128::from(number).to_be_bytes());
    writer.integer(Field::Start, BEGIN + number * 1000);
    writer.text(Field::Source, "cma");
    writer.text(Field::Namespace, "contentful");
    writer.text(Field::ActorType, "anonymous");
    writer.text(Field::Method, if number.is_multiple_of(2) { "PUT" } else { "GET" });
    writer.text(Field::Space, "p4lm9x2q7rts");
    writer.text(Field::Environment, "master");
    writer.text(Field::UserAgent, "axios/1.21.1");
    writer.text(
        Field::UserAgentProduct,
        "sdk contentful-management-plain.js/0.0.0; platform node.js/v20.20.2; os Linux/v20.20.2;",
    );
    // One in fifty invokes an AI Action for an entry that is written later.
    let invokes = number.is_multiple_of(50);
    writer.text(Field::Action, if invokes { "invoke" } else { "update" });
    writer.text(Field::ResourceType, "Entry");
    writer.text(Field::ResourceId, &format!("entry{}", number % 300));
    writer.bytes(Field::CredentialId, &credential(number));
    writer.integer(Field::RouteFlags, if invokes { u64::from(Route::AI) } else { 0 });
    if invokes {
        writer.bytes(Field::Resources, format!("Entry\0entry{}", (number + 1) % 300).as_bytes());
    }
    bytes
}

fn credential(number: u64) -> [u8; 16] {
    u128::from(number % CREDENTIALS).to_be_bytes()
}

/// Knows even credentials by the directory and odd ones by what the API said.
fn resolver() -> Resolver {
    let mut people = String::from("fingerprint,id,type,name,email\n");
    let learned = Learned::new(MONTH);
    for number in 0..CREDENTIALS {
        if number.is_multiple_of(2) {
            let _ = writeln!(people, "{number:032x},user{number},user,Ann Example,ann{number}@example.test");
        } else {
            let who = Who {
                kind: "user",
                id: format!("user{number}"),
                name: "Bob Example".to_owned(),
                email: format!("bob{number}@example.test"),
                ..Who::default()
            };
            learned.learn(b"contentful", credential(number), who, true, BEGIN);
        }
    }
    let directory = Directory::parse(&people, DirectoryFormat::Csv).expect("the made-up lines are sound");
    let source = SourceActors { order: Identify::ALL.to_vec(), facts: None, patterns: None };
    let key = Fingerprinter::new(&Secret::new(vec![1; 32]), "k");
    Resolver::new(
        Arc::new(ArcSwapOption::from_pointee(directory)),
        Arc::new(ArcSwap::from_pointee(HashMap::from([(b"cma".to_vec(), source)]))),
        Arc::new(learned),
        Privacy::new(Personal::Keep, Personal::Keep, Arc::new(key)),
    )
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
    let mut resolver = resolver();
    let mut invocations = Invocations::default();
    let mut known = 0_u64;
    group.bench_function("actor, origin, session, hints", |bencher| {
        bencher.iter(|| {
            for bytes in &records {
                let record = RecordView::parse(bytes).expect("the bytes are a record");
                let mut out = Enrichment::default();
                resolver.resolve(&record, &mut out);
                add_meaning(&mut sessions, &record, &mut out);
                invocations.hint(&record, &mut out);
                known += u64::from(out.actor_id.is_some());
                black_box(&out);
            }
        });
    });
    assert!(known > 0 && known.is_multiple_of(RECORDS), "an actor was not known");
    group.finish();
}

criterion_group!(benches, enrich);
criterion_main!(benches);
