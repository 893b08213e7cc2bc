//! Everything that tells who acts: the fingerprints' key, the directory and its changes, the
//! desk that judges tokens.

use super::StartError;
use super::keys;
use super::site;
use crate::capture::actor::Fingerprinter;
use crate::clock::Clock;
use crate::config::{Config, SourceConfig};
use crate::enrich::actor::{Resolver, SourceActors, SourceTable};
use crate::enrich::directory::Directory;
use crate::enrich::learner::Learner;
use crate::enrich::privacy::Privacy;
use crate::error_chain::Chain;
use crate::identity::{Desk, Facts, Handover, Learned, Organizations, TokenOptions};
use crate::metrics::Families;
use crate::routes::About;
use crate::spool::Spool;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The folder in the spool for what a restart keeps.
const FOLDER: &str = "actors";
/// Between two looks at the directory's file, and two writings of what was learned.
const LOOK: Duration = Duration::from_secs(1);
/// How a reading of the changed directory ends, as a label.
const RESULTS: [&str; 2] = ["ok", "refused"];

/// What tells who acts. Shared by site and destinations.
#[derive(Debug)]
pub(super) struct Actors {
    pub(super) fingerprinter: Arc<Fingerprinter>,
    directory: Arc<ArcSwapOption<Directory>>,
    file: Mutex<File>,
    sources: Arc<ArcSwap<SourceTable>>,
    facts: HashMap<String, Arc<Facts>>,
    learned: Arc<Learned>,
    dir: PathBuf,
    privacy: Privacy,
    desk: Mutex<Option<Desk>>,
    handovers: HashMap<String, Handover>,
    metrics: Families,
}

/// The directory's file as it was read last.
#[derive(Debug, Default)]
struct File {
    path: Option<PathBuf>,
    stamp: Option<(SystemTime, u64)>,
}

impl File {
    fn of(config: &Config) -> Self {
        let path = config.actors.directory.clone();
        Self { stamp: path.as_deref().and_then(stamp), path }
    }
}

impl Actors {
    /// Reads and opens what the configuration names.
    pub(super) fn open(config: &Config, spool: &Spool, metrics: &Families) -> Result<Arc<Self>, StartError> {
        for result in RESULTS {
            metrics.directory_reloads.with_label_values(&[result]);
        }
        let fingerprinter = Arc::new(keys::fingerprinter(config, spool)?);
        // The stamp before the content: a change between the two is seen as one.
        let file = File::of(config);
        let directory = keys::directory(config)?;
        let tokens = config.sources.iter().map(tokens).collect::<Result<Vec<_>, _>>()?;
        let tokens = tokens.into_iter().filter(|(_, options)| !options.is_empty()).collect();
        let dir = spool.dir().join(FOLDER);
        let lasts = u64::try_from(config.actors.learned_for.as_micros()).unwrap_or(u64::MAX);
        let learned = Arc::new(Learned::new(lasts));
        if let Err(error) = learned.load(&dir, Clock::System.unix_microseconds()) {
            tracing::warn!(error = %Chain(&error), "what was learned of credentials can't be read; it is learned anew");
        }
        let desk = Desk::open(tokens, &learned, dir.clone(), Clock::System, metrics)
            .map_err(|error| StartError::Key { key: "[source.actor]", why: Chain(&error).to_string() })?;
        Ok(Arc::new(Self {
            directory: Arc::new(ArcSwapOption::new(directory)),
            file: Mutex::new(file),
            sources: Arc::new(ArcSwap::from_pointee(sources(config, desk.facts())?)),
            facts: desk.facts().clone(),
            learned,
            dir,
            privacy: Privacy::new(config.actors.names, config.actors.emails, Arc::clone(&fingerprinter))
                .hashing(&config.redact.hash),
            handovers: desk.handovers().clone(),
            desk: Mutex::new(Some(desk)),
            metrics: metrics.clone(),
            fingerprinter,
        }))
    }

    /// The way for the tokens of a source, if they are judged.
    pub(super) fn handover(&self, source: &str) -> Option<Handover> {
        self.handovers.get(source).cloned()
    }

    /// What is known of the organizations of a namespace's spaces.
    pub(super) fn organizations(&self, namespace: &str) -> Arc<Organizations> {
        self.learned.organizations(namespace.as_bytes())
    }

