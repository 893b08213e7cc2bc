//! The spool as the log of one destination.

use super::source::{LogFrame, LogItem, LogSource, Pending, Position, SourceError};
use crate::clock::Clock;
use crate::record::GapCause;
use crate::spool::{Cursor, Item, Reader, Spool};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Told which cursors a destination's newest manifest has passed.
pub type OnCommit = Box<dyn Fn(Vec<Cursor>) + Send>;

/// Reads the boots that this process holds, in the order of their births.
pub struct SpoolSource {
    spool: Arc<Spool>,
    clock: Clock,
    on_commit: OnCommit,
    reader: Reader,
    /// Where each boot's newest committed place is.
    committed: BTreeMap<Uuid, Position>,
    boots: Vec<Uuid>,
    moves: u64,
    /// Since when something waits behind what is committed, at the earliest.
    waiting_since: Option<Duration>,
    /// When the log's end was met last, of what is not committed yet.
    ended: Option<Duration>,
}

impl SpoolSource {
    /// Reads this spool from its beginning, until told to go elsewhere.
    #[must_use]
    pub fn new(spool: Arc<Spool>, clock: Clock, on_commit: OnCommit) -> Self {
        let reader = spool.reader([]);
        let moves = spool.tails().moves();
        let mut source = Self {
            spool,
            clock,
            on_commit,
            reader,
            committed: BTreeMap::new(),
            boots: Vec::new(),
            moves,
            waiting_since: None,
            ended: None,
        };
        source.seek(&[]);
        source
    }

    /// Takes in boots that were adopted or removed since.
    fn refresh(&mut self) {
        let boots = self.spool.boots();
        if boots == self.boots {
            return;
        }
        let known: BTreeMap<Uuid, Cursor> =
            self.reader.cursors().map(|cursor| (cursor.boot, cursor)).collect();
        let cursors = boots.iter().map(|boot| known.get(boot).copied().unwrap_or(Cursor::start(*boot)));
        self.reader = self.spool.reader(cursors.collect::<Vec<_>>());
        self.boots = boots;
    }

    /// Bytes between what is committed and the end of the log.
    fn bytes_pending(&self) -> u64 {
        let tails = self.spool.tails().all();
        let mut bytes = 0;
        let mut behind = Vec::new();
        for boot in &self.boots {
            let from = self.committed.get(boot).copied().unwrap_or_default();
            let Some(tail) = tails.get(boot) else { continue };
            if tail.segment == from.segment {
                bytes += tail.length.saturating_sub(from.offset);
            } else if tail.segment > from.segment {
                behind.push((*boot, from));
            }
        }
        if !behind.is_empty()
            && let Ok(segments) = self.spool.segments()
        {
            for (boot, from) in behind {
                for segment in segments.iter().filter(|segment| segment.id.boot == boot) {
                    bytes += match segment.id.number.cmp(&from.segment) {
                        std::cmp::Ordering::Less => 0,
                        std::cmp::Ordering::Equal => segment.plain.saturating_sub(from.offset),
                        std::cmp::Ordering::Greater => segment.plain,
                    };
                }
            }
        }
        bytes
    }
}

impl LogSource for SpoolSource {
    fn seek(&mut self, cursor: &[(Uuid, Position)]) {
        self.committed = cursor.iter().copied().collect();
        self.ended = None;
        self.boots = self.spool.boots();
        let cursors = self.boots.iter().map(|&boot| match self.committed.get(&boot) {
            Some(position) => Cursor { boot, segment: position.segment, offset: position.offset },
            None => Cursor::start(boot),
        });
        self.reader = self.spool.reader(cursors.collect::<Vec<_>>());
        let cursors = self.reader.cursors().filter(|cursor| self.committed.contains_key(&cursor.boot));
        (self.on_commit)(cursors.collect());
    }

