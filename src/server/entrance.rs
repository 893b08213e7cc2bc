//! One listening address: what clients pass there before HTTP begins.

use super::address::ListenAddress;
use super::listen::Place;
use super::tls::{Handshake, Tls, TlsError, TlsOptions};
use crate::capture::PeerSet;
use prometheus::IntCounterVec;
use std::sync::Arc;

/// What an operator can set about one address (`[[listener]]`). An address without such a
/// section is plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// The address, which some source listens on.
    pub address: ListenAddress,
    /// Permissions of a Unix socket's file.
    pub mode: u32,
    /// Peers whose connections begin with a PROXY protocol header; no other's do.
    pub proxy_protocol: PeerSet,
    /// TLS, if it is spoken there.
    pub tls: Option<TlsOptions>,
}

impl ListenerOptions {
    /// Permissions of a Unix socket's file, unless they are set: for owner and group.
    pub const MODE: u32 = 0o660;

    /// An address where plain HTTP is spoken.
    #[must_use]
    pub fn plain(address: ListenAddress) -> Self {
        Self { address, mode: Self::MODE, proxy_protocol: PeerSet::default(), tls: None }
    }

    /// The address as it is bound.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { address: self.address.clone(), mode: self.mode }
    }
}

/// One listening address, shared by all workers.
#[derive(Debug)]
pub struct Entrance {
    /// The address.
    pub address: ListenAddress,
    /// TLS, if it is spoken there.
    pub tls: Option<Tls>,
    pub(super) proxy_protocol: PeerSet,
    pub(super) stats: EntranceStats,
}

/// What is counted of connections before HTTP begins.
#[derive(Clone, Debug)]
pub struct EntranceStats {
    /// TLS handshakes by result.
    pub handshakes: IntCounterVec,
    /// Connections that were closed before HTTP began, by cause.
    pub refused: IntCounterVec,
}

/// Why a connection is closed before HTTP begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its PROXY protocol header is missing or broken, or came too late.
    ProxyProtocol,
}

impl Refused {
    const ALL: [Self; 1] = [Self::ProxyProtocol];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ProxyProtocol => "proxy_protocol",
        }
    }
}

impl Entrance {
    /// An entrance by its options; reads the files of TLS.
    ///
    /// # Errors
    /// [`TlsError`]: what of the files is wrong.
    pub fn new(options: &ListenerOptions, stats: &EntranceStats) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            address: options.address.clone(),
            tls: options.tls.clone().map(Tls::new).transpose()?,
            proxy_protocol: options.proxy_protocol.clone(),
            stats: stats.clone(),
        }))
    }
}

impl EntranceStats {
    /// Shows every label from the start, so that a first rise is seen.
    pub fn show_all(&self) {
        for result in Handshake::ALL {
            self.handshakes.with_label_values(&[result.as_str()]);
        }
        for cause in Refused::ALL {
            self.refused.with_label_values(&[cause.as_str()]);
        }
    }

    pub(super) fn handshake(&self, result: Handshake) {
        self.handshakes.with_label_values(&[result.as_str()]).inc();
    }

    pub(super) fn refuse(&self, cause: Refused) {
        self.refused.with_label_values(&[cause.as_str()]).inc();
    }
}
