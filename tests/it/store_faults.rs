//! Whatever happens to the store and the way to it: every record arrives, once.
//!
//! The long versions (2,000 puts, 10,000 requests, an outage of ten minutes):
//! `ONRECORD_FULL=1 cargo test --release --test it -- store_faults --nocapture`
//! So many lost answers of a real store: `ONRECORD_LOST_ANSWERS=10000 cargo test --test it -- store_faults::puts --nocapture`

use crate::harness::client::{Connection, get};
use crate::harness::faults::{Fault, Proxy};
use crate::harness::gateway::{Builder, Gateway, Source};
use crate::harness::load::{Load, assert_records_match};
use crate::harness::origin::Origin;
use crate::harness::records::{Record, assert_gapless};
use crate::harness::stores::{Kind, Server};
use crate::harness::{PATIENCE, full, seed, until};
use crate::stores::{create, wait};
use onrecord::deliver::Created;
use std::collections::HashSet;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A gateway that delivers to the store by way of this address.
fn gateway(origin: &Origin, server: &Server, by: SocketAddr, keys: &[(&str, &str)]) -> Builder {
    let bucket = server.destination(by);
    let mut all: Vec<(&str, &str)> = bucket.iter().map(|(key, value)| (*key, value.as_str())).collect();
    all.extend(keys);
    Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&all)
        .environment("ONRECORD_IT_SECRET", server.writer().1)
}

/// State of the destination, and records that it has not got yet.
fn delivery(gateway: &Gateway) -> (String, u64) {
    let status = gateway.status();
    let main = &status["destinations"][0];
    let rows = main["law"].as_array().unwrap();
    let in_spool: u64 = rows.iter().map(|row| row["in_spool"].as_u64().unwrap()).sum();
    let batches = main["undelivered_batches"].as_u64().unwrap();
    let waiting = in_spool + main["undelivered_records"].as_u64().unwrap() + batches;
    (main["state"].as_str().unwrap().to_owned(), waiting)
}

/// Waits until no more than this waits to be delivered.
fn wait_for_delivery(gateway: &Gateway, at_most: u64, limit: Duration) {
    until("the backlog's delivery", limit, || {
        std::thread::sleep(Duration::from_millis(100));
        let (state, waiting) = delivery(gateway);
        (state == "delivering" && waiting <= at_most).then_some(())
    });
}

/// Stops the gateway and reads the bucket: each object in it belongs to one manifest.
fn finish(gateway: &mut Gateway, server: &Server) -> Vec<Record> {
    let status = gateway.stop();
    assert_eq!(status.code(), Some(0), "exit after SIGTERM: {status}");
    let folder = gateway.destination("main");
    server.download(&folder);
    let keys = server.list();
    let objects: HashSet<&String> = keys.keys().filter(|key| key.ends_with(".jsonl.gz")).collect();
    let mut named = HashSet::new();
    for key in keys.keys().filter(|key| key.starts_with("_manifests/")) {
        let text = std::fs::read_to_string(folder.join(key)).unwrap();
        let values = serde_json::Deserializer::from_str(&text).into_iter().next();
        let manifest: serde_json::Value = values.unwrap().unwrap();
        for object in manifest["objects"].as_array().unwrap() {
            let key = object["key"].as_str().unwrap().to_owned();
            assert!(named.insert(key.clone()), "two manifests name {key}");
        }
    }
    for key in &objects {
        assert!(named.contains(*key), "no manifest names {key}");
    }
    for key in &named {
        assert!(objects.contains(key), "{key} is missing");
    }
    gateway.records()
}

#[test]
fn puts_whose_answers_get_lost_make_no_second_object_and_none_is_missing() {
    let Some(server) = Kind::Weed.start("store_faults (lost answers)") else { return };
    let proxy = Proxy::before(server.address);
    proxy.choose(|number| if number % 3 == 2 { Fault::LoseAnswer } else { Fault::Pass });
    let store = server.store(Some(proxy.address), |_| {});
    // Of two puts one answer gets lost: every third attempt.
    let losses: Option<u64> = std::env::var("ONRECORD_LOST_ANSWERS").ok().map(|text| text.parse().unwrap());
    let puts: u64 = match losses {
        Some(losses) => losses * 2 + losses / 10,
        None if full() => 2000,
        None => 300,
    };
    let (tried, there) = (AtomicU64::new(0), AtomicU64::new(0));
    wait(async {
        let puts = (0..puts).map(|number| {
            let (store, tried, there) = (&store, &tried, &there);
            async move {
                let (key, bytes) = (format!("puts/{number:05}"), format!("bytes of {number}"));
                loop {
                    tried.fetch_add(1, Ordering::Relaxed);
                    match create(store, &key, bytes.as_bytes()).await {
                        Ok(Created::Created) => return,
                        Ok(Created::AlreadyThere) => {
                            there.fetch_add(1, Ordering::Relaxed);
                            return;
                        }
                        Err(error) => assert_eq!(error.cause.as_str(), "network", "{error}"),
                    }
                }
            }
        });
        use futures_util::StreamExt as _;
        futures_util::stream::iter(puts).buffer_unordered(8).collect::<Vec<()>>().await;
    });
    let (tried, there) = (tried.into_inner(), there.into_inner());
    eprintln!(
        "{puts} puts, {tried} attempts, {} answers lost, {there} then found to be there",
        proxy.struck()
    );
    assert!(proxy.struck() >= losses.unwrap_or(puts / 3) && there >= puts / 5);
    let all = server.list();
    assert_eq!(all.len() as u64, puts);
    for number in (0..puts).step_by(37) {
        assert_eq!(server.get(&format!("puts/{number:05}")), format!("bytes of {number}").into_bytes());
    }
    let bytes: u64 = (0..puts).map(|n| format!("bytes of {n}").len() as u64).sum();
    assert_eq!(all.values().sum::<u64>(), bytes);
}

