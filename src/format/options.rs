//! What an operator can set about the format of a destination.

use super::masked::Masked;
use super::parquet::{Parquet, Rows};
use super::template::KeyTemplate;
use super::{ContentfulLegacy, Csv, Ecs, Encoder, Flat, Ocsf, OcsfOptions, Timestamps};
use crate::record::Field;

/// The format of one destination (`[destination.format]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormatOptions {
    /// What records look like.
    pub dialect: Dialect,
    /// How times are written where a format leaves the choice.
    pub timestamps: Timestamps,
    /// Constant attributes that are added to each record: name and value.
    pub extra: Vec<(String, String)>,
    /// Attributes that are left out, as if they had never been known.
    pub leave_out: Vec<Field>,
    /// How keys of objects are made; `None`: as the format has it.
    pub key: Option<KeyTemplate>,
    /// How objects are compressed; `None`: as the format has it.
    pub compression: Option<Compression>,
}

/// What records look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// One flat JSON object a line.
    #[default]
    Flat,
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf(OcsfOptions),
    /// The shape of Contentful's former audit logs.
    ContentfulLegacy,
    /// Rows of a CSV file, with these attributes of the flat format as further columns.
    Csv(Vec<String>),
    /// Documents of the Elastic Common Schema.
    Ecs,
    /// Columns.
    Parquet(Rows),
}

impl Dialect {
    /// Whether objects are columns, compressed by the format itself.
    #[must_use]
    pub fn is_columns(&self) -> bool {
        matches!(self, Self::Parquet(_))
    }

    /// Whether the gateway's own records have a place in it. Where they have not, they are only
    /// written if that is asked for.
    #[must_use]
    pub fn has_own_records(&self) -> bool {
        !matches!(self, Self::Csv(_) | Self::ContentfulLegacy)
    }
}

/// How an object is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip: the name ends with `.gz`.
    Gzip,
    /// Not at all, or by the format itself.
    None,
}

impl FormatOptions {
    /// The encoder of this format.
    #[must_use]
    pub fn encoder(&self) -> Box<dyn Encoder> {
        let encoder: Box<dyn Encoder> = match &self.dialect {
            Dialect::Flat => Box::new(Flat::new(self.timestamps).with_extra(&self.extra)),
            Dialect::Ocsf(options) => Box::new(Ocsf::new(*options, &self.extra)),
            Dialect::ContentfulLegacy => Box::new(ContentfulLegacy::new(&self.extra)),
            Dialect::Csv(columns) => Box::new(Csv::new(self.timestamps, columns, &self.extra)),
            Dialect::Ecs => Box::new(Ecs::new(&self.extra)),
            Dialect::Parquet(rows) => Box::new(Parquet::new(*rows, &self.extra)),
        };
        match self.leave_out.is_empty() {
            true => encoder,
            false => Box::new(Masked::new(encoder, &self.leave_out)),
        }
    }

    /// How objects are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression.unwrap_or(match self.dialect {
            Dialect::Flat | Dialect::Ocsf(_) | Dialect::Ecs => Compression::Gzip,
            Dialect::Csv(_) | Dialect::ContentfulLegacy | Dialect::Parquet(_) => Compression::None,
        })
    }

    /// How keys of objects are made.
    #[must_use]
    pub fn key(&self) -> KeyTemplate {
        self.key.clone().unwrap_or_else(|| match self.dialect {
            Dialect::Csv(_) => KeyTemplate::csv(),
            _ => KeyTemplate::default(),
        })
    }
}
