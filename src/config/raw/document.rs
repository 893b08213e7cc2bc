//! The text of one configuration file, and the list of its problems.

use crate::config::problem::{Problem, Problems};
use crate::secret::SecretRef;
use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::DeTable;

/// Errors of syntax that are told; a file with more is no TOML at all.
const MOST_SYNTAX_ERRORS: usize = 100;

/// One file while it is read.
pub(crate) struct Document<'t> {
    file: &'t Path,
    text: &'t str,
    /// Byte offset of the begin of each line.
    lines: Vec<usize>,
    /// Lines with an error of syntax: what else seems wrong with them follows from that.
    broken: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    /// The private key that secrets are encrypted to; not before its own section has been read.
    secrets_key: OnceCell<SecretRef>,
}

impl<'t> Document<'t> {
    /// Reads the file's syntax, as far as it goes: also a broken file has a tree, of its sound lines.
    pub(crate) fn parse(file: &'t Path, text: &'t str) -> (Self, Spanned<DeTable<'t>>) {
        let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        let mut document = Self {
            file,
            text,
            lines: lines.collect(),
            broken: Vec::new(),
            problems: RefCell::default(),
            secrets_key: OnceCell::new(),
        };
        let (tree, errors) = DeTable::parse_recoverable(text);
        let mut broken = Vec::new();
        for error in errors.into_iter().take(MOST_SYNTAX_ERRORS) {
            let span = error.span().unwrap_or(0..0);
            let (line, _) = document.place(span.start);
            if !broken.contains(&line) {
                document.report(span, String::new(), format!("not valid TOML: {}", error.message()), None);
                broken.push(line);
            }
        }
        document.broken = broken;
        (document, tree)
    }

    /// Notes a problem at this range of the text.
    pub(crate) fn report(&self, span: Range<usize>, path: String, message: String, hint: Option<String>) {
        let (line, column) = self.place(span.start);
        if self.broken.contains(&line) {
            return;
        }
        let problem = Problem { file: self.file.to_owned(), line, column, path, message, hint };
        self.problems.borrow_mut().push(problem);
    }

    /// Notes that something is missing; not in a broken file, where it may only be unreadable.
    pub(crate) fn report_missing(
        &self,
        span: Range<usize>,
        path: String,
        message: String,
        hint: Option<String>,
    ) {
        if self.broken.is_empty() {
            self.report(span, path, message, hint);
        }
    }

    /// Takes the place of the key that secrets are encrypted to, for all that are read from now on.
    pub(crate) fn take_secrets_key(&self, key: &SecretRef) {
        let _ = self.secrets_key.set(key.clone());
    }

    /// The place of that key; `None` while its own section is read.
    pub(crate) fn secrets_key(&self) -> Option<&SecretRef> {
        self.secrets_key.get()
    }

    /// What was noted.
    pub(crate) fn into_problems(self) -> Option<Problems> {
        Problems::new(self.problems.into_inner())
    }

    /// Line and column, both from 1, of a byte offset.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.lines[line - 1];
        let before = self.text.as_bytes().get(begin..offset).unwrap_or_default();
        // Continuation bytes of UTF-8 are no characters of their own.
        let column = before.iter().filter(|byte| (**byte & 0xC0) != 0x80).count() + 1;
        (line, column)
    }
}
