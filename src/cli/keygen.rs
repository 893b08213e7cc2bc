//! `onrecord keygen`.

use super::print_error;
use crate::evidence::keys::{KeyError, SigningKey};
use crate::evidence::note::{Verifier, is_name};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `onrecord keygen` takes.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Where the key goes; must not be there yet
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Show the public half of the key in --key
    #[arg(long, requires = "key")]
    pub public: bool,
    /// A key that is there
    #[arg(long, value_name = "FILE", requires = "public", conflicts_with = "out")]
    pub key: Option<PathBuf>,
    /// The signer's name, as in the configuration: `[evidence] name`, or onrecord/INSTANCE
    #[arg(long, value_name = "NAME", default_value = "onrecord")]
    pub name: String,
}

/// Makes a signing key, or shows the public half of one.
pub(super) fn run(args: &KeygenArgs) -> ExitCode {
    if !is_name(&args.name) {
        eprintln!("onrecord: --name must not be empty and must not hold spaces or `+`");
        return ExitCode::FAILURE;
    }
    let key = match &args.key {
        Some(path) => load(path),
        None => make(args.out.as_deref()),
    };
    match key {
        Ok(key) => {
            let public = Verifier::new(&args.name, key.public()).to_string();
            // The private key may be on standard output.
            if args.key.is_none() && args.out.is_none() {
                eprintln!("{public}");
            } else {
                println!("{public}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn load(path: &Path) -> Result<SigningKey, KeyError> {
    let gone = || KeyError::Io {
        operation: "read",
        path: path.to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    };
    SigningKey::load(path)?.ok_or_else(gone)
}

fn make(out: Option<&Path>) -> Result<SigningKey, KeyError> {
    let Some(path) = out else {
        let (key, pem) = SigningKey::generate()?;
        print!("{}", *pem);
        return Ok(key);
    };
    SigningKey::make(path)
}