    /// One destination's own.
    pub(super) fn resolver(&self) -> Resolver {
        Resolver::new(
            Arc::clone(&self.directory),
            Arc::clone(&self.sources),
            Arc::clone(&self.learned),
            self.privacy.clone(),
        )
    }

    /// Learns from what is looked into.
    pub(super) fn learner(&self) -> Learner {
        let learned = Arc::clone(&self.learned);
        Learner::new(learned, Arc::clone(&self.fingerprinter), Clock::System, &self.metrics)
    }

    fn save_learned(&self) {
        if let Err(error) = self.learned.save(&self.dir, Clock::System.unix_microseconds()) {
            tracing::warn!(error = %Chain(&error), "what was learned of credentials can't be kept for a restart");
        }
    }

    /// Takes over what can change live, with the directory of the changed configuration.
    pub(super) fn reload(&self, config: &Config, directory: Option<Arc<Directory>>) {
        match sources(config, &self.facts) {
            Ok(sources) => self.sources.store(Arc::new(sources)),
            Err(error) => tracing::error!(error = %Chain(&error), "who acts is told as before"),
        }
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = File::of(config);
        self.directory.store(directory);
    }

    /// Reads the directory again whenever its file has changed, and keeps what was learned, for
    /// as long as the runtime lives.
    pub(super) fn watch(self: &Arc<Self>, runtime: &tokio::runtime::Handle) {
        let actors = Arc::clone(self);
        runtime.spawn(async move {
            let mut ticks = tokio::time::interval(LOOK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let actors = Arc::clone(&actors);
                // Neither a slow disk nor a large file may hold the other tasks up.
                let _ = tokio::task::spawn_blocking(move || actors.look()).await;
            }
        });
    }

    /// Looks at the file once. One with mistakes changes nothing; all of them are told at once.
    fn look(&self) {
        self.save_learned();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = file.path.clone() else { return };
        // A file that is away for a moment is being replaced.
        let Some(now) = stamp(&path) else { return };
        if file.stamp.replace(now) == Some(now) {
            return;
        }
        let [ok, refused] = RESULTS;
        let result = match keys::read_directory(&path) {
            Ok(directory) => {
                tracing::info!(path = %path.display(), actors = directory.len(), "the directory of actors was read again");
                self.directory.store(Some(Arc::new(directory)));
                ok
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the directory of actors has changed and is refused; the one before stays");
                refused
            }
        };
        self.metrics.directory_reloads.with_label_values(&[result]).inc();
    }

    /// Judges the last tokens and keeps what is known. To be called when no worker runs.
    pub(super) fn close(&self) {
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(desk) = desk {
            desk.close();
        }
        self.save_learned();
    }
}

/// What is to be found out of the tokens of a source.
fn tokens(source: &SourceConfig) -> Result<(String, TokenOptions), StartError> {
    let ask = match &source.ask {
        None => None,
        Some(options) => {
            let routes = site::routes(source)?;
            let mut told = routes.routes().iter().flat_map(|route| &route.learn);
            let own = told.find(|learn| learn.about == About::Sender && learn.id.is_some()).cloned();
            let why = "no catalogue of the source says where the answer names the actor (`learn`)".to_owned();
            let own = own.ok_or(StartError::Key { key: "[source.actor.ask]", why })?;
            let namespace = match source.options.namespace.as_str() {
                "" => routes.namespace().unwrap_or("api").to_owned(),
                typed => typed.to_owned(),
            };
            Some((options.clone(), namespace, own))
        }
    };
    let (jwt, introspection) = (source.jwt.clone(), source.introspection.clone());
    Ok((source.options.name.clone(), TokenOptions { jwt, introspection, ask }))
}

fn sources(config: &Config, facts: &HashMap<String, Arc<Facts>>) -> Result<SourceTable, StartError> {
    let patterns = site::patterns(config)?;
    let of = |source: &SourceConfig| {
        let name = &source.options.name;
        let actors = SourceActors {
            order: source.identify.clone(),
            facts: facts.get(name).cloned(),
            patterns: patterns.clone(),
        };
        (name.clone().into_bytes(), actors)
    };
    Ok(config.sources.iter().map(of).collect())
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}
