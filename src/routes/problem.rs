//! What can be wrong with a catalogue, and where.

use std::fmt;
use thiserror::Error;

/// One problem of one catalogue. A catalogue is refused with all of its
/// problems at once.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct CatalogueProblem {
    /// Name of the catalogue, or of the file where it has none yet.
    pub catalogue: String,
    /// The row, counted from 1; `None` for the head.
    pub row: Option<usize>,
    /// Method and template of that row, as far as they are known.
    pub route: Option<String>,
    /// The key, with dots for inner ones (`variants.1.action`).
    pub key: Option<String>,
    /// What is wrong with it.
    pub fault: CatalogueFault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogueFault {
    /// The text is not JSON or TOML at all; the parser's own words.
    #[error("{0}")]
    Syntax(String),
    /// The value has another form than this key wants.
    #[error("{0}")]
    Form(String),
    /// A key that catalogues do not have.
    #[error("unknown key{}", suggestion(.nearest.as_deref()))]
    UnknownKey {
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    #[error("missing")]
    Missing,
    /// An action outside the closed list.
    #[error("`{0}` is not an action")]
    UnknownAction(String),
    /// A category outside the closed list.
    #[error("`{0}` is not a category: configuration, access, content, bulk, delivery")]
    UnknownCategory(String),
    /// A template that no path could match, or that is written in another syntax.
    #[error("`{template}`: {why}")]
    Template {
        /// As written.
        template: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// A row names a placeholder that its template does not have.
    #[error("`{0}` is not a placeholder of the template")]
    NotInTemplate(String),
    /// Two rows name the placeholder at one position differently.
    #[error("`:{name}` stands where {other} has `:{other_name}`; one position has one name")]
    NamesDiffer {
        /// The name here.
        name: String,
        /// The other row.
        other: String,
        /// The name there.
        other_name: String,
    },
    /// Two rows have one method and template for one host.
    #[error("the same method and template as {0}; `replaces = true` puts a row in the place of another")]
    Duplicate(String),
    /// A row that is to replace another has none to replace.
    #[error("no other catalogue of this source has a route of this method and template")]
    ReplacesNothing,
}

impl fmt::Display for CatalogueProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "catalogue `{}`", self.catalogue)?;
        if let Some(row) = self.row {
            write!(f, ", route {row}")?;
        }
        if let Some(route) = &self.route {
            write!(f, " ({route})")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", key `{key}`")?;
        }
        write!(f, ": {}", self.fault)
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}
