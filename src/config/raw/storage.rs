//! `[ring]` and `[spool]`.

use super::{At, Document, Table};
use crate::capture::RingOptions;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::config::units::show_size;
use crate::spool::{Options, WhenFull};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) static RING: Section = Section {
    path: "ring",
    many: false,
    doc: "The rings: memory that outlives the process, where a record is before the client has its last byte.",
    keys: &[
        Key {
            name: "dir",
            kind: Kind::Path,
            absent: Absent::Unset("`/dev/shm/onrecord-{spool id}`"),
            doc: "Folder for the ring files. Keep it on tmpfs: on a disk, write-back can stall requests.",
        },
        Key {
            name: "bytes",
            kind: Kind::Size(1 << 20, 4 << 30),
            absent: Absent::Value("\"16MiB\""),
            doc: "Memory a worker for records that are not in the spool yet. When it is full, records are lost, counted and declared; requests go on.",
        },
    ],
};

pub(crate) static SPOOL: Section = Section {
    path: "spool",
    many: false,
    doc: "The spool: the local, crash-safe store of what is captured and not yet delivered everywhere.",
    keys: &[
        Key {
            name: "dir",
            kind: Kind::Path,
            absent: Absent::Value("\"onrecord-spool\""),
            doc: "Folder for segments, outboxes and keys. It has to outlive the machine's restart.",
        },
        Key {
            name: "bytes",
            kind: Kind::Size(1 << 20, 1 << 50),
            absent: Absent::Unset("half of the free space at the first start, at most 10 GiB"),
            doc: "Upper bound of all segments together.",
        },
        Key {
            name: "when_full",
            kind: Kind::Choice(&["release_oldest", "refuse_new"]),
            absent: Absent::Value("\"release_oldest\""),
            doc: "At the bound: release the oldest segment and declare the gap, or answer new requests 503 until there is room.",
        },
        Key {
            name: "segment_bytes",
            kind: Kind::Size(64 << 10, 1 << 30),
            absent: Absent::Value("\"64MiB\""),
            doc: "A segment is sealed at this size.",
        },
        Key {
            name: "segment_age",
            kind: Kind::Time(Duration::from_millis(100), DAY),
            absent: Absent::Value("\"5m\""),
            doc: "A segment is sealed at this age.",
        },
        Key {
            name: "sync_interval",
            kind: Kind::Time(Duration::from_millis(1), Duration::from_secs(60)),
            absent: Absent::Value("\"1s\""),
            doc: "How long written records may wait until they are forced to disk: what a power loss can cost. A death of the process alone costs nothing.",
        },
        Key {
            name: "compress_after",
            kind: Kind::Time(Duration::from_secs(1), Duration::from_secs(30 * 86_400)),
            absent: Absent::Value("\"10m\""),
            doc: "A segment that is still there so long after it was sealed waits for a destination that is away. It is compressed then, on a thread of low priority, so that a long outage fits into `bytes`. Keep it above the longest `interval` of a destination, so that a healthy gateway compresses nothing.",
        },
    ],
};

/// `[spool]` with the places that are judged against others.
pub(crate) struct Spool {
    pub(crate) options: Options,
    pub(crate) dir: At<std::path::PathBuf>,
}

pub(super) fn read_ring(table: Table<'_>) -> RingOptions {
    let standard = RingOptions::default();
    let options = RingOptions {
        dir: table.path("dir").map(|at| at.value),
        bytes: table.size("bytes").map_or(standard.bytes, |at| at.value),
    };
    table.finish();
    options
}

pub(super) fn read_spool(document: &Document<'_>, table: Table<'_>) -> Spool {
    let standard = Options::default();
    let dir = table.path("dir").unwrap_or_else(|| table.at(standard.dir));
    let bytes = table.size("bytes");
    let segment_bytes = table.size("segment_bytes").map_or(standard.segment_bytes, |at| at.value);
    if let Some(bytes) = bytes.as_ref().filter(|bytes| bytes.value < segment_bytes * 2) {
        let message = format!("must hold two segments (segment_bytes is {})", show_size(segment_bytes));
        bytes.problem(document, message, Some("raise bytes or lower segment_bytes"));
    }
    let when_full = match table.choice("when_full") {
        Some("refuse_new") => WhenFull::RefuseNew,
        _ => WhenFull::ReleaseOldest,
    };
    let options = Options {
        dir: dir.value.clone(),
        bytes: bytes.map(|at| at.value),
        when_full,
        segment_bytes,
        segment_age: table.time("segment_age").map_or(standard.segment_age, |at| at.value),
        sync_interval: table.time("sync_interval").map_or(standard.sync_interval, |at| at.value),
        compress_after: table.time("compress_after").map_or(standard.compress_after, |at| at.value),
    };
    table.finish();
    Spool { options, dir }
}
