//! The composition root: what is started in which order, what is stopped in which order,
//! and who owns every thread and task.
//!
//! Start: bind the listeners (a port that is taken must show before anything is made),
//! open the spool, make the rings, build the site, start the recorder, then the workers.
//! From here requests are served. What earlier boots left is recovered beside that, and
//! only then the destinations start, since they must find the old records before they
//! pass them.
//!
//! Stop: the workers drain and end; the inspector looks into what waits; the recorder drains the rings and writes the boot's
//! last word; the packers pack what is left and close their chains; the shippers get a
//! limited time to deliver it. What they can't deliver waits in the outbox.

mod actors;
mod admin_listener;
mod compaction;
mod control;
mod delivery;
mod entrances;
mod health;
mod keys;
mod machine;
mod notices;
mod own;
#[cfg(test)]
mod panics;
mod pauses;
mod recovery;
mod reloading;
mod rings;
mod session_file;
mod site;
mod start_error;
mod status;
mod upstreams;

pub use delivery::store;
pub use entrances::certificate_warnings;
pub use keys::fingerprinter_at_rest;
pub use site::{durabilities, odd_paths, routes, table};
pub use start_error::StartError;

use crate::admin::{self, Access};
use crate::capture::commit::Commits;
use crate::capture::ring::RingReader;
use crate::clock::Clock;
use crate::config::{Config, Reload};
use crate::enrich::ai_results::AiResults;
use crate::error_chain::Chain;
use crate::inspect::Inspector;
use crate::journal::{Actor, Event, Journal};
use crate::metrics::Families;
use crate::notify::Notifier;
use crate::proxy::UpstreamShared;
use crate::recorder::{self, Progress};
use crate::server::{self, ListenError, SiteOptions, SocketFiles, Sockets, Stage};
use crate::spool::Spool;
use crate::spool::fs::{Fs, SystemFs};
use actors::Actors;
use control::ControlDesk;
use delivery::Delivery;
use entrances::Entrances;
use health::{Health, Notes, Watch, Watched};
use notices::Notices;
use pauses::Pauses;
use recovery::Recovery;
use status::StatusView;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// Threads of the runtime behind the front: admin, shippers.
const BACKGROUND_THREADS: usize = 2;
/// Files that are open for other things than connections.
const OTHER_FILES: usize = 256;
/// Between two looks at whether a stop has come to its end.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    config: Mutex<Config>,
    site: watch::Sender<Arc<SiteOptions>>,
    stage: watch::Sender<Stage>,
    workers: Vec<JoinHandle<()>>,
    recorder: Option<recorder::Handle>,
    inspector: Inspector,
    background: tokio::runtime::Runtime,
    delivery: Arc<Delivery>,
    watch: Option<Watch>,
    recovery: Option<recovery::Handle>,
    compaction: Option<compaction::Handle>,
    admin_stop: watch::Sender<bool>,
    access: Arc<Access>,
    notifier: Notifier,
    actors: Arc<Actors>,
    metrics: Families,
    journal: Journal,
    view: Arc<StatusView>,
    spool: Arc<Spool>,
    rings_dir: PathBuf,
    boot: Uuid,
    failed: Arc<AtomicBool>,
    refusing: Arc<AtomicBool>,
    upstreams: Vec<Arc<UpstreamShared>>,
    entrances: Entrances,
    _socket_files: SocketFiles,
}

/// This gateway's stable name: as configured, else the machine's.
#[must_use]
pub fn instance(config: &Config) -> String {
    config.instance.clone().unwrap_or_else(machine::host_name)
}

/// How a reload ends, as a label.
const RELOAD_RESULTS: [&str; 2] = ["ok", "refused"];

