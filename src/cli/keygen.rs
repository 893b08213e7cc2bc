//! `onrecord keygen`.

use super::{KeygenArgs, print_error};
use crate::evidence::keys::{KeyError, SigningKey};
use crate::evidence::note::{Verifier, is_name};
use std::path::Path;
use std::process::ExitCode;

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
