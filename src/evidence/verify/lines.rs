//! The lines of an object (`--deep`): their tree hash, their sequences, their partition.

use super::finding::FindingKind;
use crate::evidence::merkle::Tree;
use crate::pack::manifest::lane_text;
use crate::pack::partition::{OTHER, UNKNOWN, escape};
use crate::record::{SELF_LANE, SequenceSet};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};
use uuid::Uuid;

/// No line is longer than this.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// What a line says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) start: String,
    pub(crate) organization: String,
    pub(crate) boot: Option<Uuid>,
    pub(crate) lane: Option<u16>,
    pub(crate) sequence: Option<u64>,
}

/// Which readers a format's rows have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Lines of the flat format, of which everything can be checked.
    Flat,
    /// Events of OCSF, likewise.
    Ocsf,
    /// Documents of ECS, likewise.
    Ecs,
    /// Rows of a table behind a header, which do not say which sequence they are: they can be
    /// held to what was signed, no more.
    Table,
    /// Elements of an array, likewise.
    Array,
    /// Columns. Their bytes can be held to what was signed.
    Columns,
}

impl Rows {
    /// The rows of a format, by its name in manifests.
    pub(crate) fn of(format: &str) -> Self {
        match format {
            "flat" => Self::Flat,
            "ocsf" => Self::Ocsf,
            "ecs" => Self::Ecs,
            "csv" => Self::Table,
            "contentful-legacy" => Self::Array,
            _ => Self::Columns,
        }
    }

    /// Whether each row says which sequence it is.
    pub(crate) fn are_numbered(self) -> bool {
        matches!(self, Self::Flat | Self::Ocsf | Self::Ecs)
    }

    /// The row that a line of the object holds, if it holds one.
    pub(crate) fn row(self, index: u64, line: &[u8]) -> Option<&[u8]> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match self {
            Self::Flat | Self::Ocsf | Self::Ecs | Self::Columns => Some(line),
            Self::Table => (index > 0).then_some(line),
            Self::Array if matches!(line, b"[" | b"]") => None,
            Self::Array => Some(line.strip_suffix(b",").unwrap_or(line)),
        }
    }

    /// Reads one row.
    pub(crate) fn read(self, row: &[u8]) -> Option<Line> {
        match self {
            Self::Flat => serde_json::from_slice(row).ok(),
            Self::Ocsf => serde_json::from_slice::<Event>(row).ok().map(Event::line),
            Self::Ecs => serde_json::from_slice::<Document>(row).ok().map(Document::line),
            Self::Table | Self::Array | Self::Columns => None,
        }
    }
}

/// What an event of OCSF says of itself.
#[derive(serde::Deserialize)]
struct Event {
    metadata: Metadata,
    unmapped: Unmapped,
}

#[derive(serde::Deserialize)]
struct Metadata {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    tenant_uid: String,
    #[serde(default)]
    original_time: String,
    sequence: Option<u64>,
}

#[derive(serde::Deserialize)]
struct Unmapped {
    #[serde(rename = "onrecord.boot")]
    boot: Option<Uuid>,
    #[serde(rename = "onrecord.lane")]
    lane: Option<serde_json::Value>,
}

impl Event {
    fn line(self) -> Line {
        Line {
            id: self.metadata.uid,
            start: self.metadata.original_time,
            organization: self.metadata.tenant_uid,
            boot: self.unmapped.boot,
            lane: self.unmapped.lane.as_ref().map(lane),
            sequence: self.metadata.sequence,
        }
    }
}

/// What a document of ECS says of itself.
#[derive(serde::Deserialize)]
struct Document {
    event: EcsEvent,
    #[serde(default)]
    organization: Named,
    onrecord: EcsPlace,
}

#[derive(serde::Deserialize)]
struct EcsEvent {
    #[serde(default)]
    id: String,
    start: String,
}

#[derive(Default, serde::Deserialize)]
struct Named {
    id: String,
}

#[derive(serde::Deserialize)]
struct EcsPlace {
    boot: Uuid,
    lane: u16,
    sequence: u64,
}

