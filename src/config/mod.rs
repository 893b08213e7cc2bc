//! Configuration: from `proxy.toml` to what the gateway needs.
//!
//! Three phases with strict rights. [`parse`] reads and judges the text without
//! touching anything else, and tells all problems at once, each with its line,
//! key and a hint. Building (in `app`) opens and loads what the [`Config`] names:
//! catalogues, secrets, folders. Running comes last. A parsed file is never half
//! valid: there is a [`Config`] or there are [`Problems`].
//!
//! What was typed (`raw`) and what is needed ([`Config`]) are two things; parts
//! of the gateway know only their own options. Each key is described once, in
//! [`mod@reference`], from which the readers take ranges and hints.

mod fit;
mod fit_listeners;
mod nearest;
mod problem;
mod raw;
pub mod reference;
mod reload;
#[cfg(test)]
mod tests;
pub mod units;
mod upstream;
mod warnings;

pub use crate::record::OWN_SOURCE;
pub use crate::secret::{SecretError, SecretRef};
pub use problem::{Problem, Problems};
pub use reload::Reload;

use crate::capture::RingOptions;
use crate::deliver::DestinationOptions;
use crate::enrich::actor::Identify;
use crate::enrich::privacy::{Hashed, Personal};
use crate::identity::{AskOptions, IntrospectionOptions, JwtOptions};
use crate::proxy::SourceOptions;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Catalogues that are built in.
pub const PRESETS: &[&str] = &["contentful-management", "contentful-delivery", "microcms"];

/// A configuration file has at most this many bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Everything that an operator can set, valid as far as it can be judged without
/// touching anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The gateway's stable name; `None`: the host name.
    pub instance: Option<String>,
    /// The private key that secrets of the file are encrypted to.
    pub secrets_key: SecretRef,
    /// The workers.
    pub server: crate::server::Options,
    /// The log sources; at least one, with distinct names.
    pub sources: Vec<SourceConfig>,
    /// What connections pass at an address before HTTP begins; not every address has such options.
    pub listeners: Vec<crate::server::ListenerOptions>,
    /// The authority for certificates.
    pub acme: AcmeConfig,
    /// Limits of each client.
    pub client_limits: crate::capture::ClientLimitOptions,
    /// The rings.
    pub ring: RingOptions,
    /// The spool.
    pub spool: crate::spool::Options,
    /// The destinations; at least one, with distinct names.
    pub destinations: Vec<DestinationOptions>,
    /// What is redacted beside the built-in list.
    pub redact: RedactOptions,
    /// What is found out beyond the heads.
    pub meaning: MeaningOptions,
    /// Actors and their fingerprints.
    pub actors: ActorsOptions,
    /// The admin listener.
    pub admin: AdminOptions,
    /// Notices.
    pub notify: crate::notify::NotifyOptions,
    /// Signing.
    pub evidence: EvidenceOptions,
    /// The gateway's own log.
    pub log: LogOptions,
}

impl Config {
    /// An address as clients write it, with the scheme that is spoken there.
    #[must_use]
    pub fn url(&self, address: &crate::server::ListenAddress) -> String {
        let section = self.listeners.iter().find(|listener| listener.address == *address);
        let is_tls = section.is_some_and(|listener| listener.tls.is_some());
        format!("{}://{address}", if is_tls { "https" } else { "http" })
    }
}

/// One log source, and what is still to be loaded for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The source's options. An empty `namespace` was not typed: then the first
    /// catalogue's counts, else `api`.
    pub options: SourceOptions,
    /// Its catalogues, in the order typed.
    pub catalogues: Vec<CatalogueRef>,
    /// The API's public host name (lower case); `None`: the upstream's host.
    pub api_host: Option<String>,
    /// The placeholder (with its colon) that holds the organization, in place of
    /// the one that the catalogue names.
    pub organization_placeholder: Option<String>,
    /// How its actors are known, in this order.
    pub identify: Vec<Identify>,
    /// How its tokens are checked; `None`: they are not.
    pub jwt: Option<JwtOptions>,
    /// Where its other tokens are introspected.
    pub introspection: Option<IntrospectionOptions>,
    /// Where the API is asked who a credential is.
    pub ask: Option<AskOptions>,
}

/// A catalogue by name or by file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogueRef {
    /// One of [`PRESETS`].
    Preset(String),
    /// A file, `.json` or `.toml`.
    File(PathBuf),
}

/// ACME (`[acme]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The operator agrees to the authority's terms.
    pub agreed: bool,
    /// The authority.
    pub options: crate::server::AcmeOptions,
}

