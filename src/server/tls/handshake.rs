//! One handshake: from an accepted socket to a stream, or to a named cause.

use super::certificate::client_certificate;
use super::{ACME_ALPN, Current, Tls};
use crate::capture::TlsPeer;
use crate::server::socket::Socket;
use rustls::server::Acceptor;
use rustls::{CertificateError, Error as RustlsError, ProtocolVersion};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// A connection in TLS.
#[derive(Debug)]
pub(in crate::server) struct Secured {
    pub(in crate::server) stream: Box<TlsStream<Socket>>,
    /// What the handshake told of the client.
    pub(in crate::server) peer: TlsPeer,
    /// The client and we agreed on HTTP/2.
    pub(in crate::server) is_http2: bool,
}

/// How a handshake ended, as `onrecord_tls_handshakes_total` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Handshake {
    /// A new session.
    Full,
    /// A session that was resumed.
    Resumed,
    /// An authority got a challenge's answer, which is no connection for HTTP.
    Challenge,
    /// No version, cipher suite, group or application protocol in common.
    Incompatible,
    /// There is no certificate to show yet.
    NoCertificate,
    /// The client showed no certificate where one is required.
    ClientCertificateMissing,
    /// The client's certificate is expired or not yet valid.
    ClientCertificateExpired,
    /// The client's certificate is revoked.
    ClientCertificateRevoked,
    /// The client's certificate is not of one of the authorities, or is otherwise not valid.
    ClientCertificateInvalid,
    /// The client broke off with an alert: most often it does not know our authority.
    ClientAlert,
    /// The client closed the connection.
    Closed,
    /// It took too long.
    Timeout,
    /// HTTP without TLS.
    PlainHttp,
    /// What came is not TLS.
    NotTls,
    /// Anything else.
    Protocol,
}

impl Handshake {
    /// Every way.
    pub(in crate::server) const ALL: [Self; 15] = [
        Self::Full,
        Self::Resumed,
        Self::Challenge,
        Self::Incompatible,
        Self::NoCertificate,
        Self::ClientCertificateMissing,
        Self::ClientCertificateExpired,
        Self::ClientCertificateRevoked,
        Self::ClientCertificateInvalid,
        Self::ClientAlert,
        Self::Closed,
        Self::Timeout,
        Self::PlainHttp,
        Self::NotTls,
        Self::Protocol,
    ];

    /// The label.
    pub(in crate::server) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Challenge => "acme_challenge",
            Self::Incompatible => "incompatible",
            Self::NoCertificate => "no_certificate",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateExpired => "client_certificate_expired",
            Self::ClientCertificateRevoked => "client_certificate_revoked",
            Self::ClientCertificateInvalid => "client_certificate_invalid",
            Self::ClientAlert => "client_alert",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::Protocol => "protocol",
        }
    }
}

impl Tls {
    /// For the whole handshake.
    pub(in crate::server) fn handshake_timeout(&self) -> Duration {
        self.current.load().options.handshake_timeout
    }
}

/// Makes the handshake. Dropped, it closes the connection.
pub(in crate::server) async fn secure(tls: &Tls, socket: Socket) -> Result<(Secured, Handshake), Handshake> {
    let current = tls.current.load_full();
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket);
    let start = start.await.map_err(|error| cause(&error))?;
    let asks_for_challenge = start
        .client_hello()
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(ACME_ALPN) && offered.next().is_none());
    if asks_for_challenge {
        // What is proved to the authority is the handshake itself.
        return match start.into_stream(std::sync::Arc::clone(&tls.challenges)).await {
            Ok(_) => Err(Handshake::Challenge),
            Err(error) => Err(cause(&error)),
        };
    }
    let config = std::sync::Arc::clone(&current.loaded.config);
    let stream = start.into_stream(config).await.map_err(|error| cause(&error))?;
    finish(&current, Box::new(stream))
}

fn finish(current: &Current, stream: Box<TlsStream<Socket>>) -> Result<(Secured, Handshake), Handshake> {
    let connection = stream.get_ref().1;
    let certificate = match connection.peer_certificates().and_then(|chain| chain.first()) {
        None => None,
        Some(der) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            let read = client_certificate(der, current.options.client_actor, now);
            Some(read.ok_or(Handshake::ClientCertificateExpired)?)
        }
    };
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    let how = match connection.handshake_kind() {
        Some(rustls::HandshakeKind::Resumed) => Handshake::Resumed,
        _ => Handshake::Full,
    };
    Ok((Secured { stream, peer: TlsPeer { version, certificate }, is_http2 }, how))
}

/// Why a handshake failed.
fn cause(error: &io::Error) -> Handshake {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    match inner {
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Handshake::Closed,
            _ => Handshake::Protocol,
        },
        Some(error) => match error {
            RustlsError::PeerIncompatible(_) | RustlsError::NoApplicationProtocol => Handshake::Incompatible,
            RustlsError::NoCertificatesPresented => Handshake::ClientCertificateMissing,
            RustlsError::InvalidCertificate(why) => match why {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Handshake::ClientCertificateExpired,
                CertificateError::Revoked => Handshake::ClientCertificateRevoked,
                _ => Handshake::ClientCertificateInvalid,
            },
            RustlsError::AlertReceived(_) => Handshake::ClientAlert,
            // What rustls says when the resolver has nothing to show.
            RustlsError::General(_) => Handshake::NoCertificate,
            _ => Handshake::Protocol,
        },
    }
}
