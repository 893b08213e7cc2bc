//! The actor directory: an operator's file that says who a credential or an id is.
//!
//! CSV (RFC 4180, with a header line) or a JSON list of objects. Columns, in any
//! order: `fingerprint` (32 hex digits, as in `actor.credential.id`) or `id` or
//! both, then `type` (`user`, `app`, `api_key`, `service`; `user` if it is left
//! out), `name` and `email`. A line with a fingerprint maps that credential; any
//! line with an id also tells what belongs to that id.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use thiserror::Error;

mod csv;

/// How a directory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryFormat {
    /// Comma-separated values with a header line.
    Csv,
    /// A JSON list of objects.
    Json,
}

/// Someone who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `actor.type`: `user`, `app`, `api_key` or `service`.
    pub kind: &'static str,
    /// `actor.id`; empty if the line has none.
    pub id: String,
    /// `actor.name`; may be empty.
    pub name: String,
    /// `actor.email`; may be empty.
    pub email: String,
}

/// Who is who. Shared by reference; it never changes.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    actors: Vec<Actor>,
    by_fingerprint: HashMap<[u8; 16], usize>,
    by_id: HashMap<String, usize>,
}

/// One problem of a directory file. The file is refused with all of them at once.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {error}")]
pub struct DirectoryProblem {
    /// Counted from 1: where the entry begins.
    pub line: usize,
    /// What is wrong there.
    pub error: DirectoryError,
}

/// What is wrong with an entry. Says nothing of fingerprints but their form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Not JSON; the parser's own words.
    #[error("{0}")]
    Json(String),
    /// A quoted cell never ends, or has something behind its end.
    #[error("a quoted cell must end with a quote right before the comma or the end of the line")]
    Quote,
    /// More or fewer cells than the header line.
    #[error("{found} cells where the header line has {expected}")]
    Cells {
        /// In this line.
        found: usize,
        /// In the header line.
        expected: usize,
    },
    /// A column that directories do not have, or that comes twice.
    #[error("unknown or repeated column `{0}`; known are fingerprint, id, type, name, email")]
    Column(String),
    /// No column says whose line it is.
    #[error("there must be a column `fingerprint` or `id`")]
    NoKey,
    /// Neither fingerprint nor id.
    #[error("neither fingerprint nor id")]
    Nobody,
    /// Not 32 hex digits.
    #[error("a fingerprint has 32 hex digits, this has {0} characters or others")]
    Fingerprint(usize),
    /// Not a type of actor.
    #[error("`{0}` is not a type: user, app, api_key, service")]
    Type(String),
    /// One fingerprint twice.
    #[error("the same fingerprint as in line {0}")]
    SameFingerprint(usize),
    /// One id twice, with other data.
    #[error("the same id as in line {0}, with another type, name or email")]
    SameId(usize),
}

const KINDS: [&str; 4] = ["user", "app", "api_key", "service"];
const COLUMNS: [&str; 5] = ["fingerprint", "id", "type", "name", "email"];

/// An entry as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    fingerprint: String,
    id: String,
    r#type: String,
    name: String,
    email: String,
}

impl Directory {
    /// Reads a directory file.
    ///
    /// # Errors
    /// Every problem of the file, in the order of its lines.
    pub fn parse(text: &str, format: DirectoryFormat) -> Result<Self, Vec<DirectoryProblem>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut problems = Vec::new();
        let entries = match format {
            DirectoryFormat::Csv => csv_entries(text, &mut problems),
            DirectoryFormat::Json => json_entries(text, &mut problems),
        };
        let mut directory = Self::default();
        let mut lines = Vec::new();
        for (line, entry) in entries {
            match directory.add(entry, &lines) {
                Ok(()) => lines.push(line),
                Err(error) => problems.push(DirectoryProblem { line, error }),
            }
        }
        problems.sort_by_key(|problem| problem.line);
        if problems.is_empty() { Ok(directory) } else { Err(problems) }
    }

    /// Whose credential this is.
    #[must_use]
    pub fn by_fingerprint(&self, fingerprint: &[u8; 16]) -> Option<&Actor> {
        self.by_fingerprint.get(fingerprint).map(|index| &self.actors[*index])
    }

    /// Who has this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Actor> {
        self.by_id.get(id).map(|index| &self.actors[*index])
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Adds an entry; `lines` are those of the actors so far.
    fn add(&mut self, entry: Entry, lines: &[usize]) -> Result<(), DirectoryError> {
        let Entry { fingerprint, id, r#type, name, email } = entry;
        let kind = match r#type.as_str() {
            "" => "user",
            written => *KINDS
                .iter()
                .find(|kind| **kind == written)
                .ok_or_else(|| DirectoryError::Type(written.to_owned()))?,
        };
        let index = self.actors.len();
        let actor = Actor { kind, id, name, email };
        let known = self.by_id.get(&actor.id).copied();
        if let Some(known) = known
            && self.actors[known] != actor
        {
            return Err(DirectoryError::SameId(lines[known]));
        }
        if !fingerprint.is_empty() {
            let fingerprint = parse_fingerprint(&fingerprint)?;
            if let Some(known) = self.by_fingerprint.get(&fingerprint) {
                return Err(DirectoryError::SameFingerprint(lines[*known]));
            }
            self.by_fingerprint.insert(fingerprint, index);
        } else if actor.id.is_empty() {
            return Err(DirectoryError::Nobody);
        }
        if !actor.id.is_empty() && known.is_none() {
            self.by_id.insert(actor.id.clone(), index);
        }
        self.actors.push(actor);
        Ok(())
    }
}

