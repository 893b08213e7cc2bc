//! One new connection: resolved, made from the local address, through the proxy, secured.

use super::proxy::{ProxyKind, basic, socks, tunnel};
use super::{CallError, Proxy, Route};
use crate::secret::Secret;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// For one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For what a proxy and TLS say before the first request.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream of bytes, secured or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, CallError> {
        // Without the query, which may hold a signature.
        let wrong = || CallError::Address(uri.authority().map_or_else(String::new, ToString::to_string));
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { secure, host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }) })
    }

    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// A machine's own metadata service, which no proxy and no other address reaches.
    pub(super) fn is_metadata(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => ip.is_link_local(),
            Ok(IpAddr::V6(ip)) => ip.is_unicast_link_local() || ip.segments()[..2] == [0xfd00, 0xec2],
            Err(_) => self.host == "metadata.google.internal",
        }
    }
}

/// A proxy with its login.
pub(super) struct Hop {
    pub(super) proxy: Proxy,
    login: Option<Secret>,
}

impl Hop {
    /// The proxy that leads to a target, if one does.
    pub(super) fn to(
        target: &Target,
        uri: &Uri,
        route: &Route,
        env: &Matcher,
    ) -> Result<Option<Self>, CallError> {
        if target.is_metadata() {
            return Ok(None);
        }
        if let Some(proxy) = &route.proxy {
            let login = route.proxy_login.as_ref().map(crate::secret::SecretRef::resolve).transpose();
            return Ok(Some(Self { proxy: proxy.clone(), login: login.map_err(CallError::Login)? }));
        }
        let Some(found) = env.intercept(uri) else { return Ok(None) };
        let Ok(proxy) = found.uri().to_string().parse::<Proxy>() else { return Ok(None) };
        let login = match (found.raw_auth(), found.basic_auth()) {
            (Some((user, password)), _) => Some(format!("{user}:{password}").into_bytes()),
            (None, Some(value)) => {
                use base64::Engine as _;
                let value = value.as_bytes().strip_prefix(b"Basic ").unwrap_or_default();
                base64::engine::general_purpose::STANDARD.decode(value).ok()
            }
            (None, None) => None,
        };
        Ok(Some(Self { proxy, login: login.map(Secret::new) }))
    }

    /// Whether it is asked for the request itself rather than for a tunnel.
    pub(super) fn forwards(&self, target: &Target) -> bool {
        !target.secure && self.proxy.kind != ProxyKind::Socks5
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.login.as_ref().and_then(|login| basic(login.expose()))
    }
}

/// Connects.
///
/// # Errors
/// [`CallError`], each with what it was about.
pub(super) async fn connect(
    target: &Target,
    hop: Option<&Hop>,
    route: &Route,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, CallError> {
    let local = route.local.filter(|_| !target.is_metadata());
    let Some(hop) = hop else {
        let stream = dial(&target.host, target.port, local).await?;
        return secured(Box::new(stream), target, tls).await;
    };
    let proxy = &hop.proxy;
    let mut stream: Box<dyn Stream> = Box::new(dial(&proxy.host, proxy.port, local).await?);
    if proxy.kind == ProxyKind::Https {
        stream = handshake(stream, &proxy.host, tls).await?;
    }
    if hop.forwards(target) {
        return Ok(stream);
    }
    let login = hop.login.as_ref().map(Secret::expose);
    let asked = async {
        match proxy.kind {
            ProxyKind::Socks5 => socks(&mut stream, &target.host, target.port, login).await,
            ProxyKind::Http | ProxyKind::Https => tunnel(&mut stream, &target.authority(), login).await,
        }
    };
    let answer = tokio::time::timeout(GREETING_TIMEOUT, asked).await;
    let answer = answer.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    answer.map_err(|why| CallError::Refused { proxy: proxy.to_string(), host: target.authority(), why })?;
    secured(stream, target, tls).await
}

async fn secured(
    stream: Box<dyn Stream>,
    target: &Target,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, CallError> {
    if target.secure { handshake(stream, &target.host, tls).await } else { Ok(stream) }
}

async fn handshake(
    stream: Box<dyn Stream>,
    host: &str,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, CallError> {
    let failed = |source| CallError::Tls { host: host.to_owned(), source };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
    let shaken = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
    match tokio::time::timeout(GREETING_TIMEOUT, shaken).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

/// The first address that answers.
async fn dial(host: &str, port: u16, local: Option<IpAddr>) -> Result<TcpStream, CallError> {
    let unresolved = |source| CallError::Resolve { host: host.to_owned(), source };
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(unresolved)?.collect();
    let fits = |address: &&SocketAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
    let mut last =
        io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no address of the local one's kind");
    for address in found.iter().filter(fits) {
        match tokio::time::timeout(CONNECT_TIMEOUT, dial_one(*address, local)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(CallError::Connect { host: format!("{host} port {port}"), source: last })
}

async fn dial_one(address: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
