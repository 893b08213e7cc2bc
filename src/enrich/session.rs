//! Editing sessions: consecutive writes of one actor to one resource (`session.id`).
//!
//! A web application saves every few seconds; a reader wants to fold that into one piece of
//! work. Writes belong together when actor and resource are the same and no pause between
//! their starts is longer than the gap, by `event.start`, in whatever order they come. The
//! id is made of the first write's `event.id`, so it is the same wherever the session is
//! computed from the same first write. The table is told to a file with each batch
//! ([`Sessions::to_bytes`]), so that a restart does not cut a session in two.
//!
//! Reads have no session: they change nothing, and there are too many of them. Neither has
//! what has no resource, or nobody known behind it.

use crate::record::{Field, RecordView};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Sessions that are kept in mind.
const MOST: usize = 64 * 1024;
/// The first bytes of the file, with its version.
const MAGIC: &[u8; 8] = b"onrses\x00\x01";

/// The sessions that may still go on.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    gap: u64,
    open: HashMap<u128, Session>,
    /// The latest start seen.
    latest: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    id: [u8; 16],
    first: u64,
    last: u64,
}

impl Sessions {
    /// No session yet; `gap` in microseconds.
    #[must_use]
    pub fn new(gap: u64) -> Self {
        Self { gap, ..Self::default() }
    }

    /// The session of a record, as 16 bytes of a UUIDv8; `None` if it has none. `actor` is the
    /// actor's id as resolved; where there is none, the credential counts.
    pub fn session(&mut self, record: &RecordView<'_>, actor: &[u8]) -> Option<[u8; 16]> {
        let is_write =
            !matches!(record.bytes(Field::Method)?, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"CONNECT");
        // What is only validated changes nothing.
        let is_write = is_write && record.bytes(Field::Action) != Some(b"validate");
        let resource = record.bytes(Field::ResourceId).filter(|id| !id.is_empty())?;
        let credential = record.bytes(Field::CredentialId).unwrap_or_default();
        let who = if actor.is_empty() { credential } else { actor };
        if !is_write || who.is_empty() {
            return None;
        }
        let text = |field| record.bytes(field).unwrap_or_default();
        let key = key(&[
            who,
            text(Field::Source),
            text(Field::Space),
            text(Field::Environment),
            text(Field::ResourceType),
            resource,
        ]);
        let start = record.start();
        self.latest = self.latest.max(start);
        let gap = self.gap;
        if let Some(session) = self.open.get_mut(&key)
            && start <= session.last.saturating_add(gap)
            && start.saturating_add(gap) >= session.first
        {
            session.first = session.first.min(start);
            session.last = session.last.max(start);
            return Some(session.id);
        }
        if self.open.len() >= MOST {
            let latest = self.latest;
            self.open.retain(|_, session| session.last.saturating_add(gap) >= latest);
            if self.open.len() >= MOST {
                self.open.clear();
            }
        }
        let id = session_id(record.event_id()?);
        self.open.insert(key, Session { id, first: start, last: start });
        Some(id)
    }

    /// What may still go on, for a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (key, session) in &self.open {
            if session.last.saturating_add(self.gap) >= self.latest {
                out.extend_from_slice(&key.to_le_bytes());
                out.extend_from_slice(&session.id);
                out.extend_from_slice(&session.first.to_le_bytes());
                out.extend_from_slice(&session.last.to_le_bytes());
            }
        }
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Takes up what a file says. One that is damaged says nothing: then sessions begin anew.
    #[must_use]
    pub fn resume(gap: u64, file: &[u8]) -> Self {
        let mut sessions = Self::new(gap);
        let Some((body, sum)) = file.split_last_chunk::<4>() else { return sessions };
        let Some(entries) = body.strip_prefix(MAGIC) else { return sessions };
        if crc32fast::hash(body).to_le_bytes() != *sum {
            return sessions;
        }
        let (entries, _) = entries.as_chunks::<48>();
        for entry in entries {
            let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| entry[at + byte]));
            let key = u128::from_le_bytes(std::array::from_fn(|byte| entry[byte]));
            let id = std::array::from_fn(|byte| entry[16 + byte]);
            let session = Session { id, first: long(32), last: long(40) };
            sessions.latest = sessions.latest.max(session.last);
            sessions.open.insert(key, session);
        }
        sessions
    }
}