fn parse_fingerprint(text: &str) -> Result<[u8; 16], DirectoryError> {
    let wrong = || DirectoryError::Fingerprint(text.chars().count());
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u128::from_str_radix(text, 16).map(u128::to_be_bytes).map_err(|_| wrong())
}

fn csv_entries(text: &str, problems: &mut Vec<DirectoryProblem>) -> Vec<(usize, Entry)> {
    let mut rows = csv::rows(text).filter_map(|(line, row)| match row {
        Ok(cells) => Some((line, cells)),
        Err(error) => {
            problems.push(DirectoryProblem { line, error });
            None
        }
    });
    let Some((header_line, header)) = rows.next() else { return Vec::new() };
    let columns: Vec<String> = header.iter().map(|cell| cell.trim().to_ascii_lowercase()).collect();
    let rest: Vec<(usize, Vec<String>)> = rows.collect();
    let mut wrong = |error| problems.push(DirectoryProblem { line: header_line, error });
    let mut headed = true;
    for (index, column) in columns.iter().enumerate() {
        if !COLUMNS.contains(&column.as_str()) || columns[..index].contains(column) {
            wrong(DirectoryError::Column(column.clone()));
            headed = false;
        }
    }
    if !columns.iter().any(|column| column == "fingerprint" || column == "id") {
        wrong(DirectoryError::NoKey);
        headed = false;
    }
    if !headed {
        return Vec::new();
    }
    let mut entries = Vec::with_capacity(rest.len());
    for (line, cells) in rest {
        if cells.len() != columns.len() {
            let error = DirectoryError::Cells { found: cells.len(), expected: columns.len() };
            problems.push(DirectoryProblem { line, error });
            continue;
        }
        let mut entry = Entry::default();
        for (column, cell) in columns.iter().zip(cells) {
            let cell = cell.trim().to_owned();
            match column.as_str() {
                "fingerprint" => entry.fingerprint = cell,
                "id" => entry.id = cell,
                "type" => entry.r#type = cell,
                "name" => entry.name = cell,
                _ => entry.email = cell,
            }
        }
        entries.push((line, entry));
    }
    entries
}

fn json_entries(text: &str, problems: &mut Vec<DirectoryProblem>) -> Vec<(usize, Entry)> {
    let raw: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let line = error.line().max(1);
            problems.push(DirectoryProblem { line, error: DirectoryError::Json(error.to_string()) });
            return Vec::new();
        }
    };
    let mut entries = Vec::with_capacity(raw.len());
    let (mut line, mut counted) = (1, 0);
    for value in raw {
        // The entry lies inside the text, so its address tells how far in.
        let offset = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
        line += text.as_bytes()[counted..offset].iter().filter(|byte| **byte == b'\n').count();
        counted = offset;
        match serde_json::from_str(value.get()) {
            Ok(entry) => entries.push((line, entry)),
            Err(error) => {
                // The parser counts lines and columns from the entry's start; its words suffice.
                let words = error.to_string();
                let words = words.split(" at line ").next().unwrap_or_default().to_owned();
                problems.push(DirectoryProblem { line, error: DirectoryError::Json(words) });
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests;
