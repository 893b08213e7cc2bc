//! Writes that follow an AI Action: the same actor saves an entry for which it has just invoked
//! one (`origin.evidence`: `invocation:entity`).
//!
//! The platform does not mark what is saved, and texts are compared elsewhere
//! ([`super::ai_results`]): this is a
//! hint and no more: it stands last in the evidence, and `origin.type` does not follow it.

use crate::format::Enrichment;
use crate::record::{Field, RecordView};
use crate::routes::Route;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// So long a write may follow, in microseconds.
const FOLLOWS: u64 = 600_000_000;
/// Invoked entities that are kept in mind.
const MOST: usize = 16 * 1024;
/// What a write that follows has in its evidence.
const EVIDENCE: &str = "invocation:entity";

/// The entities of the latest invocations.
#[derive(Debug, Default)]
pub struct Invocations {
    seen: HashMap<u64, u64>,
}

impl Invocations {
    /// Notes an invocation, or adds to the evidence of a write that follows one; origin and
    /// actor must be known before.
    pub fn hint(&mut self, record: &RecordView<'_>, out: &mut Enrichment) {
        let text = |field| record.bytes(field).unwrap_or_default();
        let actor = out.actor_id.as_deref().map_or(text(Field::ActorId), str::as_bytes);
        let who = if actor.is_empty() { text(Field::CredentialId) } else { actor };
        if who.is_empty() {
            return;
        }
        let key = |kind: &[u8], id: &[u8]| {
            let mut hasher = DefaultHasher::new();
            (who, text(Field::Namespace), text(Field::Space), text(Field::Environment), kind, id)
                .hash(&mut hasher);
            hasher.finish()
        };
        let start = record.start();
        let is_ai = record.integer(Field::RouteFlags).unwrap_or(0) & u64::from(Route::AI) != 0;
        if is_ai {
            let is_invocation = text(Field::Action) == b"invoke";
            for entity in record.all(Field::Resources).filter(|_| is_invocation) {
                let Some(zero) = memchr::memchr(0, entity) else { continue };
                if self.seen.len() >= MOST {
                    self.seen.retain(|_, seen| seen.saturating_add(FOLLOWS) >= start);
                    if self.seen.len() >= MOST {
                        self.seen.clear();
                    }
                }
                self.seen.insert(key(&entity[..zero], &entity[zero + 1..]), start);
            }
            return;
        }
        let is_change = matches!(text(Field::Action), b"create" | b"update" | b"publish");
        if self.seen.is_empty() || !is_change {
            return;
        }
        let seen = self.seen.get(&key(text(Field::ResourceType), text(Field::ResourceId)));
        if seen.is_some_and(|seen| start >= *seen && start - seen <= FOLLOWS) {
            out.origin_evidence.push(EVIDENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordWriter;

    fn of(seen: &mut Invocations, actor: &str, action: &str, entry: &str, start: u64) -> bool {
        let mut record = Vec::new();
        let mut writer = RecordWriter::new(&mut record);
        writer.integer(Field::Start, start);
        writer.text(Field::ActorId, actor);
        writer.text(Field::Action, action);
        if action == "invoke" {
            writer.integer(Field::RouteFlags, u64::from(Route::AI));
            writer.bytes(Field::Resources, format!("Entry\0{entry}").as_bytes());
        } else {
            writer.text(Field::ResourceType, "Entry");
            writer.text(Field::ResourceId, entry);
        }
        let mut out = Enrichment::default();
        seen.hint(&RecordView::parse(&record).unwrap(), &mut out);
        assert_eq!(out.origin_type, None);
        out.origin_evidence == [EVIDENCE]
    }

    #[test]
    fn a_write_that_follows_an_invocation_by_the_same_actor_for_the_same_entry_has_a_hint() {
        let mut seen = Invocations::default();
        assert!(!of(&mut seen, "ann", "invoke", "e1", 100));
        assert!(of(&mut seen, "ann", "update", "e1", 100 + FOLLOWS));
        assert!(!of(&mut seen, "ann", "update", "e1", 101 + FOLLOWS));
        assert!(!of(&mut seen, "ann", "update", "e1", 99), "before it");
        assert!(!of(&mut seen, "bob", "update", "e1", 200));
        assert!(!of(&mut seen, "ann", "update", "e2", 200));
        assert!(!of(&mut seen, "ann", "delete", "e1", 200));
        for number in 0..40_000u64 {
            of(&mut seen, "ann", "invoke", &number.to_string(), number);
            assert!(seen.seen.len() <= MOST);
        }
    }
}
