//! One value of the file, read as what its key takes.

use super::document::Document;
use super::table::{Table, article};
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::config::units;
use crate::secret::{Encrypted, SecretRef};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// What a name may be, as it is told.
pub(super) const NAME_RULE: &str =
    "letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit, without `..`";

/// A value with its place in the file.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
}

impl<T> At<T> {
    /// Notes a problem at this place.
    pub(crate) fn problem(&self, document: &Document<'_>, message: impl Into<String>, hint: Option<&str>) {
        document.report(self.span.clone(), self.path.clone(), message.into(), hint.map(str::to_owned));
    }
}

/// A value of the file that is still to be read.
pub(crate) struct Item<'d> {
    document: &'d Document<'d>,
    key: &'static Key,
    path: String,
    value: &'d Spanned<DeValue<'d>>,
}

impl<'d> Item<'d> {
    pub(crate) fn new(
        document: &'d Document<'d>,
        key: &'static Key,
        path: String,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Self {
        Self { document, key, path, value }
    }

    /// Notes a problem with this value and is `None`, for `return`.
    pub(crate) fn refuse<T>(&self, message: impl Into<String>, hint: Option<&str>) -> Option<T> {
        self.document.report(self.value.span(), self.path.clone(), message.into(), hint.map(str::to_owned));
        None
    }

    /// The value's place with something that was read from it.
    pub(crate) fn at<T>(&self, value: T) -> At<T> {
        At { value, path: self.path.clone(), span: self.value.span() }
    }

    /// Whether it is a string.
    pub(crate) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    /// Text: not empty, without control characters.
    pub(crate) fn text(&self) -> Option<At<String>> {
        let DeValue::String(text) = self.value.get_ref() else {
            return self.wrong_type("a string in quotes");
        };
        if text.is_empty() {
            let hint =
                matches!(self.key.absent, Absent::Value(_) | Absent::Unset(_)).then_some("leave the key out");
            return self.refuse("must not be empty", hint);
        }
        if text.chars().any(char::is_control) {
            return self.refuse("must not hold control characters", None);
        }
        Some(self.at(text.to_string()))
    }

    /// A name: it goes into file names, object keys and metrics.
    pub(crate) fn name(&self) -> Option<At<String>> {
        let text = self.text()?;
        let fits = text.value.len() <= 64
            && text.value.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !text.value.contains("..");
        if fits { Some(text) } else { self.refuse("is not a name", Some(NAME_RULE)) }
    }

    pub(crate) fn path(&self) -> Option<At<PathBuf>> {
        let text = self.text()?;
        Some(At { value: PathBuf::from(text.value), path: text.path, span: text.span })
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.wrong_type("true or false, without quotes"),
        }
    }

