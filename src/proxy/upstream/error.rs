//! Why an upstream's answer did not come, or not to its end.

use super::http1::Http1Error;
use crate::http1::Fault;
use thiserror::Error;

/// Why an upstream's answer did not come, or not to its end.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// Over HTTP/1.1.
    #[error("the exchange over HTTP/1.1 failed")]
    Http1(#[from] Http1Error),
    /// Over HTTP/2.
    #[error("the exchange over HTTP/2 failed")]
    Http2(#[from] hyper::Error),
}

impl UpstreamError {
    /// Whether the upstream broke the protocol, and did not only leave.
    #[must_use]
    pub fn is_of_form(&self) -> bool {
        match self {
            Self::Http1(error) => matches!(error, Http1Error::Form(_)),
            Self::Http2(error) => error.is_parse() || Fault::find(error).is_some(),
        }
    }
}
