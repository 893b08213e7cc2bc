//! Why a gateway does not start: each names the key of the configuration and what is wrong with it.

use crate::config::SecretError;
use crate::proxy::UpstreamTlsError;
use crate::server::{ListenAddress, ListenError, TlsError};
use crate::spool::OpenError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why the gateway did not start. Nothing of it runs then.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// What an address needs for TLS can't be had.
    #[error("[listener.tls] of {address}")]
    Tls {
        /// The address.
        address: ListenAddress,
        /// Why.
        source: TlsError,
    },
    /// The admin listener can't be had.
    #[error("[admin] listen: cannot listen on {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What the admin listener needs for TLS can't be had.
    #[error("[admin] certificates")]
    AdminTls(#[source] TlsError),
    /// The spool can't be opened.
    #[error("[spool] dir: cannot use {dir}")]
    Spool {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// There is not enough memory for the rings.
    #[error("[ring] there is no memory for the rings")]
    Rings(#[source] io::Error),
    /// The log can't be begun.
    #[error("[spool] dir: cannot begin a log in {dir}")]
    Recorder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that the configuration names can't be read.
    #[error("cannot read the {what} {path}")]
    Read {
        /// What it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A catalogue has problems.
    #[error("[[source]] {source_name}: its catalogues have problems\n{problems}")]
    Catalogue {
        /// The source.
        source_name: String,
        /// A line a problem.
        problems: String,
    },
    /// Rules name routes that no catalogue of the source has.
    #[error("[[source]] {source_name}: durability.routes: {problems}")]
    Durability {
        /// The source.
        source_name: String,
        /// A line a problem.
        problems: String,
    },
    /// The directory of actors has problems.
    #[error("[actors] directory: {path} has problems\n{problems}")]
    Directory {
        /// The file.
        path: PathBuf,
        /// A line a problem.
        problems: String,
    },
    /// TLS towards an upstream can't be had.
    #[error("[[source]] {source_name}: [source.forward]")]
    UpstreamTls {
        /// The source.
        source_name: String,
        /// Why.
        source: UpstreamTlsError,
    },
    /// A secret can't be had.
    #[error("{key}")]
    Secret {
        /// The configuration key.
        key: &'static str,
        /// Why.
        source: SecretError,
    },
    /// A key is not usable.
    #[error("{key}: {why}")]
    Key {
        /// The configuration key.
        key: &'static str,
        /// Why.
        why: String,
    },
    /// The metrics can't be registered.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The system gives no thread or no runtime.
    #[error("the system gives no {what}")]
    Thread {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}
