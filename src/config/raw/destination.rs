//! `[[destination]]`.

use super::cloud::{self, TYPES_OF};
use super::{At, Document, Item, Table};
use super::{bucket, folder, role};
use super::{filter, format, nats};
use crate::config::OWN_SOURCE;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::deliver::{DestinationOptions, DirOptions, Store, Timestamps};
use crate::format::Dialect;
use crate::pack::Schedule;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) static SECTION: Section = Section {
    path: "destination",
    many: true,
    doc: "A place that gets objects. At least one; each is served at its own pace.",
    keys: &[
        Key {
            name: "name",
            kind: Kind::Name,
            absent: Absent::Required,
            doc: "Its name in status, metrics and manifests. With another name it is another destination, which begins anew.",
        },
        Key {
            name: "type",
            kind: Kind::Choice(&["dir", "s3", "azure", "gcs", "nats"]),
            absent: Absent::Required,
            doc: "The kind of store: `dir`, a folder; `s3`, a bucket of Amazon S3 or of a store with its API; `azure`, a container of Azure Blob Storage; `gcs`, a bucket of Google Cloud Storage; `nats`, a stream of NATS JetStream.",
        },
        Key {
            name: "path",
            kind: Kind::Path,
            absent: Absent::Unset("required for `dir`"),
            doc: "`dir`: the folder; made if it is missing.",
        },
        folder::FILE_MODE,
        folder::FOLDER_MODE,
        bucket::BUCKET,
        bucket::REGION,
        bucket::ENDPOINT,
        bucket::PATH_STYLE,
        bucket::PROFILE,
        bucket::ACCESS_KEY_ID,
        bucket::SECRET_ACCESS_KEY,
        bucket::SESSION_TOKEN,
        role::ROLE_ARN,
        role::EXTERNAL_ID,
        role::SESSION_NAME,
        role::STS_ENDPOINT,
        bucket::STORAGE_CLASS,
        bucket::ENCRYPTION,
        bucket::KMS_KEY,
        bucket::TAGS,
        bucket::OBJECT_LOCK,
        bucket::MULTIPART_BYTES,
        bucket::PUT_TIMEOUT,
        cloud::CONTAINER,
        cloud::SAS,
        cloud::ACCOUNT_KEY,
        cloud::CLIENT_ID,
        cloud::CREDENTIALS,
        nats::SERVERS,
        nats::SUBJECT,
        nats::EVIDENCE_SUBJECT,
        nats::STREAM,
        nats::USER,
        nats::PASSWORD,
        nats::TOKEN,
        cloud::LOCAL_ADDRESS,
        cloud::PROXY,
        cloud::PROXY_LOGIN,
        cloud::CA,
        Key {
            name: "sources",
            kind: Kind::List("source names"),
            absent: Absent::Unset("all"),
            doc: "The sources that are delivered here. `onrecord` alone delivers nothing but the gateway's own records.",
        },
        Key {
            name: "filter",
            kind: Kind::Other("a table, see below"),
            absent: Absent::Unset("all"),
            doc: "Which records of those sources are delivered here.",
        },
        Key {
            name: "own_records",
            kind: Kind::Flag,
            absent: Absent::Value("true"),
            doc: "Whether the gateway's own records (log source `onrecord`: start, stop, changes, gaps, states) are delivered here too, whatever `sources` says. In `csv` and `contentful-legacy`, which have no place for them, the default is `false`.",
        },
        Key {
            name: "prefix",
            kind: Kind::Text,
            absent: Absent::Unset("none"),
            doc: "Put before each object's key; ends with `/`.",
        },
        Key {
            name: "timestamps",
            kind: Kind::Choice(&["microseconds", "seconds"]),
            absent: Absent::Value("\"microseconds\""),
            doc: "How times are written: `2026-04-09T14:22:11.123456Z` or `2026-04-09T14:22:11+0000`.",
        },
        Key {
            name: "format",
            kind: Kind::Other("a format's name, or a table, see below"),
            absent: Absent::Value("\"flat\""),
            doc: "What records look like: `flat`, one flat JSON object a line, or another.",
        },
        Key {
            name: "interval",
            kind: Kind::Time(Duration::from_millis(100), DAY),
            absent: Absent::Value("\"3m\""),
            doc: "Objects are made of what is there at least this often. `nats`: the default is `\"1s\"`.",
        },
        Key {
            name: "schedule",
            kind: Kind::Choice(&["interval", "daily"]),
            absent: Absent::Value("\"interval\""),
            doc: "`daily`: objects are made after each midnight (UTC) instead, of what came before it.",
        },
        Key {
            name: "object_bytes",
            kind: Kind::Size(1 << 10, 1 << 30),
            absent: Absent::Value("\"64MiB\""),
            doc: "Objects are made earlier when this much waits, before compression. `nats`: the default is `\"1MiB\"`.",
        },
        Key {
            name: "heartbeat",
            kind: Kind::Time(Duration::from_secs(1), DAY),
            absent: Absent::Value("\"60s\""),
            doc: "A manifest is written at least this often while nothing happens.",
        },
        Key {
            name: "concurrency",
            kind: Kind::Count(1, 64),
            absent: Absent::Value("4"),
            doc: "At most so many objects are under way at once.",
        },
        Key {
            name: "objects_per_second",
            kind: Kind::Count(1, 1_000_000),
            absent: Absent::Unset("no limit"),
            doc: "Objects and manifests begin no faster than this, evenly spread.",
        },
        Key {
            name: "bandwidth",
            kind: Kind::Size(1 << 10, 1 << 40),
            absent: Absent::Unset("no limit"),
            doc: "Bytes a second, on average over objects: each begins when those before it are paid for. A single one is sent as fast as the way allows.",
        },
        Key {
            name: "enabled",
            kind: Kind::Flag,
            absent: Absent::Value("true"),
            doc: "`false`: it is judged, and otherwise as if it were not there. The spool keeps nothing for it; enabled again, it goes on with its chain, and what is gone meanwhile is accounted for in it. To halt delivery without losing anything, pause it (`docs/control.md`).",
        },
        Key {
            name: "retention",
            kind: Kind::Time(Duration::from_secs(60), Duration::from_secs(366 * 86_400)),
            absent: Absent::Value("\"72h\""),
            doc: "What could not be delivered for this long is given up, and declared.",
        },
        Key {
            name: "owners",
            kind: Kind::List("e-mail addresses"),
            absent: Absent::Unset("none"),
            doc: "Who gets this destination's notices, beside those of `[notify] email`.",
        },
        Key {
            name: "retention_days",
            kind: Kind::Count(1, 36_500),
            absent: Absent::Unset("not stated"),
            doc: "Stated in manifests for their readers: whole days older than this may have been deleted at the store. Nothing is deleted by the gateway.",
        },
    ],
};