#[test]
fn a_gateway_whose_answers_get_lost_delivers_each_record_once() {
    let Some(server) = Kind::Weed.start("store_faults (lost answers, gateway)") else { return };
    let origin = Origin::start();
    let proxy = Proxy::before(server.address);
    proxy.choose(|number| if number % 3 == 2 { Fault::LoseAnswer } else { Fault::Pass });
    let mut gateway = gateway(&origin, &server, proxy.address, &[("object_bytes", "\"64KiB\"")]).start();
    let saw = Load::calm(seed("lost_answers"), 800).run(gateway.address());
    wait_for_delivery(&gateway, 0, PATIENCE * 4);
    proxy.set(Fault::Pass);
    let records = finish(&mut gateway, &server);
    eprintln!(
        "{} records in {} objects, {} answers lost",
        records.len(),
        server.list().len(),
        proxy.struck()
    );
    assert!(proxy.struck() > 0);
    assert_records_match(&saw, &records, &origin, false);
    assert_gapless(&records);
}

#[test]
fn a_gateway_that_dies_after_a_lost_answer_sends_no_second_object() {
    let Some(server) = Kind::Weed.start("store_faults (resume)") else { return };
    let origin = Origin::start();
    let proxy = Proxy::before(server.address);
    let mut gateway = gateway(&origin, &server, proxy.address, &[]).start();
    let status = |gateway: &Gateway| gateway.status()["destinations"][0]["honours_conditions"].clone();
    until("the probe", PATIENCE, || (status(&gateway) == true).then_some(()));
    // The chain's first manifest has no objects: what follows it has.
    until("the first manifest", PATIENCE, || {
        (gateway.status()["destinations"][0]["delivered_manifests"] != 0).then_some(())
    });
    proxy.set(Fault::LoseAnswer);
    let saw = Load::calm(seed("resume"), 200).run(gateway.address());
    until("an object that arrived unknown", PATIENCE * 2, || {
        server.list().keys().any(|key| key.ends_with(".jsonl.gz")).then_some(())
    });
    gateway.sigkill();
    proxy.set(Fault::Pass);
    gateway.restart();
    wait_for_delivery(&gateway, 0, PATIENCE * 2);
    let records = finish(&mut gateway, &server);
    assert_records_match(&saw, &records, &origin, false);
}

#[test]
fn the_store_may_be_killed_and_started_again_in_the_middle_of_many_requests() {
    let Some(mut server) = Kind::Weed.start("store_faults (killed store)") else { return };
    let requests: u64 = if full() { 10_000 } else { 800 };
    let origin = Origin::start();
    let mut gateway = gateway(&origin, &server, server.address, &[]).start();
    let running = Load::rough(seed("killed_store"), requests).start(gateway.address());
    until("half of the load", PATIENCE * 20, || (running.done() >= requests / 2).then_some(()));
    server.kill();
    let saw = running.join();
    until("the failure in the status", PATIENCE * 2, || {
        let status = gateway.status();
        let main = &status["destinations"][0];
        (main["state"] == "failing").then(|| eprintln!("{} {}", main["cause"], main["words"]))
    });
    server.restart();
    let start = Instant::now();
    wait_for_delivery(&gateway, 0, PATIENCE * 6);
    eprintln!("delivering again {:?} after the store's start", start.elapsed());
    let records = finish(&mut gateway, &server);
    assert_records_match(&saw, &records, &origin, false);
    assert_eq!(records.len() as u64, requests);
    assert_gapless(&records);
    count_by_duckdb(&server, &records);
}

