//! The configuration's own description: every section and key, once.
//!
//! The readers in `raw` take their ranges and known keys from here,
//! and `docs/configuration.md` and `proxy.toml` are tested against it.

use super::raw;
use super::units::{show_duration, show_size};
use std::fmt::Write as _;
use std::time::Duration;

/// One table of the file.
#[derive(Debug)]
pub struct Section {
    /// Its path, such as `source.limits`; empty for the top of the file.
    pub path: &'static str,
    /// Whether it can be given several times (`[[…]]`).
    pub many: bool,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
    /// Its keys, in the order in which they are explained.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name in the section.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds if it is left out.
    pub absent: Absent,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// Letters, digits, `.`, `_`, `-`; 1 to 64 of them, the first a letter or digit.
    Name,
    /// A path of a file or folder.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A byte size from the first to the second.
    Size(u64, u64),
    /// A duration from the first to the second.
    Time(Duration, Duration),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address and port.
    Address,
    /// A secret's place.
    Secret,
    /// The name of an HTTP header.
    Header,
    /// A list; what is in it.
    List(&'static str),
    /// Something else, in words.
    Other(&'static str),
}

/// What holds if a key is left out.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// It can't be left out.
    Required,
    /// This value, as TOML.
    Value(&'static str),
    /// No value; what that means, in words.
    Unset(&'static str),
}

/// Every section, in the order in which they are explained.
pub static SECTIONS: &[&Section] = &[
    &raw::ROOT,
    &raw::secrets::SECTION,
    &raw::server::SECTION,
    &raw::source::SECTION,
    &raw::source::ACTOR,
    &raw::identity::JWT,
    &raw::inquiry::INTROSPECTION,
    &raw::inquiry::ASK,
    &raw::forward::SECTION,
    &raw::forward::HEALTH,
    &raw::durability::SECTION,
    &raw::limits::SECTION,
    &raw::listener::SECTION,
    &raw::listener::TLS,
    &raw::acme::SECTION,
    &raw::client_limits::SECTION,
    &raw::storage::RING,
    &raw::storage::SPOOL,
    &raw::destination::SECTION,
    &raw::redact::SECTION,
    &raw::meaning::SECTION,
    &raw::actors::SECTION,
    &raw::admin::SECTION,
    &raw::notify::SECTION,
    &raw::evidence::SECTION,
    &raw::log::SECTION,
];

/// Tables that can stand in the place of a single value.
pub static TABLES: &[&Section] = &[&raw::filter::FILTER, &raw::format::FORMAT];

impl Section {
    /// The key of this name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The table below this one of this name.
    pub(crate) fn below(&self, name: &str) -> Option<&'static Section> {
        SECTIONS.iter().copied().find(|section| section.parent_and_name() == Some((self.path, name)))
    }

    /// Names of the keys and tables that can stand in this one.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let tables = SECTIONS.iter().filter_map(|section| match section.parent_and_name() {
            Some((parent, name)) if parent == self.path => Some(name),
            _ => None,
        });
        self.keys.iter().map(|key| key.name).chain(tables)
    }

    /// The header as it is typed: `[server]`, `[[source]]`, `[source.limits]`.
    #[must_use]
    pub fn header(&self) -> String {
        if self.many { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) }
    }

    fn parent_and_name(&self) -> Option<(&'static str, &'static str)> {
        match (self.path, self.path.rsplit_once('.')) {
            ("", _) => None,
            (_, Some(split)) => Some(split),
            (path, None) => Some(("", path)),
        }
    }
}

impl Kind {
    /// What it takes, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Name => "name".into(),
            Self::Path => "path".into(),
            Self::Flag => "`true` or `false`".into(),
            Self::Count(min, max) => format!("number, {min} to {max}"),
            Self::Size(min, max) => format!("size, {} to {}", show_size(*min), show_size(*max)),
            Self::Time(min, max) => format!("duration, {} to {}", show_duration(*min), show_duration(*max)),
            Self::Choice(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
            }
            Self::Address => "address and port".into(),
            Self::Secret => {
                "`{ env = \"NAME\" }`, `{ file = \"path\" }` or `{ encrypted = \"Base64\" }`".into()
            }
            Self::Header => "header name".into(),
            Self::List(of) => format!("list of {of}"),
            Self::Other(words) => (*words).into(),
        }
    }
}

/// The tables of `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    for section in SECTIONS.iter().chain(TABLES) {
        let title = if section.path.is_empty() {
            "Top of the file".to_owned()
        } else {
            format!("`{}`", section.header())
        };
        let _ = write!(out, "### {title}\n\n{}\n\n", section.doc);
        out.push_str("| key | takes | default | meaning |\n| --- | --- | --- | --- |\n");
        for key in section.keys {
            let default = match key.absent {
                Absent::Required => "required".to_owned(),
                Absent::Value(value) => format!("`{value}`"),
                Absent::Unset(words) => words.to_owned(),
            };
            let _ = writeln!(out, "| `{}` | {} | {default} | {} |", key.name, key.kind.words(), key.doc);
        }
        out.push('\n');
    }
    out
}
