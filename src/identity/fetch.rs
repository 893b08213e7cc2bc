//! One small document over HTTPS: bounded in time and size, without redirects.

use crate::call::{Call, CallError};
use http::{HeaderValue, header};
use hyper::body::Bytes;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_BYTES: usize = 1 << 20;

pub(super) use crate::call::trust;

/// Why a document can't be had. Says nothing of the request but its host.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    /// There is no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is not a 200.
    #[error("{host} answers {status}")]
    Status {
        /// The host.
        host: String,
        /// The status.
        status: http::StatusCode,
    },
}

/// The body of the answer to a GET.
pub(super) async fn get(url: &str, tls: Arc<ClientConfig>) -> Result<Bytes, FetchError> {
    let mut call = Call::get(url, TIMEOUT, MAX_BYTES);
    call.headers.push((header::ACCEPT, HeaderValue::from_static("application/json")));
    let answer = call.make(tls).await?;
    if answer.status == http::StatusCode::OK {
        return Ok(answer.body);
    }
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    Err(FetchError::Status { host: host.unwrap_or_default(), status: answer.status })
}
