//! `onrecord verify`.

use super::progress::Bar;
use super::{OutputFormat, VerifyArgs, print_error};
use crate::clock::Clock;
use crate::evidence::anchor::AnchorFile;
use crate::evidence::note::Verifier;
use crate::evidence::proof::{self, Proof};
use crate::evidence::verify::{Report, VerifyOptions, verify};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// The exit code when nothing could be said.
const UNREADABLE: u8 = 2;

/// Judges what lies in a folder, or a proof.
pub(super) fn run(args: &VerifyArgs) -> ExitCode {
    let judged = match &args.proof {
        Some(_) if args.place.is_given() => Err("give a PATH or --proof FILE, not both".into()),
        Some(file) => proof(args, file),
        None => objects(args),
    };
    match judged {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_error(&*error);
            ExitCode::from(UNREADABLE)
        }
    }
}

type Judged = Result<bool, Box<dyn std::error::Error>>;

fn objects(args: &VerifyArgs) -> Judged {
    let place = args.place.open()?;
    let mut keys = keys(&args.key)?;
    if keys.is_empty() {
        keys.extend(place.key);
    }
    // One that is only configured may not have been written yet.
    let anchor = args.anchor.clone().or(place.anchor.filter(|path| path.exists()));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let options = VerifyOptions {
        keys,
        anchor: anchor.as_deref().map(AnchorFile::new),
        at: args.at.unwrap_or_else(|| Clock::System.unix_microseconds()),
        deep: args.deep,
        threads: args.threads.unwrap_or_else(|| place.source.threads(processors)),
        any_beginning: false,
    };
    let bar = Bar::new();
    let report = verify(&*place.source, &options, &|progress| bar.show(&progress));
    bar.clear();
    let report = report?;
    match args.format {
        OutputFormat::Text => print!("{report}"),
        OutputFormat::Json => println!("{}", json(&report)?),
    }
    Ok(report.is_clean())
}

/// The report with its verdicts.
fn json(report: &Report) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(report)?;
    value["integrity"] = json!(report.integrity());
    value["completeness"] = json!(report.completeness());
    serde_json::to_string_pretty(&value)
}

fn proof(args: &VerifyArgs, file: &Path) -> Judged {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let proof: Proof =
        serde_json::from_slice(&bytes).map_err(|error| format!("{} is no proof: {error}", file.display()))?;
    let proved = match proof::check(&proof, &keys(&args.key)?) {
        Ok(proved) => proved,
        Err(error) => {
            match args.format {
                OutputFormat::Text => println!("the proof does NOT hold: {error}"),
                OutputFormat::Json => println!("{}", json!({ "proved": false, "why": error.to_string() })),
            }
            return Ok(false);
        }
    };
    match args.format {
        OutputFormat::Text => print!("{proved}"),
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(&proved)?),
    }
    Ok(true)
}

/// The keys that are given, each as itself or as a file with one a line.
fn keys(given: &[String]) -> Result<Vec<Verifier>, Box<dyn std::error::Error>> {
    let mut keys = Vec::new();
    for given in given {
        if let Some(key) = Verifier::parse(given) {
            keys.push(key);
            continue;
        }
        let text = std::fs::read_to_string(given).map_err(|error| {
            format!("--key {given} is neither a public key nor a file that can be read: {error}")
        })?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let wrong = || format!("{given} holds a line that is no public key (name+id+base64)");
            keys.push(Verifier::parse(line).ok_or_else(wrong)?);
        }
        if keys.is_empty() {
            return Err(format!("{given} holds no public key").into());
        }
    }
    Ok(keys)
}
