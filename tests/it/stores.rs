//! What every destination must do, held against a folder and against real
//! stores, and what a bucket's refusals are said to be.

use crate::harness::faults::{Fault, Proxy, Sick};
use crate::harness::gateway::free_port;
use crate::harness::stores::{BUCKET, Keys, Kind, Server, secret, store_at};
use onrecord::bucket::{AccessKey, KeyId};
use onrecord::clock::Clock;
use onrecord::deliver::{
    Advice, Body, Cause, Created, Destination, DirOptions, DirStore, Object, ObjectKind, ProbeReport,
    PutError, S3Options, S3Store, probe,
};
use onrecord::evidence::merkle::sha256;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Runs a future to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(future)
}

pub(crate) async fn create(store: &dyn Destination, key: &str, bytes: &[u8]) -> Result<Created, PutError> {
    let object = Object {
        key,
        body: Body::Bytes(bytes),
        length: bytes.len() as u64,
        sha256: sha256(bytes),
        kind: ObjectKind::Records,
    };
    store.create(object).await
}

pub(crate) async fn create_file(
    store: &dyn Destination,
    key: &str,
    path: &Path,
) -> Result<Created, PutError> {
    let bytes = std::fs::read(path).unwrap();
    let object = Object {
        key,
        body: Body::File(path),
        length: bytes.len() as u64,
        sha256: sha256(&bytes),
        kind: ObjectKind::Records,
    };
    store.create(object).await
}

/// Tries again, as the state machine would, though sooner.
async fn insist(attempt: impl AsyncFn() -> Result<Created, PutError>) -> Result<Created, PutError> {
    let mut last = attempt().await;
    for _ in 0..50 {
        let Err(error) = &last else { break };
        eprintln!("again after {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = attempt().await;
    }
    last
}

/// What every store must do: the list that a new kind of store is held to.
/// `read` gives all keys with their bytes.
pub(crate) fn conforms(store: &dyn Destination, read: &dyn Fn() -> BTreeMap<String, Vec<u8>>, honours: bool) {
    wait(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("object");
        // A key with everything that a partition may hold.
        let key = "log_source=api/organization_id=a%2Fb+c=d/year=2026/compacted-1.jsonl.gz";
        std::fs::write(&file, b"the first bytes").unwrap();
        assert_eq!(create_file(store, key, &file).await, Ok(Created::Created));
        assert_eq!(read()[key], b"the first bytes");

        // The second writer of a key changes nothing.
        let second = create(store, key, b"other bytes").await;
        if honours {
            assert_eq!(second, Ok(Created::AlreadyThere));
            assert_eq!(read()[key], b"the first bytes");
        } else {
            assert_eq!(second, Ok(Created::Created));
        }

        // Nothing, and much.
        assert_eq!(create(store, "empty", b"").await, Ok(Created::Created));
        std::fs::write(&file, crate::harness::pattern(17 * 1024 * 1024 + 3)).unwrap();
        assert_eq!(create_file(store, "large/object", &file).await, Ok(Created::Created));
        let all = read();
        assert_eq!(all["empty"], b"");
        assert!(all["large/object"] == std::fs::read(&file).unwrap(), "other bytes arrived");
        if honours {
            assert_eq!(create_file(store, "large/object", &file).await, Ok(Created::AlreadyThere));
        }

        // Bytes that are not those that were packed are given up, and nothing of them arrives.
        let bytes = b"damaged";
        let damaged = Object {
            key: "damaged",
            body: Body::Bytes(bytes),
            length: bytes.len() as u64,
            sha256: sha256(b"whole"),
            kind: ObjectKind::Records,
        };
        assert_eq!(store.create(damaged).await.unwrap_err().advice, Advice::GiveUp);
        std::fs::write(&file, bytes).unwrap();
        let damaged = Object { body: Body::File(&file), ..damaged };
        assert_eq!(store.create(damaged).await.unwrap_err().advice, Advice::GiveUp);
        assert!(!read().contains_key("damaged"));

        // A race has one winner, and everybody is told that the object is there.
        let writers: Vec<Vec<u8>> = (0..8).map(|n| format!("writer {n}").into_bytes()).collect();
        let race = writers.iter().map(|bytes| insist(async || create(store, "race", bytes).await));
        let results = futures_util::future::join_all(race).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let won: Vec<usize> = (0..8).filter(|n| results[*n] == Ok(Created::Created)).collect();
        let there = read().remove("race").unwrap();
        if honours {
            // None is told so where the winner's first answer was an error.
            assert!(won.len() <= 1, "{results:?}");
            assert!(won.iter().all(|won| there == writers[*won]) && writers.contains(&there), "{results:?}");
        }

        // Dropped in the middle of an attempt, it can be made again.
        std::fs::write(&file, crate::harness::pattern(9 * 1024 * 1024)).unwrap();
        for after in [1, 5, 20] {
            let attempt = create_file(store, "dropped", &file);
            let _ = tokio::time::timeout(Duration::from_millis(after), attempt).await;
        }
        let again = insist(async || create_file(store, "dropped", &file).await).await;
        assert!(again.is_ok(), "{again:?}");
        assert!(read()["dropped"] == std::fs::read(&file).unwrap());

        let report = probe(store, "prefix/", Uuid::now_v7()).await;
        assert_eq!(report, Ok(ProbeReport { honours_conditions: honours }));
    });
}

