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
    waiting_since: Option<Duration>,
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
            Item::EndOfLog => LogItem::End,
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
        self.waiting_since = None;
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
