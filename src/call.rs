//! One HTTP request with one small answer: bounded in time and size, without redirects, over
//! TLS where the URL says so.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
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

/// What is asked.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// `http://…` or `https://…`.
    pub url: String,
    /// Headers beside `Host` and `User-Agent`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty: none.
    pub body: Bytes,
    /// For the whole exchange, the connection included.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub most_bytes: usize,
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer. Says nothing of the request but its host: paths and queries can
/// hold secrets.
#[derive(Debug, Error)]
pub enum CallError {
    /// Not a URL that can be called.
    #[error("not an http:// or https:// URL with a host")]
    Url,
    /// Nobody answers, or not in time, or not in HTTP.
    #[error("no answer from {host}")]
    Io {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
}

impl Call {
    /// A GET.
    #[must_use]
    pub fn get(url: &str, timeout: Duration, most_bytes: usize) -> Self {
        let (method, headers, body) = (Method::GET, Vec::new(), Bytes::new());
        Self { method, url: url.to_owned(), headers, body, timeout, most_bytes }
    }

    /// Makes the exchange. Dropped, it closes the connection.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn make(self, tls: Arc<ClientConfig>) -> Result<Answer, CallError> {
        let uri: http::Uri = self.url.parse().map_err(|_| CallError::Url)?;
        let authority = uri.authority().ok_or(CallError::Url)?.clone();
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(CallError::Url),
        };
        let host = authority.host().to_owned();
        let timeout = self.timeout;
        let exchange = async {
            let name = host.trim_matches(['[', ']']).to_owned();
            let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
            let tcp = TcpStream::connect((name.as_str(), port)).await?;
            if !is_secure {
                return self.exchange(tcp, &uri).await;
            }
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            let stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?;
            self.exchange(stream, &uri).await
        };
        let answer = tokio::time::timeout(timeout, exchange).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answer.map_err(|source| CallError::Io { host: host.clone(), source })
    }

    async fn exchange<S>(self, stream: S, uri: &http::Uri) -> io::Result<Answer>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        // Neither user nor password of the URL belongs in there.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = authority.rsplit('@').next().unwrap_or_default();
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(target)
            .header(http::header::HOST, host)
            .header(http::header::USER_AGENT, concat!("onrecord/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(self.body))
            .map_err(io::Error::other)?;
        request.headers_mut().extend(self.headers);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let most_bytes = self.most_bytes;
        let response = async {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, most_bytes).collect().await.map_err(io::Error::other)?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
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
}

/// Trust in the public roots, or in those of a PEM file alone.
///
/// # Errors
/// When the file can't be read or holds no certificate.
pub fn trust(ca: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
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
