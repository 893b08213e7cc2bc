//! A store that fails on demand.

use onrecord::clock::Clock;
use onrecord::deliver::{Advice, Body, BoxFuture, Cause, Created, Destination, Object, ObjectKind, PutError};
use onrecord::evidence::merkle;
use onrecord::evidence::store::{Entry, EvidenceSource, Listing, ReadError};
use onrecord::spool::fs;
use onrecord::spool::sim::SimFs;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// What the store does to attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mood {
    /// No attempt gets through.
    pub out: bool,
    /// So often, from 0 to 1, an object is created and the answer is lost.
    pub loses_answers: f64,
    /// Whoever creates an object is not told so; who sends it again is.
    pub loses_creations: bool,
    /// So often an attempt fails before anything is created.
    pub refuses: f64,
    /// Objects are replaced although they must not be.
    pub ignores_conditions: bool,
    /// No attempt is answered before this time.
    pub hangs_until: Option<Duration>,
}

/// What was done to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts that reached it.
    pub attempts: u64,
    /// Objects created.
    pub created: u64,
    /// Attempts for a key that was taken.
    pub there: u64,
    /// Answers that were lost after the object was created.
    pub lost_answers: u64,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    mood: Mood,
    counts: Counts,
    objects: BTreeMap<String, Vec<u8>>,
    /// Keys that were written again with other bytes.
    contradictions: Vec<String>,
}

/// A store in memory. Clones are the same one.
#[derive(Clone, Debug)]
pub struct SimStore {
    fs: SimFs,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl SimStore {
    /// An empty store that takes objects from this machine.
    #[must_use]
    pub fn new(fs: &SimFs, clock: &Clock, seed: u64) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            mood: Mood::default(),
            counts: Counts::default(),
            objects: BTreeMap::new(),
            contradictions: Vec::new(),
        };
        Self { fs: fs.clone(), clock: clock.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// Changes what it does from now on.
    pub fn mood(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.state().mood);
    }

    /// What was done to it so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Keys that were written twice with different bytes.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        self.state().contradictions.clone()
    }

    /// Everything in it, by key.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().objects.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes as they are sent: what is not what was packed is not sent.
    fn body(&self, object: &Object<'_>) -> Result<Vec<u8>, PutError> {
        let bytes = match object.body {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::File(path) => fs::read(&self.fs, path)
                .map_err(|error| PutError::new(Cause::ServerError, format!("{}: {error}", path.display())))?,
        };
        if merkle::sha256(&bytes) != object.sha256 || bytes.len() as u64 != object.length {
            let words = "these are not the bytes that were packed".to_owned();
            return Err(PutError { cause: Cause::ServerError, words, advice: Advice::GiveUp });
        }
        Ok(bytes)
    }

    fn put(&self, object: &Object<'_>) -> Result<Created, PutError> {
        if self.fs.is_dead() {
            return Err(PutError::new(Cause::Network, "a dead process sends nothing"));
        }
        let bytes = self.body(object)?;
        let mut state = self.state();
        state.counts.attempts += 1;
        let mood = state.mood;
        if mood.out {
            return Err(PutError::new(Cause::Network, "the store is out"));
        }
        if state.random.f64() < mood.refuses {
            return Err(PutError::new(Cause::ServerError, "503"));
        }
        let created = match state.objects.get(object.key) {
            Some(there) if !mood.ignores_conditions => {
                // The probe says other bytes the second time, to see whether they are taken.
                if *there != bytes && object.kind != ObjectKind::Probe {
                    state.contradictions.push(object.key.to_owned());
                }
                state.counts.there += 1;
                Created::AlreadyThere
            }
            there => {
                if there.is_some_and(|there| *there != bytes) && object.kind != ObjectKind::Probe {
                    state.contradictions.push(object.key.to_owned());
                }
                state.objects.insert(object.key.to_owned(), bytes);
                state.counts.created += 1;
                Created::Created
            }
        };
        // The probe asks whether it is refused the second time: to lose that answer is another story.
        let untold = mood.loses_creations && created == Created::Created && object.kind != ObjectKind::Probe;
        if state.random.f64() < mood.loses_answers || untold {
            state.counts.lost_answers += 1;
            return Err(PutError::new(Cause::Network, "the connection ended before the answer"));
        }
        Ok(created)
    }
}

impl Destination for SimStore {
    fn create<'a>(&'a self, object: Object<'a>) -> BoxFuture<'a, Result<Created, PutError>> {
        let mut done = None;
        Box::pin(std::future::poll_fn(move |_| {
            // It is there before the answer comes: who does not wait for it has sent it all the same.
            let result = done.get_or_insert_with(|| self.put(&object));
            let hangs = self.state().mood.hangs_until.is_some_and(|end| self.clock.monotonic() < end);
            if hangs { Poll::Pending } else { Poll::Ready(result.clone()) }
        }))
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

impl EvidenceSource for SimStore {
    fn list<'a>(&'a self, folder: &str) -> Box<dyn Listing + 'a> {
        let state = self.state();
        let mut entries: BTreeMap<String, bool> = BTreeMap::new();
        for rest in state.objects.keys().filter_map(|key| key.strip_prefix(folder)) {
            match rest.split_once('/') {
                Some((name, _)) => entries.insert(name.to_owned(), true),
                None => entries.insert(rest.to_owned(), false),
            };
        }
        let entries = entries.into_iter().map(|(name, is_folder)| Entry { name, is_folder });
        Box::new(Names(entries.collect()))
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, ReadError> {
        let bytes = self.state().objects.get(path).cloned();
        Ok(bytes.map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>))
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

/// The rest of a folder's entries.
struct Names(VecDeque<Entry>);

impl Listing for Names {
    fn page(&mut self, limit: usize) -> Result<Vec<Entry>, ReadError> {
        let count = limit.min(self.0.len());
        Ok(self.0.drain(..count).collect())
    }
}
