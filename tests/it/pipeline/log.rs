//! A log in memory.

use onrecord::pack::{LogFrame, LogItem, LogSource, Pending, Position, SourceError};
use onrecord::record::{EventIds, Field, Gap, GapCause, Mark, Outcome, RecordWriter};
use onrecord::spool::frame::{Header, Kind, NO_POSITION};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

#[derive(Clone)]
enum Item {
    Frame(Header, Vec<u8>),
    Lost(GapCause),
}

type Boots = BTreeMap<Uuid, Vec<Item>>;

/// The log; clones are one and the same.
#[derive(Clone, Default)]
pub(crate) struct FakeLog(Arc<Mutex<Boots>>);

pub(crate) fn boot(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

impl FakeLog {
    fn push(&self, boot: Uuid, kind: Kind, lane: u16, sequence: u64, payload: Vec<u8>) {
        let length = payload.len() as u32;
        let header = Header { kind, version: 1, lane, position: NO_POSITION, sequence, length };
        self.0.lock().unwrap().entry(boot).or_default().push(Item::Frame(header, payload));
    }

    pub(crate) fn record(
        &self,
        boot: Uuid,
        lane: u16,
        sequence: u64,
        source: &str,
        organization: &str,
        start: u64,
    ) {
        let mut bytes = Vec::new();
        let mut writer = RecordWriter::new(&mut bytes);
        writer.bytes(Field::EventId, &EventIds::new(sequence).next(start).0);
        writer.integer(Field::Start, start);
        writer.integer(Field::Outcome, Outcome::Success as u64);
        writer.text(Field::Source, source);
        writer.text(Field::Organization, organization);
        writer.text(Field::Path, "/spaces/a/entries");
        self.push(boot, Kind::Record, lane, sequence, bytes);
    }

    pub(crate) fn unreadable_record(&self, boot: Uuid, lane: u16, sequence: u64) {
        self.push(boot, Kind::Record, lane, sequence, vec![0x8f, 200, 1]);
    }

    pub(crate) fn mark(&self, boot: Uuid, mark: &Mark) {
        self.push(boot, Kind::Mark, 0, 0, mark.to_bytes());
    }

    pub(crate) fn gap(&self, boot: Uuid, lane: u16, sequences: Range<u64>, cause: GapCause) {
        let gap = Gap { lane, sequences: sequences.collect(), cause, exact: true, noticed: 1 };
        self.push(boot, Kind::Gap, lane, 0, gap.to_bytes());
    }

    pub(crate) fn lost(&self, boot: Uuid, cause: GapCause) {
        self.0.lock().unwrap().entry(boot).or_default().push(Item::Lost(cause));
    }

    pub(crate) fn drop_boot(&self, boot: Uuid) {
        self.0.lock().unwrap().remove(&boot);
    }

    pub(crate) fn reader(&self) -> FakeReader {
        FakeReader { log: self.clone(), at: BTreeMap::new(), committed: BTreeMap::new(), payload: Vec::new() }
    }
}

/// A reader whose offsets are item numbers.
pub(crate) struct FakeReader {
    log: FakeLog,
    at: BTreeMap<Uuid, u64>,
    committed: BTreeMap<Uuid, u64>,
    payload: Vec<u8>,
}

fn places(cursor: &[(Uuid, Position)]) -> BTreeMap<Uuid, u64> {
    cursor.iter().map(|(boot, position)| (*boot, position.offset)).collect()
}

impl LogSource for FakeReader {
    fn seek(&mut self, cursor: &[(Uuid, Position)]) {
        self.at = places(cursor);
    }

    fn next(&mut self) -> Result<LogItem<'_>, SourceError> {
        let boots = self.log.0.lock().unwrap();
        for (&boot, items) in boots.iter() {
            let at = self.at.entry(boot).or_default();
            let Some(item) = items.get(*at as usize) else { continue };
            *at += 1;
            let after = Position { segment: 0, offset: *at };
            return Ok(match item.clone() {
                Item::Lost(cause) => LogItem::Lost { boot, instance: None, after, cause },
                Item::Frame(header, payload) => {
                    self.payload = payload;
                    LogItem::Frame(LogFrame { boot, instance: "gw-1", after, header, payload: &self.payload })
                }
            });
        }
        Ok(LogItem::End)
    }

    fn pending(&mut self) -> Pending {
        let boots = self.log.0.lock().unwrap();
        let done = |boot: &Uuid| self.committed.get(boot).copied().unwrap_or(0);
        let bytes = boots.iter().map(|(boot, items)| (items.len() as u64).saturating_sub(done(boot))).sum();
        Pending { bytes, oldest: (bytes > 0).then_some(Duration::ZERO) }
    }

    fn wait(&mut self, timeout: Duration) {
        std::thread::yield_now();
        let _ = timeout;
    }

    fn exists(&self, boot: Uuid) -> bool {
        self.log.0.lock().unwrap().contains_key(&boot)
    }

    fn committed(&mut self, cursor: &[(Uuid, Position)]) {
        self.committed = places(cursor);
    }
}
