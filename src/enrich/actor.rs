//! Who acted: what the record says, what was found out about its credential, and what the
//! directory tells, in the order that the source states.
//!
//! The first source of identity that knows the actor gives type and id. The directory then
//! adds name and e-mail by that id, where they are missing. Provenance is that of the id:
//! `verified` stays so when only a name was added, and `claimed` becomes `mapped` where the
//! operator's directory knows the id.

use super::directory::{Actor, Directory};
use super::learner;
use super::privacy::Privacy;
use crate::format::Enrichment;
use crate::identity::{Fact, Facts, Learned, Reason, Who};
use crate::patterns::Patterns;
use crate::record::{Field, RecordView};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A way to know who acts (`[source.actor] identify`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identify {
    /// The directory, by the credential's fingerprint.
    Directory,
    /// The client's certificate.
    Certificate,
    /// The identity header of a trusted proxy.
    Header,
    /// A JWT.
    Jwt,
    /// The issuer of a token, who was asked (RFC 7662).
    Introspection,
    /// What the API itself said of the credential.
    Learned,
    /// The user of basic authentication.
    Basic,
}

impl Identify {
    /// Every way, in the order that holds if none is stated.
    pub const ALL: [Self; 7] = [
        Self::Directory,
        Self::Certificate,
        Self::Header,
        Self::Jwt,
        Self::Introspection,
        Self::Learned,
        Self::Basic,
    ];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Certificate => "certificate",
            Self::Header => "header",
            Self::Jwt => "jwt",
            Self::Introspection => "introspection",
            Self::Learned => "learned",
            Self::Basic => "basic",
        }
    }
}

/// Resolves actors for one destination.
#[derive(Debug)]
pub struct Resolver {
    directory: Arc<ArcSwapOption<Directory>>,
    sources: Arc<ArcSwap<SourceTable>>,
    learned: Arc<Learned>,
    privacy: Privacy,
    patience: Patience,
}

/// How the actors of one source are known.
#[derive(Clone, Debug)]
pub struct SourceActors {
    /// In which order.
    pub order: Vec<Identify>,
    /// What is found out about its tokens; `None`: they are not judged.
    pub facts: Option<Arc<Facts>>,
    /// Takes out what the operator's patterns find.
    pub patterns: Option<Arc<Patterns>>,
}

/// How actors are known, by the name of the source.
pub type SourceTable = HashMap<Vec<u8>, SourceActors>;

/// How a record says that its own id came.
const OWN: [(Identify, &[u8]); 3] =
    [(Identify::Certificate, b"mtls"), (Identify::Header, b"header"), (Identify::Basic, b"basic")];

impl Resolver {
    /// With what is known of each source, by name, and of each namespace.
    #[must_use]
    pub fn new(
        directory: Arc<ArcSwapOption<Directory>>,
        sources: Arc<ArcSwap<SourceTable>>,
        learned: Arc<Learned>,
        privacy: Privacy,
    ) -> Self {
        Self { directory, sources, learned, privacy, patience: Patience::default() }
    }

    /// Fills in who acted.
    pub fn resolve(&mut self, record: &RecordView<'_>, out: &mut Enrichment) {
        let directory = self.directory.load();
        let directory = directory.as_deref();
        let sources = self.sources.load();
        let source = sources.get(record.bytes(Field::Source).unwrap_or_default());
        let fingerprint = record.bytes(Field::CredentialId).and_then(|id| <[u8; 16]>::try_from(id).ok());
        let authentication = record.bytes(Field::ActorAuthentication).unwrap_or_default();
        let own = record.bytes(Field::ActorId).filter(|id| !id.is_empty());
        let fact = source.and_then(|source| source.facts.as_deref()).and_then(|facts| {
            let fingerprint = fingerprint.as_ref()?;
            facts.get(fingerprint).or_else(|| {
                // A token that is still with the desk was used moments ago.
                let is_token = matches!(authentication, b"jwt" | b"header" | b"bearer");
                if is_token && self.patience.wait(facts) { facts.get(fingerprint) } else { None }
            })
        });
        let doubt = fact.as_deref().and_then(|fact| fact.doubt(record.start()));
        out.actor_unverified = doubt.map(Reason::as_str);
        let order = source.map_or(&Identify::ALL[..], |source| &source.order);
        let is_known = order.iter().any(|way| match way {
            Identify::Directory => {
                let actor = fingerprint.and_then(|id| directory?.by_fingerprint(&id));
                actor.map(|actor| map(actor, out)).is_some()
            }
            Identify::Jwt | Identify::Introspection => fact.as_deref().is_some_and(|fact| {
                fact.introspected == (*way == Identify::Introspection) && take(fact, doubt, out)
            }),
            Identify::Learned => fingerprint
                .and_then(|fingerprint| learner::holder(&self.learned, record, &fingerprint))
                .map(|who| take_learned(who, out))
                .is_some(),
            own_way => own.is_some() && OWN.contains(&(*own_way, authentication)),
        });
        if !is_known && own.is_some() {
            // The record names someone in a way that this source does not listen to.
            out.actor_type = Some("anonymous".to_owned());
            for part in
                [&mut out.actor_id, &mut out.actor_name, &mut out.actor_email, &mut out.actor_provenance]
            {
                *part = Some(String::new());
            }
        } else if is_known && let Some(directory) = directory {
            complete(directory, record, out);
        }
        if let Some(patterns) = source.and_then(|source| source.patterns.as_deref()) {
            clean(patterns, out);
        }
        self.privacy.apply(record, out);
    }
}