    fn next(&mut self) -> Result<LogItem<'_>, SourceError> {
        let item = self.reader.next().map_err(std::io::Error::other)?;
        let place = |cursor: Cursor| Position { segment: cursor.segment, offset: cursor.offset };
        Ok(match item {
            Item::Data { at, header, payload, instance } => {
                // Where every header of a boot is damaged: it lived in this spool, under this name
                // most likely.
                let instance = if instance.is_empty() { self.spool.instance() } else { instance };
                LogItem::Frame(LogFrame { boot: at.boot, instance, after: place(at), header, payload })
            }
            Item::Lost { at, .. } => {
                LogItem::Lost { boot: at.boot, instance: None, after: place(at), cause: GapCause::Corruption }
            }
            Item::Missing { at, .. } => {
                LogItem::Lost { boot: at.boot, instance: None, after: place(at), cause: GapCause::SpoolFull }
            }
            Item::EndOfLog => {
                self.ended = Some(self.clock.monotonic());
                LogItem::End
            }
        })
    }

    fn pending(&mut self) -> Pending {
        self.refresh();
        let bytes = self.bytes_pending();
        let now = self.clock.monotonic();
        if bytes == 0 {
            self.waiting_since = None;
        } else {
            self.waiting_since.get_or_insert(now);
        }
        Pending { bytes, oldest: self.waiting_since.map(|since| now.saturating_sub(since)) }
    }

    fn wait(&mut self, timeout: Duration) {
        self.moves = self.spool.tails().wait(self.moves, timeout);
    }

    fn exists(&self, boot: Uuid) -> bool {
        // Not only the boots that this process holds: after an upgrade the predecessor's boots
        // are adopted later, and must not be forgotten until then.
        self.spool.has_boot(boot)
    }

    fn committed(&mut self, cursor: &[(Uuid, Position)]) {
        self.committed = cursor.iter().copied().collect();
        // What remains has come since the end was met. Where a full batch did not get there, it is
        // as old as before: it must not wait for as long again.
        if let Some(ended) = self.ended.take() {
            self.waiting_since = Some(ended);
        }
        let cursors = cursor.iter().map(|&(boot, position)| Cursor {
            boot,
            segment: position.segment,
            offset: position.offset,
        });
        (self.on_commit)(cursors.collect());
    }
}

impl std::fmt::Debug for SpoolSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpoolSource").field("committed", &self.committed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Options;
    use crate::spool::frame::{self, Kind};
    use crate::spool::fs::Fs;
    use crate::spool::sim::SimFs;
    use std::path::Path;

    fn records(sequences: std::ops::Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for sequence in sequences {
            frame::append(&mut out, Kind::Record, 1, 0, sequence, b"record");
        }
        out
    }

    #[test]
    fn what_a_full_batch_leaves_is_as_old_as_before_and_what_comes_behind_the_end_is_new() {
        let fs = SimFs::new(1);
        fs.create_dir(Path::new("/spool")).unwrap();
        let (boot, clock) = (Uuid::from_u128(1), Clock::manual(1_000_000));
        let options = Options { dir: "/spool".into(), ..Options::default() };
        let spool = Arc::new(Spool::open(&options, Arc::new(fs), boot, "gw-1").unwrap());
        let mut writer = spool.writer();
        let mut head = Vec::new();
        frame::append(&mut head, Kind::Mark, 1, 0, 0, b"a head");
        writer.rotate(&head, 0).unwrap();
        writer.append(&records(1..4)).unwrap();
        let mut source = SpoolSource::new(Arc::clone(&spool), clock.clone(), Box::new(|_| {}));
        let seconds = Duration::from_secs;
        assert_eq!(source.pending().oldest, Some(seconds(0)));
        clock.advance(seconds(7));
        let read = |source: &mut SpoolSource, most: usize| {
            let mut last = None;
            for _ in 0..most {
                match source.next().unwrap() {
                    LogItem::Frame(frame) => last = Some(frame.after),
                    _ => break,
                }
            }
            source.committed(&[(boot, last.unwrap())]);
        };
        // Two of three: the batch was full.
        read(&mut source, 2);
        assert_eq!(source.pending().oldest, Some(seconds(7)));
        clock.advance(seconds(1));
        read(&mut source, usize::MAX);
        assert_eq!(source.pending(), Pending { bytes: 0, oldest: None });
        clock.advance(seconds(9));
        writer.append(&records(4..6)).unwrap();
        assert_eq!(source.pending().oldest, Some(seconds(0)));
        clock.advance(seconds(2));
        // A manifest without a read tells nothing of what waits.
        let positions: Vec<_> = source.committed.iter().map(|(&boot, &position)| (boot, position)).collect();
        source.committed(&positions);
        assert_eq!(source.pending().oldest, Some(seconds(2)));
    }
}
