//! Azure's and Google's stores, held to the same list as every other, and the way to them.

use crate::harness::clouds::{Azurite, FakeGcs};
use crate::harness::faults::Sick;
use crate::harness::gateway::{Gateway, Source, free_port};
use crate::harness::load::Load;
use crate::harness::moto::Moto;
use crate::harness::origin::Origin;
use crate::harness::stores::{Kind, secret};
use crate::stores::{conforms, create, wait};
use onrecord::clock::Clock;
use onrecord::deliver::{
    AzureAuth, AzureOptions, AzureStore, Cause, Created, Destination as _, GcsOptions, GcsStore, PutError,
};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

/// Reads all objects in a thread of its own: the test's runtime is busy.
fn all(
    list: impl Fn() -> Vec<String> + Sync,
    get: impl Fn(&str) -> Vec<u8> + Sync,
) -> BTreeMap<String, Vec<u8>> {
    std::thread::scope(|scope| {
        let read = || list().into_iter().map(|key| (key.clone(), get(&key))).collect();
        scope.spawn(read).join().unwrap()
    })
}

fn azure(azurite: &Azurite, change: impl FnOnce(&mut AzureOptions)) -> AzureStore {
    let mut options = AzureOptions::new(&azurite.container("audit"));
    options.auth = AzureAuth::Sas(secret(&azurite.sas("cw", 24)));
    change(&mut options);
    AzureStore::new(&options, Clock::System)
}

fn refused(store: &AzureStore, cause: Cause) -> PutError {
    let error = wait(create(store, "x", b"x")).unwrap_err();
    eprintln!("{error}");
    assert_eq!(error.cause, cause, "{error}");
    assert!(!error.words.contains("sig="), "{error}");
    error
}

#[test]
fn a_container_is_a_destination_by_signature_and_by_key() {
    let Some(azurite) = Azurite::start("clouds (Azurite)") else { return };
    let read = || all(|| azurite.list(), |key| azurite.get(key));
    let store = azure(&azurite, |_| {});
    conforms(&store, &read, true);
    let end = store.credentials_expire().unwrap() / 1_000_000;
    let now = Clock::System.unix_microseconds() / 1_000_000;
    assert!((23 * 3600..=24 * 3600).contains(&(end - now)), "{end} {now}");
    let by_key = azure(&azurite, |options| options.auth = AzureAuth::Key(secret(&Azurite::key())));
    wait(async {
        assert_eq!(create(&by_key, "by-key/a%2Fb", b"1").await, Ok(Created::Created));
        assert_eq!(create(&by_key, "by-key/a%2Fb", b"2").await, Ok(Created::AlreadyThere));
    });
    assert_eq!(azurite.get("by-key/a%2Fb"), b"1");
}

#[test]
fn what_azure_refuses_has_its_cause() {
    let Some(azurite) = Azurite::start("clouds (Azurite's refusals)") else { return };
    let sas = |text: &str| AzureAuth::Sas(secret(text));
    let with = |auth: AzureAuth| azure(&azurite, |options| options.auth = auth);
    let good = azurite.sas("cw", 24);
    refused(&with(sas(&azurite.sas("cw", -1))), Cause::ExpiredToken);
    refused(&with(sas(&good.replace("sp=cw", "sp=cwd"))), Cause::Credentials);
    refused(&with(sas(&format!("{good} "))), Cause::Credentials);
    refused(&with(sas(&azurite.sas("rl", 24))), Cause::Permission);
    let wrong = "d3Jvbmc=".to_owned();
    refused(&with(AzureAuth::Key(secret(&wrong))), Cause::Credentials);
    let missing = azure(&azurite, |options| {
        options.container = azurite.container("nowhere");
        options.auth = AzureAuth::Key(secret(&Azurite::key()));
    });
    refused(&missing, Cause::NotFound);
    let secure = azure(&azurite, |options| options.container = options.container.replace("http:", "https:"));
    refused(&secure, Cause::Tls);
    let nobody = free_port().port();
    let gone = azure(&azurite, |options| {
        options.container =
            options.container.replace(&format!(":{}/", azurite.address().port()), &format!(":{nobody}/"));
    });
    refused(&gone, Cause::Network);
    let unknown =
        azure(&azurite, |options| options.container = "http://no.such.host.invalid/auditacct/audit".into());
    refused(&unknown, Cause::Network);
}

