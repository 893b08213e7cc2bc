//! Parquet: the rows of one object as columns.
//!
//! Rows are encoded as JSON lines, which is what the manifest commits to, and turned into columns
//! when the object is complete: one row group, zstd, times as logical types, statistics for all
//! columns, and bloom filters on ids. Columns that are the same in every record cost almost
//! nothing; those that only some records have are null in the others.

use super::schema::{self, Column, Kind};
use super::{Encoder, Entry, Flat, Framing, Ocsf, OcsfOptions, Timestamps};
use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::Arc;

/// Rows are turned into columns so many at a time.
const BATCH: usize = 4096;

/// What the rows of a Parquet object are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Flat records.
    #[default]
    Flat,
    /// OCSF events.
    Ocsf(OcsfOptions),
}

/// What is known of the columns before there are rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    rows: Rows,
    /// Names of constant attributes.
    extra: Vec<String>,
}

/// Encodes rows for Parquet objects.
pub(super) struct Parquet {
    inner: Box<dyn Encoder>,
    layout: Layout,
}

impl Parquet {
    pub(super) fn new(rows: Rows, extra: &[(String, String)]) -> Self {
        let inner: Box<dyn Encoder> = match rows {
            Rows::Flat => Box::new(Flat::new(Timestamps::Microseconds).with_extra(extra)),
            Rows::Ocsf(options) => Box::new(Ocsf::new(options, extra)),
        };
        let extra = extra.iter().map(|(name, _)| name.clone()).collect();
        Self { inner, layout: Layout { rows, extra } }
    }
}

impl Encoder for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn framing(&self) -> Framing {
        Framing::Columns(self.layout.clone())
    }

    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.inner.encode(entry, out);
    }
}

impl Layout {
    /// Writes a Parquet file of these rows, JSON lines.
    ///
    /// # Errors
    /// What `out` says; or that a row is none of this layout's encoder.
    pub fn write<W: Write + Send>(&self, rows: &[u8], out: W) -> io::Result<W> {
        let columns = self.columns(rows);
        let count = memchr::memchr_iter(b'\n', rows).count();
        let schema = Arc::new(Schema::new(fields(&columns)));
        let properties = self.properties(count as u64);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options)?;
        let mut decoder =
            ReaderBuilder::new(schema).with_batch_size(BATCH).build_decoder().map_err(io::Error::other)?;
        let mut rest = rows;
        while !rest.is_empty() {
            let read = decoder.decode(rest).map_err(io::Error::other)?;
            rest = &rest[read..];
            // It stops where a batch is full.
            if let Some(batch) = decoder.flush().map_err(io::Error::other)? {
                writer.write(&batch)?;
            }
        }
        writer.into_inner().map_err(io::Error::other)
    }

    fn properties(&self, rows: u64) -> WriterProperties {
        let path = |names: &[&str]| ColumnPath::new(names.iter().map(|name| (*name).to_owned()).collect());
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
            .set_created_by(concat!("onrecord ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(None)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        let (ids, unique, rising): (Vec<_>, _, Vec<_>) = match self.rows {
            Rows::Flat => (
                vec![path(&["event.id"]), path(&["actor.id"]), path(&["resource.id"])],
                path(&["event.id"]),
                vec![path(&["event.start"]), path(&["event.end"]), path(&["onrecord.sequence"])],
            ),
            Rows::Ocsf(_) => (
                vec![
                    path(&["metadata", "uid"]),
                    path(&["actor", "user", "uid"]),
                    path(&["resources", "list", "element", "uid"]),
                    path(&["web_resources", "list", "element", "uid"]),
                ],
                path(&["metadata", "uid"]),
                vec![path(&["time"]), path(&["start_time"]), path(&["end_time"])],
            ),
        };
        for id in ids {
            properties = properties
                .set_column_bloom_filter_enabled(id.clone(), true)
                .set_column_bloom_filter_max_ndv(id, rows.max(1));
        }
        properties = properties
            .set_column_dictionary_enabled(unique.clone(), false)
            .set_column_encoding(unique, Encoding::DELTA_BYTE_ARRAY);
        for column in rising {
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
        properties.build()
    }

    /// The columns of these rows: those of the format, with the namespaces that occur and what
    /// the gateway's own records say of themselves.
    fn columns(&self, rows: &[u8]) -> Vec<Column> {
        let lines = || rows.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        // Quotes within values are escaped: this is the attribute.
        let own = lines().filter(|line| memchr::memmem::find(line, b"\"onrecord.lane\":65535").is_some());
        let extra = self.extra.iter().map(|name| Column::new(name, Kind::Text));
        match self.rows {
            Rows::Flat => {
                let mut namespaces: Vec<String> = Vec::new();
                for line in lines() {
                    let Some(namespace) = namespace(line) else { continue };
                    if !namespaces.contains(&namespace) {
                        namespaces.push(namespace);
                    }
                }
                namespaces.sort();
                let mut columns = schema::flat(&namespaces);
                columns.extend(extra);
                own.for_each(|line| add_own(&mut columns, serde_json::from_slice(line).ok()));
                columns
            }
            Rows::Ocsf(options) => {
                let mut columns = schema::ocsf(&options);
                let unmapped = columns.iter_mut().find(|column| column.name == "unmapped");
                if let Some(Column { kind: Kind::Object(unmapped), .. }) = unmapped {
                    unmapped.extend(extra);
                    for line in own {
                        let event: Option<Value> = serde_json::from_slice(line).ok();
                        add_own(unmapped, event.map(|mut event| event["unmapped"].take()));
                    }
                }
                columns
            }
        }
    }
}

/// Adds what an own record holds beyond the known columns.
fn add_own(columns: &mut Vec<Column>, attributes: Option<Value>) {
    let Some(Value::Object(attributes)) = attributes else { return };
    for (name, value) in attributes {
        if columns.iter().any(|column| column.name == name) {
            continue;
        }
        let kind = match value {
            Value::Bool(_) => Kind::Flag,
            Value::Number(_) => Kind::Long,
            Value::Array(_) => Kind::List(Box::new(Kind::Text)),
            _ => Kind::Text,
        };
        columns.push(Column { name, kind });
    }
}

/// The namespace of a flat line: what stands before the first `.organization.id`.
fn namespace(line: &[u8]) -> Option<String> {
    let end = memchr::memmem::find(line, b".organization.id\":\"")?;
    // It is the second attribute, or the first of a record without an id.
    let start = match line.starts_with(b"{\"event.id\":") {
        true => memchr::memmem::find(line, b"\",\"")? + 2,
        false => 1,
    };
    let text = std::str::from_utf8(line.get(start..end)?).ok()?;
    serde_json::from_str(&format!("{text}\"")).ok()
}

fn fields(columns: &[Column]) -> Fields {
    columns.iter().map(|column| Field::new(&column.name, data_type(&column.kind), true)).collect()
}

fn data_type(kind: &Kind) -> DataType {
    let utc = || Some("+00:00".into());
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Long => DataType::Int64,
        Kind::Flag => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, utc()),
        Kind::Millis => DataType::Timestamp(TimeUnit::Millisecond, utc()),
        Kind::List(of) => DataType::List(Arc::new(Field::new("element", data_type(of), true))),
        Kind::Object(columns) => DataType::Struct(fields(columns)),
    }
}

#[cfg(test)]
mod tests;
