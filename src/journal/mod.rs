//! The journal: the gateway's own records (`log_source=onrecord`).
//!
//! Whatever in the gateway has something to say that belongs on the record (it started, a
//! destination fails, somebody changed the configuration, records were lost) notes an
//! [`Event`] here, from any thread. It becomes a record in a ring of its own, lane `self`,
//! which has all that a worker's ring has: a sequence taken before anything can be lost,
//! memory that outlives the process, the recorder that drains it, losses that are counted
//! and declared, recovery after a kill. So the law holds for lane `self` as for any other,
//! and no other part knows that there is something special about it.
//!
//! Events are rare: a mutex guards the ring's writer. The request path never comes here.
//! Noting neither blocks on the disk nor fails; where the ring is full the event's sequence
//! is a declared gap of lane `self`.

mod event;

pub use event::{ACTIONS, Actor, Event, Trouble};

use crate::capture::ring::{Pushed, RingWriter};
use crate::clock::Clock;
use crate::metrics::Families;
use crate::record::{EventIds, SELF_LANE};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the ring of lane `self`: some hundred events, for as long as the disk is stuck.
pub const RING_BYTES: u64 = 256 * 1024;

/// The handle on the journal. Cloning is cheap; all clones write to one lane.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    // None: a journal that takes nothing.
    open: Option<Arc<Open>>,
}

#[derive(Debug)]
struct Open {
    clock: Clock,
    metrics: Families,
    /// None once it is closed.
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    ring: RingWriter,
    ids: EventIds,
}

impl Journal {
    /// A journal over the writer's end of the ring of lane `self`.
    #[must_use]
    pub fn new(ring: RingWriter, clock: Clock, metrics: Families) -> Self {
        for action in ACTIONS {
            // Shown from the start, so that the first event is seen as a rise.
            metrics.own_records.with_label_values(&[action]);
        }
        let ids = EventIds::new(fastrand::u64(..));
        let writer = Mutex::new(Some(Writer { ring, ids }));
        Self { open: Some(Arc::new(Open { clock, metrics, writer })) }
    }

    /// Puts an event on the record. Whether there is a record of it: false when the ring is
    /// full, which is declared, and when the journal is closed, which is not.
    pub fn note(&self, by: Actor<'_>, event: &Event<'_>) -> bool {
        let Some(open) = &self.open else { return false };
        let mut writer = open.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Writer { ring, ids }) = writer.as_mut() else { return false };
        let now = open.clock.unix_microseconds();
        let record = event.to_record(ids.next(now), now, by);
        let kept = ring.record_closed(&record, SELF_LANE).1 == Pushed::Kept;
        drop(writer);
        if kept {
            open.metrics.own_records.with_label_values(&[event.action()]).inc();
        }
        kept
    }

    /// Takes no event any more, and no sequence: what follows is the boot's last word. To be
    /// called by the recorder, before it drains lane `self` for the last time.
    pub fn close(&self) {
        if let Some(open) = &self.open {
            *open.writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::ring::{Geometry, Identity, anonymous};
    use crate::record::{Field, RecordView};
    use crate::spool::frame::Header;
    use uuid::Uuid;

    #[test]
    fn events_of_all_threads_are_numbered_without_a_gap_and_none_comes_after_the_close() {
        let identity = Identity { boot: Uuid::from_u128(1), instance: "gw".into(), lane: SELF_LANE };
        let (writer, reader) = anonymous(&identity, Geometry::new(RING_BYTES, 1)).unwrap();
        let journal = Journal::new(writer, Clock::manual(1_000_000), Families::new().unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| assert!(journal.note(Actor::GATEWAY, &Event::Stop))));
            }
        });
        journal.close();
        assert!(!journal.note(Actor::GATEWAY, &Event::Stop));
        let counters = reader.counters();
        assert_eq!((counters.taken, counters.lost), (200, 0));
        let (_, mut run) = reader.run(0, counters.head);
        for sequence in 0..200 {
            let (header, payload, size) = Header::decode(run).unwrap();
            assert_eq!((header.lane, header.sequence), (SELF_LANE, sequence));
            assert_eq!(RecordView::parse(payload).unwrap().bytes(Field::Action), Some(&b"stop"[..]));
            run = &run[size..];
        }
    }

    #[test]
    fn an_event_that_finds_no_room_is_counted_by_its_ring() {
        let identity = Identity { boot: Uuid::from_u128(1), instance: "gw".into(), lane: SELF_LANE };
        let (writer, reader) = anonymous(&identity, Geometry::new(0, 1)).unwrap();
        let journal = Journal::new(writer, Clock::manual(1_000_000), Families::new().unwrap());
        let kept = (0..2000).filter(|_| journal.note(Actor::GATEWAY, &Event::Stop)).count() as u64;
        let counters = reader.counters();
        assert!(kept < 2000);
        assert_eq!((counters.taken, counters.lost), (2000, 2000 - kept));
    }

    #[test]
    fn a_journal_without_a_ring_takes_nothing() {
        assert!(!Journal::default().note(Actor::GATEWAY, &Event::Stop));
        Journal::default().close();
    }
}
