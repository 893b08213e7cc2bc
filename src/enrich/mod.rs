//! What is added to records behind the spool, from what the operator knows and from the
//! records themselves.

pub mod actor;
pub mod ai_results;
pub mod directory;
pub mod invocations;
pub mod learner;
pub mod origin;
pub mod privacy;
pub mod session;

use crate::format::Enrichment;
use crate::record::{Field, RecordView};
use session::Sessions;

/// Adds origin and session to what is known of a record; the actor must be resolved before.
pub fn add_meaning(sessions: &mut Sessions, record: &RecordView<'_>, out: &mut Enrichment) {
    let said = |field| record.bytes(field).unwrap_or_default();
    let actor_type = out.actor_type.as_deref().map_or(said(Field::ActorType), str::as_bytes);
    let origin = origin::origin(record, actor_type, &mut out.origin_evidence);
    out.origin_type = origin.map(origin::Origin::as_str);
    let actor = out.actor_id.as_deref().map_or(said(Field::ActorId), str::as_bytes);
    out.session_id = sessions.session(record, actor);
}
