//! Formats: from a record's bytes to the bytes that a reader of objects sees.
//!
//! An [`Encoder`] makes one row of each entry. A row is what a manifest commits to, and the
//! [`Framing`] says how rows make an object: lines, an array, or the columns of a Parquet file.

mod attributes;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod choices;
mod csv;
mod ecs;
mod escape;
mod facts;
mod flat;
mod json;
mod legacy;
mod masked;
mod ocsf;
mod options;
mod parquet;
#[cfg(test)]
mod samples;
pub mod schema;
#[cfg(test)]
mod stability;
mod template;
mod time;

pub use csv::Csv;
pub use ecs::Ecs;
pub use escape::push_escaped;
pub use flat::{Flat, FlatError, FlatRecord, read_flat};
pub use legacy::ContentfulLegacy;
pub use masked::{maskable, maskable_names};
pub use ocsf::{Class, Ocsf, OcsfOptions, Profiles, Version};
pub use options::{Compression, Dialect, FormatOptions};
pub use parquet::{Layout, Rows};
pub use template::{KeyFacts, KeyTemplate, TemplateError};
pub use time::{Civil, Timestamps, civil, time_text};

use crate::record::RecordView;

/// Where and as which number a record was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The operator's name of the machine that captured it.
    pub instance: &'a str,
    /// The life of the process that captured it, in hyphenated form.
    pub boot: &'a str,
    /// The worker's lane.
    pub lane: u16,
    /// The exchange's number in that lane.
    pub sequence: u64,
}

/// What is known beyond the record; each part that is there takes
/// the place of what the record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrichment {
    /// `actor.type`.
    pub actor_type: Option<String>,
    /// `actor.id`.
    pub actor_id: Option<String>,
    /// `actor.name`.
    pub actor_name: Option<String>,
    /// `actor.email`.
    pub actor_email: Option<String>,
    /// `actor.provenance`.
    pub actor_provenance: Option<String>,
    /// `actor.unverified`: why a token did not prove who sent it.
    pub actor_unverified: Option<&'static str>,
    /// `actor.issuer`: who says who the actor is.
    pub actor_issuer: Option<String>,
    /// `actor.app.id`: the client that the actor's token was given to.
    pub actor_app: Option<String>,
    /// `actor.delegate.id`: who acts on the actor's behalf.
    pub actor_delegate: Option<String>,
    /// `origin.type`.
    pub origin_type: Option<&'static str>,
    /// `origin.evidence`.
    pub origin_evidence: Vec<&'static str>,
    /// `session.id`, the bytes of a UUID.
    pub session_id: Option<[u8; 16]>,
    /// Fields that take the place of the record's own, in the byte form of a supplement
    /// ([`crate::record::supplement`]). Encoders are given the record with these in it.
    pub replaced: Vec<u8>,
}

impl Enrichment {
    /// Makes it as empty as a new one, and keeps the memory of its lists.
    pub fn clear(&mut self) {
        let (mut origin_evidence, mut replaced) =
            (std::mem::take(&mut self.origin_evidence), std::mem::take(&mut self.replaced));
        origin_evidence.clear();
        replaced.clear();
        *self = Self { origin_evidence, replaced, ..Self::default() };
    }
}

/// Adds to a record what its own bytes don't say.
pub trait Enrich: Send {
    /// Fills `out`, which comes in empty.
    fn enrich(&mut self, record: &RecordView<'_>, out: &mut Enrichment);
}

impl<F: FnMut(&RecordView<'_>, &mut Enrichment) + Send> Enrich for F {
    fn enrich(&mut self, record: &RecordView<'_>, out: &mut Enrichment) {
        self(record, out);
    }
}

/// One entry to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The record.
    pub record: &'a RecordView<'a>,
    /// Where it was captured.
    pub context: Context<'a>,
    /// What is known beyond it.
    pub enrichment: Option<&'a Enrichment>,
}

/// How the rows of an object are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Each row is a line, its newline included.
    Lines {
        /// What stands before the first.
        head: Vec<u8>,
    },
    /// A JSON array, a row an element and a line.
    Array,
    /// The columns of a Parquet file.
    Columns(Layout),
}

impl Framing {
    /// What stands before the first row.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        match self {
            Self::Lines { head } => head,
            Self::Array => b"[\n",
            Self::Columns(_) => b"",
        }
    }

    /// What stands between two rows.
    #[must_use]
    pub fn between(&self) -> &[u8] {
        match self {
            Self::Lines { .. } | Self::Columns(_) => b"",
            Self::Array => b",\n",
        }
    }

    /// What stands behind the last row.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        match self {
            Self::Lines { .. } | Self::Columns(_) => b"",
            Self::Array => b"\n]\n",
        }
    }
}

/// Turns entries into rows. An encoder is used for many objects, one after the other or
/// interleaved row by row.
pub trait Encoder: Send {
    /// The format's name in manifests and configuration.
    fn name(&self) -> &'static str;

    /// What object names end with, before `.gz`.
    fn extension(&self) -> &'static str {
        "jsonl"
    }

    /// How rows make an object: lines, where a format does not say otherwise.
    fn framing(&self) -> Framing {
        Framing::Lines { head: Vec::new() }
    }

    /// Appends the entry's row to `out`. A line brings its newline.
    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>);
}

/// Constant attributes as they stand in a JSON object behind others: `,"name":"value"` each.
fn constants(extra: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in extra {
        out.extend_from_slice(b",\"");
        push_escaped(&mut out, name.as_bytes());
        out.extend_from_slice(b"\":\"");
        push_escaped(&mut out, value.as_bytes());
        out.push(b'"');
    }
    out
}