/// Another reader counts the bucket.
fn count_by_duckdb(server: &Server, records: &[Record]) {
    let python = std::env::var("ONRECORD_DUCKDB_PYTHON")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python").to_owned());
    let (id, secret) = (server.admin().0, server.admin().1);
    let script = format!(
        "from duckdb_extensions import import_extension\n\
         import_extension('httpfs')\n\
         import duckdb\n\
         duckdb.sql('LOAD httpfs')\n\
         duckdb.sql(\"CREATE SECRET s (TYPE s3, KEY_ID '{id}', SECRET '{secret}', REGION 'us-east-1',\
          ENDPOINT '{}', URL_STYLE 'path', USE_SSL false)\")\n\
         print(duckdb.sql(\"\"\"SELECT count(*), count(DISTINCT \"event.id\"), sum(\"http.response.body.size\")\n\
         FROM read_json('s3://audit/log_source=api/**/*.jsonl.gz', format = 'newline_delimited',\n\
                        hive_partitioning = true, union_by_name = true)\"\"\").fetchall())",
        server.address
    );
    let output = match Command::new(&python).args(["-c", &script]).output() {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("ModuleNotFoundError") => output,
        _ => return crate::harness::skip("store_faults (duckdb)", "no Python with duckdb and its httpfs"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let bytes: i64 = records.iter().map(Record::size).sum();
    let count = records.len();
    assert_eq!(
        text.trim(),
        format!("[({count}, {count}, {bytes})]"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("DuckDB counts {} in the bucket", text.trim());
}

#[test]
fn an_outage_under_load_loses_nothing_and_takes_no_memory() {
    let Some(server) = Kind::Weed.start("store_faults (outage)") else { return };
    let (rate, outage) =
        if full() { (2000, Duration::from_secs(600)) } else { (300, Duration::from_secs(12)) };
    let origin = Origin::start();
    let proxy = Proxy::before(server.address);
    let mut gateway = gateway(&origin, &server, proxy.address, &[("object_bytes", "\"8MiB\"")])
        .set("spool", "bytes", "\"8GiB\"")
        .set("spool", "segment_bytes", "\"16MiB\"")
        .set("ring", "bytes", "\"16MiB\"")
        .start();
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let to = gateway.address();
    let caught_up = std::thread::scope(|scope| {
        // Also where a check fails: the clients are waited for.
        let _over = Over(&stop);
        for _ in 0..CLIENTS {
            scope.spawn(|| paced(to, rate, &stop, &sent));
        }
        std::thread::sleep(Duration::from_secs(5));
        let before = gateway.resident_kib();
        proxy.set(Fault::Refuse);
        let start = Instant::now();
        let mut most = before;
        while start.elapsed() < outage {
            std::thread::sleep(Duration::from_secs(1));
            most = most.max(gateway.resident_kib());
        }
        let status = gateway.status();
        let main = &status["destinations"][0];
        eprintln!(
            "outage of {outage:?} at {rate}/s: {} {}, resident {before} KiB before, {most} KiB at most",
            main["state"], main["cause"]
        );
        assert_eq!((main["state"].as_str(), main["cause"].as_str()), (Some("failing"), Some("network")));
        assert!(most < before + 64 * 1024, "memory grew from {before} to {most} KiB");
        proxy.set(Fault::Pass);
        let back = Instant::now();
        // The load goes on while the backlog leaves: caught up is when no more waits than ten seconds bring.
        wait_for_delivery(&gateway, rate * 10, Duration::from_secs(120));
        back.elapsed()
    });
    let sent = sent.into_inner();
    gateway.stop();
    let (records, ids) = count(&server);
    eprintln!("{sent} requests, {records} records, {ids} distinct; caught up after {caught_up:?}");
    assert_eq!((records, ids), (sent, sent));
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const CLIENTS: u64 = 8;

/// Requests at a fixed rate over one connection.
fn paced(to: SocketAddr, rate: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let pause = Duration::from_secs_f64(CLIENTS as f64 / rate as f64);
    let mut connection = Connection::try_open(to).unwrap();
    let request = get("/load/1?size=300").header("user-agent", "load/1");
    let mut next = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        next += pause;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        connection.try_send(&request.head_bytes()).unwrap();
        assert_eq!(connection.response(false).unwrap().status, 200);
        sent.fetch_add(1, Ordering::SeqCst);
    }
}

/// Records of exchanges in the bucket, and distinct ids among them.
fn count(server: &Server) -> (u64, u64) {
    let (mut records, mut ids) = (0, HashSet::new());
    for key in server.list().keys().filter(|key| key.starts_with("log_source=api/")) {
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&server.get(key)[..]).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            ids.insert(record["event.id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap());
            records += 1;
        }
    }
    (records, ids.len() as u64)
}
