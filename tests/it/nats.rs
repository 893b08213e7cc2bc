//! A stream of a real broker as destination: the same records as everywhere, each once.

use crate::harness::gateway::{Gateway, Source, free_port};
use crate::harness::load::Load;
use crate::harness::nats::{Message, Nats};
use crate::harness::origin::Origin;
use crate::harness::records::{Record, assert_gapless};
use crate::harness::stores::secret;
use crate::harness::tls::Authority;
use crate::harness::{PATIENCE, until};
use crate::stores::wait;
use async_nats::ConnectOptions;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use onrecord::deliver::{
    Body, Cause, Created, Destination as _, NatsAuth, NatsOptions, NatsStore, Object, ObjectKind,
    ProbeReport, PutError, probe,
};
use onrecord::evidence::merkle::{self, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

const STREAM: &str = "AUDIT";

/// The stream that the documentation shows.
fn config() -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec!["onrecord.>".to_owned()],
        duplicate_window: Duration::from_secs(3600),
        ..Config::default()
    }
}

fn made(nats: &Nats, config: Config) {
    wait(async { nats.stream(ConnectOptions::new(), config).await });
}

fn read(nats: &Nats) -> Vec<Message> {
    wait(async { nats.read(ConnectOptions::new(), STREAM).await })
}

fn store(nats: &Nats, change: impl FnOnce(&mut NatsOptions)) -> NatsStore {
    let mut options = NatsOptions::new(vec![nats.url()]);
    options.auth = NatsAuth::User("gw".to_owned(), secret("s3cret"));
    options.put_timeout = Duration::from_secs(2);
    change(&mut options);
    NatsStore::new(&options)
}

async fn publish(store: &NatsStore, text: &str) -> Result<Created, PutError> {
    let object = Object {
        key: "log_source=api/organization_id=o/x.jsonl",
        body: Body::Bytes(text.as_bytes()),
        length: text.len() as u64,
        sha256: merkle::sha256(text.as_bytes()),
        kind: ObjectKind::Records,
    };
    store.create(object).await
}

fn lines(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{{\"event.id\":\"id-{id}\",\"event.action\":\"a b\"}}\n")).collect()
}

#[test]
fn a_line_is_a_message_and_what_is_sent_again_is_dropped_by_the_broker() {
    let Some(nats) = Nats::start("nats (messages)", "") else { return };
    made(&nats, config());
    let subject = "onrecord.records.{source}.{event.action}";
    let store = store(&nats, |options| {
        options.subject = onrecord::deliver::SubjectTemplate::parse(subject).unwrap();
        options.stream = Some(STREAM.to_owned());
    });
    wait(async {
        assert_eq!(publish(&store, &lines(0..2000)).await, Ok(Created::Created));
        assert_eq!(publish(&store, &lines(0..2000)).await, Ok(Created::AlreadyThere));
        assert_eq!(publish(&store, &lines(1000..2001)).await, Ok(Created::Created));
        let report = probe(&store, "", Uuid::now_v7()).await;
        assert_eq!(report, Ok(ProbeReport { honours_conditions: true }));
    });
    let all = read(&nats);
    let records: Vec<&Message> = all.iter().filter(|m| m.subject.starts_with("onrecord.records.")).collect();
    assert_eq!(records.len(), 2001);
    assert_eq!(records[7].subject, "onrecord.records.api.a_b");
    assert_eq!(records[7].headers["Nats-Msg-Id"], "id-7");
    assert_eq!(records[7].headers["Onrecord-Line"], "7");
    assert_eq!(all.iter().filter(|m| m.subject == "onrecord.evidence.probe").count(), 1);
    // What is not what was packed is not published.
    let text = "damaged";
    let object = Object { sha256: [0; 32], ..object_of(text) };
    assert!(wait(store.create(object)).is_err());
    assert_eq!(read(&nats).len(), all.len());
}