fn objects(server: &Server) -> BTreeMap<String, Vec<u8>> {
    // Its own thread: the test's runtime is busy.
    std::thread::scope(|scope| {
        let read = || server.list().into_keys().map(|key| (key.clone(), server.get(&key))).collect();
        scope.spawn(read).join().unwrap()
    })
}

#[test]
fn a_folder_is_a_destination() {
    let folder = tempfile::tempdir().unwrap();
    let read = || {
        let mut files = Vec::new();
        crate::harness::gateway::all_files(folder.path(), &mut files);
        let key = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
        files.iter().map(|path| (key(path), std::fs::read(path).unwrap())).collect()
    };
    conforms(&DirStore::new(&DirOptions::new(folder.path())), &read, true);
}

#[test]
fn a_bucket_is_a_destination_in_one_put_and_in_parts() {
    let Some(server) = Kind::Weed.start("stores (SeaweedFS)") else { return };
    conforms(&server.store(None, |_| {}), &|| objects(&server), true);
    for key in server.list().into_keys() {
        let client = server.client();
        wait(client.delete_object().bucket(BUCKET).key(key).send()).unwrap();
    }
    conforms(&server.store(None, |options| options.multipart_bytes = 5 << 20), &|| objects(&server), true);
    crate::harness::until("the end of broken uploads", Duration::from_secs(10), || {
        (server.unfinished_uploads() == 0).then_some(())
    });
}

#[test]
fn a_store_that_ignores_conditions_is_found_out() {
    for kind in [Kind::Rclone, Kind::S3rver] {
        let Some(server) = kind.start(&format!("stores ({kind:?})")) else { continue };
        conforms(&server.store(None, |_| {}), &|| objects(&server), false);
    }
}