#[test]
fn whatever_something_sick_answers_is_no_success_to_azure_nor_to_google() {
    let sick = Sick::start();
    let mut options = AzureOptions::new(&format!("http://{}/acct/audit", sick.address));
    options.auth = AzureAuth::Key(secret("a2V5"));
    options.put_timeout = Duration::from_secs(2);
    let azure = AzureStore::new(&options, Clock::System);
    let mut options = GcsOptions::new("audit");
    options.endpoint = Some(format!("http://{}", sick.address));
    options.put_timeout = Duration::from_secs(2);
    let gcs = GcsStore::new(&options, Clock::System);
    let html = "content-type: text/html\r\n";
    let page = "<html><head><title>Hello</title></head><body>a portal</body></html>";
    let large = "x".repeat(20 << 20);
    for (status, headers, body, cause) in [
        ("200 OK", html, page, Cause::ServerError),
        ("201 Created", html, page, Cause::ServerError),
        ("200 OK", "", "", Cause::ServerError),
        ("204 No Content", "", "", Cause::ServerError),
        ("200 OK", "", "{\"error\":{\"code\":500}}", Cause::ServerError),
        ("403 Forbidden", html, page, Cause::Permission),
        ("409 Conflict", html, page, Cause::ServerError),
        ("412 Precondition Failed", html, page, Cause::ServerError),
        ("500 Oops", "", "", Cause::ServerError),
        ("503 Away", html, page, Cause::Throttled),
        ("301 Moved", "location: https://elsewhere.example/x?sig=1\r\n", page, Cause::Network),
        ("307 Moved", "location: https://elsewhere.example/x?sig=1\r\n", "", Cause::Network),
        ("407 Login", html, page, Cause::Network),
        ("507 Full", "", "", Cause::Quota),
        ("500 Oops", "", &large, Cause::ServerError),
    ] {
        sick.answer(status, headers, body);
        for result in [wait(create(&azure, "x", b"x")), wait(create(&gcs, "x", b"x"))] {
            let error = result.unwrap_err();
            assert_eq!(error.cause, cause, "{status} {body:.80}: {error}");
            assert!(error.words.chars().count() <= 401 && !error.words.contains("sig=1"), "{error}");
        }
    }
    for broken in ["HTTP/1.1 200 OK\r\ncontent-len", "220 this is another protocol\r\n", ""] {
        sick.say(broken);
        for result in [wait(create(&azure, "x", b"x")), wait(create(&gcs, "x", b"x"))] {
            assert_eq!(result.unwrap_err().cause, Cause::Network, "{broken:?}");
        }
    }
}

#[test]
fn a_bucket_with_identities_enforced_is_a_destination() {
    let Some(moto) = Moto::start("clouds (moto)") else { return };
    moto.enforce(true);
    let read = || {
        // It waits for the answers itself, which a thread that runs tasks must not.
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let objects = moto.objects();
                moto.enforce(true);
                objects
            });
            reader.join().unwrap()
        })
    };
    conforms(&moto.store(&moto.putter, |_| {}), &read, true);
}

#[test]
fn a_bucket_of_googles_is_a_destination() {
    let Some(fake) = FakeGcs::start("clouds (fake-gcs-server)") else { return };
    let mut options = GcsOptions::new("audit");
    options.endpoint = Some(fake.url());
    conforms(&GcsStore::new(&options, Clock::System), &|| all(|| fake.list(), |key| fake.get(key)), true);
    options.bucket = "nowhere".to_owned();
    let error = wait(create(&GcsStore::new(&options, Clock::System), "x", b"x")).unwrap_err();
    assert_eq!(error.cause, Cause::NotFound, "{error}");
}

