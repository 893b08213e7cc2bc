//! `onrecord fingerprint`.

use super::{FingerprintArgs, print_error, run as run_command};
use crate::app::fingerprinter_at_rest;
use crate::capture::actor::{ActorHeaders, ActorRules};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use thiserror::Error;
use zeroize::Zeroizing;

/// The longest credential.
const MOST_BYTES: u64 = 1 << 20;
/// What a terminal without echo sends for Ctrl-C and Ctrl-D, backspace and delete.
const CANCEL: u8 = 3;
const END: u8 = 4;
const ERASE: [u8; 2] = [8, 127];

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
    let fingerprint = read().and_then(|text| {
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
    let claims = rules.read(&headers, b"", false);
    let credential = claims.credential.ok_or(CredentialError::NoCredential)?;
    Ok(Zeroizing::new(credential.into_owned()))
}

fn read() -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let mut text = Zeroizing::new(Vec::new());
    let stdin = io::stdin();
    if isatty(&stdin) {
        eprint!("Credential (it is not shown): ");
        let _ = io::stderr().flush();
        let typed = typed(&mut text);
        eprintln!();
        typed.map_err(CredentialError::Read)?;
    } else {
        stdin.lock().take(MOST_BYTES).read_to_end(&mut text).map_err(CredentialError::Read)?;
    }
    Ok(text)
}

/// Reads a line from the terminal without echo. Byte by byte, since a terminal that edits
/// lines cuts them at 4,096 bytes, which is less than many tokens have.
fn typed(text: &mut Vec<u8>) -> io::Result<()> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let mut bytes = stdin.lock().bytes();
    let line = loop {
        match bytes.next() {
            None | Some(Ok(b'\n' | b'\r' | END)) => break Ok(()),
            Some(Ok(CANCEL)) => break Err(io::ErrorKind::Interrupted.into()),
            Some(Ok(byte)) if ERASE.contains(&byte) => drop(text.pop()),
            Some(Ok(byte)) => text.push(byte),
            Some(Err(error)) => break Err(error),
        }
    };
    tcsetattr(io::stdin(), OptionalActions::Now, &before)?;
    line
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
