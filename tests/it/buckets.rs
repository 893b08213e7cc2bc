//! Evidence straight from a bucket, and a bucket that keeps what it was given.

use crate::evidence::flip;
use crate::harness::faults::{Fault, Proxy};
use crate::harness::gateway::{Gateway, Source, onrecord, read_lossy};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use crate::harness::stores::{BUCKET, Keys, Kind, Server, secret, store_at};
use crate::stores::{create, wait};
use onrecord::bucket::{AccessKey, Bucket, KeyId};
use onrecord::clock::Clock;
use onrecord::deliver::{Cause, Created, LockMode, ObjectLock};
use onrecord::evidence::store::{BucketSource, EvidenceSource as _};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::SocketAddr;

/// The way to the server's bucket with keys that may read and list.
fn source(server: &Server, by: SocketAddr, prefix: &str) -> BucketSource {
    let Keys(id, key) = server.verifier();
    let bucket = Bucket {
        endpoint: Some(format!("http://{by}")),
        path_style: true,
        keys: Some(AccessKey { id: KeyId::Plain(id.to_owned()), secret: secret(key), session_token: None }),
        ..Bucket::new(BUCKET)
    };
    BucketSource::open(&bucket, prefix, &Clock::System).unwrap()
}

fn put(server: &Server, key: &str, bytes: &[u8]) {
    let put = server.client().put_object().bucket(BUCKET).key(key).body(bytes.to_vec().into());
    wait(put.send()).unwrap();
}

#[test]
fn a_bucket_is_verified_proved_and_accounted_for_where_it_lies() {
    let Some(server) = Kind::Weed.start("buckets (verify)") else { return };
    let origin = Origin::start();
    let place = server.destination(server.address);
    let mut keys: Vec<(&str, &str)> = place.iter().map(|(key, value)| (*key, value.as_str())).collect();
    keys.push(("prefix", "\"logs/a b/\""));
    // So that the counts are those of the requests alone.
    keys.push(("own_records", "false"));
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .main_destination(&keys)
        .environment("ONRECORD_IT_SECRET", server.writer().1)
        .start();
    Load::calm(1, 300).run(gateway.address());
    assert_eq!(gateway.stop().code(), Some(0));

    let Keys(id, key) = server.verifier();
    let reader = [
        ("AWS_ACCESS_KEY_ID".to_owned(), id.to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), key.to_owned()),
    ];
    let endpoint = format!("http://{}", server.address);
    let url = format!("s3://{BUCKET}/logs/a b");
    let run = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend([url.as_str(), "--endpoint", &endpoint, "--path-style"]);
        onrecord(&all, &reader)
    };
    let json = |arguments: &[&str]| -> (Option<i32>, serde_json::Value) {
        let (code, output) = run(arguments);
        (code, serde_json::from_str(&output).unwrap_or_else(|_| panic!("{code:?}: {output}")))
    };
    let (code, report) = json(&["verify", "--deep", "--format", "json"]);
    assert_eq!((code, &report["integrity"]), (Some(0), &"holds".into()), "{report:#}");
    let boot = &report["chains"][0]["boots"][0];
    assert!(boot["delivered"] == 300 && boot["awaited"] == 0, "{report:#}");
    let (code, output) = run(&["account"]);
    assert!(code == Some(0) && output.contains("the account is whole"), "{output}");

    // Place, keys and the public half of the signing key from the configuration.
    let config = gateway.config_path().display().to_string();
    let own = [("ONRECORD_IT_SECRET".to_owned(), server.writer().1.to_owned())];
    let (code, output) = onrecord(&["verify", "--config", &config, "--destination", "main"], &own);
    assert!(code == Some(2) && output.contains("may list the bucket"), "{code:?}: {output}");
    let text = read_lossy(&gateway.config_path()).replace(server.writer().0, id);
    let readable = gateway.root().join("reader.toml");
    std::fs::write(&readable, text).unwrap();
    let own = [("ONRECORD_IT_SECRET".to_owned(), key.to_owned())];
    let readable = readable.display().to_string();
    let (code, output) = onrecord(&["verify", "--config", &readable], &own);
    assert!(code == Some(0) && output.contains("signed by the pinned key"), "{code:?}: {output}");

    // A proof from the bucket, and each damage as in a folder.
    let object = server.list().into_keys().find(|key| key.ends_with(".jsonl.gz")).unwrap();
    let mut text = String::new();
    let bytes = server.get(&object);
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let event = line["event.id"].as_str().unwrap();
    let proof = gateway.root().join("proof.json").display().to_string();
    let (code, output) = run(&["prove", "--id", event, "--out", &proof]);
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(onrecord(&["verify", "--proof", &proof], &[]).0, Some(0));

    let file = gateway.root().join("object");
    std::fs::write(&file, &bytes).unwrap();
    flip(&file, 77);
    put(&server, &object, &std::fs::read(&file).unwrap());
    assert_eq!(json(&["verify", "--format", "json"]).1["counts"], serde_json::json!({"object_altered": 1}));
    wait(server.client().delete_object().bucket(BUCKET).key(&object).send()).unwrap();
    put(&server, "logs/a b/log_source=api/x.gz", b"foreign");
    let (code, report) = json(&["verify", "--format", "json"]);
    assert_eq!(report["counts"], serde_json::json!({"object_missing": 1, "foreign_object": 1}));
    assert_eq!(code, Some(1));

    // What can't be read is neither whole nor broken.
    let nobody = [("AWS_ACCESS_KEY_ID".to_owned(), "nobody".to_owned()), reader[1].clone()];
    let Keys(id, key) = server.admin();
    let admin = [(reader[0].0.clone(), id.to_owned()), (reader[1].0.clone(), key.to_owned())];
    for (bucket, environment, said) in [
        ("s3://nothing", &admin[..], "NoSuchBucket"),
        ("s3://nothing", &reader[..], "may list the bucket"),
        ("s3://audit", &nobody[..], "InvalidAccessKeyId"),
        ("s3://audit/elsewhere", &reader[..], "neither manifests nor objects"),
        ("gs://audit", &reader[..], "gs:// can't be read"),
    ] {
        let (code, output) =
            onrecord(&["verify", bucket, "--endpoint", &endpoint, "--path-style"], environment);
        assert!(code == Some(2) && output.contains(said), "{bucket}: {code:?}: {output}");
    }
}

