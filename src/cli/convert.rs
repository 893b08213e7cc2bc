//! `onrecord convert`: delivered flat objects in another format.

use super::print_error;
use super::schema::{class, version};
use crate::format::{
    Class, Context, Dialect, Enrichment, Entry, FlatError, FormatOptions, Framing, OcsfOptions, Rows,
    Version, read_flat,
};
use crate::record::RecordView;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;

/// What `onrecord convert` takes.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// A flat object, or a folder of them
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The format to make
    #[arg(long, value_name = "FORMAT")]
    pub to: To,
    /// Where the result goes; must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// `ocsf` and `parquet-ocsf`: the version, 1.3.0 or 1.8.0
    #[arg(long, value_name = "VERSION", default_value = "1.8.0", value_parser = version)]
    pub version: Version,
    /// `ocsf` and `parquet-ocsf`: the class
    #[arg(long, value_name = "CLASS", default_value = "api_activity", value_parser = class)]
    pub class: Class,
}

/// Formats that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// Flat JSON lines.
    Flat,
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// Documents of the Elastic Common Schema.
    Ecs,
    /// CSV.
    Csv,
    /// The shape of Contentful's former JSON samples.
    ContentfulLegacy,
    /// Columns of flat records.
    Parquet,
    /// Columns of OCSF events.
    ParquetOcsf,
}

/// Why nothing, or not all, was converted.
#[derive(Debug, Error)]
enum ConvertError {
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{}, line {line}", path.display())]
    Line { path: PathBuf, line: usize, source: FlatError },
    #[error("cannot write the result")]
    Write(#[source] io::Error),
}

/// Converts.
pub(super) fn run(args: &ConvertArgs) -> ExitCode {
    match convert(args) {
        Ok(records) => {
            eprintln!("{records} records");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn convert(args: &ConvertArgs) -> Result<u64, ConvertError> {
    let ocsf = OcsfOptions { version: args.version, class: args.class, ..OcsfOptions::default() };
    let dialect = match args.to {
        To::Flat => Dialect::Flat,
        To::Ocsf => Dialect::Ocsf(ocsf),
        To::Ecs => Dialect::Ecs,
        To::Csv => Dialect::Csv(Vec::new()),
        To::ContentfulLegacy => Dialect::ContentfulLegacy,
        To::Parquet => Dialect::Parquet(Rows::Flat),
        To::ParquetOcsf => Dialect::Parquet(Rows::Ocsf(ocsf)),
    };
    let mut encoder = FormatOptions { dialect, ..FormatOptions::default() }.encoder();
    let framing = encoder.framing();
    let mut paths = Vec::new();
    objects(&args.path, &mut paths)?;
    paths.sort();
    let mut out: Box<dyn Write + Send> = match &args.out {
        Some(path) => Box::new(File::create_new(path).map_err(ConvertError::Write)?),
        None => Box::new(io::stdout()),
    };
    let (mut rows, mut records) = (framing.head().to_vec(), 0);
    for path in &paths {
        let source = source(path);
        for (index, line) in lines(path)?.split(b'\n').enumerate() {
            let line = line.map_err(|error| ConvertError::Read(path.clone(), error))?;
            let read = read_flat(&line, &source).map_err(|source| ConvertError::Line {
                path: path.clone(),
                line: index + 1,
                source,
            })?;
            if records > 0 {
                rows.extend_from_slice(framing.between());
            }
            records += 1;
            let [_, issuer, app, delegate] = read.found;
            let found = Enrichment {
                actor_issuer: issuer,
                actor_app: app,
                actor_delegate: delegate,
                ..Enrichment::default()
            };
            let record = RecordView::parse(&read.bytes).expect("the record was just written");
            let (instance, boot) = (read.instance.as_str(), read.boot.as_str());
            let context = Context { instance, boot, lane: read.lane, sequence: read.sequence };
            encoder.encode(&Entry { record: &record, context, enrichment: Some(&found) }, &mut rows);
            // Columns are made of all rows at once; others leave as they come.
            if rows.len() > 1 << 20 && !matches!(framing, Framing::Columns(_)) {
                out.write_all(&rows).map_err(ConvertError::Write)?;
                rows.clear();
            }
        }
    }
    rows.extend_from_slice(framing.tail());
    let written = match &framing {
        Framing::Columns(layout) => layout.write(&rows, out).and_then(|mut out| out.flush()),
        _ => out.write_all(&rows).and_then(|()| out.flush()),
    };
    written.map_err(ConvertError::Write)?;
    Ok(records)
}

/// Every flat object at or below a path; names that begin with `_` or `.` hide what is none.
fn objects(path: &Path, into: &mut Vec<PathBuf>) -> Result<(), ConvertError> {
    let error = |error| ConvertError::Read(path.to_owned(), error);
    if !path.is_dir() {
        into.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if entry.path().is_dir() || name.ends_with(".jsonl.gz") || name.ends_with(".jsonl") {
            objects(&entry.path(), into)?;
        }
    }
    Ok(())
}

fn lines(path: &Path) -> Result<Box<dyn BufRead>, ConvertError> {
    let file = File::open(path).map_err(|error| ConvertError::Read(path.to_owned(), error))?;
    let reader: Box<dyn Read> = match path.extension().is_some_and(|end| end == "gz") {
        true => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        false => Box::new(file),
    };
    Ok(Box::new(BufReader::new(reader)))
}

/// The log source that a key's folders name.
fn source(path: &Path) -> String {
    let named = |part: std::path::Component<'_>| {
        Some(part.as_os_str().to_string_lossy().strip_prefix("log_source=")?.to_owned())
    };
    let escaped = path.components().find_map(named).unwrap_or_default();
    percent_encoding::percent_decode_str(&escaped).decode_utf8_lossy().into_owned()
}
