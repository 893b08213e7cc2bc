//! Writes whose text is what an AI Action made (`origin.evidence`: `invocation:text`).
//!
//! The platform does not mark what is saved of a result. But the invocation names its entities,
//! the result passes by when it is fetched, and the write that saves it has the same text: for
//! one entity, within the hour, that is told here. Results are kept as hashes in memory, and
//! only the rows of a catalogue that name `ai_result_pointer` and `ai_saved_pointers` are seen;
//! the latter pay for it only while results are kept
//! ([`crate::inspect::BodyPlans::wants`]).
//!
//! Texts below 12 characters are not compared: people write those too.

use crate::inspect::{self, COUNTS_FOR, Exchange, Watch};
use crate::record::{Field, RecordView, RecordWriter};
use crate::routes::Action;
use serde_json::Value;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// What a write that saves a result has in its evidence.
pub const EVIDENCE: &str = "invocation:text";
/// Texts below so many characters are not compared.
const SHORTEST: usize = 12;
/// Invocations, and results, that are kept in mind.
const MOST: usize = 16 * 1024;
/// Entities of one invocation that count.
const MOST_ENTITIES: usize = 64;

/// The latest invocations and their results.
#[derive(Debug, Default)]
pub struct AiResults {
    state: RandomState,
    /// What an invocation and its entities were named together, by each of them.
    together: HashMap<u64, (Vec<u64>, u64)>,
    /// Entity and text of a result.
    results: HashMap<(u64, u64), u64>,
}

impl Watch for AiResults {
    fn see(&mut self, exchange: &Exchange<'_>, out: &mut RecordWriter<'_>) {
        let (record, route) = (exchange.record, exchange.route);
        let now = record.start();
        if let Some(pointer) = &route.ai_result_pointer {
            if exchange.action == Some(Action::Invoke) {
                self.note_invocation(exchange, now);
            }
            if let Some(response) = exchange.response {
                let mut texts = Vec::new();
                inspect::each(response, pointer, &mut |content| self.texts(content, &mut texts));
                self.note_result(exchange, &texts, now);
            }
        }
        let (Some(request), false) = (exchange.request, self.results.is_empty()) else { return };
        let entity = self.id(record, said(record, Field::ResourceId));
        let mut texts = Vec::new();
        for pointer in &route.ai_saved_pointers {
            inspect::each(request, pointer, &mut |saved| self.texts(saved, &mut texts));
        }
        let is_result = |text: &u64| {
            let seen = self.results.get(&(entity, *text));
            seen.is_some_and(|seen| now >= *seen && now - seen <= COUNTS_FOR)
        };
        if texts.iter().any(is_result) {
            out.text(Field::OriginEvidence, EVIDENCE);
        }
    }
}

impl AiResults {
    fn note_invocation(&mut self, exchange: &Exchange<'_>, now: u64) {
        let named = exchange.named.iter().take(MOST_ENTITIES);
        let ids: Vec<u64> = named.map(|(_, id)| self.id(exchange.record, id.as_bytes())).collect();
        make_room(&mut self.together, now, |(_, seen)| *seen);
        for id in &ids {
            self.together.insert(*id, (ids.clone(), now));
        }
    }

    fn note_result(&mut self, exchange: &Exchange<'_>, texts: &[u64], now: u64) {
        let record = exchange.record;
        let own = self.id(record, said(record, Field::ResourceId));
        let named = exchange.named.first().map(|(_, id)| self.id(record, id.as_bytes()));
        let ids = [Some(own), named].into_iter().flatten().find_map(|id| self.together.get(&id));
        let Some((ids, _)) = ids.filter(|(_, seen)| now.saturating_sub(*seen) <= COUNTS_FOR) else { return };
        make_room(&mut self.results, now, |seen| *seen);
        for (id, text) in ids.iter().flat_map(|id| texts.iter().map(move |text| (*id, *text))) {
            if self.results.len() < MOST {
                self.results.insert((id, text), now);
            }
        }
    }

    /// An id within its API, space and environment.
    fn id(&self, record: &RecordView<'_>, id: &[u8]) -> u64 {
        let text = |field| said(record, field);
        self.state.hash_one((text(Field::Namespace), text(Field::Space), text(Field::Environment), id))
    }

    /// What of a value may be compared: texts, and documents of rich text as a whole.
    fn texts(&self, value: &Value, found: &mut Vec<u64>) {
        match value {
            Value::String(text) => {
                let text = text.trim();
                if text.chars().nth(SHORTEST - 1).is_some() {
                    found.push(self.state.hash_one(text));
                }
            }
            Value::Array(members) => members.iter().for_each(|member| self.texts(member, found)),
            Value::Object(members) => {
                if members.get("nodeType").and_then(Value::as_str) == Some("document") {
                    let mut hasher = self.state.build_hasher();
                    hash_value(value, &mut hasher);
                    found.push(hasher.finish());
                } else {
                    members.values().for_each(|member| self.texts(member, found));
                }
            }
            _ => {}
        }
    }
}

/// Drops what counts no longer, and all if that makes no room.
fn make_room<K: Hash + Eq, V>(map: &mut HashMap<K, V>, now: u64, seen: impl Fn(&V) -> u64) {
    if map.len() + MOST_ENTITIES > MOST {
        map.retain(|_, value| seen(value).saturating_add(COUNTS_FOR) >= now);
        if map.len() + MOST_ENTITIES > MOST {
            map.clear();
        }
    }
}

/// Whatever order the members of objects stand in.
fn hash_value(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members.len().hash(hasher);
            for (name, member) in members {
                name.hash(hasher);
                hash_value(member, hasher);
            }
        }
        Value::Array(members) => {
            members.len().hash(hasher);
            members.iter().for_each(|member| hash_value(member, hasher));
        }
        Value::String(text) => text.hash(hasher),
        other => other.to_string().hash(hasher),
    }
}

fn said<'r>(record: &RecordView<'r>, field: Field) -> &'r [u8] {
    record.bytes(field).unwrap_or_default()
}
