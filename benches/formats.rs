//! What it costs a core to read and encode a record in each format, before compression; and how many bytes
//! a record takes in an object, compressed as the format is.
//!
//! Rates are by the time that the thread had a core, not by the wall clock, so
//! that other work on the machine takes as little part in them as it can: medians of rounds, with
//! the slowest and the fastest. `cargo bench --bench formats -- 41` makes 41 rounds.

#![allow(missing_docs, reason = "a program of its own")]
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use onrecord::format::{
    Class, Context, Dialect, Encoder, Entry, FormatOptions, Framing, OcsfOptions, Rows, Version, read_flat,
};
use onrecord::record::RecordView;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

const RECORDS: usize = 20_000;
const BOOT: &str = "01965f3c-0000-7000-8000-000000000001";

/// Records one behind the other, as a packer meets them in the buffer that it reads a segment into.
struct Records {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Records {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }
}

/// What a management API answered to a few actors and agents, of many entries.
fn records() -> Records {
    let mut random = fastrand::Rng::with_seed(7);
    let mut record = |number: u64| {
        let start = 1_775_744_531_123_456 + number * 900 + random.u64(..800);
        let seed = random.u128(..).to_be_bytes();
        let id = uuid::Builder::from_unix_timestamp_millis(
            start / 1000,
            &seed[..10].try_into().expect("ten bytes are taken"),
        );
        let entry = format!("{:022x}", random.u128(..) >> 40);
        let place = "/spaces/:space/environments/:environment/entries/:entry";
        let (method, action, end, query) = match random.u8(..4) {
            0 => ("PUT", "update", "", ""),
            1 => ("PUT", "publish", "/published", ""),
            _ => ("GET", "read", "", "locale=en-US"),
        };
        let line = serde_json::json!({
            "event.id": id.into_uuid().to_string(),
            "contentful.organization.id": "274qvl9SkVAlToItncE81X",
            "contentful.space.id": "p4lm9x2q7rts",
            "contentful.environment.id": "master",
            "contentful.cache.status": "MISS",
            "event.start": onrecord::format::time_text(start),
            "duration.microseconds": 20_000 + random.u64(..200_000),
            "http.request.method": method,
            "http.route": format!("{place}{end}"),
            "url.path": format!("/spaces/p4lm9x2q7rts/environments/master/entries/{entry}{end}"),
            "url.query": query,
            "http.response.status_code": if random.u8(..20) == 0 { 404 } else { 200 },
            "http.response.body.size": random.u64(..40_000),
            "http.request.body.size": random.u64(..4_000),
            "user_agent.original": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Mobile Safari/537.36",
            "event.action": action,
            "event.outcome": "success",
            "event.category": "content",
            "resource.type": "Entry",
            "resource.id": entry,
            "actor.type": "user",
            "actor.id": format!("user{}", random.u8(..50)),
            "actor.provenance": "verified",
            "actor.authentication": "bearer",
            "actor.credential.id": format!("{:02x}", random.u8(..40)).repeat(16),
            "actor.credential.key": "default",
            "client.address": "198.51.100.24",
            "client.port": 1024 + random.u64(..60_000),
            "network.protocol.version": "1.1",
            "tls.protocol.version": "1.3",
            "upstream.address": "192.0.2.10:443",
            "upstream.duration.microseconds": 19_000 + random.u64(..200_000),
            "upstream.attempts": 1,
            "onrecord.lane": 0,
            "onrecord.sequence": number,
        });
        read_flat(line.to_string().as_bytes(), "cma").expect("it has what each record has").bytes
    };
    let mut records = Records { bytes: Vec::new(), ends: Vec::new() };
    for number in 0..RECORDS as u64 {
        records.bytes.extend_from_slice(&record(number));
        records.ends.push(records.bytes.len());
    }
    records
}

/// How long this thread has had a core.
fn on_core() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Reads and encodes all records, one after the other as a packer does; each row goes to `take`.
fn encode<'r>(
    encoder: &mut dyn Encoder,
    records: impl Iterator<Item = &'r [u8]>,
    mut take: impl FnMut(&mut Vec<u8>),
) {
    let mut row = Vec::new();
    for (sequence, record) in records.enumerate() {
        let record = &RecordView::parse(record).expect("just written");
        let context = Context { instance: "gw-1", boot: BOOT, lane: 0, sequence: sequence as u64 };
        encoder.encode(&Entry { record, context, enrichment: None }, &mut row);
        take(&mut row);
    }
}

