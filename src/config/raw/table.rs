//! Walking one table: known keys are taken out, what is left is a problem.
//!
//! Every mistake is noted in the [`Document`] and the walk goes on, so that a
//! file's problems are all told at once. A `take` that finds nothing usable is
//! `None`, and the caller goes on with the default.

use super::document::Document;
use super::item::{At, Item};
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, SECTIONS, Section};
use crate::secret::SecretRef;
use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// One table while it is read.
pub(crate) struct Table<'d> {
    document: &'d Document<'d>,
    section: &'static Section,
    path: String,
    span: Range<usize>,
    /// `None`: the table is not in the file.
    entries: Option<&'d DeTable<'d>>,
    taken: RefCell<Vec<&'static str>>,
}

impl<'d> Table<'d> {
    /// A table of the file, or (without entries) one that was left out.
    pub(crate) fn new(
        document: &'d Document<'d>,
        section: &'static Section,
        path: String,
        span: Range<usize>,
        entries: Option<&'d DeTable<'d>>,
    ) -> Self {
        Self { document, section, path, span, entries, taken: RefCell::default() }
    }

    /// The value of a known key.
    pub(crate) fn take(&self, name: &'static str) -> Option<Item<'d>> {
        let Some(key) = self.section.key(name) else {
            debug_assert!(false, "{}.{name} is not in the reference", self.section.path);
            return None;
        };
        self.taken.borrow_mut().push(name);
        let Some(value) = self.entries.and_then(|entries| entries.get(name)) else {
            if matches!(key.absent, Absent::Required) {
                self.missing(name, None);
            }
            return None;
        };
        Some(Item::new(self.document, key, self.join(name), value))
    }

    /// A table below this one; an empty one if it is not in the file.
    pub(crate) fn table(&self, name: &'static str) -> Table<'d> {
        let found = self.below(name);
        let Some((section, value)) = found else {
            return Table::new(self.document, self.expect(name), self.join(name), self.span.clone(), None);
        };
        let entries = match value.get_ref() {
            DeValue::Table(entries) => Some(entries),
            other => {
                let message = format!("must be a table, not {}", article(other.type_str()));
                let hint = Some(format!("begin it with {}", section.header()));
                self.document.report(value.span(), self.join(name), message, hint);
                None
            }
        };
        Table::new(self.document, section, self.join(name), value.span(), entries)
    }

    /// The tables of a `[[…]]` section, in the file's order; `None` if it is something else.
    pub(crate) fn tables(&self, name: &'static str) -> Option<Vec<Table<'d>>> {
        let Some((section, value)) = self.below(name) else { return Some(Vec::new()) };
        let wrong = |value: &Spanned<DeValue<'_>>, path: String| {
            let message = format!("must be a list of tables, not {}", article(value.get_ref().type_str()));
            self.document.report(
                value.span(),
                path,
                message,
                Some(format!("begin each with {}", section.header())),
            );
        };
        let DeValue::Array(elements) = value.get_ref() else {
            wrong(value, self.join(name));
            return None;
        };
        let mut tables = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let path = format!("{}[{index}]", self.join(name));
            match element.get_ref() {
                DeValue::Table(entries) => {
                    tables.push(Table::new(self.document, section, path, element.span(), Some(entries)));
                }
                _ => wrong(element, path),
            }
        }
        Some(tables)
    }

    /// Whether the table is in the file.
    pub(crate) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// Ends the walk: every key that nobody took is unknown.
    pub(crate) fn finish(self) {
        debug_assert!(
            self.section.names().all(|name| self.taken.borrow().contains(&name)),
            "a key of [{}] is in the reference, but nobody reads it",
            self.section.path
        );
        for key in self.unknown() {
            let name: &str = key.get_ref();
            let hint = self.hint_for(name);
            let (path, message) = (self.join(name), "unknown key".to_owned());
            self.document.report(key.span(), path, message, Some(hint));
        }
    }

    /// Notes a problem with the table itself.
    pub(crate) fn problem(&self, message: impl Into<String>, hint: Option<String>) {
        self.document.report(self.span.clone(), self.path.clone(), message.into(), hint);
    }

    /// Notes that a key is missing; unless it is there under a mistyped name, which is told as such.
    pub(crate) fn missing(&self, name: &str, hint: Option<String>) {
        let meant = |typed: &str| nearest(typed, self.section.names()) == Some(name);
        let mut unknown = self.unknown();
        if unknown.any(|key| meant(key.get_ref())) {
            return;
        }
        self.document.report_missing(self.span.clone(), self.join(name), "is missing".into(), hint);
    }

    /// The value with this table's place.
    pub(crate) fn at<T>(&self, value: T) -> At<T> {
        At { value, path: self.path.clone(), span: self.span.clone() }
    }

    /// Text; see [`Item::text`], and so on below.
    pub(crate) fn text(&self, name: &'static str) -> Option<At<String>> {
        self.take(name)?.text()
    }

    /// A name as [`super::item::NAME_RULE`] says.
    pub(crate) fn name(&self, name: &'static str) -> Option<At<String>> {
        self.take(name)?.name()
    }

    pub(crate) fn path(&self, name: &'static str) -> Option<At<PathBuf>> {
        self.take(name)?.path()
    }

    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        self.take(name)?.flag()
    }

