//! Names and e-mail addresses in records: kept, left out, or as pseudonyms.
//!
//! A pseudonym is a keyed HMAC: the same person has the same one in all records of a fleet
//! with one key, and without the key nobody can try names. An id that is an e-mail address
//! is treated as one, only that it is never left out: somebody acted.

use crate::capture::actor::Fingerprinter;
use crate::format::Enrichment;
use crate::record::{Field, RecordView};
use std::sync::Arc;

/// What becomes of one kind of personal data (`[actors] names`, `emails`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personal {
    /// Written as it is known.
    #[default]
    Keep,
    /// Left out.
    Omit,
    /// A keyed hash in its place.
    Pseudonym,
}

/// What becomes of personal data in records.
#[derive(Clone, Debug)]
pub struct Privacy {
    names: Personal,
    emails: Personal,
    key: Arc<Fingerprinter>,
}

impl Privacy {
    /// These rules, with the fingerprints' key for pseudonyms.
    #[must_use]
    pub fn new(names: Personal, emails: Personal, key: Arc<Fingerprinter>) -> Self {
        Self { names, emails, key }
    }

    /// Changes what will be written of the actor.
    pub(super) fn apply(&self, record: &RecordView<'_>, out: &mut Enrichment) {
        if (self.names, self.emails) == (Personal::Keep, Personal::Keep) {
            return;
        }
        let said = |part: &Option<String>, field| match part {
            Some(text) => text.clone(),
            None => String::from_utf8_lossy(record.bytes(field).unwrap_or_default()).into_owned(),
        };
        let name = said(&out.actor_name, Field::ActorName);
        let email = said(&out.actor_email, Field::ActorEmail);
        let id = said(&out.actor_id, Field::ActorId);
        if id.contains('@') && self.emails != Personal::Keep {
            out.actor_id = Some(self.pseudonym("email", &id.to_lowercase()));
        }
        if self.names != Personal::Keep {
            out.actor_name = Some(self.shown(self.names, "name", &name));
        }
        if self.emails != Personal::Keep {
            out.actor_email = Some(self.shown(self.emails, "email", &email.to_lowercase()));
        }
        for other in [&mut out.actor_delegate, &mut out.actor_app] {
            if self.emails != Personal::Keep
                && let Some(text) = other.as_mut().filter(|text| text.contains('@'))
            {
                *text = self.pseudonym("email", &text.to_lowercase());
            }
        }
    }

    fn shown(&self, rule: Personal, kind: &str, text: &str) -> String {
        match rule {
            Personal::Pseudonym if !text.is_empty() => self.pseudonym(kind, text),
            Personal::Keep => text.to_owned(),
            Personal::Omit | Personal::Pseudonym => String::new(),
        }
    }

    /// 32 hex digits. The kind keeps pseudonyms apart from credentials and from each other.
    fn pseudonym(&self, kind: &str, text: &str) -> String {
        let hash = self.key.fingerprint(format!("onrecord pseudonym\0{kind}\0{text}").as_bytes());
        format!("{:032x}", u128::from_be_bytes(hash))
    }
}
