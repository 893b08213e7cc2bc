//! The operator's patterns that take secrets and personal data out of records (`[redact]`
//! `patterns`, `query_patterns`).
//!
//! Patterns are regular expressions of the `regex` crate: without look-around and references
//! back, so that each search takes time linear in the text. Going on behind a match can be
//! slow all the same, so a text in which one pattern is found [`MOST_MATCHES`] times is hidden
//! whole.
//!
//! What is looked at are the open texts of a record: those that clients, proxies and upstreams
//! fill. In paths and queries a segment or value is also read with its percent encoding undone,
//! and hidden whole if a pattern is found only then. All patterns are sought in the text as it
//! came, and everything that any of them finds is hidden: the one does not spoil the other's find.

use crate::record::wire::{Fields, Value};
use crate::record::{Field, RecordWriter};
use percent_encoding::percent_decode;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::borrow::Cow;
use std::ops::Range;
use thiserror::Error;

/// What stands in the place of what is found.
const REDACTED: &[u8] = b"REDACTED";
/// Finds of one pattern in one text above which the text is hidden whole.
pub const MOST_MATCHES: usize = 64;
/// Patterns of one kind at most.
pub const MOST_PATTERNS: usize = 64;
/// Bytes that one compiled pattern may take.
const MOST_BYTES: usize = 1 << 20;
/// A text is decoded at most this often.
const DECODINGS: usize = 4;

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It can't be read, or is too large.
    #[error("{0}")]
    Syntax(String),
    /// It is found in the empty text, and so everywhere.
    #[error("is found in the empty text, and so everywhere")]
    MatchesNothing,
}

/// Compiled patterns. Shared by reference; they never change.
#[derive(Debug)]
pub struct Patterns {
    /// All at once, to tell quickly that there is nothing to hide.
    any: RegexSet,
    values: Vec<Regex>,
    names: Vec<Regex>,
}

/// Compiles one pattern.
///
/// # Errors
/// [`PatternError`], in words for the one who wrote it.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let regex = RegexBuilder::new(pattern).size_limit(MOST_BYTES).build().map_err(words)?;
    if regex.is_match(b"") { Err(PatternError::MatchesNothing) } else { Ok(regex) }
}

/// The last line of the error; those before draw the pattern.
fn words(error: regex::Error) -> PatternError {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    PatternError::Syntax(last.trim_start_matches("error: ").to_owned())
}

impl Patterns {
    /// Patterns for texts, and for names of query parameters whose values are secret. `None` if
    /// there are none.
    ///
    /// # Errors
    /// The first pattern that can't be used.
    pub fn new(values: &[String], names: &[String]) -> Result<Option<Self>, PatternError> {
        if values.is_empty() && names.is_empty() {
            return Ok(None);
        }
        let compiled =
            |patterns: &[String]| patterns.iter().map(|one| compile(one)).collect::<Result<_, _>>();
        let any = RegexSetBuilder::new(values).size_limit(MOST_BYTES * MOST_PATTERNS).build();
        Ok(Some(Self { any: any.map_err(words)?, values: compiled(values)?, names: compiled(names)? }))
    }

    /// Hides what is found in the open texts of these fields of a record.
    pub fn rewrite(&self, record: &mut Vec<u8>) {
        let mut changed: Vec<(usize, Vec<u8>)> = Vec::new();
        for (index, item) in Fields::new(record).enumerate() {
            if let Ok((number, Value::Bytes(text))) = item
                && let Some(hidden) = self.field(number, text)
            {
                changed.push((index, hidden));
            }
        }
        if changed.is_empty() {
            return;
        }
        let mut out = Vec::with_capacity(record.len());
        let mut writer = RecordWriter::new(&mut out);
        let mut changed = changed.into_iter().peekable();
        for (index, (number, value)) in Fields::new(record).flatten().enumerate() {
            match changed.next_if(|(at, _)| *at == index) {
                Some((_, hidden)) => writer.raw(number, Value::Bytes(&hidden)),
                None => writer.raw(number, value),
            }
        }
        *record = out;
    }

