//! What is asked of the store with each object, in the words of its interface.

use super::lock::Lock;
use super::options::{Encryption, S3Options};
use crate::deliver::destination::ObjectKind;
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Storage class, encryption, tags and lock of one object.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    pub(super) storage_class: Option<StorageClass>,
    pub(super) encryption: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
    /// Names and values as in a query.
    pub(super) tags: Option<String>,
    pub(super) lock: Lock,
}

impl Wishes {
    /// Those of an object that is put at this Unix time in microseconds.
    pub(super) fn of(options: &S3Options, kind: ObjectKind, now: u64) -> Self {
        // Manifests and probes stay where they can be read at once.
        let class = options.storage_class.as_deref().filter(|_| kind == ObjectKind::Records);
        let (encryption, kms_key) = match &options.encryption {
            None => (None, None),
            Some(Encryption::Store) => (Some(ServerSideEncryption::Aes256), None),
            Some(Encryption::Kms { key }) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        };
        Self {
            storage_class: class.map(StorageClass::from),
            encryption,
            kms_key,
            tags: tags(&options.tags),
            lock: Lock::of(options.object_lock, kind, now),
        }
    }
}

fn tags(tags: &[(String, String)]) -> Option<String> {
    let plain = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs: Vec<String> =
        tags.iter().map(|(name, value)| format!("{}={}", plain(name), plain(value))).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_storage_class_holds_for_manifests_and_probes_too() {
        let mut options = S3Options::new("audit");
        options.storage_class = Some("STANDARD_IA".to_owned());
        options.encryption = Some(Encryption::Kms { key: Some("alias/audit".to_owned()) });
        options.tags = vec![("team".to_owned(), "a & b".to_owned()), ("x".to_owned(), String::new())];
        for kind in [ObjectKind::Records, ObjectKind::Manifest, ObjectKind::Probe] {
            let wishes = Wishes::of(&options, kind, 0);
            assert_eq!(wishes.storage_class.is_some(), kind == ObjectKind::Records);
            assert_eq!(wishes.encryption, Some(ServerSideEncryption::AwsKms));
            assert_eq!(wishes.kms_key.as_deref(), Some("alias/audit"));
            assert_eq!(wishes.tags.as_deref(), Some("team=a%20%26%20b&x="));
        }
        let plain = Wishes::of(&S3Options::new("audit"), ObjectKind::Records, 0);
        assert!(plain.tags.is_none() && plain.encryption.is_none() && plain.storage_class.is_none());
    }
}