    pub(crate) fn count(&self, name: &'static str) -> Option<u64> {
        self.take(name)?.count()
    }

    /// A count that the key's range keeps within `usize`.
    pub(crate) fn count_usize(&self, name: &'static str) -> Option<usize> {
        self.count(name).and_then(|count| usize::try_from(count).ok())
    }

    pub(crate) fn size(&self, name: &'static str) -> Option<At<u64>> {
        self.take(name)?.size()
    }

    pub(crate) fn time(&self, name: &'static str) -> Option<At<Duration>> {
        self.take(name)?.time()
    }

    pub(crate) fn choice(&self, name: &'static str) -> Option<&'static str> {
        self.take(name)?.choice()
    }

    pub(crate) fn address(&self, name: &'static str) -> Option<At<std::net::SocketAddr>> {
        self.take(name)?.address()
    }

    pub(crate) fn secret(&self, name: &'static str) -> Option<SecretRef> {
        self.take(name)?.secret()
    }

    /// The elements of a list; none if the key is left out.
    pub(crate) fn list(&self, name: &'static str) -> Vec<Item<'d>> {
        self.take(name).map(|item| item.list()).unwrap_or_default()
    }

    fn below(&self, name: &'static str) -> Option<(&'static Section, &'d Spanned<DeValue<'d>>)> {
        let section = self.expect(name);
        self.taken.borrow_mut().push(name);
        Some((section, self.entries?.get(name)?))
    }

    /// Keys that the reference doesn't know.
    fn unknown(&self) -> impl Iterator<Item = &'d Spanned<DeString<'d>>> {
        let keys = self.entries.into_iter().flatten().map(|(key, _)| key);
        keys.filter(|key| !self.section.names().any(|known| known == key.get_ref()))
    }

    /// The description of a table below this one.
    fn expect(&self, name: &'static str) -> &'static Section {
        self.section
            .below(name)
            .expect("readers ask for tables that the reference lists; a test reads them all")
    }

    fn join(&self, name: &str) -> String {
        // A hostile key is shown shortened and without control characters.
        let name: String =
            name.chars().take(64).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    fn hint_for(&self, name: &str) -> String {
        if let Some((_, later)) = LATER.iter().find(|(key, _)| *key == name) {
            return (*later).to_owned();
        }
        if let Some(near) = nearest(name, self.section.names()) {
            return format!("did you mean {near}?");
        }
        let elsewhere = SECTIONS.iter().find(|section| section.key(name).is_some());
        if let Some(section) = elsewhere {
            return match section.path {
                "" => format!("{name} belongs at the top of the file, before the first section"),
                _ => format!("{name} belongs in {}", section.header()),
            };
        }
        format!("known here are {}", self.section.names().collect::<Vec<_>>().join(", "))
    }
}

/// Keys of later builds.
const LATER: &[(&str, &str)] = &[(
    "tls",
    "TLS belongs to the address: write it under a [[listener]] with that address, as [listener.tls]",
)];

/// A type's name with its article.
pub(super) fn article(kind: &str) -> String {
    match kind.chars().next() {
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}
