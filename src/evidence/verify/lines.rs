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
pub(super) fn read(lines: &mut impl BufRead, key: &str) -> std::io::Result<Lines> {
    let home = Home::of(key);
    let mut found = Lines::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        found.tree.push(line);
        let number = found.tree.size();
        let mut wrong = |kind, text: String| {
            found.wrong.entry(kind).or_insert((text, 0)).1 += 1;
        };
        let Ok(read) = serde_json::from_slice::<Line>(line) else {
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