/// Records a second, of each round in order of speed.
fn rates(encoder: &mut dyn Encoder, records: &Records, rounds: usize) -> Vec<u64> {
    let round = |_| {
        let before = on_core();
        // As in a packer, rows are put one behind the other and taken as an object.
        encode(encoder, records.iter(), |rows| {
            if rows.len() > 256 << 10 {
                black_box(&rows);
                rows.clear();
            }
        });
        (RECORDS as f64 / (on_core() - before).as_secs_f64()) as u64
    };
    let mut rates: Vec<u64> = (0..rounds).map(round).collect();
    rates.sort_unstable();
    rates
}

/// Bytes of an object of all records: as encoded, and as delivered.
fn object<'r>(encoder: &mut dyn Encoder, records: impl Iterator<Item = &'r [u8]>) -> (usize, usize) {
    let framing = encoder.framing();
    let mut rows = framing.head().to_vec();
    let mut count = 0;
    encode(encoder, records, |row| {
        if count > 0 {
            rows.extend_from_slice(framing.between());
        }
        rows.append(row);
        count += 1;
    });
    rows.extend_from_slice(framing.tail());
    let delivered = match &framing {
        Framing::Columns(layout) => layout.write(&rows, Vec::new()).expect("memory takes all").len(),
        _ => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
            gzip.write_all(&rows).expect("memory takes all");
            gzip.finish().expect("memory takes all").len()
        }
    };
    (rows.len(), delivered)
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(21);
    let records = records();
    println!("{RECORDS} records, {rounds} rounds; the rates hold reading a record's bytes too");
    println!("| format | records/s of a core | slowest to fastest | bytes a record | in an object |");
    println!("| --- | --- | --- | --- | --- |");
    let ocsf = |version, class| OcsfOptions { version, class, ..OcsfOptions::default() };
    let columns = ["event.id", "space.id"].map(str::to_owned).to_vec();
    for (name, dialect) in [
        ("flat", Dialect::Flat),
        ("ocsf 1.8.0, 6003", Dialect::Ocsf(ocsf(Version::V1_8, Class::ApiActivity))),
        ("ocsf 1.3.0, 6001", Dialect::Ocsf(ocsf(Version::V1_3, Class::WebResourcesActivity))),
        ("ecs", Dialect::Ecs),
        ("csv", Dialect::Csv(Vec::new())),
        ("csv with two columns more", Dialect::Csv(columns)),
        ("contentful-legacy", Dialect::ContentfulLegacy),
        ("parquet, rows of flat", Dialect::Parquet(Rows::Flat)),
        ("parquet, rows of ocsf", Dialect::Parquet(Rows::Ocsf(OcsfOptions::default()))),
    ] {
        let mut encoder = FormatOptions { dialect, ..FormatOptions::default() }.encoder();
        let rates = rates(&mut *encoder, &records, rounds);
        let (rows, delivered) = object(&mut *encoder, records.iter());
        println!(
            "| {name} | {} | {} to {} | {} | {} |",
            rates[rates.len() / 2],
            rates[0],
            rates[rates.len() - 1],
            rows / RECORDS,
            delivered / RECORDS
        );
    }
    columns_of_objects(&records);
}

/// What it costs to make columns of rows, by the size of the object.
fn columns_of_objects(records: &Records) {
    let mut encoder =
        FormatOptions { dialect: Dialect::Parquet(Rows::Flat), ..FormatOptions::default() }.encoder();
    let mut flat = FormatOptions::default().encoder();
    let Framing::Columns(layout) = encoder.framing() else { return };
    for count in [10, 100, 1000, RECORDS] {
        let mut rows = Vec::new();
        encode(&mut *encoder, records.iter().take(count), |row| rows.append(row));
        let before = on_core();
        let file = layout.write(&rows, Vec::new()).expect("memory takes all");
        let each = (on_core() - before).as_nanos() / count as u128;
        let (_, lines) = object(&mut *flat, records.iter().take(count));
        println!(
            "an object of {count}: {} bytes of Parquet, {lines} of flat lines; {each} ns a record for columns",
            file.len()
        );
    }
}
