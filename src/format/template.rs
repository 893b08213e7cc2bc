//! Keys of objects by a template.
//!
//! A template is text with placeholders: `{source}`, `{organization}`, `{year}`, `{month}`,
//! `{day}`, `{time}` (the first record's, as `20260409T142211Z`), `{region}` (the destination's),
//! `{uuid}` and `{n}` (the batch).
//! Where it holds no `{uuid}`, `-{uuid}-{n}` is added, since two objects never share a key. The
//! format's extension follows.

use super::{Civil, civil};
use std::fmt::Write as _;
use thiserror::Error;

const STANDARD: &str = "log_source={source}/organization_id={organization}/year={year}/month={month}/day={day}/compacted-{source}-{uuid}-{n}";
const CSV: &str = "contentful-audit-unstable-beta-{organization}-{time}";
const LONGEST: usize = 512;

/// How keys are made, behind the prefix and before the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Source,
    Organization,
    Year,
    Month,
    Day,
    Time,
    Region,
    Uuid,
    Number,
}

const VALUES: [(&str, Value); 9] = [
    ("source", Value::Source),
    ("organization", Value::Organization),
    ("year", Value::Year),
    ("month", Value::Month),
    ("day", Value::Day),
    ("time", Value::Time),
    ("region", Value::Region),
    ("uuid", Value::Uuid),
    ("n", Value::Number),
];

/// What a key is made of. Source and organization are escaped already.
#[derive(Clone, Copy, Debug)]
pub struct KeyFacts<'a> {
    /// The log source.
    pub source: &'a str,
    /// The organization.
    pub organization: &'a str,
    /// The UTC day of the records.
    pub day: Civil,
    /// Start of the earliest record, in Unix microseconds.
    pub first: u64,
    /// Made of the content and what it belongs to.
    pub uuid: uuid::Uuid,
    /// The batch number.
    pub batch: u64,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A placeholder that is none of the known.
    #[error(
        "`{{{0}}}` is no placeholder; known are {{source}}, {{organization}}, {{year}}, {{month}}, {{day}}, {{time}}, {{region}}, {{uuid}}, {{n}}"
    )]
    Placeholder(String),
    /// A brace without its other half.
    #[error("has a brace without its other half")]
    Brace,
    /// Longer than keys can be.
    #[error("is longer than {LONGEST} bytes")]
    Long,
    /// A character that has no place in keys.
    #[error("must hold nothing but letters, digits, `-`, `_`, `.`, `~`, `=`, `/` and placeholders")]
    Character,
    /// A folder that would hide what is in it, or leave its place.
    #[error("has a folder or name that is empty or begins with `.` or `_`")]
    Segment,
}

impl Default for KeyTemplate {
    fn default() -> Self {
        Self::parse(STANDARD).expect("the standard template is a constant, and a test reads it")
    }
}

