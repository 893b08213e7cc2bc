//! What was found out about credentials: fingerprint → who.

use crate::record::field::closed_list;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Facts of good tokens that are kept for sure; at most twice as many are.
const MOST_GOOD: usize = 65_536;
/// The same of all other tokens, which anyone can make.
const MOST_OTHER: usize = 8_192;

closed_list! {
    /// Why a token does not prove who sent it (`actor.unverified`).
    Reason {
        /// It is not a JWT that can be read, or asks for extensions (`crit`).
        Malformed = 1 => "malformed",
        /// Unsigned, symmetric, or an algorithm that is not known here.
        Algorithm = 2 => "algorithm",
        /// The issuer's key set does not have the key.
        UnknownKey = 3 => "unknown_key",
        /// The signature is wrong.
        Signature = 4 => "signature",
        /// Of another issuer.
        Issuer = 5 => "issuer",
        /// For another audience.
        Audience = 6 => "audience",
        /// It was no longer valid when it was used.
        Expired = 7 => "expired",
        /// It was not yet valid when it was used.
        NotYetValid = 8 => "not_yet_valid",
        /// The issuer's keys could not be had: nobody checked.
        KeysUnavailable = 9 => "keys_unavailable",
        /// The claim with the actor's id is missing.
        NoId = 10 => "no_id",
        /// The issuer says that it is not valid.
        Inactive = 11 => "inactive",
        /// The issuer could not be asked: nobody checked.
        IntrospectionUnavailable = 12 => "introspection_unavailable",
    }
}

/// Someone, as a credential names them. Unknown parts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// `actor.type`.
    pub kind: &'static str,
    /// `actor.id`.
    pub id: String,
    /// `actor.name`.
    pub name: String,
    /// `actor.email`.
    pub email: String,
    /// `actor.issuer`: who says so.
    pub issuer: String,
    /// `actor.app.id`: the client that the token was given to.
    pub app: String,
    /// `actor.delegate.id`: who acts on the actor's behalf (RFC 8693 §4.1).
    pub delegate: String,
}

/// What was found out about one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// Who it names; `None` where what it says is worth nothing.
    pub who: Option<Who>,
    /// The issuer was asked (RFC 7662); else the token itself was judged.
    pub introspected: bool,
    /// Why it proves nothing at any time; `None`: it proves who sent it, while it is valid.
    pub reason: Option<Reason>,
    /// From when it is valid, in Unix microseconds, leeway taken in.
    pub not_before: u64,
    /// Until when, likewise.
    pub not_after: u64,
}

impl Fact {
    /// Nothing but a reason: what the token says is worth nothing.
    #[must_use]
    pub fn worthless(reason: Reason) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// Why the credential did not prove who sent it at this time; `None`: it did.
    #[must_use]
    pub fn doubt(&self, start: u64) -> Option<Reason> {
        self.reason.or(if start > self.not_after {
            Some(Reason::Expired)
        } else if start < self.not_before {
            Some(Reason::NotYetValid)
        } else {
            None
        })
    }
}

/// The facts of one source. Written by the desk, read by packers.
#[derive(Debug, Default)]
pub struct Facts {
    /// What they were found out by; those found out by other rules are not taken up.
    pub(super) rules: u32,
    tables: RwLock<Tables>,
    /// Tokens that were handed over and not judged yet.
    pub(super) waiting: AtomicUsize,
    /// Rises when facts were let go, or keys came: workers then hand tokens over again.
    pub(super) epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    good: Table,
    other: Table,
}

/// The latest facts, and those before them.
#[derive(Debug, Default)]
struct Table {
    young: HashMap<[u8; 16], Arc<Fact>>,
    old: HashMap<[u8; 16], Arc<Fact>>,
}

impl Table {
    fn get(&self, fingerprint: &[u8; 16]) -> Option<&Arc<Fact>> {
        self.young.get(fingerprint).or_else(|| self.old.get(fingerprint))
    }

    fn remove(&mut self, fingerprint: &[u8; 16]) {
        self.young.remove(fingerprint);
        self.old.remove(fingerprint);
    }

    /// Whether older facts were let go for it.
    fn put(&mut self, fingerprint: [u8; 16], fact: Arc<Fact>, most: usize) -> bool {
        let full = self.young.len() >= most;
        if full {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint, fact);
        full
    }
}

impl Facts {
    /// Nothing yet; `rules` stands for the options that tokens are judged by.
    pub(super) fn under(rules: u32) -> Self {
        Self { rules, ..Self::default() }
    }

    /// What is known of this credential.
    #[must_use]
    pub fn get(&self, fingerprint: &[u8; 16]) -> Option<Arc<Fact>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.good.get(fingerprint).or_else(|| tables.other.get(fingerprint)).cloned()
    }

    /// Whether no token waits to be judged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Notes a fact in place of what was known.
    pub fn put(&self, fingerprint: [u8; 16], fact: Fact) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let let_go = if fact.reason.is_none() {
            tables.other.remove(&fingerprint);
            tables.good.put(fingerprint, Arc::new(fact), MOST_GOOD)
        } else {
            tables.good.remove(&fingerprint);
            tables.other.put(fingerprint, Arc::new(fact), MOST_OTHER)
        };
        drop(tables);
        if let_go {
            self.ask_again();
        }
    }

    /// Lets workers hand over tokens again that they have handed over before.
    pub(super) fn ask_again(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Every fact of a good token.
    pub(super) fn good(&self) -> Vec<([u8; 16], Arc<Fact>)> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let all = tables.good.old.iter().chain(&tables.good.young);
        all.map(|(fingerprint, fact)| (*fingerprint, Arc::clone(fact))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(number: u32) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    #[test]
    fn a_flood_of_worthless_tokens_pushes_out_no_good_one_and_is_bounded() {
        let facts = Facts::default();
        let good = Fact { who: Some(Who::default()), not_after: u64::MAX, ..Fact::default() };
        facts.put(fingerprint(0), good.clone());
        for number in 1..100_000 {
            facts.put(fingerprint(number), Fact::worthless(Reason::Signature));
        }
        assert_eq!(facts.get(&fingerprint(0)).as_deref(), Some(&good));
        let tables = facts.tables.read().unwrap();
        assert!(tables.other.young.len() + tables.other.old.len() <= 2 * MOST_OTHER);
        assert!(facts.epoch.load(Ordering::Relaxed) > 0, "what was let go is asked for again");
    }

    #[test]
    fn whether_a_token_was_valid_is_judged_by_the_records_own_time() {
        let fact = Fact { not_before: 100, not_after: 200, ..Fact::default() };
        assert_eq!(fact.doubt(99), Some(Reason::NotYetValid));
        assert_eq!((fact.doubt(100), fact.doubt(200)), (None, None));
        assert_eq!(fact.doubt(201), Some(Reason::Expired));
        assert_eq!(Fact::worthless(Reason::Algorithm).doubt(150), Some(Reason::Algorithm));
    }
}