    pub(crate) fn count(&self) -> Option<u64> {
        let DeValue::Integer(number) = self.value.get_ref() else { return self.wrong_type("a whole number") };
        let Kind::Count(min, max) = self.key.kind else { return self.misdescribed() };
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => Some(number),
            None => self.refuse(format!("must be from {min} to {max}"), None),
        }
    }

    pub(crate) fn size(&self) -> Option<At<u64>> {
        let bytes = match self.value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) => match units::size(text) {
                Ok(bytes) => Some(bytes),
                Err(error) => return self.refuse(error.to_string(), Some("write it like \"64MiB\"")),
            },
            _ => return self.wrong_type("a size like \"64MiB\", or bytes as a number"),
        };
        let Kind::Size(min, max) = self.key.kind else { return self.misdescribed() };
        match bytes.filter(|bytes| (min..=max).contains(bytes)) {
            Some(bytes) => Some(self.at(bytes)),
            None => self
                .refuse(format!("must be from {} to {}", units::show_size(min), units::show_size(max)), None),
        }
    }

    pub(crate) fn time(&self) -> Option<At<Duration>> {
        let DeValue::String(text) = self.value.get_ref() else {
            return self.wrong_type("a duration with its unit, like \"30s\"");
        };
        let Kind::Time(min, max) = self.key.kind else { return self.misdescribed() };
        match units::duration(text) {
            Ok(time) if (min..=max).contains(&time) => Some(self.at(time)),
            Ok(_) => {
                let (min, max) = (units::show_duration(min), units::show_duration(max));
                self.refuse(format!("must be from {min} to {max}"), None)
            }
            Err(error) => {
                self.refuse(error.to_string(), Some("write it like \"180ms\", \"30s\", \"3m\" or \"72h\""))
            }
        }
    }

    pub(crate) fn choice(&self) -> Option<&'static str> {
        let text = self.text()?.value;
        let Kind::Choice(words) = self.key.kind else { return self.misdescribed() };
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        let near = nearest(&text, words.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
        let later = LATER_WORDS.contains(&text.as_str()).then(|| "not in this build yet".to_owned());
        let hint = later.or(near);
        self.refuse(format!("must be one of {}", words.join(", ")), hint.as_deref())
    }

    pub(crate) fn address(&self) -> Option<At<SocketAddr>> {
        let text = self.text()?;
        match text.value.parse() {
            Ok(address) => Some(self.at(address)),
            Err(_) => {
                let hint = "write it like \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::1]:8080\"; host names are not looked up";
                self.refuse("is not an IP address and port", Some(hint))
            }
        }
    }

    /// The name of a header, in lower case.
    pub(crate) fn header(&self) -> Option<At<String>> {
        let text = self.text()?;
        match http::HeaderName::from_bytes(text.value.as_bytes()) {
            Ok(name) => Some(self.at(name.as_str().to_owned())),
            Err(_) => self.refuse("is not the name of an HTTP header", None),
        }
    }

    /// The place of a secret. What was typed is not repeated in a problem: it may be the secret.
    pub(crate) fn secret(&self) -> Option<SecretRef> {
        const HINT: &str = "write { env = \"NAME\" }, { file = \"path\" } or { encrypted = \"Base64\" }; the secret itself doesn't belong here";
        let DeValue::Table(entries) = self.value.get_ref() else {
            return self.refuse("must say where the secret is", Some(HINT));
        };
        let table = Table::new(self.document, &SECRET, self.path.clone(), self.value.span(), Some(entries));
        let (env, file, encrypted) = (table.text("env"), table.path("file"), table.take("encrypted"));
        table.finish();
        if let Some(item) = encrypted {
            if env.is_some() || file.is_some() {
                return self.refuse("has encrypted beside env or file", Some("keep one of them"));
            }
            return item.encrypted();
        }
        match (env, file) {
            (Some(env), None) if !env.value.contains('=') => Some(SecretRef::Env(env.value)),
            (Some(_), None) => self.refuse("an environment variable's name has no `=`", Some(HINT)),
            (None, Some(file)) => Some(SecretRef::File(file.value)),
            (Some(_), Some(_)) => self.refuse("has both env and file", Some("keep one of them")),
            (None, None) if entries.is_empty() => self.refuse("must say where the secret is", Some(HINT)),
            (None, None) => None,
        }
    }

    /// A secret that stands here, encrypted. It is long, and not repeated.
    fn encrypted(&self) -> Option<SecretRef> {
        let Some(key) = self.document.secrets_key() else {
            return self.refuse("can't be used for the key that secrets are encrypted to", None);
        };
        let DeValue::String(text) = self.value.get_ref() else {
            return self.wrong_type("Base64 in quotes");
        };
        match Encrypted::read(text, key.clone()) {
            Ok(encrypted) => Some(SecretRef::Encrypted(encrypted)),
            Err(error) => self.refuse(error.to_string(), None),
        }
    }

    /// Names with texts, as in `{ a = "b" }`. Values may be empty.
    pub(crate) fn pairs(&self) -> Option<Vec<(String, String)>> {
        let Some(entries) = self.value.get_ref().as_table() else {
            return self.wrong_type("names with values, like { team = \"audit\" }");
        };
        let pair = |(name, value): (&Spanned<toml::de::DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let text = value.get_ref().as_str()?;
            Some((name.get_ref().to_string(), text.to_owned()))
        };
        let pairs: Option<Vec<_>> = entries.iter().map(pair).collect();
        pairs.or_else(|| self.refuse("has a value that is no string in quotes", None))
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Vec<Item<'d>> {
        let DeValue::Array(elements) = self.value.get_ref() else {
            let message = format!("a list in [ ] ({})", self.key.kind.words());
            self.wrong_type::<()>(&message);
            return Vec::new();
        };
        let element = |(index, value)| Item {
            document: self.document,
            key: self.key,
            path: format!("{}[{index}]", self.path),
            value,
        };
        elements.iter().enumerate().map(element).collect()
    }

    /// The same value, described by another key.
    pub(crate) fn with_key(&self, key: &'static Key) -> Self {
        Self { document: self.document, key, path: self.path.clone(), value: self.value }
    }

    /// Whether it is a list without elements.
    pub(crate) fn is_empty_list(&self) -> bool {
        self.value.get_ref().as_array().is_some_and(|elements| elements.is_empty())
    }

    /// A list, or its only element without brackets.
    pub(crate) fn one_or_list(self) -> Vec<Item<'d>> {
        if self.value.get_ref().is_array() { self.list() } else { vec![self] }
    }

    /// An inline table with its own description; `None` (without a problem) if it is none.
    pub(crate) fn inline(&self, section: &'static Section) -> Option<Table<'d>> {
        let entries = self.value.get_ref().as_table()?;
        Some(Table::new(self.document, section, self.path.clone(), self.value.span(), Some(entries)))
    }

    pub(crate) fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let found = article(self.value.get_ref().type_str());
        self.refuse(format!("must be {wanted}, not {found}"), None)
    }

    /// The reference gives the key another kind than its reader; a test reads every key.
    fn misdescribed<T>(&self) -> Option<T> {
        debug_assert!(false, "{} is not described as what it is read as", self.path);
        None
    }
}

/// Kinds of destination of later builds.
const LATER_WORDS: &[&str] = &["kafka"];

static SECRET: Section = Section {
    path: "{secret}",
    many: false,
    doc: "",
    keys: &[
        Key { name: "env", kind: Kind::Text, absent: Absent::Unset(""), doc: "" },
        Key { name: "file", kind: Kind::Path, absent: Absent::Unset(""), doc: "" },
        Key { name: "encrypted", kind: Kind::Text, absent: Absent::Unset(""), doc: "" },
    ],
};