#[test]
fn a_live_stores_refusals_have_their_causes() {
    let Some(server) = Kind::Weed.start("stores (causes)") else { return };
    let refused = |what: &str, change: &dyn Fn(&mut S3Options), cause: Cause| {
        let store = server.store(None, |options| change(options));
        let error = wait(create(&store, "x", b"x")).unwrap_err();
        eprintln!("{what}: {error}");
        assert_eq!(error.cause, cause, "{what}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    };
    let keys = |id: &str, key: &str| {
        Some(AccessKey { id: KeyId::Plain(id.to_owned()), secret: secret(key), session_token: None })
    };
    refused("wrong id", &|o| o.bucket.keys = keys("nobody", "writersecret"), Cause::Credentials);
    refused("wrong secret", &|o| o.bucket.keys = keys("writerkey", "wrong"), Cause::Credentials);
    refused("may only read", &|o| o.bucket.keys = keys("readerkey", "readersecret"), Cause::Permission);
    refused(
        "no bucket",
        &|o| {
            o.bucket.name = "nothing".into();
            o.bucket.keys = keys("adminkey", "adminsecret")
        },
        Cause::NotFound,
    );
    let mut options = S3Options::new(BUCKET);
    options.bucket.endpoint = Some(format!("http://{}", server.address));
    options.bucket.path_style = true;
    options.bucket.keys = keys("writerkey", "writersecret");
    let two_hours_ago = Clock::System.unix_microseconds() - 7_200_000_000;
    let store = S3Store::new(&options, Clock::manual(two_hours_ago));
    let error = wait(create(&store, "x", b"x")).unwrap_err();
    eprintln!("clock: {error}");
    assert_eq!(error.cause, Cause::ClockSkew, "{error}");
    assert!(server.list().is_empty());
}

#[test]
fn a_key_that_is_changed_is_read_again_without_a_restart() {
    let Some(server) = Kind::Weed.start("stores (rotation)") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let place = onrecord::secret::SecretRef::File(file.path().to_owned());
    let store = server.store(None, |options| {
        let id = KeyId::Plain("writerkey".to_owned());
        options.bucket.keys = Some(AccessKey { id, secret: place, session_token: None });
    });
    wait(async {
        assert_eq!(create(&store, "x", b"x").await.unwrap_err().cause, Cause::Credentials);
        std::fs::write(file.path(), "writersecret\n").unwrap();
        assert_eq!(create(&store, "x", b"x").await, Ok(Created::Created));
    });
}

#[test]
fn whatever_a_sick_server_answers_has_a_cause_and_is_no_success() {
    let sick = Sick::start();
    let store = store_at(sick.address, Keys("id", "hunter2"), |_| {});
    let refused = |cause: Cause| {
        let error = wait(create(&store, "x", b"x")).unwrap_err();
        eprintln!("{error}");
        assert_eq!(error.cause, cause, "{error}");
        assert!(error.words.chars().count() <= 401 && !error.words.contains("hunter2"));
        error
    };
    for (status, code, cause) in [
        ("403 Forbidden", "AccessDenied", Cause::Permission),
        ("403 Forbidden", "InvalidAccessKeyId", Cause::Credentials),
        ("400 Bad Request", "ExpiredToken", Cause::ExpiredToken),
        ("404 Not Found", "NoSuchBucket", Cause::NotFound),
        ("500 Internal Server Error", "InternalError", Cause::ServerError),
        ("503 Slow Down", "SlowDown", Cause::Throttled),
        ("507 Full", "InsufficientStorage", Cause::Quota),
        ("501 Not Implemented", "NotImplemented", Cause::IgnoresConditions),
        // An error in an answer that says 200.
        ("200 OK", "SlowDown", Cause::Throttled),
        ("200 OK", "InternalError", Cause::ServerError),
    ] {
        sick.error(status, code, "Words of the store.");
        assert_eq!(refused(cause).words, format!("{code}: Words of the store."));
    }
    let page = "<html><head><title>Hello</title></head><body>a portal</body></html>";
    let html = "content-type: text/html\r\n";
    for (status, headers, body, cause) in [
        ("200 OK", html, page, Cause::ServerError),
        ("200 OK", "etag: \"x\"\r\ncontent-type: text/html\r\n", page, Cause::ServerError),
        ("200 OK", "", "", Cause::ServerError),
        ("403 Forbidden", html, page, Cause::Permission),
        ("412 Precondition Failed", html, page, Cause::ServerError),
        ("500 Oops", "", "", Cause::ServerError),
        ("503 Away", html, page, Cause::Throttled),
        ("429 Slow", "retry-after: 9\r\n", "", Cause::Throttled),
        ("301 Moved", "location: https://elsewhere.example/x?sig=1\r\n", page, Cause::Network),
        ("307 Moved", "location: https://elsewhere.example/x?sig=1\r\n", "", Cause::Network),
        ("301 Moved", "x-amz-bucket-region: eu-west-1\r\n", "", Cause::WrongRegion),
    ] {
        sick.answer(status, headers, body);
        let error = refused(cause);
        assert!(!error.words.contains("sig=1"), "{error}");
        if headers.starts_with("retry-after") {
            assert_eq!(error.advice, Advice::After(Duration::from_secs(9)));
        }
    }
    sick.error("409 Conflict", "ConditionalRequestConflict", "Again.");
    assert_eq!(refused(Cause::Throttled).advice, Advice::Now);
    // Far more than any answer has.
    for status in ["200 OK", "500 Oops"] {
        sick.answer(status, "etag: \"x\"\r\n", &"x".repeat(20 << 20));
        refused(Cause::ServerError);
    }
    sick.say("HTTP/1.1 200 OK\r\ncontent-len");
    refused(Cause::Network);
    sick.say("220 this is another protocol\r\n");
    refused(Cause::Network);
    sick.error("412 Precondition Failed", "PreconditionFailed", "At least one.");
    assert_eq!(wait(create(&store, "x", b"x")), Ok(Created::AlreadyThere));
    sick.answer("200 OK", "etag: \"x\"\r\n", "");
    assert_eq!(wait(create(&store, "x", b"x")), Ok(Created::Created));
}

#[test]
fn a_store_that_cannot_be_reached_or_does_not_answer_fails_within_the_deadline() {
    let soon = |options: &mut S3Options| options.put_timeout = Duration::from_millis(300);
    let network = |store: &S3Store| {
        let start = Instant::now();
        let error = wait(create(store, "x", &[7; 300_000])).unwrap_err();
        eprintln!("{error}");
        assert_eq!(error.cause, Cause::Network, "{error}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    };
    network(&store_at(free_port(), Keys("a", "b"), soon));
    let sick = Sick::start();
    sick.answer("200 OK", "etag: \"x\"\r\n", "");
    let proxy = Proxy::before(sick.address);
    let store = store_at(proxy.address, Keys("a", "b"), soon);
    for fault in [
        Fault::Refuse,
        Fault::ResetRequest(0),
        Fault::ResetRequest(100_000),
        Fault::Stall,
        Fault::LoseAnswer,
        Fault::HalfAnswer,
    ] {
        eprint!("{fault:?}: ");
        proxy.set(fault);
        network(&store);
    }
    proxy.set(Fault::Pass);
    assert_eq!(wait(create(&store, "x", b"x")), Ok(Created::Created));
}

#[test]
fn a_server_that_is_not_trusted_or_speaks_no_tls_is_a_matter_of_tls() {
    let sick = Sick::start();
    sick.answer("200 OK", "etag: \"x\"\r\n", "");
    let store = store_at(sick.address, Keys("a", "b"), |options| {
        options.bucket.endpoint = options.bucket.endpoint.take().map(|url| url.replace("http:", "https:"));
        options.put_timeout = Duration::from_secs(2);
    });
    let error = wait(create(&store, "x", b"x")).unwrap_err();
    eprintln!("{error}");
    assert!(matches!(error.cause, Cause::Tls | Cause::Network), "{error}");
}

#[test]
fn keys_that_are_not_there_are_a_matter_of_credentials() {
    let sick = Sick::start();
    let missing = |options: &mut S3Options| {
        let place = onrecord::secret::SecretRef::File("/nowhere/secret".into());
        options.bucket.keys =
            Some(AccessKey { id: KeyId::Plain("a".into()), secret: place, session_token: None });
    };
    let error = wait(create(&store_at(sick.address, Keys("a", "b"), missing), "x", b"x")).unwrap_err();
    assert_eq!(error.cause, Cause::Credentials);
    assert!(error.words.contains("/nowhere/secret"), "{error}");
    let profile = |options: &mut S3Options| {
        options.bucket.keys = None;
        options.bucket.profile = Some("onrecord-has-no-such-profile".into());
    };
    let error = wait(create(&store_at(sick.address, Keys("a", "b"), profile), "x", b"x")).unwrap_err();
    eprintln!("{error}");
    assert_eq!(error.cause, Cause::Credentials);
}
