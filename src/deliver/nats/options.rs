//! What an operator can set about a stream.

use super::subject::SubjectTemplate;
use crate::secret::SecretRef;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A stream and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsOptions {
    /// URLs of servers of one cluster, `nats://` or `tls://`; at least one, without logins.
    pub servers: Vec<String>,
    /// The subject of each record.
    pub subject: SubjectTemplate,
    /// Manifests, keys and probes are published below this subject.
    pub evidence_subject: String,
    /// The stream that has to take them; `None`: whichever listens to the subject.
    pub stream: Option<String>,
    /// Who the gateway is.
    pub auth: NatsAuth,
    /// PEM file of the only authorities that are trusted; `None`: those of this machine.
    pub ca: Option<PathBuf>,
    /// The address of this machine that connections come from; `None`: as the system chooses.
    pub local: Option<IpAddr>,
    /// A message is acknowledged after this long, or the attempt has failed.
    pub put_timeout: Duration,
}

/// How a server knows the gateway. Secrets are read at each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NatsAuth {
    /// It need not.
    #[default]
    None,
    /// By a user and the password.
    User(String, SecretRef),
    /// By a token.
    Token(SecretRef),
    /// By the text of a `.creds` file: a JWT and the seed of its key.
    Credentials(SecretRef),
}

impl NatsOptions {
    /// The subject of records, unless it is set otherwise.
    pub const SUBJECT: &'static str = "onrecord.records.{source}";
    /// The subject of evidence, unless it is set otherwise.
    pub const EVIDENCE_SUBJECT: &'static str = "onrecord.evidence";

    /// A stream with the defaults of everything else.
    #[must_use]
    pub fn new(servers: Vec<String>) -> Self {
        Self {
            servers,
            subject: SubjectTemplate::parse(Self::SUBJECT).expect("a constant, and a test reads it"),
            evidence_subject: Self::EVIDENCE_SUBJECT.to_owned(),
            stream: None,
            auth: NatsAuth::None,
            ca: None,
            local: None,
            put_timeout: Duration::from_secs(20),
        }
    }
}
