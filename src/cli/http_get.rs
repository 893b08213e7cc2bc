//! A GET request to an admin listener: one small answer, in a few seconds or not at all.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum GetError {
    /// The URL can't be used.
    #[error("{0} is not an http:// URL")]
    Url(String),
    /// Nobody answers there, or not in time.
    #[error("no answer from {url}")]
    Io {
        /// The URL.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// The answer is an error.
    #[error("{url} answers {status}")]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: http::StatusCode,
    },
}

/// The body of a successful answer.
pub(super) fn get(url: &str) -> Result<Bytes, GetError> {
    let (status, body) = ask(url, TIMEOUT)?;
    if !status.is_success() {
        return Err(GetError::Status { url: url.to_owned(), status });
    }
    Ok(body)
}

/// Status and body of an answer, all of it within `limit`.
pub(super) fn ask(url: &str, limit: Duration) -> Result<(http::StatusCode, Bytes), GetError> {
    let failed = |source| GetError::Io { url: url.to_owned(), source };
    let uri: http::Uri = url.parse().map_err(|_| GetError::Url(url.to_owned()))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(GetError::Url(url.to_owned()));
    };
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(80);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::get(path)
        .header(http::header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|_| GetError::Url(url.to_owned()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let exchange = async {
        let stream = tokio::net::TcpStream::connect((host, port)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(io::Error::other)?;
        connection.abort();
        Ok::<_, io::Error>((status, body.to_bytes()))
    };
    let answer = runtime.block_on(async { tokio::time::timeout(limit, exchange).await });
    answer.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)
}