    fn field(&self, number: u8, text: &[u8]) -> Option<Vec<u8>> {
        const TEXTS: [Field; 14] = [
            Field::Organization,
            Field::Space,
            Field::Environment,
            Field::CacheDetail,
            Field::UpstreamRequestId,
            Field::MethodOverride,
            Field::UserAgent,
            Field::UserAgentProduct,
            Field::OriginHint,
            Field::ResourceId,
            Field::ActorId,
            Field::ActorName,
            Field::ActorEmail,
            Field::TlsClientSubject,
        ];
        let is = |field: Field| number == field as u8;
        let hidden = if is(Field::Path) {
            self.path(text)
        } else if is(Field::Query) || is(Field::Referer) {
            self.query(text)
        } else if is(Field::Resources) {
            // The type stands in front, behind a zero byte the id.
            let zero = memchr::memchr(0, text).map_or(0, |zero| zero + 1);
            match self.text(&text[zero..]) {
                Cow::Owned(id) => Cow::Owned([&text[..zero], &id].concat()),
                Cow::Borrowed(_) => Cow::Borrowed(text),
            }
        } else if TEXTS.iter().any(|field| is(*field)) {
            self.text(text)
        } else {
            return None;
        };
        match hidden {
            Cow::Owned(hidden) => Some(hidden),
            Cow::Borrowed(_) => None,
        }
    }

    /// A text, what is found in it hidden.
    #[must_use]
    pub fn text<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        hidden(text, self.found(text))
    }

    /// A path: each segment is read decoded, too.
    #[must_use]
    pub fn path<'t>(&self, path: &'t [u8]) -> Cow<'t, [u8]> {
        let mut found = self.found(path);
        let mut start = 0;
        for segment in path.split(|byte| *byte == b'/') {
            if self.is_found_decoded(segment) {
                found.push(start..start + segment.len());
            }
            start += segment.len() + 1;
        }
        hidden(path, found)
    }

    /// A query, or a URL with one: each name and value is read decoded, too.
    #[must_use]
    pub fn query<'t>(&self, query: &'t [u8]) -> Cow<'t, [u8]> {
        let mut found = self.found(query);
        let mut start = 0;
        for pair in query.split(|byte| b"&;?#".contains(byte)) {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(equals) => (&pair[..equals], &pair[equals + 1..]),
                None => (&pair[..0], pair),
            };
            let from = start + pair.len() - value.len();
            if !value.is_empty() && (self.is_secret_name(name) || self.is_found_decoded(value)) {
                found.push(from..from + value.len());
            }
            if self.is_found_decoded(name) {
                found.push(start..start + name.len());
            }
            start += pair.len() + 1;
        }
        hidden(query, found)
    }

    fn is_secret_name(&self, name: &[u8]) -> bool {
        let found = |name: &[u8]| self.names.iter().any(|pattern| pattern.is_match(name));
        !self.names.is_empty()
            && !name.is_empty()
            && (found(name) || decodings(name).any(|name| found(&name)))
    }

    fn is_found_decoded(&self, text: &[u8]) -> bool {
        !self.any.is_empty() && decodings(text).any(|text| self.any.is_match(&text))
    }

    fn found(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for index in self.any.matches(text) {
            let before = found.len();
            let ranges = self.values[index].find_iter(text).map(|one| one.range());
            found.extend(ranges.filter(|range| !range.is_empty()).take(MOST_MATCHES));
            if found.len() - before == MOST_MATCHES {
                found.push(0..text.len());
            }
        }
        found
    }
}

/// The text with its percent encoding undone, once and again, as long as that changes it.
fn decodings(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let next = |text: &[u8]| -> Option<Vec<u8>> {
        memchr::memchr2(b'%', b'+', text)?;
        let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let decoded: Vec<u8> = percent_decode(&spaced).collect();
        (decoded != text).then_some(decoded)
    };
    std::iter::successors(next(text), move |text| next(text)).take(DECODINGS)
}

