//! What formats ask of an entry: the record's fields, with what was found out beyond it.

use super::{Enrichment, Entry};
use crate::record::{EventId, Field, Outcome, RecordView, SELF_LANE};

/// One entry as formats other than `flat` read it.
pub(super) struct Facts<'a> {
    pub(super) record: &'a RecordView<'a>,
    pub(super) entry: &'a Entry<'a>,
    id: [u8; 36],
    has_id: bool,
    session: Option<[u8; 36]>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(entry: &'a Entry<'a>) -> Self {
        let text = |bytes| {
            let mut text = [0; 36];
            EventId(bytes).encode(&mut text);
            text
        };
        let id = entry.record.event_id();
        let session = entry.enrichment.and_then(|known| known.session_id).map(text);
        Self { record: entry.record, entry, id: id.map_or([0; 36], text), has_id: id.is_some(), session }
    }

    /// Whether it is one of the gateway's own records.
    pub(super) fn is_own(&self) -> bool {
        self.entry.context.lane == SELF_LANE
    }

    /// `event.id`; empty where there is none.
    pub(super) fn id(&self) -> &[u8] {
        if self.has_id { &self.id } else { b"" }
    }

    /// A text of the record; empty where there is none.
    pub(super) fn text(&self, field: Field) -> &'a [u8] {
        self.record.bytes(field).unwrap_or_default()
    }

    /// `NS.request.id`.
    pub(super) fn request_id(&self) -> &[u8] {
        let upstream = self.text(Field::UpstreamRequestId);
        if upstream.is_empty() { self.id() } else { upstream }
    }

    /// Unix microseconds of the end; that of the start where nobody saw an end.
    pub(super) fn end(&self) -> u64 {
        let start = self.record.start();
        match self.record.outcome() {
            Outcome::Unknown => start,
            _ => start.saturating_add(self.record.integer(Field::Duration).unwrap_or(0)),
        }
    }

    /// The status sent, if one was.
    pub(super) fn status(&self) -> Option<u64> {
        self.record.integer(Field::Status).filter(|status| *status != 0)
    }

    fn known(&self, part: fn(&Enrichment) -> &Option<String>, field: Field) -> &'a [u8] {
        let known = self.entry.enrichment.and_then(|known| part(known).as_deref()).map(str::as_bytes);
        known.unwrap_or_else(|| self.text(field))
    }

    fn added(&self, part: fn(&Enrichment) -> &Option<String>) -> &'a [u8] {
        self.entry.enrichment.and_then(|known| part(known).as_deref()).unwrap_or_default().as_bytes()
    }

    pub(super) fn actor_type(&self) -> &'a [u8] {
        self.known(|e| &e.actor_type, Field::ActorType)
    }

    pub(super) fn actor_id(&self) -> &'a [u8] {
        self.known(|e| &e.actor_id, Field::ActorId)
    }

    pub(super) fn actor_name(&self) -> &'a [u8] {
        self.known(|e| &e.actor_name, Field::ActorName)
    }

    pub(super) fn actor_email(&self) -> &'a [u8] {
        self.known(|e| &e.actor_email, Field::ActorEmail)
    }

    pub(super) fn actor_provenance(&self) -> &'a [u8] {
        self.known(|e| &e.actor_provenance, Field::ActorProvenance)
    }

    pub(super) fn actor_unverified(&self) -> &'a [u8] {
        self.entry.enrichment.and_then(|known| known.actor_unverified).unwrap_or_default().as_bytes()
    }

    pub(super) fn actor_issuer(&self) -> &'a [u8] {
        self.added(|e| &e.actor_issuer)
    }

    pub(super) fn actor_app(&self) -> &'a [u8] {
        self.added(|e| &e.actor_app)
    }

    pub(super) fn actor_delegate(&self) -> &'a [u8] {
        self.added(|e| &e.actor_delegate)
    }

    pub(super) fn session(&self) -> &[u8] {
        self.session.as_ref().map_or_else(|| self.text(Field::SessionId), |id| &id[..])
    }

    pub(super) fn origin_type(&self) -> &'a [u8] {
        let known = self.entry.enrichment.and_then(|known| known.origin_type);
        known.map_or_else(|| self.text(Field::OriginType), str::as_bytes)
    }

    /// What led to `origin.type`.
    pub(super) fn origin_evidence(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let known = self.entry.enrichment.filter(|known| known.origin_type.is_some());
        let stated = known.is_none().then(|| self.record.all(Field::OriginEvidence));
        let found = known.into_iter().flat_map(|known| known.origin_evidence.iter().map(|e| e.as_bytes()));
        found.chain(stated.into_iter().flatten())
    }

    /// What a bulk request touched, as type and id.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        // Walking the record again is only worth it where there is something to find.
        let some = self.record.bytes(Field::Resources).map(|_| self.record.all(Field::Resources));
        some.into_iter().flatten().map(|value| {
            let zero = memchr::memchr(0, value).unwrap_or(value.len());
            (&value[..zero], value.get(zero + 1..).unwrap_or_default())
        })
    }

    /// `client.port`, if it is one.
    pub(super) fn client_port(&self) -> Option<u64> {
        self.record.integer(Field::ClientPort).filter(|port| *port <= 65_535)
    }

    /// The text of `network.protocol.version`.
    pub(super) fn protocol(&self) -> &'static str {
        match self.record.integer(Field::ProtocolVersion) {
            Some(10) => "1.0",
            Some(11) => "1.1",
            Some(20) => "2",
            Some(30) => "3",
            _ => "",
        }
    }
}