impl Gateway {
    /// Starts everything.
    ///
    /// # Errors
    /// [`StartError`]; what was started until then is ended again.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(config, Arc::new(SystemFs))
    }

    /// Starts everything with the spool on this file system.
    ///
    /// # Errors
    /// [`StartError`]; what was started until then is ended again.
    pub fn start_on(config: Config, fs: Arc<dyn Fs>) -> Result<Self, StartError> {
        let boot = Uuid::now_v7();
        let instance = instance(&config);
        let workers = machine::worker_count(config.server.workers);
        // A client and its upstream connection each; the rest of the process needs a few.
        machine::raise_open_files((2 * workers * config.server.max_connections + OTHER_FILES) as u64);
        let metrics = Families::new()?;
        let entrance_options = entrances::options(&config);
        let entrances = Entrances::new(&config, &entrance_options, &metrics)?;
        let places = entrances::places(&entrance_options);
        let shared = server::shared(&places);
        let mut sockets = Sockets::new(workers);
        sockets.bind_ports(&places)?;
        let admin_tls = admin_listener::tls(&config.admin)?;
        let admin_listener = std::net::TcpListener::bind(config.admin.listen)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));

        let dir = config.spool.dir.clone();
        let spool = Spool::open(&config.spool, fs, boot, &instance)
            .map_err(|source| StartError::Spool { dir: dir.clone(), source })?;
        // Sharing a port is for upgrades: the predecessor has the same spool.
        let is_upgrade = spool.neighbours().is_ok_and(|neighbours| !neighbours.is_empty());
        let admin_listener = match admin_listener {
            Ok(listener) => Some(listener),
            Err(error) if is_upgrade && error.kind() == io::ErrorKind::AddrInUse => None,
            Err(source) => return Err(StartError::Admin { address: config.admin.listen, source }),
        };
        if let Some(address) = shared.first()
            && !is_upgrade
        {
            let address = address.clone();
            return Err(ListenError { address, source: io::ErrorKind::AddrInUse.into() }.into());
        }
        // Only now: a file of a gateway that runs is not replaced by mistake.
        sockets.bind_files(&places)?;
        let spool = Arc::new(spool);
        own::show_gaps(&metrics, config.destinations.iter().map(|destination| destination.name.as_str()));
        RELOAD_RESULTS.iter().for_each(|result| drop(metrics.reloads.with_label_values(&[result])));
        let actors = Actors::open(&config, &spool, &metrics)?;
        let signer = keys::signer(&config, &spool, &instance)?;
        let refusing = Arc::new(AtomicBool::new(false));
        let upstreams = upstreams::make(&config)?;
        let inspector = Inspector::start(
            config.meaning.bodies,
            vec![Box::new(actors.learner()), Box::new(AiResults::default())],
            &metrics,
        )
        .map_err(|source| StartError::Thread { what: "inspection thread", source })?;
        let queue = inspector.queue();
        let clients = entrances.clients();
        let site = Arc::new(site::build(&config, &actors, &refusing, &queue, &metrics, &upstreams, clients)?);

        // A slot for every request in flight, and some for those that are just being refused.
        let slots = config.server.max_in_flight + config.server.max_in_flight / 16 + 64;
        let rings = rings::make(&config.ring, spool.id(), boot, &instance, workers, slots)
            .map_err(StartError::Rings)?;
        rings::remember(&spool, boot, &rings.dir);
        let (writers, readers): (Vec<_>, Vec<_>) = rings.ends.into_iter().unzip();
        let gauges = readers.iter().map(RingReader::gauge).collect();
        let clock = Clock::System;
        let (own_writer, own_ring) = rings.own;
        let journal = own::begin(Journal::new(own_writer, clock.clone(), metrics.clone()), &spool, &actors);
        let (lanes, commits) = rings::lane_ends(readers, own_ring);
        let progress = Progress::new(config.destinations.iter().map(|destination| destination.name.as_str()));
        let settings = recorder::Settings {
            when_full: config.spool.when_full,
            refusing: Arc::clone(&refusing),
            sync_interval: config.spool.sync_interval,
            clock: clock.clone(),
            progress: Arc::clone(&progress),
            metrics: metrics.clone(),
            supplements: inspector.outbox(),
            journal: journal.clone(),
        };
        let recorder = recorder::start(Arc::clone(&spool), lanes, settings)
            .map_err(|source| StartError::Recorder { dir, source })?;

        let background = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(BACKGROUND_THREADS)
            .thread_name("background")
            .enable_all()
            .build()
            .map_err(|source| StartError::Thread { what: "runtime", source })?;
        upstreams::watch(&upstreams, background.handle());
        actors.watch(background.handle());
        let public_key = signer.public();
        let health = Health::new(spool.dir(), &clock);
        let (notes, notes_end) = Notes::new(&clock);
        notices::show(&metrics, &config.notify);
        let tell = notices::tell(journal.clone(), notes.clone(), metrics.clone());
        let notifier = Notifier::new(config.notify.clone(), clock.clone(), background.handle().clone(), tell);
        let common = delivery::Common {
            instance: instance.clone(),
            boot,
            spool: Arc::clone(&spool),
            clock: clock.clone(),
            progress,
            metrics: metrics.clone(),
            journal: journal.clone(),
            signer,
            actors: Arc::clone(&actors),
            session_gap: config.meaning.session_gap,
            runtime: background.handle().clone(),
            pauses: Pauses::new(spool.dir()),
            notes: notes.clone(),
        };
        let delivery = Arc::new(Delivery::new(common, &config.destinations));
        let watched = Watched {
            health: Arc::clone(&health),
            delivery: Arc::clone(&delivery),
            recorder: recorder.shared_status(),
            clock: clock.clone(),
            notices: Notices::open(spool.dir(), notifier.clone(), &instance),
        };
        let view = Arc::new(StatusView::new(status::Parts {
            instance,
            boot,
            recorder: recorder.shared_status(),
            delivery: Arc::clone(&delivery),
            metrics: metrics.clone(),
            rings_outlive_process: rings.outlive_process,
            rings: gauges,
            clock: clock.clone(),
            public_key,
            upstreams: upstreams.clone(),
            entrances: entrances.clone(),
            health: Arc::clone(&health),
        }));
        view.set_sources(&config);
        background.spawn(entrances.clone().follow());
        for acme in entrances.acme(&config, &spool.keys_dir()) {
            background.spawn(acme.keep());
        }
        let admin_stop = watch::Sender::new(false);
        let address = config.admin.listen;
        let access = Access::new(config.admin.tokens.clone(), clock.clone());
        let parts = admin::Parts {
            control: Arc::new(ControlDesk {
                view: Arc::clone(&view),
                delivery: Arc::clone(&delivery),
                journal: journal.clone(),
                health: Arc::clone(&health),
            }),
            view: Arc::clone(&view) as Arc<dyn admin::View>,
            access: Arc::clone(&access),
            metrics: metrics.clone(),
        };
        background.spawn(admin_listener::serve(
            address,
            admin_listener,
            admin_tls,
            parts,
            admin_stop.subscribe(),
        ));

        let mut gateway = Self {
            site: watch::Sender::new(site),
            stage: watch::Sender::new(Stage::Serving),
            workers: Vec::new(),
            recorder: Some(recorder),
            inspector,
            background,
            delivery,
            watch: None,
            recovery: None,
            compaction: None,
            admin_stop,
            access,
            notifier,
            actors,
            metrics,
            journal,
            view,
            spool,
            rings_dir: rings.dir,
            boot,
            failed: Arc::default(),
            refusing,
            upstreams,
            entrances: entrances.clone(),
            _socket_files: sockets.files,
            config: Mutex::new(config),
        };
        gateway
            .start_workers(writers.into_iter().zip(commits).collect(), entrances.join(sockets.by_worker))?;
        let watch = Watch::start(watched, notes, notes_end);
        gateway.watch = Some(watch.map_err(|source| StartError::Thread { what: "health thread", source })?);
        gateway.start_delivery()?;
        gateway.view.started();
        Ok(gateway)
    }

    fn start_workers(
        &mut self,
        rings: Vec<(crate::capture::RingWriter, Arc<Commits>)>,
        listeners: Vec<entrances::Listeners>,
    ) -> Result<(), StartError> {
        let max_connections = self.lock_config().server.max_connections;
        for (number, ((ring, commits), listeners)) in (0u16..).zip(rings.into_iter().zip(listeners)) {
            let seed = server::Seed {
                number,
                ring,
                commits,
                stats: self.metrics.requests.lane(),
                listeners,
                site: self.site.subscribe(),
                stage: self.stage.subscribe(),
                max_connections,
            };
            let failed = Arc::clone(&self.failed);
            let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                if let Err(error) = server::run(seed) {
                    tracing::error!(worker = number, error = %Chain(&error), "a worker ended");
                    failed.store(true, Ordering::Release);
                }
            });
            self.workers.push(thread.map_err(|source| StartError::Thread { what: "worker thread", source })?);
        }
        Ok(())
    }

    /// Recovers what earlier boots left, then starts the destinations; beside the traffic.
    fn start_delivery(&mut self) -> Result<(), StartError> {
        let (delivery, view) = (Arc::clone(&self.delivery), Arc::clone(&self.view));
        let recovered = move || {
            delivery.start();
            view.recovered();
        };
        let recovery = Recovery {
            spool: Arc::clone(&self.spool),
            rings_dir: self.rings_dir.clone(),
            metrics: self.metrics.clone(),
            journal: self.journal.clone(),
        };
        let started = recovery.start(recovered);
        self.recovery =
            Some(started.map_err(|source| StartError::Thread { what: "recovery thread", source })?);
        let compaction = compaction::start(&self.spool, &self.metrics);
        self.compaction =
            Some(compaction.map_err(|source| StartError::Thread { what: "compaction thread", source })?);
        Ok(())
    }

    /// Whether a worker has ended by itself: the process should end, so that it is started anew.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Takes over what can change live, and returns what changed and what needs a restart.
    ///
    /// # Errors
    /// When what the new configuration names can't be loaded; the old one stays.
    pub fn reload(&self, new: Config, by: Actor<'_>) -> Result<Reload, StartError> {
        let mut config = self.lock_config();
        let reload = config.reload(&new);
        // Only what can change live is taken over; the rest stays until the restart.
        let merged = reload.config.clone();
        let (queue, clients) = (self.inspector.queue(), self.entrances.clients());
        let (refusing, metrics) = (&self.refusing, &self.metrics);
        let site = site::build(&merged, &self.actors, refusing, &queue, metrics, &self.upstreams, clients)?;
        let directory = keys::directory(&merged)?;
        self.entrances.reload(&merged)?;
        self.actors.reload(&merged, directory);
        self.site.send_replace(Arc::new(site));
        self.access.set_tokens(merged.admin.tokens.clone());
        self.notifier.set_options(merged.notify.clone());
        self.delivery.reload(&merged.destinations);
        self.view.set_sources(&merged);
        *config = merged;
        if !reload.is_empty() {
            let event = Event::ConfigurationChange { live: &reload.live, restart: &reload.restart };
            self.journal.note(by, &event);
        }
        Ok(reload)
    }

    /// Says in status and metrics how the last reload went.
    pub fn note_reload(&self, problem: Option<String>, by: Actor<'_>) {
        if problem.is_some() {
            self.journal.note(by, &Event::ConfigurationRefused);
        }
        let result = RELOAD_RESULTS[usize::from(problem.is_some())];
        self.metrics.reloads.with_label_values(&[result]).inc();
        self.view.set_config_problem(problem);
    }

    /// Ends in order: requests, records, batches, deliveries; each within its time.
    pub fn stop(mut self, by: Actor<'_>) {
        self.journal.note(by, &Event::Stop);
        let (grace, flush) = {
            let config = self.lock_config();
            (config.server.grace, config.server.flush)
        };
        self.view.stopping();
        self.stage.send_replace(Stage::Draining);
        let deadline = Instant::now() + grace;
        while self.workers.iter().any(|worker| !worker.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(STOP_LOOK);
        }
        self.stage.send_replace(Stage::Stopping);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        self.inspector.finish();
        self.actors.close();
        // Before the recorder: what recovery comes to belongs on this boot's record.
        if let Some(recovery) = self.recovery.take() {
            recovery.finish();
        }
        if let Some(compaction) = self.compaction.take() {
            compaction.finish();
        }
        let mut clean = true;
        if let Some(recorder) = self.recorder.take() {
            clean = recorder.finish();
        }
        if clean {
            rings::remove(&self.rings_dir, self.boot);
        }
        self.delivery.stop(flush);
        if let Some(watch) = self.watch.take() {
            watch.finish();
        }
        self.admin_stop.send_replace(true);
        self.background.shutdown_timeout(Duration::from_secs(1));
    }

    fn lock_config(&self) -> std::sync::MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