/// The text with something else in the place of these ranges, each of which lies in it.
fn hidden(text: &[u8], mut found: Vec<Range<usize>>) -> Cow<'_, [u8]> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| (range.start, range.end));
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    let mut ranges = found.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start < range.end) {
            range.end = range.end.max(next.end);
        }
        out.extend_from_slice(&text[copied..range.start]);
        out.extend_from_slice(REDACTED);
        copied = range.end;
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordView;
    use std::time::{Duration, Instant};

    fn patterns(values: &[&str], names: &[&str]) -> Patterns {
        let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        Patterns::new(&own(values), &own(names)).unwrap().unwrap()
    }

    fn said(hidden: Cow<'_, [u8]>) -> String {
        String::from_utf8_lossy(&hidden).into_owned()
    }

    #[test]
    fn what_any_pattern_finds_is_hidden_and_all_else_stays() {
        let patterns = patterns(&["sk_", "sk_live_[a-z0-9]+", r"\b\d{4}(?: \d{4}){3}\b"], &[]);
        // The shorter find does not spoil the longer one.
        assert_eq!(said(patterns.text(b"a sk_live_abc1 b")), "a REDACTED b");
        assert_eq!(said(patterns.text(b"1234 5678 9012 3456 and sk_x")), "REDACTED and REDACTEDx");
        assert_eq!(said(patterns.text(b"sk_live_a+ \xff")), "REDACTED+ \u{fffd}");
        assert!(matches!(patterns.text(b"nothing of it"), Cow::Borrowed(_)));
    }

    #[test]
    fn paths_and_queries_are_read_decoded_too() {
        let patterns = patterns(&["@"], &["(?i)ticket$"]);
        assert_eq!(said(patterns.path(b"/users/ann%40example.com/x")), "/users/REDACTED/x");
        assert_eq!(said(patterns.path(b"/users/ann%2540example.com/x")), "/users/REDACTED/x");
        assert_eq!(said(patterns.query(b"to=a%40b&x=1")), "to=REDACTED&x=1");
        assert_eq!(
            said(patterns.query(b"myTicket=5&a=1&t%69cket=7&ticketing=8")),
            "myTicket=REDACTED&a=1&t%69cket=REDACTED&ticketing=8"
        );
        assert_eq!(said(patterns.query(b"https://h/p?x=1&ticket=2#a")), "https://h/p?x=1&ticket=REDACTED#a");
        assert!(matches!(patterns.query(b"a=1&b"), Cow::Borrowed(_)));
    }

    #[test]
    fn only_the_open_texts_of_a_record_change() {
        let mut record = Vec::new();
        let mut writer = RecordWriter::new(&mut record);
        writer.bytes(Field::EventId, b"canary0123456789");
        writer.text(Field::Source, "canary");
        writer.integer(Field::Status, 200);
        writer.text(Field::Path, "/a/canary");
        writer.text(Field::UserAgent, "x canary");
        writer.bytes(Field::Resources, b"Entry\0canary");
        writer.text(Field::Action, "canary");
        patterns(&["canary"], &[]).rewrite(&mut record);
        let view = RecordView::parse(&record).unwrap();
        assert_eq!(view.bytes(Field::EventId), Some(&b"canary0123456789"[..]));
        assert_eq!(view.bytes(Field::Source), Some(&b"canary"[..]));
        assert_eq!(view.bytes(Field::Action), Some(&b"canary"[..]));
        assert_eq!(view.bytes(Field::Path), Some(&b"/a/REDACTED"[..]));
        assert_eq!(view.bytes(Field::UserAgent), Some(&b"x REDACTED"[..]));
        assert_eq!(view.bytes(Field::Resources), Some(&b"Entry\0REDACTED"[..]));
        assert_eq!(view.integer(Field::Status), Some(200));
    }

    #[test]
    fn a_pattern_that_says_nothing_or_too_much_is_refused_and_none_takes_long() {
        assert!(matches!(compile("("), Err(PatternError::Syntax(_))));
        assert!(matches!(compile(r"(a)\1"), Err(PatternError::Syntax(_))));
        assert!(matches!(compile("[a-z]{1000}{1000}"), Err(PatternError::Syntax(_))));
        assert_eq!(compile("a*").unwrap_err(), PatternError::MatchesNothing);
        assert!(Patterns::new(&[], &[]).unwrap().is_none());
        // Catastrophic for engines that go back; and finds without end for those that go on.
        let patterns = patterns(&["(a+)+$", ".*[^A-Z]|[A-Z]"], &[]);
        let begun = Instant::now();
        assert_eq!(said(patterns.text(&[b'A'; 256 * 1024])), "REDACTED");
        let text = [&[b'a'; 64 * 1024][..], b"!"].concat();
        assert!(patterns.text(&text).starts_with(REDACTED));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
