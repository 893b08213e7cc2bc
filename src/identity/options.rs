//! How the JWTs of a source are checked.

use crate::routes::Learn;
use crate::secret::SecretRef;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// Fetched and fetched again. `https`, or `http` on loopback.
    Url(String),
    /// A file, read again when it changes.
    File(PathBuf),
}

/// The JWTs of one source (`[source.actor.jwt]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtOptions {
    /// The issuer's key set (RFC 7517).
    pub jwks: KeysFrom,
    /// Roots for the key set's server, in PEM; `None`: the public ones.
    pub ca: Option<PathBuf>,
    /// What `iss` must be.
    pub issuer: String,
    /// One of these must be in `aud`; empty: it is not looked at.
    pub audience: Vec<String>,
    /// How much clocks may differ.
    pub leeway: Duration,
    /// How old a key set may become.
    pub refresh: Duration,
    /// The claim with the actor's id.
    pub id_claim: String,
    /// The claim with its name.
    pub name_claim: String,
    /// The claim with its e-mail address.
    pub email_claim: String,
}

impl JwtOptions {
    /// The usual claims and times, for this issuer.
    #[must_use]
    pub fn new(jwks: KeysFrom, issuer: &str) -> Self {
        Self {
            jwks,
            ca: None,
            issuer: issuer.to_owned(),
            audience: Vec::new(),
            leeway: Duration::from_secs(60),
            refresh: Duration::from_secs(3600),
            id_claim: "sub".to_owned(),
            name_claim: "name".to_owned(),
            email_claim: "email".to_owned(),
        }
    }

    /// Stands for everything that a judgement hangs on but the keys.
    pub(super) fn rules(&self) -> u32 {
        let Self { issuer, audience, id_claim, name_claim, email_claim, leeway, .. } = self;
        let rules = format!("{:?}", (issuer, audience, id_claim, name_claim, email_claim, leeway));
        crc32fast::hash(rules.as_bytes())
    }
}

/// Where the tokens of one source are introspected (`[source.actor.introspection]`, RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionOptions {
    /// The endpoint. `https`, or `http` on loopback.
    pub endpoint: String,
    /// Who the gateway is there.
    pub client_id: Option<String>,
    /// And its secret.
    pub client_secret: Option<SecretRef>,
    /// Roots for the endpoint's server, in PEM; `None`: the public ones.
    pub ca: Option<PathBuf>,
    /// How long an answer counts before a token that is still in use is asked about again.
    pub cache: Duration,
}

/// Where the API is asked who a credential is (`[source.actor.ask]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskOptions {
    /// Asked with GET and the credential. `https`, or `http` on loopback.
    pub url: String,
    /// Roots for its server, in PEM; `None`: the public ones.
    pub ca: Option<PathBuf>,
}

/// Everything that is to be found out of the tokens of one source.
#[derive(Clone, Debug, Default)]
pub struct TokenOptions {
    /// How JWTs are checked.
    pub jwt: Option<JwtOptions>,
    /// Who is asked about all others.
    pub introspection: Option<IntrospectionOptions>,
    /// Where the API is asked, the namespace of the answer, and where in it the actor stands.
    pub ask: Option<(AskOptions, String, Arc<Learn>)>,
}

impl TokenOptions {
    /// Whether nothing is to be found out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jwt.is_none() && self.introspection.is_none() && self.ask.is_none()
    }

    /// Stands for everything that what is kept of a token hangs on.
    pub(super) fn rules(&self) -> u32 {
        let endpoint = self.introspection.as_ref().map(|options| &options.endpoint);
        match (&self.jwt, endpoint) {
            (Some(jwt), None) => jwt.rules(),
            (jwt, endpoint) => {
                let rules = format!("{:?}", (jwt.as_ref().map(JwtOptions::rules), endpoint));
                crc32fast::hash(rules.as_bytes())
            }
        }
    }
}
