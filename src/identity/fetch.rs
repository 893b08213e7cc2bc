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
    let (status, body) = send(url, tls, Ask::default()).await?;
    expect_ok(url, status).map(|()| body)
}

/// An error unless the status is 200.
pub(super) fn expect_ok(url: &str, status: http::StatusCode) -> Result<(), FetchError> {
    if status == http::StatusCode::OK {
        return Ok(());
    }
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    Err(FetchError::Status { host: host.unwrap_or_default(), status })
}

/// What is sent beside the URL.
#[derive(Debug, Default)]
pub(super) struct Ask {
    /// `Authorization`.
    pub(super) authorization: Option<HeaderValue>,
    /// A form; then it is a POST.
    pub(super) form: Option<Bytes>,
}

/// Status and body of the answer.
pub(super) async fn send(
    url: &str,
    tls: Arc<ClientConfig>,
    ask: Ask,
) -> Result<(http::StatusCode, Bytes), FetchError> {
    let mut call = Call::get(url, TIMEOUT, MAX_BYTES);
    call.headers.push((header::ACCEPT, HeaderValue::from_static("application/json")));
    if let Some(authorization) = ask.authorization {
        call.headers.push((header::AUTHORIZATION, authorization));
    }
    if let Some(form) = ask.form {
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        call.headers.push((header::CONTENT_TYPE, form_type));
        (call.method, call.body) = (http::Method::POST, form);
    }
    let answer = call.make(tls).await?;
    Ok((answer.status, answer.body))
}
