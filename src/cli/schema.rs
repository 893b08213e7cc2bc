//! `onrecord schema`: what a reader needs to know of a format.

use crate::format::{Class, OcsfOptions, Version, schema};
use clap::{Args, ValueEnum};
use std::process::ExitCode;

/// What `onrecord schema` takes.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The format
    #[arg(value_name = "FORMAT")]
    pub of: Of,
    /// How to write it
    #[arg(long, value_name = "READER", default_value = "json-schema")]
    pub format: Reader,
    /// `flat`: the namespaces of the sources; can be given several times
    #[arg(long, value_name = "NAME", default_value = "contentful")]
    pub namespace: Vec<String>,
    /// `ocsf`: the version, 1.3.0 or 1.8.0
    #[arg(long, value_name = "VERSION", default_value = "1.8.0", value_parser = version)]
    pub version: Version,
    /// `ocsf`: the class
    #[arg(long, value_name = "CLASS", default_value = "api_activity", value_parser = class)]
    pub class: Class,
}

/// Formats that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// Flat JSON lines.
    Flat,
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// CSV files.
    Csv,
    /// Documents of the Elastic Common Schema.
    Ecs,
}

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reader {
    /// JSON Schema of one row.
    JsonSchema,
    /// A view for DuckDB.
    Duckdb,
    /// A table for Amazon Athena.
    Athena,
    /// A query for ClickHouse.
    Clickhouse,
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    match text {
        "1.3.0" => Ok(Version::V1_3),
        "1.8.0" => Ok(Version::V1_8),
        _ => Err("must be 1.3.0 or 1.8.0".to_owned()),
    }
}

pub(super) fn class(text: &str) -> Result<Class, String> {
    match text {
        "api_activity" => Ok(Class::ApiActivity),
        "web_resources_activity" => Ok(Class::WebResourcesActivity),
        _ => Err("must be api_activity or web_resources_activity".to_owned()),
    }
}

/// Prints a schema.
pub(super) fn run(args: &SchemaArgs) -> ExitCode {
    let options = OcsfOptions { version: args.version, class: args.class, ..OcsfOptions::default() };
    let columns = match args.of {
        Of::Flat => schema::flat(&args.namespace),
        Of::Ocsf => schema::ocsf(&options),
        Of::Csv => schema::csv(),
        Of::Ecs => schema::ecs(),
    };
    let reader = match args.format {
        Reader::JsonSchema => schema::SchemaDialect::JsonSchema,
        Reader::Duckdb => schema::SchemaDialect::DuckDb,
        Reader::Athena => schema::SchemaDialect::Athena,
        Reader::Clickhouse => schema::SchemaDialect::ClickHouse,
    };
    print!("{}", schema::print(&columns, reader, args.of == Of::Csv));
    ExitCode::SUCCESS
}
