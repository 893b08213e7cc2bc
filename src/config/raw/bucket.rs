//! `[[destination]]` of type `s3`: the keys that only it knows.

use super::{Item, Table};
use crate::bucket::{AccessKey, Bucket, KeyId};
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::deliver::{Encryption, LockMode, ObjectLock, S3Options};
use std::time::Duration;

pub(super) const BUCKET: Key = Key {
    name: "bucket",
    kind: Kind::Text,
    absent: Absent::Unset("required for `s3` and `gcs`"),
    doc: "`s3`, `gcs`: the bucket. It must exist; nothing but the permission to put objects is needed.",
};
pub(super) const REGION: Key = Key {
    name: "region",
    kind: Kind::Text,
    absent: Absent::Unset("`s3`: from the environment or the profile, with an endpoint `us-east-1`"),
    doc: "The region that the store lies in. `s3` asks there; for the others it is a note on data residency.",
};
pub(super) const ENDPOINT: Key = Key {
    name: "endpoint",
    kind: Kind::Other("URL"),
    absent: Absent::Unset("Amazon's or Google's"),
    doc: "`s3`, `gcs`: the URL of another store with this API.",
};
pub(super) const PATH_STYLE: Key = Key {
    name: "path_style",
    kind: Kind::Flag,
    absent: Absent::Value("false"),
    doc: "`s3`: whether the bucket stands in the path, as most stores other than Amazon's want it, rather than in the host name.",
};
pub(super) const PROFILE: Key = Key {
    name: "profile",
    kind: Kind::Text,
    absent: Absent::Unset("the default credential chain"),
    doc: "`s3`: the profile in the shared configuration files that credentials and region are taken from.",
};
pub(super) const ACCESS_KEY_ID: Key = Key {
    name: "access_key_id",
    kind: Kind::Other("text, or as `secret_access_key`"),
    absent: Absent::Unset("profile or default credential chain"),
    doc: "`s3`: the id of an access key. It is no secret and can be typed here.",
};
pub(super) const SECRET_ACCESS_KEY: Key = Key {
    name: "secret_access_key",
    kind: Kind::Secret,
    absent: Absent::Unset("profile or default credential chain"),
    doc: "`s3`: the secret of that key. A file is read again after a refusal, so that keys can be changed while the gateway runs.",
};
pub(super) const SESSION_TOKEN: Key = Key {
    name: "session_token",
    kind: Kind::Secret,
    absent: Absent::Unset("none"),
    doc: "`s3`: the token of a temporary key.",
};
pub(super) const STORAGE_CLASS: Key = Key {
    name: "storage_class",
    kind: Kind::Text,
    absent: Absent::Unset("the bucket's"),
    doc: "The storage class (`s3`, `gcs`) or access tier (`azure`) of objects with records, such as `STANDARD_IA`, `NEARLINE` or `Cool`. Manifests stay in the bucket's own.",
};
pub(super) const ENCRYPTION: Key = Key {
    name: "encryption",
    kind: Kind::Choice(&["s3", "kms"]),
    absent: Absent::Unset("the bucket's"),
    doc: "`s3`: encryption at the store's side, asked for with each object: `s3` by the store's own keys (SSE-S3), `kms` by the key management service (SSE-KMS; the identity needs `kms:GenerateDataKey`, and `kms:Decrypt` for objects in parts).",
};
pub(super) const KMS_KEY: Key = Key {
    name: "kms_key",
    kind: Kind::Text,
    absent: Absent::Unset("the account's own for S3"),
    doc: "`s3`: the id, alias or ARN of the key, with `encryption = \"kms\"`.",
};
pub(super) const TAGS: Key = Key {
    name: "tags",
    kind: Kind::Other("`{ name = \"value\" }`, at most 10"),
    absent: Absent::Unset("none"),
    doc: "`s3`: tags of each object. The identity needs `s3:PutObjectTagging`.",
};
pub(super) const OBJECT_LOCK: Key = Key {
    name: "object_lock",
    kind: Kind::Other("`{ mode = \"governance\" or \"compliance\", days = 1 to 36500 }`"),
    absent: Absent::Unset("the bucket's"),
    doc: "`s3`: Object Lock: for so many days nobody can delete or replace what was put there; with `governance` who has a right of its own can, with `compliance` nobody. The bucket must have been made with Object Lock, and the key needs `s3:PutObjectRetention`. Probes are not locked.",
};
pub(super) const MULTIPART_BYTES: Key = Key {
    name: "multipart_bytes",
    kind: Kind::Size(5 << 20, 5 << 30),
    absent: Absent::Value("\"64MiB\""),
    doc: "`s3`: objects above this go in parts. Have the bucket remove incomplete uploads after some days.",
};
pub(super) const PUT_TIMEOUT: Key = Key {
    name: "put_timeout",
    kind: Kind::Time(Duration::from_millis(100), Duration::from_secs(3600)),
    absent: Absent::Value("\"20s\""),
    doc: "Not `dir`: an object or part has arrived after this long, or the attempt has failed and is made again. It has a second more for each 256 KiB of it, so that a slow line does not fail large ones for ever.",
};

