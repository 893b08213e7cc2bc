//! Schemas as text, for readers.

use super::{Column, Kind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// JSON Schema, draft 2020-12, of one row.
    JsonSchema,
    /// A view of DuckDB.
    DuckDb,
    /// A table of Amazon Athena.
    Athena,
    /// A query of ClickHouse.
    ClickHouse,
}

/// The schema of rows with these columns. `csv`: whether they are those of CSV files.
#[must_use]
pub fn print(columns: &[Column], dialect: Dialect, csv: bool) -> String {
    match dialect {
        Dialect::JsonSchema => json_schema(columns),
        Dialect::DuckDb => duckdb(columns, csv),
        Dialect::Athena => athena(columns, csv),
        Dialect::ClickHouse => clickhouse(columns, csv),
    }
}

fn json_schema(columns: &[Column]) -> String {
    let mut schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" });
    schema["properties"] = properties(columns);
    format!("{schema:#}\n")
}

fn properties(columns: &[Column]) -> Value {
    let property = |column: &Column| (column.name.clone(), json_type(&column.kind));
    Value::Object(columns.iter().map(property).collect::<Map<_, _>>())
}

fn json_type(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Long | Kind::Millis => json!({ "type": "integer" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::List(of) => json!({ "type": "array", "items": json_type(of) }),
        Kind::Object(columns) => json!({ "type": "object", "properties": properties(columns) }),
    }
}

/// `'` within a text of SQL.
fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

fn duckdb(columns: &[Column], csv: bool) -> String {
    let columns: Vec<String> =
        columns.iter().map(|c| format!("  {}: {}", quoted(&c.name), quoted(&duckdb_type(&c.kind)))).collect();
    let columns = columns.join(",\n");
    if csv {
        // `types` and not `columns`: files may have further ones. The rest is what would be guessed.
        return format!(
            "CREATE VIEW records AS SELECT * FROM read_csv('OBJECTS/**/*.csv', header = true, delim = ',', quote = '\"',\n\
             escape = '\"', union_by_name = true, types = {{\n{columns}\n}});\n"
        );
    }
    format!(
        "CREATE VIEW records AS SELECT * FROM read_json('OBJECTS/**/*.jsonl.gz', format = 'newline_delimited',\n\
         hive_partitioning = true, columns = {{\n{columns}\n}});\n"
    )
}

fn duckdb_type(kind: &Kind) -> String {
    match kind {
        Kind::Text => "VARCHAR".into(),
        Kind::Long | Kind::Millis => "BIGINT".into(),
        Kind::Flag => "BOOLEAN".into(),
        Kind::Time => "TIMESTAMPTZ".into(),
        Kind::List(of) => format!("{}[]", duckdb_type(of)),
        Kind::Object(columns) => {
            let fields = columns.iter().map(|c| format!("\"{}\" {}", c.name, duckdb_type(&c.kind)));
            format!("STRUCT({})", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

fn athena(columns: &[Column], csv: bool) -> String {
    let mut names = BTreeMap::new();
    let mut column = |c: &Column| {
        let kind = if csv { "string".to_owned() } else { athena_type(&c.kind, &mut names) };
        format!("  `{}` {kind}", athena_name(&c.name, &mut names))
    };
    let columns = columns.iter().map(&mut column).collect::<Vec<_>>().join(",\n");
    if csv {
        return format!(
            "CREATE EXTERNAL TABLE records (\n{columns}\n)\n\
             ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'\n\
             LOCATION 's3://BUCKET/PREFIX/'\nTBLPROPERTIES ('skip.header.line.count' = '1');\n"
        );
    }
    let mut properties: Vec<String> =
        names.iter().map(|(name, attribute)| format!("  'mapping.{name}' = '{attribute}'")).collect();
    properties.push("  'ignore.malformed.json' = 'false'".to_owned());
    format!(
        "CREATE EXTERNAL TABLE records (\n{columns}\n)\n\
         PARTITIONED BY (log_source string, organization_id string, year string, month string, day string)\n\
         ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\nWITH SERDEPROPERTIES (\n{}\n)\n\
         LOCATION 's3://BUCKET/PREFIX/';\n",
        properties.join(",\n")
    )
}

/// Names there hold no dots, of columns as little as within a `struct`: the SerDe is told which
/// attribute each is, wherever it stands.
fn athena_name(name: &str, names: &mut BTreeMap<String, String>) -> String {
    let plain = name.to_lowercase().replace(['.', '@'], "_");
    if plain != name {
        names.insert(plain.clone(), name.to_owned());
    }
    plain
}

fn athena_type(kind: &Kind, names: &mut BTreeMap<String, String>) -> String {
    match kind {
        // The SerDe knows times of other forms only; from_iso8601_timestamp reads these.
        Kind::Text | Kind::Time => "string".into(),
        Kind::Long | Kind::Millis => "bigint".into(),
        Kind::Flag => "boolean".into(),
        Kind::List(of) => format!("array<{}>", athena_type(of, names)),
        Kind::Object(columns) => {
            let mut field =
                |c: &Column| format!("`{}`:{}", athena_name(&c.name, names), athena_type(&c.kind, names));
            format!("struct<{}>", columns.iter().map(&mut field).collect::<Vec<_>>().join(","))
        }
    }
}

fn clickhouse(columns: &[Column], csv: bool) -> String {
    let column = |c: &Column| format!("`{}` {}", c.name, clickhouse_type(&c.kind));
    let columns = columns.iter().map(column).collect::<Vec<_>>().join(", ");
    let (files, format) = if csv { ("**/*.csv", "CSVWithNames") } else { ("**/*.jsonl.gz", "JSONEachRow") };
    format!(
        "SELECT * FROM file('OBJECTS/{files}', '{format}', {})\n\
         SETTINGS date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1;\n",
        quoted(&columns)
    )
}

fn clickhouse_type(kind: &Kind) -> String {
    match kind {
        Kind::Text => "String".into(),
        Kind::Long | Kind::Millis => "Int64".into(),
        Kind::Flag => "Bool".into(),
        Kind::Time => "DateTime64(6, 'UTC')".into(),
        Kind::List(of) => format!("Array({})", clickhouse_type(of)),
        Kind::Object(columns) => {
            let fields = columns.iter().map(|c| format!("`{}` {}", c.name, clickhouse_type(&c.kind)));
            format!("Tuple({})", fields.collect::<Vec<_>>().join(", "))
        }
    }
}
