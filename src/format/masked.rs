//! Attributes that a destination does not get.
//!
//! They are taken off the record before it is encoded, so that every format does with them what
//! it does with what nobody knows, and stays valid.

use super::{Encoder, Enrichment, Entry, Framing};
use crate::record::wire::Fields;
use crate::record::{Field, RecordView, RecordWriter};

/// An encoder that is not told of some fields.
pub(super) struct Masked {
    inner: Box<dyn Encoder>,
    fields: Vec<Field>,
    record: Vec<u8>,
}

impl Masked {
    pub(super) fn new(inner: Box<dyn Encoder>, fields: &[Field]) -> Self {
        Self { inner, fields: fields.to_vec(), record: Vec::new() }
    }

    fn hides(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }

    fn enrichment(&self, known: &Enrichment) -> Enrichment {
        let mut known = known.clone();
        let parts = [
            (Field::ActorType, &mut known.actor_type),
            (Field::ActorId, &mut known.actor_id),
            (Field::ActorName, &mut known.actor_name),
            (Field::ActorEmail, &mut known.actor_email),
            (Field::ActorProvenance, &mut known.actor_provenance),
        ];
        for (field, part) in parts {
            if self.hides(field) {
                *part = None;
            }
        }
        if self.hides(Field::OriginType) {
            known.origin_type = None;
            known.origin_evidence.clear();
        }
        if self.hides(Field::OriginEvidence) {
            known.origin_evidence.clear();
        }
        if self.hides(Field::SessionId) {
            known.session_id = None;
        }
        known
    }
}

impl Encoder for Masked {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn extension(&self) -> &'static str {
        self.inner.extension()
    }

    fn framing(&self) -> Framing {
        self.inner.framing()
    }

    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        let mut writer = RecordWriter::new(&mut record);
        for (number, value) in Fields::new(entry.record.as_bytes()).flatten() {
            if !self.fields.iter().any(|field| *field as u8 == number) {
                writer.raw(number, value);
            }
        }
        let enrichment = entry.enrichment.map(|known| self.enrichment(known));
        // What was read once is whole, and so is what is left of it.
        if let Ok(view) = RecordView::parse(&record) {
            let entry = Entry { record: &view, context: entry.context, enrichment: enrichment.as_ref() };
            self.inner.encode(&entry, out);
        }
        self.record = record;
    }
}

/// Attributes that can be left out, by their names in the flat format; those that begin with
/// their source's namespace there are named without it.
const FIELDS: [(&str, Field); 39] = [
    ("organization.id", Field::Organization),
    ("space.id", Field::Space),
    ("environment.id", Field::Environment),
    ("cache.status", Field::CacheStatus),
    ("cache.detail", Field::CacheDetail),
    ("request.id", Field::UpstreamRequestId),
    ("http.request.method_override", Field::MethodOverride),
    ("http.route", Field::Route),
    ("url.path", Field::Path),
    ("url.query", Field::Query),
    ("http.response.body.size", Field::ResponseBodySize),
    ("http.request.body.size", Field::RequestBodySize),
    ("user_agent.original", Field::UserAgent),
    ("user_agent.product", Field::UserAgentProduct),
    ("http.request.header.referer", Field::Referer),
    ("event.action.candidates", Field::ActionCandidate),
    ("event.category", Field::Category),
    ("origin.type", Field::OriginType),
    ("origin.evidence", Field::OriginEvidence),
    ("session.id", Field::SessionId),
    ("resource.id", Field::ResourceId),
    ("resources", Field::Resources),
    ("resources_truncated", Field::ResourcesTruncated),
    ("actor.type", Field::ActorType),
    ("actor.id", Field::ActorId),
    ("actor.name", Field::ActorName),
    ("actor.email", Field::ActorEmail),
    ("actor.provenance", Field::ActorProvenance),
    ("actor.authentication", Field::ActorAuthentication),
    ("actor.credential.id", Field::CredentialId),
    ("actor.credential.key", Field::CredentialKey),
    ("client.address", Field::ClientAddress),
    ("client.port", Field::ClientPort),
    ("tls.client.subject", Field::TlsClientSubject),
    ("trace.id", Field::TraceId),
    ("span.id", Field::SpanId),
    ("upstream.address", Field::UpstreamAddress),
    ("upstream.duration.microseconds", Field::UpstreamDuration),
    ("upstream.attempts", Field::UpstreamAttempts),
];

/// The field behind an attribute that a destination can do without.
#[must_use]
pub fn maskable(name: &str) -> Option<Field> {
    FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
}

/// The names that [`maskable`] knows.
pub fn maskable_names() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(name, _)| *name)
}
