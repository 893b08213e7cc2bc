//! The desk: one thread that judges tokens, fetches keys, and keeps what it found.

use super::facts::{Fact, Facts, Reason};
use super::fetch::{self, FetchError};
use super::inquiry::{Answer, Inquiry, Kind};
use super::jwks::{KeySet, KeySetError};
use super::kept;
use super::learned::Learned;
use super::opened::{Issuer, inquiries, stamp_of};
use super::options::{KeysFrom, TokenOptions};
use super::presenter::{Handover, Presented};
use super::token::judge;
use crate::clock::Clock;
use crate::error_chain::Chain;
use crate::metrics::Families;
use crate::secret::SecretError;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
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
    /// The client's secret can't be had.
    #[error("no client secret for introspection")]
    Secret(#[from] SecretError),
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
    /// Opens it for these sources. `dir` is the folder for what a restart keeps; `learned` is
    /// where the answers of the APIs go.
    ///
    /// # Errors
    /// [`DeskError`]. A key server that does not answer is none: it is asked again.
    pub fn open(
        sources: Vec<(String, TokenOptions)>,
        learned: &Arc<Learned>,
        dir: PathBuf,
        clock: Clock,
        metrics: &Families,
    ) -> Result<Self, DeskError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (mut handovers, mut facts, mut desks) = (HashMap::new(), HashMap::new(), Vec::new());
        for (number, (name, options)) in sources.into_iter().enumerate() {
            let results = Reason::ALL.iter().map(|reason| reason.as_str()).chain([GOOD, PASSED_OVER]);
            for result in results {
                // Shown from the start, so that the first rise is seen.
                metrics.tokens.with_label_values(&[&name, result]);
            }
            for result in ["ok", "failed"].into_iter().filter(|_| options.jwt.is_some()) {
                metrics.key_fetches.with_label_values(&[&name, result]);
            }
            let known = Arc::new(Facts::under(options.rules()));
            let inquiries = inquiries(&options)?;
            let handover = Handover {
                source: number,
                sender: sender.clone(),
                facts: Arc::clone(&known),
                opaque: !inquiries.is_empty(),
                passed_over: metrics.tokens.with_label_values(&[&name, PASSED_OVER]),
            };
            handovers.insert(name.clone(), handover);
            facts.insert(name.clone(), Arc::clone(&known));
            let issuer = options.jwt.map(|options| Issuer::new(name.clone(), options, Arc::clone(&known)));
            desks.push(SourceDesk { source: name, facts: known, issuer: issuer.transpose()?, inquiries });
        }
        if let Err(error) = kept::load(&dir, &facts, clock.unix_microseconds()) {
            tracing::warn!(error = %Chain(&error), "what was known of tokens can't be read; they are judged anew");
        }
        let (stop, stopped) = watch::channel(false);
        let thread = if desks.is_empty() {
            None
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(DeskError::Thread)?;
            let desk = Worker {
                desks,
                learned: Arc::clone(learned),
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

/// What is found out of one source's tokens.
struct SourceDesk {
    source: String,
    facts: Arc<Facts>,
    issuer: Option<Issuer>,
    inquiries: Vec<Inquiry>,
}

/// What a task of the desk brings back.
enum Brought {
    /// Keys for a source.
    Keys(usize, Result<KeySet, KeysError>),
    /// An answer to the inquiry of this number of the token's source.
    Answer(usize, Presented, Result<Answer, FetchError>),
}

struct Worker {
    desks: Vec<SourceDesk>,
    learned: Arc<Learned>,
    facts: HashMap<String, Arc<Facts>>,
    dir: PathBuf,
    clock: Clock,
    metrics: Families,
    fetches: JoinSet<Brought>,
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
                Some(brought) = self.fetches.join_next() => match brought {
                    Ok(Brought::Keys(source, keys)) => self.fetched(source, keys),
                    Ok(Brought::Answer(number, presented, answer)) => self.answered(number, presented, answer),
                    Err(_) => {}
                },
                _ = stopped.wait_for(|stop| *stop) => break,
                _ = ticks.tick() => self.tick(),
                Some(token) = receiver.recv() => self.take(token),
            }
            self.ask();
        }
        receiver.close();
        while let Ok(token) = receiver.try_recv() {
            if self.is_for_keys(&token) {
                self.judge(token, false);
            }
        }
        self.save();
    }

    fn tick(&mut self) {
        let now = self.clock.monotonic();
        for number in 0..self.desks.len() {
            let desk = &mut self.desks[number];
            // Each of them has to be asked.
            let renewing = desk.inquiries.iter_mut().filter_map(|inquiry| inquiry.renews(now).then_some(()));
            if renewing.count() > 0 {
                desk.facts.ask_again();
            }
            let Some(issuer) = &mut desk.issuer else { continue };
            match &issuer.options.jwks {
                KeysFrom::Url(url) => {
                    if issuer.schedule.begin(now) {
                        let (url, tls) = (url.clone(), Arc::clone(&issuer.tls));
                        self.fetches.spawn(async move { Brought::Keys(number, load(&url, tls).await) });
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
        let Some(issuer) = &mut self.desks[number].issuer else { return };
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
                    self.desks[number].facts.waiting.fetch_add(1, Ordering::Release);
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

    /// Whether the token is judged here, by the issuer's keys.
    fn is_for_keys(&self, presented: &Presented) -> bool {
        presented.is_jwt && self.desks[presented.source].issuer.is_some()
    }

    /// Judges a token that came, or has others asked about it.
    fn take(&mut self, mut presented: Presented) {
        let is_judged = self.is_for_keys(&presented);
        let now = self.clock.monotonic();
        let wall = self.clock.unix_microseconds();
        let desk = &mut self.desks[presented.source];
        let mut is_asked_about = false;
        for inquiry in &mut desk.inquiries {
            let (is_needed, awaited) = match &inquiry.question.kind {
                Kind::Introspection(_) => (!is_judged, presented.awaited),
                Kind::Own { namespace, .. } => {
                    let known = self.learned.credential(namespace.as_bytes(), &presented.fingerprint, wall);
                    (known.is_none(), false)
                }
            };
            if is_needed && inquiry.wants(&presented.fingerprint, now) {
                let copy = Presented { awaited, token: presented.token.clone(), ..presented };
                if inquiry.take(copy).is_ok() {
                    is_asked_about |= awaited;
                }
            }
        }
        if is_judged {
            self.judge(presented, true);
        } else if !is_asked_about && std::mem::take(&mut presented.awaited) {
            desk.facts.waiting.fetch_sub(1, Ordering::Release);
        }
    }

    /// Lets go what may be asked now.
    fn ask(&mut self) {
        let now = self.clock.monotonic();
        for desk in &mut self.desks {
            for (number, inquiry) in desk.inquiries.iter_mut().enumerate() {
                while let Some(presented) = inquiry.next(now) {
                    let question = Arc::clone(&inquiry.question);
                    self.fetches.spawn(async move {
                        let answer = question.ask(&presented.token).await;
                        Brought::Answer(number, presented, answer)
                    });
                }
            }
        }
    }

    /// Notes an answer, or that there was none: then the token waits for the server.
    fn answered(&mut self, number: usize, mut presented: Presented, answer: Result<Answer, FetchError>) {
        let (now, wall) = (self.clock.monotonic(), self.clock.unix_microseconds());
        let desk = &mut self.desks[presented.source];
        let inquiry = &mut desk.inquiries[number];
        let has_failed = answer.is_err();
        let first_failure = inquiry.answered(presented.fingerprint, !has_failed, now);
        let fingerprint = presented.fingerprint;
        let known = desk.facts.get(&fingerprint).filter(|fact| fact.reason.is_none());
        let fact = match (answer, &inquiry.question.kind) {
            (Ok(Answer::Introspected(fact)), _) => match known {
                // It was valid until now.
                Some(good) if fact.reason == Some(Reason::Inactive) => {
                    Some(Fact { not_after: good.not_after.min(wall), ..Fact::clone(&good) })
                }
                _ => Some(fact),
            },
            (Ok(Answer::Named(who)), Kind::Own { namespace, .. }) => {
                self.learned.learn_person(namespace.as_bytes(), who.clone(), wall);
                self.learned.learn(namespace.as_bytes(), fingerprint, who, true, wall);
                None
            }
            (Ok(_), _) => None,
            (Err(error), kind) => {
                if first_failure {
                    tracing::warn!(
                        source = desk.source,
                        error = %Chain(&error),
                        "who stands behind tokens can't be asked now; requests pass, and it is asked again"
                    );
                }
                let is_open = matches!(kind, Kind::Introspection(_)) && known.is_none();
                let unavailable = Fact::worthless(Reason::IntrospectionUnavailable);
                is_open.then_some(Fact { introspected: true, ..unavailable })
            }
        };
        if let Some(fact) = fact {
            let result = fact.reason.map_or(GOOD, Reason::as_str);
            if desk.facts.get(&fingerprint).as_deref() != Some(&fact) {
                self.metrics.tokens.with_label_values(&[&desk.source, result]).inc();
                self.unsaved |= fact.reason.is_none();
            }
            desk.facts.put(fingerprint, fact);
        }
        if std::mem::take(&mut presented.awaited) {
            desk.facts.waiting.fetch_sub(1, Ordering::Release);
        }
        if has_failed {
            // Where there is no room it comes again with a request of its own.
            let _ = inquiry.take(presented);
        }
    }

    /// Judges a token. One whose key is not here waits for the next key set, if it `may_wait`.
    fn judge(&mut self, presented: Presented, may_wait: bool) {
        let Some(issuer) = &mut self.desks[presented.source].issuer else { return };
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
