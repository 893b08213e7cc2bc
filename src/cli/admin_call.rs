//! Requests to an admin listener: one small answer each, in a few seconds or not at all.

use crate::call::{Call, CallError, trust};
use clap::Args;
use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::Bytes;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use zeroize::Zeroizing;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Where a token is, unless a file is named.
const TOKEN_VARIABLE: &str = "ONRECORD_TOKEN";

/// Why there is no answer, or none that helps.
#[derive(Debug, Error)]
pub(super) enum GetError {
    /// The URL can't be used.
    #[error("{0} is not an http:// or https:// URL")]
    Url(String),
    /// Nobody answers there, or not in time.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The token or the authorities can't be read.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token is no token.
    #[error("the token holds what can't stand in a header")]
    Token,
    /// The answer is an error.
    #[error("{url} answers {status}{}{words}", if words.is_empty() { "" } else { ": " })]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: StatusCode,
        /// The listener's own words.
        words: String,
    },
}

/// How an admin listener is reached that asks who it is.
#[derive(Clone, Debug, Default, Args)]
pub struct AdminArgs {
    /// A file with the token to show [default: the variable ONRECORD_TOKEN, if it is set]
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// Trust the authorities of this file (PEM), and no others, for its certificate
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
}

impl AdminArgs {
    fn token(&self) -> Result<Option<Zeroizing<String>>, GetError> {
        let Some(path) = &self.token_file else {
            return Ok(std::env::var(TOKEN_VARIABLE).ok().map(Zeroizing::new));
        };
        let read = std::fs::read_to_string(path);
        Ok(Some(Zeroizing::new(read.map_err(|source| GetError::Read { path: path.clone(), source })?)))
    }

    /// The body of a successful answer to a GET.
    pub(super) fn get(&self, url: &str) -> Result<Bytes, GetError> {
        self.call(Method::GET, url, TIMEOUT)
    }

    /// The body of a successful answer.
    pub(super) fn call(&self, method: Method, url: &str, limit: Duration) -> Result<Bytes, GetError> {
        let (status, body) = self.ask(method, url, limit)?;
        if status.is_success() {
            return Ok(body);
        }
        let told: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let words = told.and_then(|told| told["error"].as_str().map(str::to_owned)).unwrap_or_default();
        Err(GetError::Status { url: url.to_owned(), status, words })
    }

    /// Status and body of an answer, all of it within `limit`.
    pub(super) fn ask(
        &self,
        method: Method,
        url: &str,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), GetError> {
        let tls = trust(self.ca.as_deref());
        let ca = || self.ca.clone().unwrap_or_default();
        let tls = tls.map_err(|source| GetError::Read { path: ca(), source })?;
        let mut call = Call { method, ..Call::get(url, limit, MAX_BYTES) };
        if let Some(token) = self.token()? {
            let value = Zeroizing::new(format!("Bearer {}", token.trim()));
            let mut value = HeaderValue::from_str(&value).map_err(|_| GetError::Token)?;
            value.set_sensitive(true);
            call.headers.push((header::AUTHORIZATION, value));
        }
        let failed = |source| CallError::Io { host: url.to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        match runtime.block_on(call.make(tls)) {
            Ok(answer) => Ok((answer.status, answer.body)),
            Err(CallError::Url) => Err(GetError::Url(url.to_owned())),
            Err(error) => Err(error.into()),
        }
    }
}