/// A `[[destination]]` with the places that are judged against others.
pub(crate) struct Destination {
    pub(crate) options: DestinationOptions,
    pub(crate) name: Option<At<String>>,
    pub(crate) path: Option<At<PathBuf>>,
    /// The bucket with its endpoint.
    pub(crate) bucket: Option<At<String>>,
    pub(crate) sources: Vec<At<String>>,
}

pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Destination {
    let name = table.name("name");
    let kind = table.choice("type");
    let format = table.take("format").and_then(|item| {
        let format = format::read(document, &item);
        if kind == Some("nats") {
            lines_only(&item, format.as_ref());
        }
        format
    });
    let (store, path, bucket) = store(&table, kind);
    let region = match &store {
        Store::S3(options) => options.bucket.region.clone(),
        _ => table.take("region").and_then(|item| bucket::region(&item)),
    };
    let mut options = DestinationOptions::new(name.as_ref().map_or("", |at| at.value.as_str()), store);
    options.region = region;
    if kind == Some("nats") {
        (options.interval, options.object_bytes) = (nats::INTERVAL, nats::OBJECT_BYTES);
    }
    options.limits.objects_per_second = table.count("objects_per_second");
    options.limits.bytes_per_second = table.size("bandwidth").map(|at| at.value);
    options.enabled = table.flag("enabled").unwrap_or(true);
    let named = table.take("sources").map(|item| {
        let elements = item.list();
        if elements.is_empty() {
            item.refuse::<()>("names no source", Some("leave the key out to deliver all of them"));
        }
        elements
    });
    let sources: Vec<At<String>> = named.iter().flatten().filter_map(Item::name).collect();
    options.sources = sources.iter().map(|at| at.value.clone()).collect();
    options.own_records = format.as_ref().is_none_or(|format| format.dialect.has_own_records());
    if let Some(own_records) = table.flag("own_records") {
        options.own_records = own_records;
        if !own_records && let Some(own) = sources.iter().find(|at| at.value == OWN_SOURCE) {
            let message =
                format!("names {OWN_SOURCE}, which own_records = false keeps from this destination");
            own.problem(document, message, Some("leave out one of the two"));
        }
    }
    if let Some(prefix) = table.take("prefix").and_then(|item| prefix(&item)) {
        options.prefix = prefix;
    }
    options.filter = table.take("filter").and_then(|item| filter::read(&item)).unwrap_or_default();
    if table.choice("schedule") == Some("daily") {
        options.schedule = Schedule::Daily;
    }
    options.format = format.unwrap_or_default();
    if let Some(key) = options.format.key.take() {
        options.format.key = key.in_region(options.region.as_deref());
        if options.format.key.is_none() {
            let hint = "give the destination a region that begins with a letter or digit";
            let (message, path) = ("has {region}, and the destination has none", "format.key");
            table.problem(format!("{path} {message}"), Some(hint.to_owned()));
        }
    }
    if table.choice("timestamps") == Some("seconds") {
        options.format.timestamps = Timestamps::Seconds;
    }
    if let Some(interval) = table.time("interval") {
        options.interval = interval.value;
    }
    if let Some(bytes) = table.size("object_bytes") {
        options.object_bytes = bytes.value;
    }
    if let Some(heartbeat) = table.time("heartbeat") {
        options.heartbeat = heartbeat.value;
    }
    if let Some(retention) = table.time("retention") {
        options.retention = retention.value;
        if retention.value < options.interval {
            retention.problem(document, "is shorter than interval: nothing would ever be delivered", None);
        }
    }
    if let Some(concurrency) = table.count_usize("concurrency") {
        options.concurrency = concurrency;
    }
    options.owners = table.list("owners").iter().filter_map(super::notify::address).collect();
    options.retention_days = table.count("retention_days").and_then(|days| u32::try_from(days).ok());
    table.finish();
    Destination { options, name, path, bucket, sources }
}

