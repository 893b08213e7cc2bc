//! What is asked of a store with each object, asked back of the store.

use crate::harness::moto::Moto;
use crate::harness::pattern;
use crate::harness::stores::{BUCKET, Kind};
use crate::harness::tls::{Authority, TlsFront};
use crate::stores::{create, wait};
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption, StorageClass};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onrecord::deliver::{Cause, Created, Encryption, S3Options};
use onrecord::evidence::merkle::sha256;

#[test]
fn encryption_class_and_tags_are_as_they_were_asked_for() {
    let Some(moto) = Moto::start("wishes (moto)") else { return };
    let (client, large) = (moto.client(), pattern(6 << 20));
    let key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555";
    let ask = |encryption: Encryption| {
        moto.store(&moto.taker, move |options: &mut S3Options| {
            options.multipart_bytes = 5 << 20;
            options.storage_class = Some("STANDARD_IA".to_owned());
            options.encryption = Some(encryption);
            options.tags = vec![("team".into(), "a + b=c".into()), ("empty".into(), String::new())];
        })
    };
    for (folder, encryption, echoed, echoed_key) in [
        ("s3", Encryption::Store, ServerSideEncryption::Aes256, None),
        ("kms", Encryption::Kms { key: Some(key.to_owned()) }, ServerSideEncryption::AwsKms, Some(key)),
    ] {
        let store = ask(encryption);
        for (name, bytes) in [("one", b"one".as_slice()), ("parts", &large)] {
            let object = format!("{folder}/{name}");
            wait(async {
                assert_eq!(create(&store, &object, bytes).await, Ok(Created::Created));
                let head =
                    client.head_object().bucket(BUCKET).key(&object).checksum_mode(ChecksumMode::Enabled);
                let head = head.send().await.unwrap();
                assert_eq!(head.server_side_encryption(), Some(&echoed), "{object}");
                assert_eq!(head.ssekms_key_id(), echoed_key, "{object}");
                assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa), "{object}");
                let tags = client.get_object_tagging().bucket(BUCKET).key(&object).send().await.unwrap();
                let mut tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
                tags.sort_unstable();
                assert_eq!(tags, [("empty", ""), ("team", "a + b=c")], "{object}");
            });
        }
    }
}

#[test]
fn a_store_holds_what_was_sent_to_its_checksum_over_tls_of_its_own_authority() {
    let Some(server) = Kind::Weed.start("wishes (SeaweedFS)") else { return };
    let (authority, other) = (Authority::new("own"), Authority::new("another"));
    let front = TlsFront::before(server.address, authority.server(&["127.0.0.1"], &[], None));
    let folder = tempfile::tempdir().unwrap();
    let ca = |name: &str, authority: &Authority| {
        let file = folder.path().join(name);
        std::fs::write(&file, authority.pem()).unwrap();
        file
    };
    let store = |ca: std::path::PathBuf| {
        server.store(None, |options| {
            options.bucket.endpoint = Some(format!("https://{}", front.address));
            options.bucket.route.ca = Some(ca);
        })
    };
    let own = ca("own.pem", &authority);
    assert_eq!(wait(create(&store(own.clone()), "one", b"one")), Ok(Created::Created));
    assert_eq!(front.handshakes().len(), 1);
    let head = server.client().head_object().bucket(BUCKET).key("one").checksum_mode(ChecksumMode::Enabled);
    assert_eq!(wait(head.send()).unwrap().checksum_sha256(), Some(STANDARD.encode(sha256(b"one")).as_str()));
    // Another authority, none at all, and then the right one in the same file.
    let file = ca("other.pem", &other);
    let changing = store(file.clone());
    assert_eq!(wait(create(&changing, "two", b"two")).unwrap_err().cause, Cause::Tls);
    std::fs::write(&file, "").unwrap();
    assert_eq!(wait(create(&changing, "two", b"two")).unwrap_err().cause, Cause::Tls);
    std::fs::copy(own, &file).unwrap();
    assert_eq!(wait(create(&changing, "two", b"two")), Ok(Created::Created));
}
