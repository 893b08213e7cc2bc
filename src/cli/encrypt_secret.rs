//! `onrecord encrypt-secret`.

use super::{print_error, typed};
use crate::secret::{Secret, SecretRef, encrypt};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `onrecord encrypt-secret` takes.
#[derive(Debug, Args)]
pub struct EncryptSecretArgs {
    /// The public key (PEM, RSA of 4096 bits), or the private one that it belongs to
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// Reads a secret and prints it encrypted.
pub(super) fn run(args: &EncryptSecretArgs) -> ExitCode {
    match encrypted(args) {
        Ok(text) => {
            println!("{text}");
            eprintln!("Write it into the configuration as {{ encrypted = \"…\" }}.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

fn encrypted(args: &EncryptSecretArgs) -> Result<String, Box<dyn std::error::Error>> {
    let key = SecretRef::File(args.key.clone()).resolve()?;
    let mut secret = typed::secret("Secret").map_err(|error| format!("cannot read the secret: {error}"))?;
    // One line end is what `echo` and editors add.
    if secret.last() == Some(&b'\n') {
        secret.pop();
    }
    if secret.last() == Some(&b'\r') {
        secret.pop();
    }
    Ok(encrypt(&key, &Secret::new(secret.to_vec()))?)
}