/// The store that the type names. Keys of other types are told.
fn store(table: &Table<'_>, kind: Option<&str>) -> (Store, Option<At<PathBuf>>, Option<At<String>>) {
    let none = Store::Dir(DirOptions::new(std::path::Path::new("")));
    for (key, types) in TYPES_OF {
        // Without a type nothing is foreign; the missing type is told.
        if let Some(kind) = kind.filter(|kind| !types.contains(kind)) {
            if let Some(item) = table.take(key) {
                let types: Vec<String> = types.iter().map(|name| format!("\"{name}\"")).collect();
                let types = types.join(" or ");
                item.refuse::<()>(format!("is a key of type {types}, and this is of type \"{kind}\""), None);
            }
        } else if kind.is_none() {
            let _ = table.take(key);
        }
    }
    let place =
        |endpoint: Option<&str>, name: &str| table.at(format!("{} {name}", endpoint.unwrap_or_default()));
    match kind {
        Some("s3") => {
            let options = bucket::read(table);
            let at = |options: &crate::deliver::S3Options| {
                place(options.bucket.endpoint.as_deref(), &options.bucket.name)
            };
            let bucket = options.as_ref().map(at);
            (options.map_or(none, |options| Store::S3(Box::new(options))), None, bucket)
        }
        Some("azure") => {
            let options = cloud::azure(table);
            let container = options.as_ref().map(|options| place(None, &options.container));
            (options.map_or(none, |options| Store::Azure(Box::new(options))), None, container)
        }
        Some("gcs") => {
            let options = cloud::gcs(table);
            let at = |options: &crate::deliver::GcsOptions| {
                let endpoint = options.endpoint.as_deref().unwrap_or("gs:");
                place(Some(endpoint), &options.bucket)
            };
            let bucket = options.as_ref().map(at);
            (options.map_or(none, |options| Store::Gcs(Box::new(options))), None, bucket)
        }
        Some("nats") => {
            let options = nats::read(table);
            let at = |options: &crate::deliver::NatsOptions| {
                place(options.servers.first().map(String::as_str), options.subject.as_str())
            };
            let stream = options.as_ref().map(at);
            (options.map_or(none, |options| Store::Nats(Box::new(options))), None, stream)
        }
        Some(_) => {
            let path = bucket::required(table, "path").and_then(|item| item.path());
            let options = folder::read(table, path.as_ref().map_or("".as_ref(), |at| at.value.as_path()));
            (Store::Dir(options), path, None)
        }
        None => {
            // The type is told as missing or wrong; a folder's mistakes are told with it.
            let path = table.take("path").and_then(|item| item.path());
            (none, path, None)
        }
    }
}

/// A message is a line: there is nothing to a whole object but what its lines say.
fn lines_only(item: &Item<'_>, format: Option<&crate::deliver::FormatOptions>) {
    let Some(format) = format else { return };
    let hint = Some("flat, ocsf and ecs have lines");
    if !matches!(format.dialect, Dialect::Flat | Dialect::Ocsf(_) | Dialect::Ecs) {
        item.refuse::<()>("has no lines that could be messages", hint);
    }
    if format.key.is_some() || format.compression.is_some() {
        item.refuse::<()>("has a key or compression, and messages have neither", None);
    }
}

/// A key prefix: segments without tricks, each followed by a slash.
fn prefix(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    if text.len() > 512 {
        return item.refuse("is longer than 512 bytes", None);
    }
    let Some(inner) = text.strip_suffix('/') else {
        return item.refuse("must end with a slash", Some(&format!("write \"{text}/\"")));
    };
    if inner.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..") {
        return item.refuse("must not begin with a slash nor hold empty, `.` or `..` segments", None);
    }
    Some(text)
}
