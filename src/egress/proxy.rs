//! Proxies: which one, and how it is asked to connect.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use std::fmt;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The answer to CONNECT has at most this many bytes.
const MOST_BYTES: usize = 8 * 1024;

/// A proxy, without its login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to.
    pub kind: ProxyKind,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP, in the clear to the proxy itself.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS version 5; names are resolved by the proxy.
    Socks5,
}

/// Why a text is no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// Not one of the schemes.
    #[error("is no http://, https:// or socks5:// URL")]
    Scheme,
    /// It holds a user or password.
    #[error("must not hold a user or password")]
    Login,
    /// It has no host, or more than host and port.
    #[error("must be scheme, host, port and nothing more")]
    Rest,
}

impl std::str::FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let uri: http::Uri = text.parse().map_err(|_| ProxyError::Scheme)?;
        let (kind, port) = match uri.scheme_str() {
            Some("http") => (ProxyKind::Http, 80),
            Some("https") => (ProxyKind::Https, 443),
            Some("socks5" | "socks5h") => (ProxyKind::Socks5, 1080),
            _ => return Err(ProxyError::Scheme),
        };
        let authority = uri.authority().ok_or(ProxyError::Rest)?;
        if authority.as_str().contains('@') {
            return Err(ProxyError::Login);
        }
        if authority.host().is_empty() || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(ProxyError::Rest);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self { kind, host, port: authority.port_u16().unwrap_or(port) })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Https => "https",
            ProxyKind::Socks5 => "socks5",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// `user:password` as the value of `Proxy-Authorization`; `None` if it can't be one.
pub(super) fn basic(login: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(login))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Asks an HTTP proxy for a tunnel. `Err` are its words.
///
/// # Errors
/// What it answers, or that it does not.
pub(super) async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &str,
    login: Option<&[u8]>,
) -> Result<(), String> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(value) = login.and_then(basic) {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(words)?;
    stream.flush().await.map_err(words)?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to the tunnel. It is short and seldom.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MOST_BYTES {
            return Err("its answer has no end".to_owned());
        }
        answer.push(stream.read_u8().await.map_err(words)?);
    }
    let head = String::from_utf8_lossy(&answer);
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("407") => Err("it wants a login (407)".to_owned()),
        _ => Err(format!("it answers `{}`", line.chars().take(100).collect::<String>())),
    }
}

/// Asks a SOCKS proxy (RFC 1928, RFC 1929) for a connection. `Err` are its words.
///
/// # Errors
/// What it answers, or that it does not.
pub(super) async fn socks<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    port: u16,
    login: Option<&[u8]>,
) -> Result<(), String> {
    let methods: &[u8] = if login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(methods).await.map_err(words)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(words)?;
    match (chosen, login) {
        ([5, 0], _) => {}
        ([5, 2], Some(login)) => log_in(stream, login).await?,
        ([5, _], _) => return Err("it wants a login that it was not given".to_owned()),
        _ => return Err("it does not speak SOCKS 5".to_owned()),
    }
    let length = u8::try_from(host.len()).map_err(|_| "the host's name is too long for it".to_owned())?;
    let mut request = vec![5, 1, 0, 3, length];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(words)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.map_err(words)?;
    if answer[1] != 0 {
        let why = match answer[1] {
            2 => "its rules do not allow it",
            3 => "the network is unreachable",
            4 => "the host is unreachable",
            5 => "the connection was refused",
            _ => "it failed",
        };
        return Err(format!("{why} (code {})", answer[1]));
    }
    // The address that it connects from: of no use here, but to be read.
    let length = match answer[3] {
        1 => 4,
        4 => 16,
        _ => usize::from(stream.read_u8().await.map_err(words)?),
    };
    stream.read_exact(&mut vec![0; length + 2]).await.map_err(words)?;
    Ok(())
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, login: &[u8]) -> Result<(), String> {
    let at = memchr::memchr(b':', login).ok_or_else(|| "its login is not `user:password`".to_owned())?;
    let (user, password) = (&login[..at], &login[at + 1..]);
    let short = |part: &[u8]| u8::try_from(part.len()).map_err(|_| "its login is too long".to_owned());
    let mut request = vec![1, short(user)?];
    request.extend_from_slice(user);
    request.push(short(password)?);
    request.extend_from_slice(password);
    stream.write_all(&request).await.map_err(words)?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.map_err(words)?;
    if answer[1] == 0 { Ok(()) } else { Err("it does not accept the login".to_owned()) }
}

#[allow(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn words(error: io::Error) -> String {
    error.to_string()
}
