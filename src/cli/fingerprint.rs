//! `onrecord fingerprint`.

use super::{FingerprintArgs, print_error, run as run_command, typed};
use crate::app::fingerprinter_at_rest;
use crate::capture::Fields;
use crate::capture::actor::{ActorHeaders, ActorRules};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use std::io;
use std::process::ExitCode;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why there is no fingerprint. Never says anything of the credential.
#[derive(Debug, Error)]
enum CredentialError {
    #[error("cannot read the credential")]
    Read(#[source] io::Error),
    #[error("nothing was given")]
    Nothing,
    #[error("the credential is not text that a header can hold")]
    Form,
    #[error("this scheme of authorization makes each request anew: it names no credential")]
    NoCredential,
}

/// Reads a credential and prints its fingerprint.
pub(super) fn run(args: &FingerprintArgs) -> ExitCode {
    let config = match run_command::load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let fingerprinter = match fingerprinter_at_rest(&config) {
        Ok(fingerprinter) => fingerprinter,
        Err(error) => {
            print_error(&error);
            eprintln!("onrecord: a key that is made in the spool is there once the gateway has run");
            return ExitCode::FAILURE;
        }
    };
    let read = typed::secret("Credential").map_err(CredentialError::Read);
    let fingerprint = read.and_then(|text| {
        let credential = credential(&text)?;
        Ok(fingerprinter.fingerprint(&credential))
    });
    match fingerprint {
        Ok(fingerprint) => {
            println!("{:032x}", u128::from_be_bytes(fingerprint));
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The credential as the gateway takes it from a request: of a whole `Authorization` value
/// what its scheme calls for, of anything else all of it.
fn credential(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(CredentialError::Nothing);
    }
    if !text.contains(&b' ') {
        return Ok(Zeroizing::new(text.to_vec()));
    }
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_bytes(text).map_err(|_| CredentialError::Form)?);
    let rules = ActorRules::new(&[], &[], &ActorHeaders::default()).map_err(|_| CredentialError::Form)?;
    let claims = rules.read(&Fields::of(&headers), b"", false);
    let credential = claims.credential.ok_or(CredentialError::NoCredential)?;
    Ok(Zeroizing::new(credential.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_what_the_gateway_takes_from_a_request() {
        for (text, taken) in [
            ("abc\n", "abc"),
            ("Bearer abc\r\n", "abc"),
            ("bearer   a.b.c", "a.b.c"),
            ("Basic dXNlcjpwYXNz", "user:pass"),
            ("Token abc", "abc"),
        ] {
            assert_eq!(credential(text.as_bytes()).unwrap().as_slice(), taken.as_bytes(), "{text}");
        }
        assert!(matches!(credential(b" \n"), Err(CredentialError::Nothing)));
        assert!(matches!(credential(b"Digest a=b"), Err(CredentialError::NoCredential)));
        assert!(matches!(credential(b"Bearer a\x01b"), Err(CredentialError::Form)));
    }
}
