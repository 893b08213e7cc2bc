//! Causes as live servers give them, each beside the words that it was read from.

use crate::harness::clouds::Azurite;
use crate::harness::moto::{Moto, allow};
use crate::harness::stores::{Kind, secret};
use crate::stores::{create, wait};
use onrecord::bucket::{AccessKey, KeyId, Role};
use onrecord::clock::Clock;
use onrecord::deliver::{AzureAuth, AzureOptions, AzureStore, Cause, Destination, S3Options, S3Store, probe};
use std::collections::BTreeMap;
use std::time::Duration;

/// `wrong_region`, `throttled`, `quota` and `server_error` are in the lists of vendors' answers
/// (`src/deliver/s3/refusal/tests.rs`, `src/deliver/azure/answer.rs`, `src/deliver/gcs/answer.rs`).
#[test]
fn nine_causes_come_from_live_servers() {
    let (Some(moto), Some(azurite)) = (Moto::start("causes (moto)"), Azurite::start("causes (Azurite)"))
    else {
        return;
    };
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut note = |server: &str, wanted: Cause, store: &dyn Destination| {
        let error = wait(create(store, "x", b"x")).unwrap_err();
        assert_eq!(error.cause, wanted, "{server}: {error}");
        found.insert(wanted.as_str(), format!("{server}: {}", error.words));
    };
    let s3 = |change: &dyn Fn(&mut S3Options)| moto.store(&moto.taker, |options| change(options));
    let anything = moto.role("anything", &Moto::principal(), Some(&allow("s3:*", "*")));
    let by_role = |options: &mut S3Options, id: &str| {
        options.bucket.role = Some(Role {
            arn: anything.clone(),
            external_id: Some(id.to_owned()),
            session_name: "onrecord".to_owned(),
            endpoint: options.bucket.endpoint.clone(),
        });
    };
    moto.enforce(true);
    note("moto", Cause::Credentials, &s3(&|options| by_role(options, "another")));
    note("moto", Cause::Permission, &s3(&|_| {}));
    let elsewhere = |options: &mut S3Options| {
        by_role(options, crate::harness::moto::EXTERNAL_ID);
        options.bucket.name = "nowhere".to_owned();
    };
    note("moto", Cause::NotFound, &s3(&elsewhere));
    let class = |options: &mut S3Options| {
        by_role(options, crate::harness::moto::EXTERNAL_ID);
        options.storage_class = Some("NO_SUCH_CLASS".to_owned());
    };
    note("moto", Cause::Policy, &s3(&class));
    let secure = moto.url().replace("http:", "https:");
    note("TLS", Cause::Tls, &s3(&|options| options.bucket.endpoint = Some(secure.clone())));
    let unknown = || Some("http://no.such.host.invalid".to_owned());
    note("DNS", Cause::Network, &s3(&|options| options.bucket.endpoint = unknown()));
    let mut options = AzureOptions::new(&azurite.container("audit"));
    options.auth = AzureAuth::Sas(secret(&azurite.sas("cw", -1)));
    note("Azurite", Cause::ExpiredToken, &AzureStore::new(&options, Clock::System));
    if let Some(weed) = Kind::Weed.start("causes (SeaweedFS)") {
        let mut options = S3Options::new("audit");
        options.bucket.endpoint = Some(format!("http://{}", weed.address));
        options.bucket.path_style = true;
        let (id, key) = (KeyId::Plain("writerkey".to_owned()), secret("writersecret"));
        options.bucket.keys = Some(AccessKey { id, secret: key, session_token: None });
        let past = Clock::manual(Clock::System.unix_microseconds() - 7_200_000_000);
        note("SeaweedFS", Cause::ClockSkew, &S3Store::new(&options, past));
    }
    if let Some(rclone) = Kind::Rclone.start("causes (rclone)") {
        let store = rclone.store(None, |options| options.put_timeout = Duration::from_secs(20));
        let report = wait(probe(&store, "", uuid::Uuid::now_v7())).unwrap();
        assert!(!report.honours_conditions);
        found.insert(Cause::IgnoresConditions.as_str(), "rclone: took the second probe too".to_owned());
    }
    for (cause, words) in &found {
        eprintln!("{cause}: {words}");
    }
    assert_eq!(found.len(), 9, "{found:?}");
}
