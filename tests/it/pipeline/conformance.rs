//! What every destination must do, whatever it is.

use onrecord::deliver::{Body, Created, Destination, Object, ObjectKind, probe};
use onrecord::evidence::merkle::sha256;
use uuid::Uuid;

/// Reads an object back: for tests only, a destination itself never reads.
pub(crate) type ReadBack<'a> = &'a dyn Fn(&str) -> Vec<u8>;

/// Runs the whole list.
pub(crate) async fn conforms(store: &dyn Destination, read: ReadBack<'_>) {
    creates_and_never_replaces(store, read).await;
    creates_from_a_file_as_from_memory(store, read).await;
    lets_one_of_many_create(store, read).await;
    takes_odd_keys(store, read).await;
    refuses_bytes_that_are_not_those_promised(store).await;
    honours_conditions(store).await;
}

fn object<'a>(key: &'a str, bytes: &'a [u8]) -> Object<'a> {
    let (body, length) = (Body::Bytes(bytes), bytes.len() as u64);
    Object { key, body, length, sha256: sha256(bytes), kind: ObjectKind::Records }
}

async fn creates_and_never_replaces(store: &dyn Destination, read: ReadBack<'_>) {
    assert_eq!(store.create(object("a/b=c/first.gz", b"one")).await, Ok(Created::Created));
    assert_eq!(store.create(object("a/b=c/first.gz", b"two")).await, Ok(Created::AlreadyThere));
    assert_eq!(read("a/b=c/first.gz"), b"one");
    assert_eq!(store.create(object("a/b=c/empty", b"")).await, Ok(Created::Created));
    assert_eq!(read("a/b=c/empty"), b"");
}

async fn creates_from_a_file_as_from_memory(store: &dyn Destination, read: ReadBack<'_>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(file.path(), &bytes).unwrap();
    let from_file = Object { body: Body::File(file.path()), ..object("from/file", &bytes) };
    assert_eq!(store.create(from_file).await, Ok(Created::Created));
    assert_eq!(read("from/file"), bytes);
}

async fn lets_one_of_many_create(store: &dyn Destination, read: ReadBack<'_>) {
    let bodies: Vec<Vec<u8>> = (0..16u8).map(|n| vec![n; 100_000]).collect();
    let mut created = Vec::new();
    // A conflict is told as "try again at once"; who tries again gets an answer.
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    while !left.is_empty() {
        let tries = left.iter().map(|&n| store.create(object("many/one", &bodies[n])));
        let answers = futures_util::future::join_all(tries).await;
        let mut again = Vec::new();
        for (&n, answer) in left.iter().zip(answers) {
            match answer {
                Ok(Created::Created) => created.push(n),
                Ok(Created::AlreadyThere) => {}
                Err(error) => {
                    assert_eq!(error.advice, onrecord::deliver::Advice::Now, "{error}");
                    again.push(n);
                }
            }
        }
        left = again;
    }
    assert_eq!(created.len(), 1);
    assert_eq!(read("many/one"), bodies[created[0]]);
}

async fn takes_odd_keys(store: &dyn Destination, read: ReadBack<'_>) {
    let long = format!("{}/{}", "d".repeat(200), "n".repeat(200));
    for key in ["plain", "log_source=a%2Fb/organization_id=%2E%2E/x~y-z_.gz", "_manifests/a=b/c", &long] {
        assert_eq!(store.create(object(key, key.as_bytes())).await, Ok(Created::Created), "{key}");
        assert_eq!(read(key), key.as_bytes());
    }
}

async fn refuses_bytes_that_are_not_those_promised(store: &dyn Destination) {
    let wrong = Object { sha256: [0; 32], ..object("wrong/bytes", b"these") };
    assert_eq!(store.create(wrong).await.unwrap_err().advice, onrecord::deliver::Advice::GiveUp);
    assert_eq!(store.create(object("wrong/bytes", b"those")).await, Ok(Created::Created));
}

async fn honours_conditions(store: &dyn Destination) {
    for boot in [1, 1, 2] {
        let report = probe(store, "p/", Uuid::from_u128(boot)).await.unwrap();
        assert!(report.honours_conditions);
    }
}