/// Takes out of what was found out what the operator's patterns find.
fn clean(patterns: &Patterns, out: &mut Enrichment) {
    let parts = [
        &mut out.actor_id,
        &mut out.actor_name,
        &mut out.actor_email,
        &mut out.actor_issuer,
        &mut out.actor_app,
        &mut out.actor_delegate,
    ];
    for text in parts.into_iter().flatten() {
        if let Cow::Owned(hidden) = patterns.text(text.as_bytes()) {
            *text = String::from_utf8_lossy(&hidden).into_owned();
        }
    }
}

/// The directory's word on a credential.
fn map(actor: &Actor, out: &mut Enrichment) {
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    out.actor_type = said(actor.kind);
    out.actor_id = said(&actor.id);
    out.actor_name = said(&actor.name);
    out.actor_email = said(&actor.email);
    out.actor_provenance = Some("mapped".to_owned());
}

/// A token's word; `false` if it is worth nothing.
fn take(fact: &Fact, doubt: Option<Reason>, out: &mut Enrichment) -> bool {
    let Some(who) = &fact.who else { return false };
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    out.actor_type = said(who.kind);
    out.actor_id = said(&who.id);
    // Not the record's own, which may speak of somebody else.
    out.actor_name = Some(who.name.clone());
    out.actor_email = Some(who.email.clone());
    out.actor_issuer = said(&who.issuer);
    out.actor_app = said(&who.app);
    out.actor_delegate = said(&who.delegate);
    out.actor_provenance = Some(if doubt.is_none() { "verified" } else { "claimed" }.to_owned());
    true
}

/// What the API itself said of the credential.
fn take_learned(who: Who, out: &mut Enrichment) {
    out.actor_type = Some(who.kind.to_owned());
    out.actor_id = Some(who.id);
    out.actor_name = Some(who.name);
    out.actor_email = Some(who.email);
    out.actor_provenance = Some("verified".to_owned());
}

/// Adds what the directory tells of the id.
fn complete(directory: &Directory, record: &RecordView<'_>, out: &mut Enrichment) {
    let text = |field| std::str::from_utf8(record.bytes(field).unwrap_or_default()).unwrap_or_default();
    let id = out.actor_id.as_deref().unwrap_or_else(|| text(Field::ActorId));
    let Some(actor) = directory.by_id(id) else { return };
    let said = out.actor_provenance.as_deref().unwrap_or_else(|| text(Field::ActorProvenance));
    let is_verified = said == "verified";
    if !is_verified {
        out.actor_provenance = Some("mapped".to_owned());
    }
    let lacks = |out: &Option<String>, field| {
        !is_verified || out.as_deref().unwrap_or_else(|| text(field)).is_empty()
    };
    if !is_verified {
        out.actor_type = Some(actor.kind.to_owned());
    }
    if lacks(&out.actor_name, Field::ActorName) && !actor.name.is_empty() {
        out.actor_name = Some(actor.name.clone());
    }
    if lacks(&out.actor_email, Field::ActorEmail) && !actor.email.is_empty() {
        out.actor_email = Some(actor.email.clone());
    }
}

/// How long a packer waits for tokens that are still being judged: a little, and seldom, so
/// that a flood of new tokens does not hold packing up.
#[derive(Debug)]
struct Patience {
    left: Duration,
    since: Instant,
}

/// For one record.
const WAIT: Duration = Duration::from_millis(100);
/// For all records within [`PERIOD`].
const BUDGET: Duration = Duration::from_secs(1);
/// See [`BUDGET`].
const PERIOD: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

impl Default for Patience {
    fn default() -> Self {
        Self { left: BUDGET, since: Instant::now() }
    }
}

impl Patience {
    /// Waits until everything that was handed over is judged; `false` if there was nothing to
    /// wait for, or no time.
    fn wait(&mut self, facts: &Facts) -> bool {
        if facts.is_settled() {
            // What was judged between the two looks is there now.
            return true;
        }
        if self.since.elapsed() > PERIOD {
            *self = Self::default();
        }
        let begun = Instant::now();
        let limit = WAIT.min(self.left);
        while !facts.is_settled() && begun.elapsed() < limit {
            std::thread::sleep(LOOK);
        }
        self.left = self.left.saturating_sub(begun.elapsed());
        true
    }
}

#[cfg(test)]
mod tests;
