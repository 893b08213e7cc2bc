//! When the bucket itself has said nothing: it could not be reached, or no credentials were to be
//! had from those who give them.

use crate::deliver::destination::{Cause, PutError};
use crate::deliver::rest::words;
use crate::egress::CallError;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::error::ErrorMetadata;
use std::error::Error;

/// Errors of the token service that the library has types for, by the names they are shown with.
const TYPED: [&str; 7] = [
    "ExpiredTokenException",
    "InvalidIdentityTokenException",
    "IdpRejectedClaimException",
    "IdpCommunicationErrorException",
    "MalformedPolicyDocumentException",
    "PackedPolicyTooLargeException",
    "RegionDisabledException",
];

/// Nobody answered, or not to the end: a library's error with its causes.
pub(super) fn unanswered<E: Error + 'static>(error: &E) -> PutError {
    let all = sources(error);
    if let Some(call) = all.iter().find_map(|error| error.downcast_ref::<CallError>()) {
        let cause = match call {
            CallError::Login(_) => Cause::Credentials,
            call if call.is_tls() => Cause::Tls,
            _ => Cause::Network,
        };
        return PutError::new(cause, words(&chain(error)));
    }
    if all.iter().any(|error| error.is::<rustls::Error>()) {
        return PutError::new(Cause::Tls, words(&chain(error)));
    }
    match all.iter().find_map(|error| error.downcast_ref::<CredentialsError>()) {
        Some(CredentialsError::ProviderTimedOut(_)) => PutError::new(Cause::Network, words(&chain(error))),
        Some(_) => match said(&all) {
            Some((code, message)) => {
                PutError::new(cause(&code, &message), words(&format!("no credentials: {code}: {message}")))
            }
            None => PutError::new(Cause::Credentials, words(&chain(error))),
        },
        None => PutError::new(Cause::Network, words(&chain(error))),
    }
}

/// Code and message of the service that was asked for credentials.
fn said(all: &[&(dyn Error + 'static)]) -> Option<(String, String)> {
    let known = |error: &&(dyn Error + 'static)| {
        let meta = error.downcast_ref::<ErrorMetadata>()?;
        Some((meta.code()?.to_owned(), meta.message().unwrap_or_default().to_owned()))
    };
    let typed = |error: &&(dyn Error + 'static)| {
        let text = error.to_string();
        let name = TYPED.iter().find(|name| text.starts_with(*name))?;
        let message = text[name.len()..].trim_start_matches([':', ' ']).to_owned();
        Some((name.trim_end_matches("Exception").to_owned(), message))
    };
    all.iter().find_map(known).or_else(|| all.iter().find_map(typed))
}

/// From "Common errors" and "AssumeRole" of the reference of the Security Token Service.
fn cause(code: &str, message: &str) -> Cause {
    let message = message.to_ascii_lowercase();
    let speaks = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    match code {
        "ExpiredToken" | "ExpiredTokenException" => Cause::ExpiredToken,
        "RequestExpired" => Cause::ClockSkew,
        "SignatureDoesNotMatch" if speaks(&["signature expired", "signature not yet current"]) => {
            Cause::ClockSkew
        }
        "RegionDisabled" | "RegionDisabledException" => Cause::WrongRegion,
        "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            Cause::Throttled
        }
        "ServiceUnavailable" | "InternalFailure" | "InternalError" => Cause::ServerError,
        "IdpCommunicationError" => Cause::Network,
        _ => Cause::Credentials,
    }
}

/// An error and all that caused it, those included that an I/O error hides from its sources.
fn sources<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut all = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        all.push(error);
        let hidden = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        next = hidden.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    all
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut out = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !out.ends_with(&text) {
            if !out.is_empty() {
                out.push_str(": ");
            }
            out.push_str(&text);
        }
        next = error.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes and messages as Amazon's token service says them.
    #[test]
    fn each_refusal_of_credentials_has_its_cause() {
        let denied = "User: arn:aws:iam::111122223333:user/gw is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::444455556666:role/deliver";
        let expired = "Signature expired: 20261123T000000Z is now earlier than 20261123T004500Z (20261123T010000Z - 15 min.)";
        for (code, message, wanted) in [
            ("AccessDenied", denied, Cause::Credentials),
            (
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
                Cause::Credentials,
            ),
            ("ExpiredToken", "The security token included in the request is expired", Cause::ExpiredToken),
            ("SignatureDoesNotMatch", expired, Cause::ClockSkew),
            (
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match",
                Cause::Credentials,
            ),
            ("InvalidIdentityToken", "No OpenIDConnect provider found in your account", Cause::Credentials),
            ("RegionDisabled", "STS is not activated in this region for account:1.", Cause::WrongRegion),
            ("Throttling", "Rate exceeded", Cause::Throttled),
        ] {
            let error = ErrorMetadata::builder().code(code).message(message).build();
            let told = unanswered(&CredentialsError::provider_error(error));
            assert_eq!(told.cause, wanted, "{code}");
            assert!(told.words.starts_with(&format!("no credentials: {code}: ")), "{told}");
        }
    }

    #[test]
    fn who_gives_credentials_and_can_not_be_reached_is_a_matter_of_the_network() {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let call = CallError::Connect { host: "sts".to_owned(), source };
        assert_eq!(unanswered(&CredentialsError::provider_error(call)).cause, Cause::Network);
        let tls = CallError::Tls { host: "sts".to_owned(), source: std::io::ErrorKind::InvalidData.into() };
        assert_eq!(
            unanswered(&CredentialsError::provider_error(std::io::Error::other(tls))).cause,
            Cause::Tls
        );
        assert_eq!(unanswered(&CredentialsError::not_loaded("nothing")).cause, Cause::Credentials);
    }
}