/// The event's id with the version of a UUIDv8 (RFC 9562 §5.8), so that nobody takes it for
/// the event.
fn session_id(mut event: [u8; 16]) -> [u8; 16] {
    event[6] = event[6] & 0x0f | 0x80;
    event
}

/// 128 bits over all parts with their lengths. Stable between builds of one version of the
/// standard library's hash; a change of it begins sessions anew.
fn key(parts: &[&[u8]]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        parts.hash(&mut hasher);
        hasher.finish()
    };
    u128::from(half(0)) << 64 | u128::from(half(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordWriter;

    const SECOND: u64 = 1_000_000;

    fn of(sessions: &mut Sessions, method: &str, actor: &str, id: &str, start: u64) -> Option<[u8; 16]> {
        let mut record = Vec::new();
        let mut writer = RecordWriter::new(&mut record);
        let mut event = [0x77; 16];
        event[..8].copy_from_slice(&start.to_be_bytes());
        writer.bytes(Field::EventId, &event);
        writer.integer(Field::Start, start);
        writer.text(Field::Method, method);
        writer.text(Field::ResourceType, "Entry");
        writer.text(Field::ResourceId, id);
        sessions.session(&RecordView::parse(&record).unwrap(), actor.as_bytes())
    }

    #[test]
    fn the_references_three_saves_are_one_session_and_a_longer_pause_ends_it() {
        let mut sessions = Sessions::new(30 * SECOND);
        let first = of(&mut sessions, "PATCH", "u1", "e1", 100 * SECOND).unwrap();
        assert_eq!(first[6] >> 4, 8);
        assert_eq!(of(&mut sessions, "PATCH", "u1", "e1", 114 * SECOND), Some(first));
        assert_eq!(of(&mut sessions, "PATCH", "u1", "e1", 120 * SECOND), Some(first));
        assert_ne!(of(&mut sessions, "PATCH", "u2", "e1", 121 * SECOND), Some(first));
        assert_ne!(of(&mut sessions, "PATCH", "u1", "e2", 121 * SECOND), Some(first));
        // Lanes may come out of order.
        assert_eq!(of(&mut sessions, "PUT", "u1", "e1", 99 * SECOND), Some(first));
        assert_eq!(of(&mut sessions, "PATCH", "u1", "e1", 150 * SECOND), Some(first));
        assert_ne!(of(&mut sessions, "PATCH", "u1", "e1", 180 * SECOND + 1), Some(first));
    }

    #[test]
    fn reads_and_what_has_no_actor_or_resource_have_none() {
        let mut sessions = Sessions::new(30 * SECOND);
        assert_eq!(of(&mut sessions, "GET", "u1", "e1", SECOND), None);
        assert_eq!(of(&mut sessions, "PUT", "", "e1", SECOND), None);
        assert_eq!(of(&mut sessions, "PUT", "u1", "", SECOND), None);
    }

    #[test]
    fn a_restart_does_not_cut_a_session_and_a_damaged_file_only_begins_anew() {
        let mut sessions = Sessions::new(30 * SECOND);
        let id = of(&mut sessions, "PUT", "u1", "e1", 100 * SECOND);
        let mut file = sessions.to_bytes();
        let mut resumed = Sessions::resume(30 * SECOND, &file);
        assert_eq!(of(&mut resumed, "PUT", "u1", "e1", 110 * SECOND), id);
        file[20] ^= 1;
        assert!(Sessions::resume(30 * SECOND, &file).open.is_empty());
        for end in 0..file.len() {
            let _ = Sessions::resume(30 * SECOND, &file[..end]);
        }
    }

    #[test]
    fn no_more_sessions_are_kept_than_stated() {
        let mut sessions = Sessions::new(30 * SECOND);
        for number in 0..MOST as u64 + 10 {
            of(&mut sessions, "PUT", "u1", &number.to_string(), SECOND);
            assert!(sessions.open.len() <= MOST);
        }
    }
}
