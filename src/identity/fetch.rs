//! One small document over HTTPS: bounded in time and size, without redirects.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_BYTES: usize = 1 << 20;

/// Why a document can't be had. Says nothing of the request but its host.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    /// Not a URL that can be fetched.
    #[error("{0} is not an http:// or https:// URL")]
    Url(String),
    /// Nobody answers, or not in time, or not in HTTP.
    #[error("no answer from {host}")]
    Io {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The answer is not a 200.
    #[error("{host} answers {status}")]
    Status {
        /// The host.
        host: String,
        /// The status.
        status: http::StatusCode,
    },
}

/// Trust in the public roots, or in those of a PEM file alone.
///
/// # Errors
/// When the file can't be read or holds no certificate.
pub(super) fn trust(ca: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let pem = std::fs::read(path)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
        }
    }
    if roots.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate in PEM form"));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The body of the answer to a GET.
pub(super) async fn get(url: &str, tls: Arc<ClientConfig>) -> Result<Bytes, FetchError> {
    let not_a_url = || FetchError::Url(url.to_owned());
    let uri: http::Uri = url.parse().map_err(|_| not_a_url())?;
    let authority = uri.authority().ok_or_else(not_a_url)?.clone();
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(not_a_url()),
    };
    let host = authority.host().to_owned();
    let failed = |source| FetchError::Io { host: host.clone(), source };
    let exchange = async {
        let name = host.trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((name.as_str(), port)).await?;
        if !secure {
            return exchange(tcp, &uri, authority.as_str()).await;
        }
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let tls = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?;
        exchange(tls, &uri, authority.as_str()).await
    };
    let answer = tokio::time::timeout(TIMEOUT, exchange).await;
    let (status, body) = answer.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    if status == http::StatusCode::OK {
        Ok(body)
    } else {
        Err(FetchError::Status { host: host.clone(), status })
    }
}

async fn exchange<S>(stream: S, uri: &http::Uri, host: &str) -> io::Result<(http::StatusCode, Bytes)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = http::Request::get(target)
        .header(http::header::HOST, host)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::USER_AGENT, concat!("onrecord/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let response = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(response);
    let connection = async {
        // How the connection ends shows in the response.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = &mut response => answer,
        () = connection => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
