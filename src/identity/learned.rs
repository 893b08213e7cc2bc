//! What the APIs themselves said of who acts, as it passed by.
//!
//! Two tables for each namespace: whose a credential is, by its fingerprint, and what
//! somebody is called, by id. Sources of one namespace share them: a key that one API hands
//! out is used at the other. A fact counts until it expires; each time the API says it
//! again it counts anew.
//!
//! What an API answers to the question "who am I" outweighs what it says of a write, which
//! can be about somebody else where the API means "the last editor".

use super::facts::Who;
use super::organizations::{Home, Organizations};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Entries of a table that are kept for sure; at most twice as many are.
const MOST: usize = 16_384;
/// Bytes that are kept of a text.
const MOST_TEXT: usize = 512;

/// What was learned of a credential, or of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Who it is.
    pub who: Who,
    /// The API said so of the credential itself, and not of what it did.
    pub own_word: bool,
    /// Until when it counts, in Unix microseconds.
    pub not_after: u64,
}

/// What was learned. Written by the inspector and the desk, read by packers.
#[derive(Debug, Default)]
pub struct Learned {
    /// How long a fact counts, in microseconds.
    lasts: u64,
    namespaces: RwLock<HashMap<Box<[u8]>, Tables>>,
    organizations: RwLock<HashMap<Box<[u8]>, Arc<Organizations>>>,
    changed: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Tables {
    credentials: Generations<[u8; 16]>,
    people: Generations<Box<str>>,
}

/// The latest entries, and those before them.
#[derive(Debug)]
struct Generations<K> {
    young: HashMap<K, Arc<Known>>,
    old: HashMap<K, Arc<Known>>,
}

impl<K> Default for Generations<K> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash> Generations<K> {
    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&Arc<Known>>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn put(&mut self, key: K, known: Known) {
        if self.young.len() >= MOST && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, Arc::new(known));
    }

    /// Older entries that a younger one has taken the place of are left out.
    fn all(&self) -> impl Iterator<Item = (&K, &Arc<Known>)> {
        self.old.iter().filter(|(key, _)| !self.young.contains_key(*key)).chain(&self.young)
    }
}

/// An entry as the file has it.
pub(super) enum Entry<'a> {
    Credential(&'a [u8], [u8; 16], &'a Known),
    Person(&'a [u8], &'a Known),
    Space(&'a [u8], &'a [u8], &'a Home),
}

impl Learned {
    /// Nothing yet; `lasts`: how long a fact counts, in microseconds.
    #[must_use]
    pub fn new(lasts: u64) -> Self {
        Self { lasts, ..Self::default() }
    }

    /// Whose credential this is, as far as that still counts at `at`.
    #[must_use]
    pub fn credential(&self, namespace: &[u8], fingerprint: &[u8; 16], at: u64) -> Option<Arc<Known>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        let known = namespaces.get(namespace)?.credentials.get(fingerprint)?;
        (at <= known.not_after).then(|| Arc::clone(known))
    }

    /// What this person is called, as far as that still counts at `at`.
    #[must_use]
    pub fn person(&self, namespace: &[u8], id: &str, at: u64) -> Option<Arc<Known>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        let known = namespaces.get(namespace)?.people.get(id)?;
        (at <= known.not_after).then(|| Arc::clone(known))
    }

    /// The organizations of this namespace's spaces. Its sources share them.
    #[must_use]
    pub fn organizations(&self, namespace: &[u8]) -> Arc<Organizations> {
        let mut all = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Organizations::new(self.lasts, Arc::clone(&self.changed)));
        Arc::clone(all.entry(namespace.into()).or_insert_with(new))
    }

    /// Forgets the organizations that no longer count at `now`.
    pub(super) fn expire_organizations(&self, now: u64) {
        let all = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        all.values().for_each(|organizations| organizations.expire(now));
    }

    /// Notes whose credential this is. `own_word`: see [`Known`].
    pub fn learn(&self, namespace: &[u8], fingerprint: [u8; 16], who: Who, own_word: bool, now: u64) {
        let mut known = Known { who: bounded(who), own_word, not_after: now.saturating_add(self.lasts) };
        if known.who.id.is_empty() && known.who.name.is_empty() {
            return;
        }
        if let Some(before) = self.credential(namespace, &fingerprint, now) {
            let same = before.who.kind == known.who.kind && before.who.id == known.who.id;
            if before.own_word && !own_word && !same {
                return;
            }
            if same {
                known.own_word |= before.own_word;
                keep(&mut known.who.name, &before.who.name);
                keep(&mut known.who.email, &before.who.email);
            }
            if self.is_old_news(&before, &known) {
                return;
            }
        }
        self.tables(namespace, |tables| tables.credentials.put(fingerprint, known));
    }

    /// Notes what somebody is called.
    pub fn learn_person(&self, namespace: &[u8], who: Who, now: u64) {
        let mut known =
            Known { who: bounded(who), own_word: false, not_after: now.saturating_add(self.lasts) };
        if known.who.id.is_empty() || known.who.name.is_empty() && known.who.email.is_empty() {
            return;
        }
        if let Some(before) = self.person(namespace, &known.who.id, now) {
            keep(&mut known.who.name, &before.who.name);
            keep(&mut known.who.email, &before.who.email);
            if self.is_old_news(&before, &known) {
                return;
            }
        }
        let id = known.who.id.clone().into_boxed_str();
        self.tables(namespace, |tables| tables.people.put(id, known));
    }

    /// Whether something was learned since this was asked last.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    pub(super) fn set_changed(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Takes up an entry of the file.
    pub(super) fn take_up(&self, namespace: &[u8], fingerprint: Option<[u8; 16]>, known: Known) {
        self.tables(namespace, |tables| match fingerprint {
            Some(fingerprint) => tables.credentials.put(fingerprint, known),
            None => tables.people.put(known.who.id.clone().into_boxed_str(), known),
        });
        self.changed.store(false, Ordering::Release);
    }

    /// Shows every entry, until one can't be taken.
    pub(super) fn each<E>(&self, mut see: impl FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        for (namespace, tables) in &*namespaces {
            for (fingerprint, known) in tables.credentials.all() {
                see(Entry::Credential(namespace, *fingerprint, known))?;
            }
            for (_, known) in tables.people.all() {
                see(Entry::Person(namespace, known))?;
            }
        }
        let organizations = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        for (namespace, organizations) in &*organizations {
            for (space, home) in &*organizations.all() {
                see(Entry::Space(namespace, space, home))?;
            }
        }
        Ok(())
    }

    /// The same again within a tenth of the time that it counts is not worth a write.
    fn is_old_news(&self, before: &Known, now: &Known) -> bool {
        before.who == now.who
            && before.own_word == now.own_word
            && now.not_after.saturating_sub(before.not_after) < self.lasts / 10
    }

    fn tables(&self, namespace: &[u8], change: impl FnOnce(&mut Tables)) {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        change(namespaces.entry(namespace.into()).or_default());
        self.changed.store(true, Ordering::Release);
    }
}

