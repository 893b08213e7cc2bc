//! Learns who acts from the responses that pass by, by the rules of the catalogues
//! ([`Learn`]).
//!
//! Nothing is learned where a request may have meant something else than its method says
//! (`X-HTTP-Method-Override`), nor of a route's action where that is ambiguous: the editor
//! whom a read shows is not the reader.

use crate::capture::actor::Fingerprinter;
use crate::clock::Clock;
use crate::identity::{Learned, Who};
use crate::inspect::{self, Exchange, Watch};
use crate::metrics::Families;
use crate::record::{Field, RecordView, RecordWriter};
use crate::routes::{About, Learn};
use prometheus::IntCounter;
use serde_json::Value;
use std::sync::Arc;

/// Elements of one response that are learned of at most.
const MOST_ELEMENTS: usize = 1000;

/// Sees the exchanges that are looked into, and notes what they tell.
#[derive(Debug)]
pub struct Learner {
    learned: Arc<Learned>,
    fingerprinter: Arc<Fingerprinter>,
    clock: Clock,
    seen: IntCounter,
}

impl Learner {
    /// Notes it there.
    #[must_use]
    pub fn new(
        learned: Arc<Learned>,
        fingerprinter: Arc<Fingerprinter>,
        clock: Clock,
        metrics: &Families,
    ) -> Self {
        Self { learned, fingerprinter, clock, seen: metrics.learned.clone() }
    }

    fn apply(&self, learn: &Learn, exchange: &Exchange<'_>, body: &Value, namespace: &[u8]) {
        let record = exchange.record;
        let now = self.clock.unix_microseconds();
        let fingerprint = record.bytes(Field::CredentialId).and_then(|id| <[u8; 16]>::try_from(id).ok());
        let mut left = MOST_ELEMENTS;
        inspect::each(body, &learn.each, &mut |element| {
            if left == 0 {
                return;
            }
            left -= 1;
            let who = who(learn, exchange, element);
            self.seen.inc();
            match learn.about {
                About::Space => {
                    let Some(organization) = text(element, learn.organization.as_deref()) else { return };
                    let organizations = self.learned.organizations(namespace);
                    organizations.learn(who.id.as_bytes(), organization.as_bytes(), now);
                }
                About::Person => self.learned.learn_person(namespace, who, now),
                About::Sender => {
                    let Some(fingerprint) = fingerprint else { return };
                    self.learned.learn_person(namespace, who.clone(), now);
                    self.learned.learn(namespace, fingerprint, who, learn.is_own_word(), now);
                }
                About::Holder => {
                    let credential = text(element, learn.credential.as_deref());
                    let Some(credential) = credential.filter(|text| !text.is_empty()) else { return };
                    // Without an id of its own it is the sender's.
                    let sender = || {
                        let known = self.learned.credential(namespace, &fingerprint?, now)?;
                        Some(known.who.clone())
                    };
                    let who = if who.id.is_empty() { sender() } else { Some(who) };
                    let Some(who) = who else { return };
                    let fingerprint = self.fingerprinter.fingerprint(credential.as_bytes());
                    self.learned.learn(namespace, fingerprint, who, true, now);
                }
            }
        });
    }
}

impl Watch for Learner {
    fn see(&mut self, exchange: &Exchange<'_>, _out: &mut RecordWriter<'_>) {
        let record = exchange.record;
        let (Some(body), None) = (exchange.response, record.bytes(Field::MethodOverride)) else { return };
        let Some(namespace) = record.bytes(Field::Namespace) else { return };
        for learn in &exchange.route.learn {
            let applies = |action| learn.actions.contains(&action);
            if learn.actions.is_empty() || exchange.action.is_some_and(applies) {
                self.apply(learn, exchange, body, namespace);
            }
        }
    }
}

fn who(learn: &Learn, exchange: &Exchange<'_>, element: &Value) -> Who {
    let link = learn.link.as_deref().and_then(|link| element.pointer(link));
    let in_link = |name| link.and_then(|link| link.get(name)).and_then(Value::as_str);
    let in_path = || parameter(exchange, learn.id_param.as_deref()?);
    let kind = match in_link("linkType") {
        Some("AppDefinition") => "app",
        Some("User") => "user",
        // Nobody whom the record has a type for.
        Some(_) => return Who::default(),
        None => learn.kind,
    };
    let id = in_link("id").or_else(|| text(element, learn.id.as_deref())).map(str::to_owned);
    let names: Vec<&str> = learn.name.iter().filter_map(|pointer| text(element, Some(pointer))).collect();
    Who {
        kind,
        id: id.or_else(in_path).unwrap_or_default(),
        name: names.join(" ").trim().to_owned(),
        email: text(element, learn.email.as_deref()).unwrap_or_default().to_owned(),
        ..Who::default()
    }
}

fn text<'v>(value: &'v Value, pointer: Option<&str>) -> Option<&'v str> {
    value.pointer(pointer?)?.as_str()
}

/// What stands in the path in the place of this placeholder.
fn parameter(exchange: &Exchange<'_>, name: &str) -> Option<String> {
    let path = exchange.record.bytes(Field::Path)?;
    let at =
        exchange.route.template.split('/').position(|segment| segment.strip_prefix(':') == Some(name))?;
    let segment = path.split(|byte| *byte == b'/').nth(at)?;
    String::from_utf8(segment.to_vec()).ok()
}

/// The sender of a record, as an API named the credential's holder.
#[must_use]
pub fn holder(learned: &Learned, record: &RecordView<'_>, fingerprint: &[u8; 16]) -> Option<Who> {
    let namespace = record.bytes(Field::Namespace)?;
    let at = record.start();
    let mut who = learned.credential(namespace, fingerprint, at)?.who.clone();
    if (who.name.is_empty() || who.email.is_empty())
        && let Some(person) = learned.person(namespace, &who.id, at)
    {
        for (text, told) in [(&mut who.name, &person.who.name), (&mut who.email, &person.who.email)] {
            if text.is_empty() {
                text.clone_from(told);
            }
        }
    }
    Some(who)
}