fn object_of(text: &str) -> Object<'_> {
    let bytes = text.as_bytes();
    let (length, sha256) = (bytes.len() as u64, merkle::sha256(bytes));
    Object { key: "x", body: Body::Bytes(bytes), length, sha256, kind: ObjectKind::Records }
}

#[test]
fn what_a_broker_refuses_has_its_cause() {
    let Some(nats) = Nats::start("nats (refusals)", "max_payload: 4096\n") else { return };
    let refused = |store: &NatsStore, text: &str, cause: Cause| {
        let error = wait(publish(store, text)).unwrap_err();
        eprintln!("{error}");
        assert_eq!(error.cause, cause, "{error}");
        assert!(!error.words.contains("s3cret") && !error.words.contains("wr0ng"), "{error}");
    };
    let one = lines(0..1);
    refused(&store(&nats, |_| {}), &one, Cause::NotFound);
    made(&nats, Config { max_messages: 10, discard: DiscardPolicy::New, ..config() });
    refused(&store(&nats, |_| {}), &lines(0..20), Cause::Quota);
    refused(&store(&nats, |options| options.stream = Some("OTHER".to_owned())), &one, Cause::NotFound);
    let other = onrecord::deliver::SubjectTemplate::parse("elsewhere.{source}").unwrap();
    refused(&store(&nats, |options| options.subject = other), &one, Cause::Permission);
    let wrong = |options: &mut NatsOptions| options.auth = NatsAuth::User("gw".into(), secret("wr0ng"));
    refused(&store(&nats, wrong), &one, Cause::Credentials);
    refused(&store(&nats, |options| options.auth = NatsAuth::None), &one, Cause::Credentials);
    let garbage = NatsAuth::Credentials(secret("s3cret is no creds file"));
    refused(&store(&nats, |options| options.auth = garbage), &one, Cause::Credentials);
    let big = format!("{{\"event.id\":\"{}\"}}\n", "x".repeat(5000));
    refused(&store(&nats, |_| {}), &big, Cause::Policy);
    let nobody = vec![format!("nats://{}", free_port())];
    refused(&store(&nats, |options| options.servers = nobody), &one, Cause::Network);
    let nowhere = vec!["nats://no.such.host.invalid:4222".to_owned()];
    refused(&store(&nats, |options| options.servers = nowhere), &one, Cause::Network);
    let secure = vec![nats.url().replace("nats:", "tls:")];
    refused(&store(&nats, |options| options.servers = secure), &one, Cause::Tls);
    // An HTTP server is no broker, and one that says nothing ends in time.
    let sick = crate::harness::faults::Sick::start();
    sick.answer("200 OK", "", "hello");
    let web = vec![format!("nats://{}", sick.address)];
    refused(&store(&nats, |options| options.servers = web), &one, Cause::Network);
}

