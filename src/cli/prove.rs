//! `onrecord prove`.

use super::{PlaceArgs, print_error};
use crate::evidence::proof::prove;
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `onrecord prove` takes.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Where the objects are
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The record's `event.id`
    #[arg(long, value_name = "EVENT_ID")]
    pub id: uuid::Uuid,
    /// Where the proof goes [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Writes the proof of one record.
pub(super) fn run(args: &ProveArgs) -> ExitCode {
    match write(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

fn write(args: &ProveArgs) -> Result<(), Box<dyn std::error::Error>> {
    let proof = prove(&*args.place.open()?.source, args.id)?;
    let text = serde_json::to_string_pretty(&proof)?;
    match &args.out {
        Some(path) => std::fs::write(path, format!("{text}\n"))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?,
        None => writeln!(std::io::stdout(), "{text}")?,
    }
    Ok(())
}
