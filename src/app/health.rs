//! The thread that watches over destinations: it writes their histories, sums up their hours,
//! and looks ahead. Nothing waits for it.

use super::delivery::Delivery;
use super::notices::Notices;
use crate::clock::Clock;
use crate::deliver::DestinationStatus;
use crate::error_chain::Chain;
use crate::format::time_text;
use crate::health::{History, Hours, Outlook, Page, SpoolTrend};
use crate::recorder::RecorderStatus;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at everything.
const LOOK: Duration = Duration::from_secs(1);
/// What waits to be written, while the disk is stuck; more is counted and left out.
const MOST_WAITING: usize = 1024;

/// Something to write down.
#[derive(Debug)]
struct Note {
    destination: String,
    event: &'static str,
    /// Unix microseconds.
    at: u64,
    members: Map<String, Value>,
}

/// Takes notes for the histories; never blocks.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    sender: SyncSender<Note>,
    clock: Clock,
}

impl Notes {
    /// Where notes go in, and where the thread takes them out.
    pub(super) fn new(clock: &Clock) -> (Self, NotesEnd) {
        let (sender, receiver) = sync_channel(MOST_WAITING);
        (Self { sender, clock: clock.clone() }, NotesEnd(receiver))
    }

    /// Has an event of a destination written down.
    pub(super) fn take(&self, destination: &str, event: &'static str, members: Value) {
        let Value::Object(mut members) = members else { return };
        members.retain(|_, value| !value.is_null());
        let at = self.clock.unix_microseconds();
        let note = Note { destination: destination.to_owned(), event, at, members };
        if let Err(TrySendError::Full(note)) = self.sender.try_send(note) {
            tracing::warn!(destination = note.destination, event, "the history is behind; this is not in it");
        }
    }

    /// Has a state written down.
    pub(super) fn state(&self, status: &DestinationStatus) {
        let members = json!({
            "state": status.state.as_str(),
            "cause": status.cause,
            "words": status.words,
            "since": status.since.map(time_text),
        });
        self.take(&status.name, "state", members);
    }
}

/// Where notes come out.
#[derive(Debug)]
pub(super) struct NotesEnd(Receiver<Note>);

/// What the thread has found out, for whoever asks.
#[derive(Debug)]
pub(super) struct Health {
    folder: PathBuf,
    clock: Clock,
    books: Mutex<BTreeMap<String, Arc<History>>>,
    outlooks: Mutex<BTreeMap<String, Outlook>>,
}

impl Health {
    pub(super) fn new(spool: &std::path::Path, clock: &Clock) -> Arc<Self> {
        let (books, outlooks) = (Mutex::default(), Mutex::default());
        Arc::new(Self { folder: spool.join("history"), clock: clock.clone(), books, outlooks })
    }

    /// When the first loss of a destination would come.
    pub(super) fn outlook(&self, destination: &str) -> Option<Outlook> {
        lock(&self.outlooks).get(destination).copied()
    }

    /// A page of a destination's history.
    pub(super) fn page(&self, destination: &str, before: Option<u64>, limit: usize) -> Result<Page, String> {
        let book = self.book(destination)?;
        let page = book.page(before, limit, self.clock.unix_microseconds());
        page.map_err(|error| Chain(&error).to_string())
    }

    /// The history of a destination. A name is safe as a folder's.
    fn book(&self, destination: &str) -> Result<Arc<History>, String> {
        let mut books = lock(&self.books);
        if let Some(book) = books.get(destination) {
            return Ok(Arc::clone(book));
        }
        let book =
            History::open(&self.folder.join(destination)).map_err(|error| Chain(&error).to_string())?;
        let book = Arc::new(book);
        books.insert(destination.to_owned(), Arc::clone(&book));
        Ok(book)
    }

    fn write(&self, note: Note) {
        let Note { destination, event, at, members } = note;
        let written = self
            .book(&destination)
            .and_then(|book| book.append(at, event, members).map_err(|error| Chain(&error).to_string()));
        if let Err(error) = written {
            tracing::warn!(destination, event, error, "the history cannot be written; this is not in it");
        }
    }
}

/// The running thread.
#[derive(Debug)]
pub(super) struct Watch {
    notes: Notes,
    thread: JoinHandle<()>,
}

/// What the thread looks at.
pub(super) struct Watched {
    pub(super) health: Arc<Health>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) recorder: Arc<Mutex<RecorderStatus>>,
    pub(super) clock: Clock,
    pub(super) notices: Notices,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(watched: Watched, notes: Notes, end: NotesEnd) -> std::io::Result<Self> {
        let thread = std::thread::Builder::new().name("health".to_owned());
        let thread = thread.spawn(move || Looker::new(watched).run(&end.0))?;
        Ok(Self { notes, thread })
    }

    /// Writes what is left, and ends; to be called when destinations have ended.
    pub(super) fn finish(self) {
        let Self { notes, thread } = self;
        // An empty name is the last word; it waits for room.
        let last = Note { destination: String::new(), event: "", at: 0, members: Map::new() };
        let _ = notes.sender.send(last);
        if thread.join().is_err() {
            tracing::error!("the thread of the histories panicked");
        }
    }
}

struct Looker {
    watched: Watched,
    hours: BTreeMap<String, Hours>,
    trend: SpoolTrend,
}

impl Looker {
    fn new(watched: Watched) -> Self {
        Self { watched, hours: BTreeMap::new(), trend: SpoolTrend::default() }
    }

    fn run(mut self, notes: &Receiver<Note>) {
        let mut looked = self.watched.clock.monotonic();
        loop {
            let wait = (looked + LOOK).saturating_sub(self.watched.clock.monotonic());
            match notes.recv_timeout(wait) {
                Ok(note) if note.destination.is_empty() => break,
                Ok(note) => self.watched.health.write(note),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.watched.clock.monotonic() >= looked + LOOK {
                looked = self.watched.clock.monotonic();
                self.look();
            }
        }
        let at = self.watched.clock.unix_microseconds();
        for (destination, hours) in std::mem::take(&mut self.hours) {
            let members = hours.sums();
            self.watched.health.write(Note { destination, event: "hour", at, members });
        }
    }

    fn look(&mut self) {
        let (now, seen) = (self.watched.clock.unix_microseconds(), self.watched.clock.monotonic());
        let (bytes, bound) = {
            let recorder = lock(&self.watched.recorder);
            (recorder.spool_bytes, recorder.spool_bound)
        };
        self.trend.observe(seen, bytes);
        let full = self.trend.full_in(bound);
        let full = full.map(|time| now.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)));
        let mut outlooks = BTreeMap::new();
        let mut seen_now = Vec::new();
        for (status, _) in self.watched.delivery.statuses() {
            let outlook = Outlook::of(&status, full);
            outlooks.extend(outlook.map(|outlook| (status.name.clone(), outlook)));
            seen_now.push((status.clone(), outlook, self.watched.delivery.owners(&status.name)));
            let hours = self.hours.entry(status.name.clone());
            let hours = hours.or_insert_with(|| Hours::begin(&status, now, seen));
            if let Some(members) = hours.observe(&status, now, seen) {
                let note = Note { destination: status.name.clone(), event: "hour", at: now, members };
                self.watched.health.write(note);
            }
        }
        *lock(&self.watched.health.outlooks) = outlooks;
        self.watched.notices.look(&seen_now, now);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