/// All records of the requests in these objects, by their ids.
fn records(objects: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    let mut records = BTreeMap::new();
    for (_, bytes) in
        objects.iter().filter(|(key, _)| key.ends_with(".jsonl.gz") && key.contains("log_source=api"))
    {
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = record["event.id"].as_str().unwrap().to_owned();
            assert!(records.insert(id, line.to_owned()).is_none(), "twice");
        }
    }
    records
}

#[test]
fn the_same_records_arrive_in_every_store_and_no_token_in_the_log() {
    let (Some(azurite), Some(fake), Some(moto), Some(weed)) = (
        Azurite::start("clouds (gateway)"),
        FakeGcs::start("clouds (gateway)"),
        Moto::start("clouds (gateway)"),
        Kind::Weed.start("clouds (gateway)"),
    ) else {
        return;
    };
    moto.enforce(true);
    let put = weed.destination(weed.address);
    let in_weed: Vec<(&str, &str)> = put.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (id, url) = (format!("{:?}", moto.putter.0), format!("{:?}", moto.url()));
    let in_moto = [
        ("type", "\"s3\""),
        ("bucket", "\"audit\""),
        ("region", "\"us-east-1\""),
        ("endpoint", url.as_str()),
        ("path_style", "true"),
        ("access_key_id", id.as_str()),
        ("secret_access_key", "{ env = \"ONRECORD_IT_MOTO\" }"),
        ("multipart_bytes", "\"5MiB\""),
    ];
    let origin = Origin::start();
    let sas = azurite.sas("cw", 24 * 5);
    let (container, endpoint) = (format!("{:?}", azurite.container("audit")), format!("{:?}", fake.url()));
    let mut gateway = Gateway::builder()
        .source(Source::new("api", &origin.url()))
        .destination(
            "azure",
            &[
                ("type", "\"azure\""),
                ("container", &container),
                ("sas", "{ env = \"ONRECORD_IT_SAS\" }"),
                ("region", "\"westeurope\""),
            ],
        )
        .destination("gcs", &[("type", "\"gcs\""), ("bucket", "\"audit\""), ("endpoint", &endpoint)])
        .destination("moto", &in_moto)
        .destination("weed", &in_weed)
        .set("log", "level", "\"trace\"")
        .environment("ONRECORD_IT_SAS", &sas)
        .environment("ONRECORD_IT_MOTO", &moto.putter.1)
        .environment("ONRECORD_IT_SECRET", weed.writer().1)
        .start();
    Load::calm(1, 200).run(gateway.address());
    let metrics = gateway.metrics();
    let expiry = "onrecord_destination_credentials_expiry_timestamp_seconds{destination=\"azure\"}";
    assert!(metrics.contains(expiry), "{metrics}");
    assert_eq!(gateway.stop().code(), Some(0));
    let here = gateway.destination("main");
    let mut files = Vec::new();
    crate::harness::gateway::all_files(&here, &mut files);
    let key = |path: &std::path::Path| path.strip_prefix(&here).unwrap().display().to_string();
    let here = files.iter().map(|path| (key(path), std::fs::read(path).unwrap())).collect();
    let here = records(&here);
    assert_eq!(here.len(), 200);
    for (store, objects) in [
        ("Azurite", all(|| azurite.list(), |key| azurite.get(key))),
        ("fake-gcs-server", all(|| fake.list(), |key| fake.get(key))),
        ("moto", moto.objects()),
        ("SeaweedFS", all(|| weed.list().into_keys().collect(), |key| weed.get(key))),
    ] {
        assert!(records(&objects) == here, "{store} has other records");
    }
    let log = gateway.log();
    let signature = sas.split("sig=").nth(1).unwrap();
    assert!(!log.contains(signature), "the signature is in the log");
    assert!(log.contains("the destination's credentials run out soon"), "{}", &log[..log.len().min(4000)]);
}
