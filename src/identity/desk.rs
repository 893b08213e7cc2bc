//! The desk: one thread that judges tokens, fetches keys, and keeps what it found.

use super::facts::{Fact, Facts, Reason};
use super::fetch::{self, FetchError};
use super::jwks::{KeySet, KeySetError};
use super::kept;
use super::options::{JwtOptions, KeysFrom};
use super::presenter::{Handover, Presented};
use super::schedule::Schedule;
use super::token::judge;
use crate::clock::Clock;
use crate::error_chain::Chain;
use crate::metrics::Families;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Tokens that wait to be judged; each has at most 16 KiB.
const QUEUE: usize = 512;
/// Tokens of one source that wait for keys.
const MOST_PENDING: usize = 256;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(250);
/// Between two writings of the file, if there is something new.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How much lower than the workers the desk stands in the scheduler's order.
const NICE: i32 = 5;
/// What a token with a good signature counts as; the others by their reason.
const GOOD: &str = "good";
/// What a token that found the queue full counts as.
const PASSED_OVER: &str = "passed_over";

/// Why the desk did not open.
#[derive(Debug, Error)]
pub enum DeskError {
    /// A file can't be used.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not a key set.
    #[error("{path}")]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeySetError,
    },
    /// The system gives no thread or runtime.
    #[error("the system gives no thread for checking tokens")]
    Thread(#[source] io::Error),
}

/// Why keys could not be had now.
#[derive(Debug, Error)]
enum KeysError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("what came is no key set")]
    Set(#[from] KeySetError),
    #[error("cannot read the file")]
    File(#[from] io::Error),
}

/// The running desk.
#[derive(Debug)]
pub struct Desk {
    handovers: HashMap<String, Handover>,
    facts: HashMap<String, Arc<Facts>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Opens it for these sources. `dir` is the folder for what a restart keeps.
    ///
    /// # Errors
    /// [`DeskError`]. A key server that does not answer is none: it is asked again.
    pub fn open(
        sources: Vec<(String, JwtOptions)>,
        dir: PathBuf,
        clock: Clock,
        metrics: &Families,
    ) -> Result<Self, DeskError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (mut handovers, mut facts, mut issuers) = (HashMap::new(), HashMap::new(), Vec::new());
        for (number, (name, options)) in sources.into_iter().enumerate() {
            let results = Reason::ALL.iter().map(|reason| reason.as_str()).chain([GOOD, PASSED_OVER]);
            for result in results {
                // Shown from the start, so that the first rise is seen.
                metrics.tokens.with_label_values(&[&name, result]);
            }
            for result in ["ok", "failed"] {
                metrics.key_fetches.with_label_values(&[&name, result]);
            }
            let known = Arc::new(Facts::under(options.rules()));
            let handover = Handover {
                source: number,
                sender: sender.clone(),
                facts: Arc::clone(&known),
                passed_over: metrics.tokens.with_label_values(&[&name, PASSED_OVER]),
            };
            handovers.insert(name.clone(), handover);
            facts.insert(name.clone(), Arc::clone(&known));
            issuers.push(Issuer::new(name, options, known)?);
        }
        if let Err(error) = kept::load(&dir, &facts, clock.unix_microseconds()) {
            tracing::warn!(error = %Chain(&error), "what was known of tokens can't be read; they are judged anew");
        }
        let (stop, stopped) = watch::channel(false);
        let thread = if issuers.is_empty() {
            None
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(DeskError::Thread)?;
            let desk = Worker {
                issuers,
                facts: facts.clone(),
                dir,
                clock,
                metrics: metrics.clone(),
                fetches: JoinSet::new(),
                unsaved: false,
                saved: Duration::ZERO,
            };
            let run = move || {
                // Judging must never be had at the workers' cost.
                let _ = rustix::process::nice(NICE);
                runtime.block_on(desk.run(receiver, stopped));
            };
            let thread = std::thread::Builder::new().name("identity".into()).spawn(run);
            Some(thread.map_err(DeskError::Thread)?)
        };
        Ok(Self { handovers, facts, stop, thread })
    }

    /// The ways for the tokens of the sources, by name.
    #[must_use]
    pub fn handovers(&self) -> &HashMap<String, Handover> {
        &self.handovers
    }

    /// What is found out, by source.
    #[must_use]
    pub fn facts(&self) -> &HashMap<String, Arc<Facts>> {
        &self.facts
    }

    /// Judges what waits, keeps it, and ends. To be called when no worker runs any more.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that checks tokens panicked");
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.end();
    }
}

/// The tokens of one source.
struct Issuer {
    source: String,
    options: JwtOptions,
    facts: Arc<Facts>,
    keys: Option<Arc<KeySet>>,
    schedule: Schedule,
    tls: Arc<ClientConfig>,
    /// The file of keys as it was read last.
    stamp: Option<Stamp>,
    /// Tokens that wait for keys.
    pending: Vec<Presented>,
    /// A failure was told, and nothing has come since.
    told: bool,
}

type Stamp = (SystemTime, u64);

impl Issuer {
    fn new(source: String, options: JwtOptions, facts: Arc<Facts>) -> Result<Self, DeskError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            |source| DeskError::Read { path, source }
        };
        let tls = fetch::trust(options.ca.as_deref())
            .map_err(read(options.ca.as_deref().unwrap_or(Path::new("the public roots"))))?;
        let (mut keys, mut stamp) = (None, None);
        if let KeysFrom::File(path) = &options.jwks {
            stamp = Some(stamp_of(path).map_err(read(path))?);
            let text = std::fs::read(path).map_err(read(path))?;
            let set =
                KeySet::parse(&text).map_err(|source| DeskError::Keys { path: path.clone(), source })?;
            keys = Some(Arc::new(set));
        }
        let schedule = Schedule::new(options.refresh);
        Ok(Self { source, options, facts, keys, schedule, tls, stamp, pending: Vec::new(), told: false })
    }
}

