//! Names and e-mail addresses in records: kept, left out, or as pseudonyms.
//!
//! A pseudonym is a keyed HMAC: the same person has the same one in all records of a fleet
//! with one key, and without the key nobody can try names. An id that is an e-mail address
//! is treated as one, only that it is never left out: somebody acted.

use crate::capture::actor::Fingerprinter;
use crate::format::Enrichment;
use crate::record::field::closed_list;
use crate::record::{Field, RecordView, RecordWriter};
use std::net::{IpAddr, Ipv6Addr};
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

closed_list! {
    /// An attribute that can be delivered as a pseudonym (`[redact] hash`).
    Hashed {
        /// Who acted.
        ActorId = 1 => "actor.id",
        /// What the actor is called.
        ActorName = 2 => "actor.name",
        /// The actor's e-mail address.
        ActorEmail = 3 => "actor.email",
        /// The client that the actor's token was given to.
        ActorApp = 4 => "actor.app.id",
        /// Who acts on the actor's behalf.
        ActorDelegate = 5 => "actor.delegate.id",
        /// Where the client is.
        ClientAddress = 6 => "client.address",
        /// What the client calls itself.
        UserAgent = 7 => "user_agent.original",
        /// The API's own software header.
        UserAgentProduct = 8 => "user_agent.product",
        /// Where the client comes from.
        Referer = 9 => "http.request.header.referer",
        /// The path.
        Path = 10 => "url.path",
        /// The query.
        Query = 11 => "url.query",
        /// The subject of the client's certificate.
        TlsClientSubject = 12 => "tls.client.subject",
    }
}

impl Hashed {
    /// The field of the record that is replaced; `None` for what is told beside the record.
    const fn field(self) -> Option<Field> {
        Some(match self {
            Self::ActorId | Self::ActorName | Self::ActorEmail | Self::ActorApp | Self::ActorDelegate => {
                return None;
            }
            Self::ClientAddress => Field::ClientAddress,
            Self::UserAgent => Field::UserAgent,
            Self::UserAgentProduct => Field::UserAgentProduct,
            Self::Referer => Field::Referer,
            Self::Path => Field::Path,
            Self::Query => Field::Query,
            Self::TlsClientSubject => Field::TlsClientSubject,
        })
    }
}

/// What becomes of personal data in records.
#[derive(Clone, Debug)]
pub struct Privacy {
    names: Personal,
    emails: Personal,
    hashed: Vec<Hashed>,
    key: Arc<Fingerprinter>,
}

impl Privacy {
    /// These rules, with the fingerprints' key for pseudonyms.
    #[must_use]
    pub fn new(names: Personal, emails: Personal, key: Arc<Fingerprinter>) -> Self {
        Self { names, emails, hashed: Vec::new(), key }
    }

    /// With pseudonyms in the place of these attributes too. Names and addresses that are
    /// left out stay so.
    #[must_use]
    pub fn hashing(mut self, attributes: &[Hashed]) -> Self {
        for (attribute, rule) in
            [(Hashed::ActorName, &mut self.names), (Hashed::ActorEmail, &mut self.emails)]
        {
            if attributes.contains(&attribute) && *rule == Personal::Keep {
                *rule = Personal::Pseudonym;
            }
        }
        self.hashed = attributes.to_vec();
        self
    }

    /// Changes what will be written of the actor.
    pub(super) fn apply(&self, record: &RecordView<'_>, out: &mut Enrichment) {
        self.replace(record, out);
        if (self.names, self.emails) == (Personal::Keep, Personal::Keep) && self.hashed.is_empty() {
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
        } else if !id.is_empty() && self.hashed.contains(&Hashed::ActorId) {
            out.actor_id = Some(self.pseudonym(Hashed::ActorId.as_str(), &id));
        }
        if self.names != Personal::Keep {
            out.actor_name = Some(self.shown(self.names, "name", &name));
        }
        if self.emails != Personal::Keep {
            out.actor_email = Some(self.shown(self.emails, "email", &email.to_lowercase()));
        }
        for (other, attribute) in
            [(&mut out.actor_delegate, Hashed::ActorDelegate), (&mut out.actor_app, Hashed::ActorApp)]
        {
            let Some(text) = other.as_mut().filter(|text| !text.is_empty()) else { continue };
            if self.emails != Personal::Keep && text.contains('@') {
                *text = self.pseudonym("email", &text.to_lowercase());
            } else if self.hashed.contains(&attribute) {
                // Of the same kind as `actor.id`, so that one can be found by the other.
                *text = self.pseudonym(Hashed::ActorId.as_str(), text);
            }
        }
    }