impl KeyTemplate {
    /// The file name of the reference's CSV files.
    #[must_use]
    pub(super) fn csv() -> Self {
        Self::parse(CSV).expect("the template is a constant, and a test reads it")
    }

    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > LONGEST {
            return Err(TemplateError::Long);
        }
        // Engines skip what begins with `_` or `.`, and the manifests lie in such a folder.
        if text.split('/').any(|segment| segment.is_empty() || segment.starts_with(['.', '_'])) {
            return Err(TemplateError::Segment);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let brace = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, tail) = rest.split_at(brace);
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~=/".contains(c);
            if !literal.chars().all(allowed) {
                return Err(TemplateError::Character);
            }
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
            }
            let Some(inner) = tail.strip_prefix('{') else {
                if tail.is_empty() {
                    break;
                }
                return Err(TemplateError::Brace);
            };
            let (name, behind) = inner.split_once('}').ok_or(TemplateError::Brace)?;
            let value = VALUES.iter().find(|(known, _)| *known == name);
            let (_, value) = value.ok_or_else(|| TemplateError::Placeholder(name.to_owned()))?;
            parts.push(Part::Value(*value));
            rest = behind;
        }
        if !parts.contains(&Part::Value(Value::Uuid)) {
            let tail = [Value::Uuid, Value::Number].map(Part::Value);
            parts.extend(tail.into_iter().flat_map(|value| [Part::Text("-".to_owned()), value]));
        }
        Ok(Self { parts })
    }

    /// The same for objects of a destination in this region; `None` where it is needed and not known,
    /// or can't stand in a key.
    #[must_use]
    pub fn in_region(mut self, region: Option<&str>) -> Option<Self> {
        for part in self.parts.iter_mut().filter(|part| **part == Part::Value(Value::Region)) {
            let region = region.filter(|region| region.starts_with(|c: char| c.is_ascii_alphanumeric()))?;
            *part = Part::Text(region.to_owned());
        }
        Some(self)
    }

    /// The key of an object, without prefix and extension.
    #[must_use]
    pub fn key(&self, facts: &KeyFacts<'_>) -> String {
        let mut key = String::with_capacity(256);
        for part in &self.parts {
            let Civil { year, month, day } = facts.day;
            // Writing to memory does not fail.
            let _ = match part {
                Part::Text(text) => key.write_str(text),
                Part::Value(Value::Source) => key.write_str(facts.source),
                Part::Value(Value::Organization) => key.write_str(facts.organization),
                Part::Value(Value::Year) => write!(key, "{year:04}"),
                Part::Value(Value::Month) => write!(key, "{month:02}"),
                Part::Value(Value::Day) => write!(key, "{day:02}"),
                Part::Value(Value::Time) => {
                    let second = facts.first / 1_000_000 % 86_400;
                    let Civil { year, month, day } = civil(facts.first);
                    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                    write!(key, "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
                }
                // Filled in when the destination was read.
                Part::Value(Value::Region) => Ok(()),
                Part::Value(Value::Uuid) => write!(key, "{}", facts.uuid),
                Part::Value(Value::Number) => write!(key, "{}", facts.batch),
            };
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: KeyFacts<'static> = KeyFacts {
        source: "cma",
        organization: "o1",
        day: Civil { year: 2026, month: 4, day: 9 },
        first: 1_775_744_531_123_456,
        uuid: uuid::Uuid::nil(),
        batch: 36,
    };

    #[test]
    fn placeholders_are_filled_and_what_is_not_unique_by_itself_is_made_so() {
        let key = |text| KeyTemplate::parse(text).unwrap().key(&FACTS);
        let nil = uuid::Uuid::nil();
        assert_eq!(key("a/{uuid}"), format!("a/{nil}"));
        assert_eq!(key("a-{organization}-{time}"), format!("a-o1-20260409T142211Z-{nil}-36"));
        assert_eq!(key("dt={year}-{month}-{day}/x.{n}"), format!("dt=2026-04-09/x.36-{nil}-36"));
        let in_region = |region| KeyTemplate::parse("r={region}/{uuid}").unwrap().in_region(region);
        assert_eq!(in_region(Some("eu-west-1")).unwrap().key(&FACTS), format!("r=eu-west-1/{nil}"));
        assert!(in_region(None).is_none() && in_region(Some("_x")).is_none());
        let csv = format!("contentful-audit-unstable-beta-o1-20260409T142211Z-{nil}-36");
        assert_eq!(KeyTemplate::csv().key(&FACTS), csv);
        assert!(
            KeyTemplate::default().key(&FACTS).starts_with("log_source=cma/organization_id=o1/year=2026/")
        );
    }

    #[test]
    fn what_would_leave_its_place_or_hide_is_no_template() {
        use TemplateError as E;
        for (text, error) in [
            ("", E::Segment),
            ("/a", E::Segment),
            ("a//b", E::Segment),
            ("a/../b", E::Segment),
            ("_manifests/a", E::Segment),
            ("a/.b", E::Segment),
            ("a/{b}", E::Placeholder("b".to_owned())),
            ("a/{source", E::Brace),
            ("a}/b", E::Brace),
            ("a b", E::Character),
            ("a\\b", E::Character),
        ] {
            assert_eq!(KeyTemplate::parse(text), Err(error), "{text}");
        }
        assert_eq!(KeyTemplate::parse(&"a".repeat(513)), Err(E::Long));
    }
}