fn stamp_of(path: &Path) -> io::Result<Stamp> {
    let data = std::fs::metadata(path)?;
    Ok((data.modified()?, data.len()))
}

struct Worker {
    issuers: Vec<Issuer>,
    facts: HashMap<String, Arc<Facts>>,
    dir: PathBuf,
    clock: Clock,
    metrics: Families,
    fetches: JoinSet<(usize, Result<KeySet, KeysError>)>,
    unsaved: bool,
    saved: Duration,
}

impl Worker {
    async fn run(mut self, mut receiver: mpsc::Receiver<Presented>, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(fetched) = self.fetches.join_next() => {
                    if let Ok((issuer, keys)) = fetched {
                        self.fetched(issuer, keys);
                    }
                }
                _ = stopped.wait_for(|stop| *stop) => break,
                _ = ticks.tick() => self.tick(),
                Some(token) = receiver.recv() => self.judge(token, true),
            }
        }
        receiver.close();
        while let Ok(token) = receiver.try_recv() {
            self.judge(token, false);
        }
        self.save();
    }

    fn tick(&mut self) {
        let now = self.clock.monotonic();
        for number in 0..self.issuers.len() {
            let issuer = &mut self.issuers[number];
            match &issuer.options.jwks {
                KeysFrom::Url(url) => {
                    if issuer.schedule.begin(now) {
                        let (url, tls) = (url.clone(), Arc::clone(&issuer.tls));
                        self.fetches.spawn(async move { (number, load(&url, tls).await) });
                    }
                }
                KeysFrom::File(path) => {
                    let stamp = stamp_of(path).ok();
                    if stamp.is_some() && stamp != issuer.stamp {
                        let read = std::fs::read(path).map_err(KeysError::from);
                        issuer.stamp = stamp;
                        self.fetched(number, read.and_then(|text| Ok(KeySet::parse(&text)?)));
                    }
                }
            }
        }
        if self.unsaved && now.saturating_sub(self.saved) >= SAVE_EVERY {
            self.save();
        }
    }

    /// Takes keys over, and judges those anew who waited for them.
    fn fetched(&mut self, number: usize, keys: Result<KeySet, KeysError>) {
        let now = self.clock.monotonic();
        let issuer = &mut self.issuers[number];
        let result = if keys.is_ok() { "ok" } else { "failed" };
        self.metrics.key_fetches.with_label_values(&[&issuer.source, result]).inc();
        match keys {
            Ok(keys) => {
                issuer.schedule.done(now);
                issuer.told = false;
                if issuer.keys.as_deref() != Some(&keys) {
                    tracing::info!(source = issuer.source, keys = keys.len(), "the issuer's keys were read");
                    issuer.keys = Some(Arc::new(keys));
                    issuer.facts.ask_again();
                }
                for token in std::mem::take(&mut issuer.pending) {
                    self.issuers[number].facts.waiting.fetch_add(1, Ordering::Release);
                    // Once: a forged key id must not keep the fetches going.
                    self.judge(token, false);
                }
            }
            Err(error) => {
                issuer.schedule.failed(now);
                if !std::mem::replace(&mut issuer.told, true) {
                    tracing::warn!(
                        source = issuer.source,
                        error = %Chain(&error),
                        has_keys = issuer.keys.is_some(),
                        "the issuer's keys can't be had now; what is known stays, and they are asked for again"
                    );
                }
            }
        }
    }

    /// Judges a token. One whose key is not here waits for the next key set, if it `may_wait`.
    fn judge(&mut self, presented: Presented, may_wait: bool) {
        let issuer = &mut self.issuers[presented.source];
        let known = issuer.facts.get(&presented.fingerprint);
        // A good token stays good: whether it has run out is judged record by record.
        let fact = match known.as_deref().filter(|fact| fact.reason.is_none()) {
            Some(good) => good.clone(),
            None => judge(&presented.token, &issuer.options, issuer.keys.as_deref()),
        };
        let result = fact.reason.map_or(GOOD, Reason::as_str);
        if known.as_deref() != Some(&fact) {
            self.metrics.tokens.with_label_values(&[&issuer.source, result]).inc();
            self.unsaved |= fact.reason.is_none();
        }
        let wants_keys =
            matches!(fact, Fact { reason: Some(Reason::UnknownKey | Reason::KeysUnavailable), .. });
        issuer.facts.put(presented.fingerprint, fact);
        issuer.facts.waiting.fetch_sub(1, Ordering::Release);
        if wants_keys && may_wait {
            issuer.schedule.want();
            if issuer.pending.len() < MOST_PENDING {
                issuer.pending.push(presented);
            }
        }
    }

    fn save(&mut self) {
        (self.unsaved, self.saved) = (false, self.clock.monotonic());
        if let Err(error) = kept::save(&self.dir, &self.facts, self.clock.unix_microseconds()) {
            tracing::warn!(error = %Chain(&error), "what is known of tokens can't be kept for a restart");
        }
    }
}

async fn load(url: &str, tls: Arc<ClientConfig>) -> Result<KeySet, KeysError> {
    Ok(KeySet::parse(&fetch::get(url, tls).await?)?)
}
