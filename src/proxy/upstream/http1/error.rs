//! Why an exchange over HTTP/1.1 ended before its end.

use crate::http1::Fault;
use crate::proxy::body::RequestBodyError;
use std::io;
use thiserror::Error;

/// Why an exchange over HTTP/1.1 ended before its end.
#[derive(Debug, Error)]
pub enum Http1Error {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The answer has not the form of one.
    #[error("the answer is not HTTP/1.1")]
    Form(#[from] Fault),
    /// The upstream closed the connection before its answer was complete.
    #[error("the upstream closed the connection before its answer was complete")]
    Incomplete,
    /// The request's body failed.
    #[error("the request could not be sent whole")]
    RequestBody(#[from] RequestBodyError),
    /// The request's body is longer or shorter than its Content-Length.
    #[error("the request's body is not as long as its Content-Length")]
    RequestLength,
    /// The request's body broke off while its answer came.
    #[error("the request broke off while its answer came")]
    Broken,
}