fn keep(text: &mut String, before: &str) {
    if text.is_empty() {
        before.clone_into(text);
    }
}

fn bounded(mut who: Who) -> Who {
    // An id that is cut is another's.
    if who.id.len() > MOST_TEXT {
        who.id.clear();
    }
    for text in [&mut who.name, &mut who.email] {
        text.truncate(text.floor_char_boundary(MOST_TEXT));
    }
    who
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: &[u8] = b"contentful";
    const TOKEN: [u8; 16] = [7; 16];

    fn who(id: &str, name: &str) -> Who {
        Who { kind: "user", id: id.to_owned(), name: name.to_owned(), ..Who::default() }
    }

    #[test]
    fn a_fact_counts_for_its_namespace_and_until_it_expires_and_anew_when_it_is_said_again() {
        let learned = Learned::new(1000);
        learned.learn(NS, TOKEN, who("u1", ""), false, 5000);
        assert_eq!(learned.credential(NS, &TOKEN, 1).unwrap().who.id, "u1", "what it did before, too");
        assert!(learned.credential(NS, &TOKEN, 6000).is_some());
        assert!(learned.credential(NS, &TOKEN, 6001).is_none());
        assert!(learned.credential(b"other", &TOKEN, 5000).is_none());
        learned.learn(NS, TOKEN, who("u1", ""), false, 5900);
        assert!(learned.credential(NS, &TOKEN, 6900).is_some());
    }

    #[test]
    fn the_word_on_the_credential_itself_outweighs_that_on_a_write() {
        let learned = Learned::new(1000);
        learned.learn(NS, TOKEN, who("editor", ""), false, 0);
        learned.learn(NS, TOKEN, who("u1", "Ann"), true, 10);
        learned.learn(NS, TOKEN, who("editor", ""), false, 20);
        assert_eq!(learned.credential(NS, &TOKEN, 30).unwrap().who.id, "u1");
        // The same person's write refreshes it and forgets nothing.
        learned.learn(NS, TOKEN, who("u1", ""), false, 500);
        let known = learned.credential(NS, &TOKEN, 1400).unwrap();
        assert_eq!((known.who.name.as_str(), known.own_word), ("Ann", true));
    }

    #[test]
    fn what_is_said_again_at_once_changes_nothing_and_nobody_is_no_fact() {
        let learned = Learned::new(1000);
        learned.learn(NS, TOKEN, who("", ""), true, 0);
        learned.learn(NS, TOKEN, who(&"x".repeat(600), ""), true, 0);
        assert!(learned.credential(NS, &TOKEN, 0).is_none());
        learned.learn(NS, TOKEN, who("u1", ""), true, 0);
        assert!(learned.take_changed());
        learned.learn(NS, TOKEN, who("u1", ""), false, 99);
        assert!(!learned.take_changed());
    }

    #[test]
    fn no_more_is_kept_than_stated() {
        let learned = Learned::new(1000);
        for number in 0..100_000u128 {
            learned.learn(NS, number.to_be_bytes(), who("u1", ""), false, 0);
            learned.learn_person(NS, who(&number.to_string(), "Ann"), 0);
        }
        let mut count = 0;
        let counted = learned.each(|_| {
            count += 1;
            Ok::<(), ()>(())
        });
        counted.unwrap();
        assert!(count <= 4 * MOST, "{count}");
        assert!(learned.credential(NS, &99_999u128.to_be_bytes(), 0).is_some());
    }
}
