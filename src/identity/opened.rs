//! What a source's options name, opened: the issuer with its keys, and the questions that can
//! be asked about its tokens.

use super::desk::DeskError;
use super::facts::Facts;
use super::fetch;
use super::inquiry::{Inquiry, Question};
use super::jwks::KeySet;
use super::options::{JwtOptions, KeysFrom, TokenOptions};
use super::presenter::Presented;
use super::schedule::Schedule;
use rustls::ClientConfig;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The tokens of one source.
pub(super) struct Issuer {
    pub(super) source: String,
    pub(super) options: JwtOptions,
    pub(super) facts: Arc<Facts>,
    pub(super) keys: Option<Arc<KeySet>>,
    pub(super) schedule: Schedule,
    pub(super) tls: Arc<ClientConfig>,
    /// The file of keys as it was read last.
    pub(super) stamp: Option<Stamp>,
    /// Tokens that wait for keys.
    pub(super) pending: Vec<Presented>,
    /// A failure was told, and nothing has come since.
    pub(super) told: bool,
}

pub(super) type Stamp = (SystemTime, u64);

impl Issuer {
    pub(super) fn new(source: String, options: JwtOptions, facts: Arc<Facts>) -> Result<Self, DeskError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            |source| DeskError::Read { path, source }
        };
        let tls = fetch::trust(options.ca.as_deref())
            .map_err(read(options.ca.as_deref().unwrap_or(Path::new("the public roots"))))?;
        let (mut keys, mut stamp) = (None, None);
        if let KeysFrom::File(path) = &options.jwks {
            stamp = Some(stamp_of(path).map_err(read(path))?);
            let text = std::fs::read(path).map_err(read(path))?;
            let set =
                KeySet::parse(&text).map_err(|source| DeskError::Keys { path: path.clone(), source })?;
            keys = Some(Arc::new(set));
        }
        let schedule = Schedule::new(options.refresh);
        Ok(Self { source, options, facts, keys, schedule, tls, stamp, pending: Vec::new(), told: false })
    }
}

/// When a file was changed, and its size.
pub(super) fn stamp_of(path: &Path) -> io::Result<Stamp> {
    let data = std::fs::metadata(path)?;
    Ok((data.modified()?, data.len()))
}

/// The questions that these options ask.
pub(super) fn inquiries(options: &TokenOptions) -> Result<Vec<Inquiry>, DeskError> {
    let trust = |ca: Option<&Path>| {
        let path = ca.unwrap_or(Path::new("the public roots")).to_owned();
        fetch::trust(ca).map_err(|source| DeskError::Read { path, source })
    };
    let mut inquiries = Vec::new();
    if let Some(options) = &options.introspection {
        let secret = options.client_secret.as_ref().map(|secret| secret.resolve()).transpose()?;
        let secret = secret.as_ref().map(|secret| secret.expose());
        let question = Question::introspection(options, secret, trust(options.ca.as_deref())?);
        inquiries.push(Inquiry::new(question, Some(options.cache)));
    }
    if let Some((options, namespace, learn)) = &options.ask {
        let tls = trust(options.ca.as_deref())?;
        let question = Question::own(options, namespace.clone(), Arc::clone(learn), tls);
        inquiries.push(Inquiry::new(question, None));
    }
    Ok(inquiries)
}
