//! How the JWTs of a source are checked.

use std::path::PathBuf;
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
