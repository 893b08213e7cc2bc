//! `onrecord setup`: what has to be set up at a cloud, ready to paste.
//!
//! Least privilege: the gateway creates objects, and can neither read, list nor delete.
//! Nothing is asked of the cloud, and nothing is changed there.

mod aws;
mod azure;
mod gcp;

use super::run;
use crate::deliver::{DestinationOptions, Store};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// For which cloud `onrecord setup` prints.
#[derive(Debug, Subcommand)]
pub enum SetupCommand {
    /// For a bucket of Amazon S3: role, trust and policy
    Aws(SetupArgs),
    /// For a container of Azure Blob Storage: the container, and a signature or role that only creates and writes
    Azure(SetupArgs),
    /// For a bucket of Google Cloud Storage: service account, role and binding
    Gcp(SetupArgs),
}

/// What `onrecord setup` takes.
#[derive(Debug, Default, Args)]
pub struct SetupArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    pub config: PathBuf,
    /// The destination; not needed where only one is of that cloud
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// aws: who takes the role, the gateway's own identity (ARN); azure: the object id of the gateway's identity
    #[arg(long, value_name = "ID")]
    pub principal: Option<String>,
    /// aws: without this external id nobody can take the role
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,
}

/// Prints it.
pub(super) fn run_setup(command: &SetupCommand) -> ExitCode {
    let (args, kind) = match command {
        SetupCommand::Aws(args) => (args, "s3"),
        SetupCommand::Azure(args) => (args, "azure"),
        SetupCommand::Gcp(args) => (args, "gcs"),
    };
    let config = match run::load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let printed = |known: &DestinationOptions| match (command, &known.store) {
        (SetupCommand::Aws(_), Store::S3(options)) => Some(aws::print(args, known, options)),
        (SetupCommand::Azure(_), Store::Azure(options)) => Some(azure::print(args, known, options)),
        (SetupCommand::Gcp(_), Store::Gcs(options)) => Some(gcp::print(known, options)),
        _ => None,
    };
    let is_meant =
        |known: &&DestinationOptions| args.destination.as_ref().is_none_or(|name| *name == known.name);
    let found: Vec<String> = config.destinations.iter().filter(is_meant).filter_map(printed).collect();
    let [text] = found.as_slice() else {
        eprintln!(
            "onrecord: {} has {} destinations of type {kind} that fit; name one with --destination",
            args.config.display(),
            found.len()
        );
        return ExitCode::FAILURE;
    };
    print!("{text}");
    ExitCode::SUCCESS
}

/// A word as a shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    /// The documents in a printed text, by the names of their files; the shell must be able to read it all.
    pub(super) fn documents(text: &str) -> Vec<(String, Value)> {
        let read = std::process::Command::new("bash").args(["-n", "-c", text]).output().unwrap();
        assert!(read.status.success() && read.stderr.is_empty(), "{}", String::from_utf8_lossy(&read.stderr));
        let parts = text.split("<<'JSON'\n").skip(1).zip(text.split("cat > ").skip(1));
        parts
            .map(|(json, name)| {
                let name = name.split(' ').next().unwrap().to_owned();
                (name, serde_json::from_str(json.split("\nJSON\n").next().unwrap()).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_word_comes_back_from_the_shell_as_it_was() {
        for text in ["logs/", "it's $(here)", "a b", ""] {
            let script = format!("printf %s {}", super::quoted(text));
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }
}
