//! What a broker says, to the closed list of causes.

use crate::deliver::destination::{Cause, PutError};
use crate::deliver::rest::words;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::{ConnectError, ConnectErrorKind};
use std::error::Error;
use std::time::Duration;

/// Why there is no connection.
pub(super) fn unconnected(error: &ConnectError) -> PutError {
    // It tells its causes itself.
    let text = error.to_string();
    let cause = match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => Cause::Credentials,
        ConnectErrorKind::Tls => Cause::Tls,
        _ if is_tls(error) => Cause::Tls,
        _ => spoken(&text).unwrap_or(Cause::Network),
    };
    PutError::new(cause, words(&text))
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An I/O error hides the error that it was made of from its sources.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| is_tls(inner)) {
            return true;
        }
        next = error.source();
    }
    false
}

/// What a server says of its own accord (`-ERR`): it has no other way to refuse a publication.
pub(super) fn refused(text: &str) -> PutError {
    PutError::new(spoken(text).unwrap_or(Cause::ServerError), words(text))
}

/// From "Protocol errors" of the client protocol's reference.
fn spoken(text: &str) -> Option<Cause> {
    let text = text.to_ascii_lowercase();
    let speaks = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    match () {
        () if speaks(&["permissions violation"]) => Some(Cause::Permission),
        () if speaks(&["authentication expired", "credentials expired", "jwt expired"]) => {
            Some(Cause::ExpiredToken)
        }
        () if speaks(&["authorization violation", "authentication timeout", "authentication revoked"]) => {
            Some(Cause::Credentials)
        }
        () if speaks(&["secure connection - tls required", "tls required"]) => Some(Cause::Tls),
        () if speaks(&["maximum connections", "maximum account active connections"]) => {
            Some(Cause::Throttled)
        }
        () if speaks(&["maximum payload"]) => Some(Cause::Policy),
        () => None,
    }
}

/// Why a message is not in the stream.
pub(super) fn unpublished(error: &PublishError, limit: Duration) -> PutError {
    let text = words(&error.to_string());
    match error.kind() {
        PublishErrorKind::StreamNotFound => {
            PutError::new(Cause::NotFound, "no stream takes this subject, or JetStream is not enabled")
        }
        PublishErrorKind::TimedOut => {
            PutError::new(Cause::Network, format!("no acknowledgement within {} s", limit.as_secs_f64()))
        }
        PublishErrorKind::BrokenPipe | PublishErrorKind::MaxAckPending => {
            PutError::new(Cause::Network, format!("the connection ended: {text}"))
        }
        PublishErrorKind::MaxPayloadExceeded => PutError::new(Cause::Policy, text),
        _ => {
            let said =
                error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
            let cause = said.map_or(Cause::ServerError, |said| by_code(said.error_code(), said.code()));
            PutError::new(cause, text)
        }
    }
}

/// By the codes of the server's `errors.json`.
fn by_code(code: ErrorCode, status: usize) -> Cause {
    match code {
        ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES => Cause::Quota,
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
        | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM
        | ErrorCode::STREAM_SEALED => Cause::Policy,
        ErrorCode::STREAM_NOT_MATCH
        | ErrorCode::STREAM_MISMATCH
        | ErrorCode::STREAM_NOT_FOUND
        | ErrorCode::JETSTREAM_NOT_ENABLED
        | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Cause::NotFound,
        _ if status == 429 => Cause::Throttled,
        _ => Cause::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_its_own_accord_has_its_cause() {
        for (text, cause) in [
            ("Permissions Violation for Publish to \"onrecord.records.api\"", Cause::Permission),
            ("User Authentication Expired", Cause::ExpiredToken),
            ("Authorization Violation", Cause::Credentials),
            ("maximum connections exceeded", Cause::Throttled),
            ("Maximum Payload Violation", Cause::Policy),
            ("Stale Connection", Cause::ServerError),
        ] {
            assert_eq!(refused(text).cause, cause, "{text}");
        }
    }
}