/// Redaction beside the built-in list (`[redact]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactOptions {
    /// Further names of query parameters, in lower case.
    pub query: Vec<String>,
    /// Patterns of names of query parameters.
    pub query_patterns: Vec<String>,
    /// Patterns of what is hidden wherever it stands.
    pub patterns: Vec<String>,
    /// Attributes that are delivered as pseudonyms.
    pub hash: Vec<Hashed>,
}

/// What is found out about requests beyond their heads (`[meaning]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeaningOptions {
    /// How bodies are looked into.
    pub bodies: crate::inspect::Options,
    /// The longest pause within one session.
    pub session_gap: std::time::Duration,
}

impl Default for MeaningOptions {
    fn default() -> Self {
        Self { bodies: crate::inspect::Options::default(), session_gap: std::time::Duration::from_secs(30) }
    }
}

/// Actors (`[actors]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorsOptions {
    /// The directory file, `.csv` or `.json`.
    pub directory: Option<PathBuf>,
    /// The fingerprints' key; `None`: made in the spool folder.
    pub fingerprint_key: Option<SecretRef>,
    /// Its name in records.
    pub fingerprint_key_name: String,
    /// What becomes of actors' names.
    pub names: Personal,
    /// What becomes of their e-mail addresses.
    pub emails: Personal,
    /// How long what an API said of a credential counts.
    pub learned_for: Duration,
}

/// The admin listener (`[admin]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminOptions {
    /// Its address; off loopback only with tokens and certificates.
    pub listen: SocketAddr,
    /// Who may do what; none: whoever reaches it may look, and nobody may act.
    pub tokens: Vec<crate::admin::Token>,
    /// Certificates to show; none: it speaks plain HTTP.
    pub certificates: Vec<crate::server::CertificateFiles>,
}

/// Signing (`[evidence]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceOptions {
    /// The signing key; `None`: made in the spool folder.
    pub key: Option<SecretRef>,
    /// The key that signed until now; `None`: one that was made in the spool folder, if any.
    pub previous_key: Option<SecretRef>,
    /// A file that chain heads are appended to.
    pub anchor: Option<PathBuf>,
    /// The signer's name; `None`: `onrecord/{instance}`.
    pub name: Option<String>,
}

/// The gateway's own log (`[log]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A level or filter that `tracing_subscriber`'s `Targets` reads.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Default for ActorsOptions {
    fn default() -> Self {
        Self {
            directory: None,
            fingerprint_key: None,
            fingerprint_key_name: "default".to_owned(),
            names: Personal::Keep,
            emails: Personal::Keep,
            learned_for: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Default for AdminOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            tokens: Vec::new(),
            certificates: Vec::new(),
        }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default() }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("can't read {file}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is far larger than any configuration.
    #[error("{file}: is larger than 1 MiB")]
    Large {
        /// The file.
        file: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("{file}: is not UTF-8 text (byte {at})")]
    NotText {
        /// The file.
        file: PathBuf,
        /// Offset of the first byte that is not text.
        at: usize,
    },
    /// The file has mistakes.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// Reads a file and judges it.
///
/// # Errors
/// [`LoadError`], if it can't be read or has problems.
pub fn load(file: &Path) -> Result<Config, LoadError> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file);
    opened
        .and_then(|open| open.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| LoadError::Read { file: file.to_owned(), source })?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(LoadError::Large { file: file.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| LoadError::NotText {
        file: file.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    Ok(parse(file, &text)?)
}

/// Judges the text of a configuration file, without touching anything else.
/// `file` is only named in problems.
///
/// # Errors
/// All [`Problems`] of the text.
pub fn parse(file: &Path, text: &str) -> Result<Config, Problems> {
    let (document, tree) = raw::Document::parse(file, text);
    let typed = raw::read(&document, &tree);
    fit::judge(&document, &typed);
    match document.into_problems() {
        Some(problems) => Err(problems),
        None => Ok(Config::from(typed)),
    }
}

impl From<raw::File> for Config {
    fn from(file: raw::File) -> Self {
        Self {
            instance: file.instance,
            secrets_key: file.secrets_key,
            server: file.server,
            sources: file.sources.into_iter().map(|source| source.config).collect(),
            listeners: file.listeners.into_iter().map(|listener| listener.options).collect(),
            acme: file.acme,
            client_limits: file.client_limits,
            ring: file.ring,
            spool: file.spool.options,
            destinations: file
                .destinations
                .into_iter()
                .map(|destination| destination.options)
                .filter(|options| options.enabled)
                .collect(),
            redact: file.redact,
            meaning: file.meaning,
            actors: file.actors,
            admin: file.admin.options,
            notify: file.notify,
            evidence: file.evidence,
            log: file.log,
        }
    }
}