#[test]
fn a_broker_with_tls_is_trusted_by_its_authority_alone() {
    let authority = Authority::new("test");
    let identity = authority.identity(&["localhost", "127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = (file("srv.pem", &identity.certificate), file("srv.key", &identity.key));
    let ca = file("ca.pem", &authority.pem());
    let more = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\n");
    let Some(nats) = Nats::start("nats (TLS)", &more) else { return };
    let options = || ConnectOptions::new().add_root_certificates(ca.clone());
    wait(async { nats.stream(options(), config()).await });
    let servers = vec![format!("tls://localhost:{}", nats.address.port())];
    let trusting = store(&nats, |options| {
        (options.servers, options.ca) = (servers.clone(), Some(ca.clone()));
    });
    assert_eq!(wait(publish(&trusting, &lines(0..3))), Ok(Created::Created));
    let wary = store(&nats, |options| options.servers = servers.clone());
    let error = wait(publish(&wary, &lines(0..3))).unwrap_err();
    assert_eq!(error.cause, Cause::Tls, "{error}");
}

#[test]
fn the_broker_may_be_killed_in_the_middle_and_has_each_record_of_the_folder_once() {
    let Some(mut nats) = Nats::start("nats (killed broker)", "") else { return };
    made(&nats, config());
    let origin = Origin::start();
    let servers = format!("[{:?}]", nats.url());
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .destination(
            "live",
            &[
                ("type", "\"nats\""),
                ("servers", &servers),
                ("user", "\"gw\""),
                ("password", "{ env = \"ONRECORD_IT_SECRET\" }"),
                ("interval", "\"100ms\""),
            ],
        )
        .environment("ONRECORD_IT_SECRET", "s3cret")
        .set("log", "level", "\"trace\"")
        .start();
    // It is there as soon as it has begun.
    let live = |gateway: &Gateway| {
        until("the destination", PATIENCE, || {
            let status = gateway.status();
            let all = status["destinations"].as_array().unwrap();
            all.iter().find(|known| known["name"] == "live").cloned()
        })
    };
    let running = Load::calm(crate::harness::seed("nats"), 600).start(gateway.address());
    until("some messages", PATIENCE, || {
        (live(&gateway)["delivered_records"].as_u64() > Some(50)).then_some(())
    });
    nats.kill();
    running.join();
    let failing = until("the failure in the status", PATIENCE * 2, || {
        let live = live(&gateway);
        (live["state"] == "failing").then_some(live)
    });
    assert_eq!(failing["cause"], "network", "{failing}");
    nats.restart();
    until("the backlog's delivery", PATIENCE * 2, || {
        let live = live(&gateway);
        (live["state"] == "delivering" && live["undelivered_batches"] == 0).then_some(())
    });
    assert_eq!(gateway.stop().code(), Some(0));
    let records = gateway.records();
    assert_gapless(&records);
    let all = read(&nats);
    let ids: BTreeSet<&str> = records.iter().map(|record| record.text("event.id")).collect();
    let sent: Vec<&Message> = all.iter().filter(|m| m.subject == "onrecord.records.api").collect();
    let sent_ids: BTreeSet<&str> = sent.iter().map(|m| m.headers["Nats-Msg-Id"].as_str()).collect();
    assert_eq!((records.len(), sent.len(), ids.len()), (600, 600, 600));
    assert!(ids == sent_ids);
    // One for one, byte for byte.
    let written: BTreeMap<&str, &Record> = records.iter().map(|r| (r.text("event.id"), r)).collect();
    for message in &sent {
        let value: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        let there = written[value["event.id"].as_str().unwrap()];
        for (name, value) in value.as_object().unwrap() {
            assert_eq!(there.attributes.get(name), Some(value), "{name}");
        }
    }
    // Its own manifests commit to the very lines.
    let mut objects: BTreeMap<&str, BTreeMap<u64, &[u8]>> = BTreeMap::new();
    for message in all.iter().filter(|m| m.subject.starts_with("onrecord.records.")) {
        let line = message.headers["Onrecord-Line"].parse().unwrap();
        objects.entry(&message.headers["Onrecord-Object"]).or_default().insert(line, &message.payload);
    }
    let mut proved = 0;
    for message in all.iter().filter(|m| m.subject == "onrecord.evidence.manifest") {
        let text = String::from_utf8_lossy(&message.payload);
        let manifest: serde_json::Value =
            serde_json::Deserializer::from_str(&text).into_iter().next().unwrap().unwrap();
        for object in manifest["objects"].as_array().unwrap() {
            let mut tree = Tree::new();
            let lines = &objects[object["key"].as_str().unwrap()];
            lines.values().for_each(|line| tree.push(line));
            assert_eq!(merkle::hex(&tree.root()), object["records_root"].as_str().unwrap());
            proved += lines.len();
        }
    }
    assert!(proved >= 600, "{proved}");
    assert!(!gateway.log().contains("s3cret"), "the password is in the log");
}