/// Reads them all.
pub(super) fn read(table: &Table<'_>) -> Option<S3Options> {
    let bucket = required(table, "bucket").and_then(|item| name(&item));
    let mut options = S3Options::new(bucket.as_deref().unwrap_or_default());
    options.bucket.region = table.take("region").and_then(|item| region(&item));
    options.bucket.endpoint = table.take("endpoint").and_then(|item| endpoint(&item));
    options.bucket.path_style = table.flag("path_style").unwrap_or(false);
    options.storage_class = storage_class(table, "a storage class such as STANDARD_IA");
    options.encryption = encryption(table);
    options.tags = table.take("tags").and_then(|item| tags(&item)).unwrap_or_default();
    options.object_lock = table.take("object_lock").and_then(|item| object_lock(&item));
    if let Some(bytes) = table.size("multipart_bytes") {
        options.multipart_bytes = bytes.value;
    }
    put_timeout(table, &mut options.put_timeout);
    options.bucket.route = super::cloud::route(table);
    credentials(table, &mut options.bucket);
    options.bucket.role = super::role::read(table, options.bucket.endpoint.as_deref());
    bucket.map(|_| options)
}

/// The value of a key without which there is no store of this type.
pub(super) fn required<'d>(table: &Table<'d>, key: &'static str) -> Option<Item<'d>> {
    let item = table.take(key);
    if item.is_none() {
        table.missing(key, None);
    }
    item
}

pub(super) fn storage_class(table: &Table<'_>, what: &str) -> Option<String> {
    table.take("storage_class").and_then(|item| word(&item, what))
}

pub(super) fn put_timeout(table: &Table<'_>, time: &mut Duration) {
    if let Some(given) = table.time("put_timeout") {
        *time = given.value;
    }
}

fn encryption(table: &Table<'_>) -> Option<Encryption> {
    let key = table.take("kms_key");
    let kind = table.choice("encryption");
    match (kind, key) {
        (Some("kms"), key) => {
            Some(Encryption::Kms { key: key.and_then(|item| item.text()).map(|at| at.value) })
        }
        (kind, Some(key)) => {
            key.refuse::<()>("is given without encryption = \"kms\"", None);
            kind.map(|_| Encryption::Store)
        }
        (kind, None) => kind.map(|_| Encryption::Store),
    }
}

/// From "Object tagging" of the store's reference.
fn tags(item: &Item<'_>) -> Option<Vec<(String, String)>> {
    let pairs = item.pairs()?;
    if pairs.len() > 10 {
        return item.refuse("has more than 10 tags", None);
    }
    for (name, value) in &pairs {
        let fits = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
        if name.is_empty() || name.chars().count() > 128 || value.chars().count() > 256 {
            return item
                .refuse("has a name above 128 or a value above 256 characters, or an empty name", None);
        }
        if !fits(name) || !fits(value) {
            return item.refuse("may hold letters, digits, spaces and +-=._:/@ alone", None);
        }
    }
    Some(pairs)
}

/// The keys of `object_lock`.
static LOCK: Section = Section {
    path: "{object_lock}",
    many: false,
    doc: "",
    keys: &[
        Key {
            name: "mode",
            kind: Kind::Choice(&["governance", "compliance"]),
            absent: Absent::Required,
            doc: "",
        },
        Key { name: "days", kind: Kind::Count(1, 36_500), absent: Absent::Required, doc: "" },
    ],
};