impl Document {
    fn line(self) -> Line {
        Line {
            id: self.event.id,
            start: self.event.start,
            organization: self.organization.id,
            boot: Some(self.onrecord.boot),
            lane: Some(self.onrecord.lane),
            sequence: Some(self.onrecord.sequence),
        }
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let mut line = Line::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*name {
                "event.id" => line.id = map.next_value()?,
                "event.start" => line.start = map.next_value()?,
                "onrecord.boot" => line.boot = Some(map.next_value()?),
                "onrecord.lane" => line.lane = Some(lane(&map.next_value::<serde_json::Value>()?)),
                "onrecord.sequence" => line.sequence = Some(map.next_value()?),
                name if name.ends_with(".organization.id") => line.organization = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(line)
    }
}

/// A lane is a number, or the gateway's own.
fn lane(value: &serde_json::Value) -> u16 {
    value.as_u64().and_then(|lane| u16::try_from(lane).ok()).unwrap_or(SELF_LANE)
}

/// What the lines of an object come to.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) tree: Tree,
    pub(super) sequences: BTreeMap<(Uuid, u16), SequenceSet>,
    /// The first of each kind that is wrong, and how many there are.
    pub(super) wrong: BTreeMap<FindingKind, (String, u64)>,
}

/// Reads lines. `key` is the object's key, whose folders say where its records belong.
pub(super) fn read(lines: &mut impl BufRead, key: &str, rows: Rows) -> std::io::Result<Lines> {
    let home = Home::of(key);
    let mut found = Lines::default();
    let mut line = Vec::new();
    for index in 0.. {
        line.clear();
        if lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let Some(line) = rows.row(index, &line) else { continue };
        found.tree.push(line);
        if !rows.are_numbered() {
            continue;
        }
        let number = found.tree.size();
        let mut wrong = |kind, text: String| {
            found.wrong.entry(kind).or_insert((text, 0)).1 += 1;
        };
        let Some(read) = rows.read(line) else {
            wrong(FindingKind::RecordUnaccounted, format!("line {number} is no record"));
            continue;
        };
        if let Some(stranger) = home.refuses(&read) {
            wrong(FindingKind::RecordMisplaced, format!("line {number} ({}): {stranger}", read.id));
        }
        let (Some(boot), Some(lane), Some(sequence)) = (read.boot, read.lane, read.sequence) else {
            wrong(FindingKind::RecordUnaccounted, format!("line {number} ({}) has no sequence", read.id));
            continue;
        };
        if !found.sequences.entry((boot, lane)).or_default().insert(sequence) {
            let lane = lane_text(lane);
            let text = format!("line {number} ({}) is sequence {sequence} of lane {lane} again", read.id);
            wrong(FindingKind::RecordRepeated, text);
        }
    }
    Ok(found)
}

/// The partition that a key's folders name.
struct Home {
    organization: Option<String>,
    day: Option<String>,
}

impl Home {
    fn of(key: &str) -> Self {
        let part =
            |name: &str| key.split('/').find_map(|folder| folder.strip_prefix(name)).map(str::to_owned);
        Self { organization: part("organization_id="), day: day(key) }
    }

    fn refuses(&self, line: &Line) -> Option<String> {
        let organization = match line.organization.as_str() {
            "" => UNKNOWN.to_owned(),
            value => escape(value.as_bytes()),
        };
        if let Some(day) = &self.day
            && !line.start.starts_with(day.as_str())
        {
            return Some(format!("it began at {}", line.start));
        }
        match &self.organization {
            Some(home) if *home != organization && home != OTHER => {
                Some(format!("its organization is `{}`", line.organization))
            }
            _ => None,
        }
    }
}

/// The day that a key's folders name, as `YYYY-MM-DD`.
pub(super) fn day(key: &str) -> Option<String> {
    let part = |name: &str| key.split('/').find_map(|folder| folder.strip_prefix(name));
    Some(format!("{}-{}-{}", part("year=")?, part("month=")?, part("day=")?))
}