    /// Puts pseudonyms in the place of fields of the record itself.
    fn replace(&self, record: &RecordView<'_>, out: &mut Enrichment) {
        for attribute in &self.hashed {
            let Some(field) = attribute.field() else { continue };
            let Some(value) = record.bytes(field).filter(|value| !value.is_empty()) else { continue };
            let address = || std::str::from_utf8(value).ok()?.parse::<IpAddr>().ok();
            let pseudonym = match (attribute, address()) {
                (Hashed::ClientAddress, Some(address)) => self.address(address).to_string(),
                _ => self.pseudonym(attribute.as_str(), &String::from_utf8_lossy(value)),
            };
            RecordWriter::new(&mut out.replaced).text(field, &pseudonym);
        }
    }

    /// An address that is nobody's, of the block for documentation (RFC 3849), so that readers
    /// who want an address get one.
    fn address(&self, address: IpAddr) -> Ipv6Addr {
        let hash = self.hash(Hashed::ClientAddress.as_str(), &address.to_canonical().to_string());
        Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from_be_bytes(hash) >> 32)
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
        format!("{:032x}", u128::from_be_bytes(self.hash(kind, text)))
    }

    fn hash(&self, kind: &str, text: &str) -> [u8; 16] {
        self.key.fingerprint(format!("onrecord pseudonym\0{kind}\0{text}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn privacy(key: &[u8]) -> Privacy {
        let key = Fingerprinter::new(&Secret::new(key.to_vec()), "default");
        Privacy::new(Personal::Keep, Personal::Keep, Arc::new(key))
    }

    fn applied(privacy: &Privacy, fields: &[(Field, &str)], mut out: Enrichment) -> (Enrichment, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::new(&mut bytes);
        fields.iter().for_each(|(field, text)| writer.text(*field, text));
        privacy.apply(&RecordView::parse(&bytes).unwrap(), &mut out);
        let mut merged = Vec::new();
        crate::record::supplement::merge(&out.replaced, &bytes, &mut merged).unwrap();
        (out, merged)
    }

    #[test]
    fn hashed_attributes_are_the_same_for_the_same_value_and_key_and_tell_nothing() {
        let fields = [
            (Field::ClientAddress, "192.0.2.7"),
            (Field::UserAgent, "curl/8"),
            (Field::Path, "/a"),
            (Field::ActorId, "ann"),
        ];
        let known = || Enrichment { actor_delegate: Some("ann".to_owned()), ..Enrichment::default() };
        let one = privacy(b"one").hashing(Hashed::ALL);
        let (first, merged) = applied(&one, &fields, known());
        let view = RecordView::parse(&merged).unwrap();
        let text = |field| std::str::from_utf8(view.bytes(field).unwrap()).unwrap();
        assert!(text(Field::ClientAddress).starts_with("2001:db8:"), "{}", text(Field::ClientAddress));
        assert!(text(Field::ClientAddress).parse::<IpAddr>().is_ok());
        for field in [Field::UserAgent, Field::Path] {
            let digits = text(field);
            assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{digits}");
        }
        assert_ne!(first.actor_id.as_deref(), Some("ann"));
        assert_eq!(first.actor_id, first.actor_delegate);
        let (again, same) = applied(&one, &fields, known());
        assert_eq!((again, &same), (first, &merged));
        let (_, mapped) = applied(&one, &[(Field::ClientAddress, "::ffff:192.0.2.7")], known());
        assert_eq!(
            RecordView::parse(&mapped).unwrap().bytes(Field::ClientAddress),
            view.bytes(Field::ClientAddress)
        );
        let (_, other) = applied(&privacy(b"two").hashing(Hashed::ALL), &fields, known());
        assert_ne!(RecordView::parse(&other).unwrap().bytes(Field::Path), view.bytes(Field::Path));
    }

    #[test]
    fn what_is_not_named_stays_and_what_is_left_out_stays_out() {
        let fields = [(Field::ClientAddress, "192.0.2.7"), (Field::ActorEmail, "ann@example.com")];
        let (out, merged) =
            applied(&privacy(b"k").hashing(&[Hashed::ActorId]), &fields, Enrichment::default());
        assert_eq!(RecordView::parse(&merged).unwrap().bytes(Field::ClientAddress), Some(&b"192.0.2.7"[..]));
        assert_eq!(out.actor_email, None);
        let key = privacy(b"k").key;
        let hashing = Privacy::new(Personal::Keep, Personal::Omit, key).hashing(&[Hashed::ActorEmail]);
        assert_eq!(applied(&hashing, &fields, Enrichment::default()).0.actor_email.as_deref(), Some(""));
    }
}