fn object_lock(item: &Item<'_>) -> Option<ObjectLock> {
    const HINT: &str = "write { mode = \"governance\", days = 30 }";
    let Some(table) = item.inline(&LOCK) else {
        return item.refuse("must say mode and days", Some(HINT));
    };
    let (mode, days) = (table.choice("mode"), table.count("days"));
    table.finish();
    let mode = match mode? {
        "compliance" => LockMode::Compliance,
        _ => LockMode::Governance,
    };
    Some(ObjectLock { mode, days: u32::try_from(days?).ok()? })
}

fn credentials(table: &Table<'_>, bucket: &mut Bucket) {
    let profile = table.take("profile");
    bucket.profile = profile.as_ref().and_then(Item::text).map(|at| at.value);
    let (id, secret, token) =
        (table.take("access_key_id"), table.take("secret_access_key"), table.take("session_token"));
    match (&id, &secret) {
        (Some(id), Some(secret)) => {
            if let Some(profile) = &profile {
                let hint = "keep the profile, or the key";
                profile.refuse::<()>("is given beside an access key", Some(hint));
            }
            let typed = if id.is_text() { plain_id(id) } else { id.secret().map(KeyId::At) };
            let token = token.map(|token| token.secret());
            let wrong_token = matches!(token, Some(None));
            if let (Some(id), Some(secret), false) = (typed, secret.secret(), wrong_token) {
                bucket.keys = Some(AccessKey { id, secret, session_token: token.flatten() });
            }
        }
        (Some(id), None) => {
            id.refuse::<()>("is given without secret_access_key", Some("give both, or none of them"));
        }
        (None, Some(secret)) => {
            secret.refuse::<()>("is given without access_key_id", Some("give both, or none of them"));
        }
        (None, None) => {
            if let Some(token) = token {
                let hint = "give access_key_id and secret_access_key too";
                token.refuse::<()>("is given without an access key", Some(hint));
            }
        }
    }
}

/// An id has letters and digits; what has more may be the secret, and is not repeated.
fn plain_id(item: &Item<'_>) -> Option<KeyId> {
    let text = item.text()?.value;
    if text.chars().all(|c| c.is_ascii_graphic() && c != '/') && text.len() <= 128 {
        return Some(KeyId::Plain(text));
    }
    item.refuse("is not the id of an access key", None)
}

pub(super) fn region(item: &Item<'_>) -> Option<String> {
    word(item, "a region such as eu-central-1")
}

pub(super) fn word(item: &Item<'_>, what: &str) -> Option<String> {
    let text = item.text()?.value;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.len() <= 64 && text.chars().all(fits) {
        Some(text)
    } else {
        item.refuse(format!("is not {what}"), None)
    }
}

pub(super) fn name(item: &Item<'_>) -> Option<String> {
    const RULE: &str =
        "3 to 63 lower-case letters, digits, `-` and `.`, the first and last a letter or digit";
    let text = item.text()?.value;
    if let Some(bare) = text.strip_prefix("s3://") {
        return item.refuse("must be the bucket's name alone", Some(&format!("write \"{bare}\"")));
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = (3..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && !text.contains("..")
        && text.parse::<std::net::Ipv4Addr>().is_err();
    if fits { Some(text) } else { item.refuse("is not the name of a bucket", Some(RULE)) }
}

pub(super) fn endpoint(item: &Item<'_>) -> Option<String> {
    const HINT: &str = "write it like \"https://s3.example.com\" or \"http://127.0.0.1:8333\"";
    let text = item.text()?.value;
    let url: Option<http::Uri> = text.parse().ok();
    let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    let Some(url) = url else { return item.refuse("is not a URL", Some(HINT)) };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return item.refuse("must not hold a user or password", Some(HINT));
    }
    if url.host().is_none_or(str::is_empty) || url.query().is_some() || text.contains('#') {
        return item.refuse("must be scheme, host, port and nothing more", Some(HINT));
    }
    Some(text.trim_end_matches('/').to_owned())
}