#[test]
fn a_bucket_is_listed_page_by_page_and_read_on_where_a_stream_broke() {
    let Some(server) = Kind::Weed.start("buckets (pages)") else { return };
    let mut expected = BTreeSet::new();
    for number in 0..25 {
        let name = format!("file-{number:02}");
        put(&server, &format!("tree/{name}"), b"x");
        put(&server, &format!("tree/folder-{number:02}/below"), b"x");
        expected.extend([name, format!("folder-{number:02}")]);
    }
    let large = crate::harness::pattern(6 * 1024 * 1024 + 5);
    put(&server, "large", &large);

    let direct = source(&server, server.address, "tree/");
    let mut listing = direct.list("");
    let mut names = Vec::new();
    loop {
        let page = listing.page(7).unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.iter().all(|entry| entry.is_folder == entry.name.starts_with("folder")));
        names.extend(page.into_iter().map(|entry| entry.name));
    }
    assert_eq!(names.len(), expected.len(), "{names:?}");
    assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), expected);
    let files: Vec<&String> = names.iter().filter(|name| name.starts_with("file")).collect();
    assert!(files.is_sorted(), "{files:?}");
    assert!(direct.list("gone/").page(9).unwrap().is_empty());
    assert!(direct.open("gone").unwrap().is_none());

    let proxy = Proxy::before(server.address);
    let source = source(&server, proxy.address, "");
    // The first answer is cut in the middle; so is the second.
    proxy.choose(|answer| if answer < 2 { Fault::CutAnswer(1 << 20) } else { Fault::Pass });
    let mut bytes = Vec::new();
    source.open("large").unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    assert!(bytes == large, "{} bytes came", bytes.len());
    assert_eq!(proxy.struck(), 2);
}

#[test]
fn what_is_put_with_a_lock_can_not_be_deleted() {
    let Some(server) = Kind::Weed.start("buckets (Object Lock)") else { return };
    let admin = server.client();
    wait(admin.create_bucket().bucket("locked").object_lock_enabled_for_bucket(true).send()).unwrap();
    let lock = ObjectLock { mode: LockMode::Compliance, days: 2 };
    let store = |bucket: &'static str| {
        store_at(server.address, server.admin(), move |options| {
            options.bucket.name = bucket.into();
            options.object_lock = Some(lock);
            options.multipart_bytes = 5 << 20;
        })
    };
    let locked = store("locked");
    let large = crate::harness::pattern(6 * 1024 * 1024);
    assert_eq!(wait(create(&locked, "one", b"one")), Ok(Created::Created));
    assert_eq!(wait(create(&locked, "one", b"two")), Ok(Created::AlreadyThere));
    assert_eq!(wait(create(&locked, "parts", &large)), Ok(Created::Created));
    for key in ["one", "parts"] {
        let head = wait(admin.head_object().bucket("locked").key(key).send()).unwrap();
        assert_eq!(head.object_lock_mode().map(|mode| mode.as_str()), Some("COMPLIANCE"), "{key}");
        let until = head.object_lock_retain_until_date().unwrap().secs();
        let days = (until - Clock::System.unix_microseconds() as i64 / 1_000_000) as f64 / 86_400.0;
        assert!((1.99..2.01).contains(&days), "{key}: {days}");
        let delete = admin.delete_object().bucket("locked").key(key);
        let delete = delete.version_id(head.version_id().unwrap()).bypass_governance_retention(true);
        assert!(wait(delete.send()).is_err(), "{key} was deleted");
    }
    wait(onrecord::deliver::probe(&locked, "", uuid::Uuid::now_v7())).unwrap();

    // A bucket without locks says so, and what to do.
    let error = wait(create(&store(BUCKET), "one", b"one")).unwrap_err();
    eprintln!("no lock: {error}");
    assert!(matches!(error.cause, Cause::Policy | Cause::Permission), "{error}");
    assert!(error.words.contains("made with Object Lock"), "{error}");
}
