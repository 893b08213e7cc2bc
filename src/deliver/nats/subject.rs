//! Subjects by a template.
//!
//! A template is a subject with placeholders: `{source}`, `{organization}`, and any attribute of
//! a record by its name, such as `{event.action}`. A value is one token whatever is in it: what
//! has a meaning in subjects becomes `_`, and so does a value that is not there.

use percent_encoding::percent_decode_str;
use serde_json::Value;
use thiserror::Error;

const LONGEST: usize = 256;
/// A longer value is cut.
const LONGEST_VALUE: usize = 128;

/// How subjects are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Source,
    Organization,
    Attribute(String),
}

/// Why a text is no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// A brace without its other half, or with nothing in it.
    #[error("has a brace without its other half, or with nothing in it")]
    Brace,
    /// Longer than sense.
    #[error("is longer than {LONGEST} bytes")]
    Long,
    /// A character that a subject to publish on can't have.
    #[error("must hold nothing but visible ASCII characters, without `*`, `>` and spaces")]
    Character,
    /// Two dots beside each other, or one at an end.
    #[error("has an empty token: no dot at its ends, and no two beside each other")]
    Token,
    /// The broker's own.
    #[error("begins with `$` or `_INBOX`, which belong to the broker")]
    Reserved,
}

impl SubjectTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        if text.len() > LONGEST {
            return Err(SubjectError::Long);
        }
        if !text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '*' | '>')) {
            return Err(SubjectError::Character);
        }
        if text.starts_with('$') || text.starts_with("_INBOX") {
            return Err(SubjectError::Reserved);
        }
        let mut parts = Vec::new();
        // The subject with a letter for each value: its tokens must be whole.
        let mut shape = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let brace = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, tail) = rest.split_at(brace);
            shape.push_str(literal);
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
            }
            if tail.is_empty() {
                break;
            }
            let inner = tail.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, behind) = inner.ok_or(SubjectError::Brace)?;
            parts.push(match name {
                "source" => Part::Source,
                "organization" => Part::Organization,
                name if !name.is_empty() && !name.contains('{') => Part::Attribute(name.to_owned()),
                _ => return Err(SubjectError::Brace),
            });
            shape.push('v');
            rest = behind;
        }
        if shape.split('.').any(str::is_empty) {
            return Err(SubjectError::Token);
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// A subject without placeholders.
    ///
    /// # Errors
    /// [`SubjectError`]; a brace is one.
    pub fn plain(text: &str) -> Result<String, SubjectError> {
        match Self::parse(text)?.parts.iter().all(|part| matches!(part, Part::Text(_))) {
            true => Ok(text.to_owned()),
            false => Err(SubjectError::Brace),
        }
    }

    /// As it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The subject of a record of the object with this key.
    pub(super) fn subject(&self, key: &str, record: &Value) -> String {
        let mut out = String::with_capacity(64);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Source => push(&mut out, &of_key(key, "log_source=")),
                Part::Organization => push(&mut out, &of_key(key, "organization_id=")),
                Part::Attribute(name) => match attribute(record, name) {
                    Some(Value::String(text)) => push(&mut out, text),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => push(&mut out, &value.to_string()),
                    _ => out.push('_'),
                },
            }
        }
        out
    }
}

/// What a key says of its partition. The keys of this destination are the standard ones.
fn of_key(key: &str, name: &str) -> String {
    let value = key.split('/').find_map(|segment| segment.strip_prefix(name)).unwrap_or_default();
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// An attribute of flat records by its name, or of nested ones by the path.
pub(super) fn attribute<'a>(record: &'a Value, name: &str) -> Option<&'a Value> {
    record.get(name).or_else(|| name.split('.').try_fold(record, |value, step| value.get(step)))
}

fn push(out: &mut String, value: &str) {
    if value.is_empty() {
        out.push('_');
    }
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '.' | '*' | '>');
    out.extend(value.chars().take(LONGEST_VALUE).map(|c| if plain(c) { c } else { '_' }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "logs/log_source=cda/organization_id=a%2Fb%2Ac/year=2026/x.jsonl.gz";

    fn made(template: &str, record: Value) -> String {
        SubjectTemplate::parse(template).unwrap().subject(KEY, &record)
    }

    #[test]
    fn a_value_is_one_token_whatever_is_in_it() {
        let record = json!({ "event.action": "publish > all", "http.response.status_code": 200 });
        assert_eq!(made("onrecord.records.{source}", json!({})), "onrecord.records.cda");
        assert_eq!(made("o.{organization}.{event.action}", record.clone()), "o.a/b_c.publish___all");
        assert_eq!(made("o.x{http.response.status_code}.{nowhere}", record), "o.x200._");
        assert_eq!(made("o.{metadata.uid}", json!({ "metadata": { "uid": "a.b" } })), "o.a_b");
        let long = json!({ "event.action": "x".repeat(9000) });
        assert_eq!(made("o.{event.action}", long).len(), 2 + LONGEST_VALUE);
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for (text, error) in [
            ("a..b", SubjectError::Token),
            ("", SubjectError::Token),
            ("a.", SubjectError::Token),
            ("a.>", SubjectError::Character),
            ("a b", SubjectError::Character),
            ("a.{b", SubjectError::Brace),
            ("a.{}", SubjectError::Brace),
            ("a.b}", SubjectError::Brace),
            ("$JS.API", SubjectError::Reserved),
            ("_INBOX.a", SubjectError::Reserved),
        ] {
            assert_eq!(SubjectTemplate::parse(text), Err(error), "{text}");
        }
        assert_eq!(SubjectTemplate::plain("a.{source}"), Err(SubjectError::Brace));
        assert!(SubjectTemplate::plain(super::super::NatsOptions::EVIDENCE_SUBJECT).is_ok());
    }
}
