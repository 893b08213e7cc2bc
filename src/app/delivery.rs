//! All destinations: a packer thread and a shipper task each.

use super::actors::Actors;
use super::health::Notes;
use super::keys::Signer;
use super::own;
use super::pauses::Pauses;
use super::session_file::SessionFile;
use crate::clock::Clock;
use crate::deliver::{
    AzureStore, Destination, DestinationOptions, DestinationStatus, DirStore, GcsStore, NatsStore, S3Store,
    Shipper, ShipperControl, StatusCell, Store,
};
use crate::enrich::add_meaning;
use crate::enrich::invocations::Invocations;
use crate::error_chain::Chain;
use crate::format::Enrichment;
use crate::journal::{Actor, Event, Journal};
use crate::metrics::Families;
use crate::pack::{Outbox, PackEvent, PackOptions, Packer, PackerControl, SpoolSource};
use crate::record::RecordView;
use crate::recorder::Progress;
use crate::spool::Spool;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle as TaskHandle;
use uuid::Uuid;

/// Compression level of objects: the fastest, as measured rules want.
const GZIP_LEVEL: u32 = 1;
/// Between two looks at whether a packer or shipper has ended.
const LOOK: Duration = Duration::from_millis(20);
/// For the last batch of a paused destination at a stop.
const PAUSED_FLUSH: Duration = Duration::from_secs(2);
/// How much lower than the workers packers stand in the scheduler's order.
const NICE: i32 = 5;

/// What all destinations share.
pub(super) struct Common {
    pub(super) instance: String,
    pub(super) boot: Uuid,
    pub(super) spool: Arc<Spool>,
    pub(super) clock: Clock,
    pub(super) progress: Arc<Progress>,
    pub(super) metrics: Families,
    pub(super) journal: Journal,
    pub(super) signer: Signer,
    pub(super) actors: Arc<Actors>,
    pub(super) session_gap: Duration,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) pauses: Pauses,
    pub(super) notes: Notes,
}

/// The way to a store.
#[must_use]
pub fn store(store: &Store, clock: &Clock) -> Arc<dyn Destination> {
    match store {
        Store::Dir(options) => Arc::new(DirStore::new(options)),
        Store::S3(bucket) => Arc::new(S3Store::new(bucket, clock.clone())),
        Store::Azure(container) => Arc::new(AzureStore::new(container, clock.clone())),
        Store::Gcs(bucket) => Arc::new(GcsStore::new(bucket, clock.clone())),
        Store::Nats(stream) => Arc::new(NatsStore::new(stream)),
    }
}

/// One running destination.
pub(super) struct Running {
    /// What it runs with.
    pub(super) options: DestinationOptions,
    pub(super) control: ShipperControl,
    pub(super) status: Arc<StatusCell>,
    outbox: Arc<OnceLock<Arc<Outbox>>>,
    packer: PackerControl,
    thread: JoinHandle<()>,
    shipper: TaskHandle<()>,
}

impl Running {
    /// Ends at once, wherever it is: the log keeps what was not packed, the outbox what was
    /// not delivered. Its thread may take a moment more; until then the outbox stays locked.
    pub(super) fn abandon(self) {
        self.packer.abandon();
        self.shipper.abort();
    }
}

/// All running destinations.
pub(super) struct Delivery {
    pub(super) common: Common,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) running: Vec<Running>,
    /// What the configuration wants to run.
    pub(super) wanted: Vec<DestinationOptions>,
    /// Whether what is wanted has been started, and what is wanted later is started at once.
    pub(super) started: bool,
    /// Counts of each destination since the start of the process, also of those that were taken away.
    cells: BTreeMap<String, Arc<StatusCell>>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("boot", &self.common.boot).finish_non_exhaustive()
    }
}

impl Delivery {
    pub(super) fn new(common: Common, wanted: &[DestinationOptions]) -> Self {
        let state = State { wanted: wanted.to_vec(), ..State::default() };
        Self { common, state: Mutex::new(state) }
    }

    /// Starts every destination. One that can't be started is told and left out: the others
    /// go on, and its records stay in the spool.
    pub(super) fn start(&self) {
        let mut state = self.lock();
        state.started = true;
        for options in state.wanted.clone() {
            self.start_one(&mut state, &options);
        }
    }

    /// Starts one more.
    pub(super) fn start_one(&self, state: &mut State, options: &DestinationOptions) {
        let cell = state.cells.entry(options.name.clone()).or_insert_with(|| {
            let cell = Arc::<StatusCell>::default();
            own::watch_destination(&cell, &self.common.journal, &self.common.notes);
            cell
        });
        match self.run(options, Arc::clone(cell)) {
            Ok(running) => state.running.push(running),
            Err(error) => tracing::error!(
                destination = options.name,
                error = %Chain(&error),
                "a destination cannot be started; its records stay in the spool"
            ),
        }
    }

    fn run(&self, options: &DestinationOptions, cell: Arc<StatusCell>) -> std::io::Result<Running> {
        let common = &self.common;
        let shipper = Shipper::new(
            &options.name,
            store(&options.store, &common.clock),
            &options.prefix,
            common.boot,
            options.retention,
            common.clock.clone(),
        )
        .with_status(cell)
        .with_concurrency(options.concurrency)
        .with_limits(options.limits)
        .with_public_keys(vec![common.signer.public()]);
        let (status, ship) = (shipper.status(), shipper.control());
        status.set_region(options.region.as_deref());
        if self.common.pauses.is_paused(&options.name) {
            ship.pause();
        }
        let members = json!({ "boot": common.boot, "version": env!("CARGO_PKG_VERSION") });
        common.notes.take(&options.name, "start", members);
        let (ready, outbox_ready) = oneshot::channel::<Arc<Outbox>>();
        let outbox = Arc::new(OnceLock::new());
        let seen = Arc::clone(&outbox);
        let shipper = common.runtime.spawn(async move {
            if let Ok(outbox) = outbox_ready.await {
                let _ = seen.set(Arc::clone(&outbox));
                shipper.run(outbox).await;
            }
        });
        let packer = self.packer(options);
        let control = packer.control();
        let name = options.name.clone();
        let thread = std::thread::Builder::new().name(format!("pack-{name}")).spawn(move || {
            // Packing must never be had at the workers' cost.
            let _ = rustix::process::nice(NICE);
            if let Err(error) = packer.run(ready) {
                tracing::error!(destination = name, error = %Chain(&error), "a packer ended");
            }
        })?;
        Ok(Running {
            options: options.clone(),
            control: ship,
            status,
            outbox,
            packer: control,
            thread,
            shipper,
        })
    }

    fn packer(&self, options: &DestinationOptions) -> Packer {
        let common = &self.common;
        let (progress, name) = (Arc::clone(&common.progress), options.name.clone());
        let source = SpoolSource::new(
            Arc::clone(&common.spool),
            common.clock.clone(),
            Box::new(move |cursors| progress.advance(&name, cursors)),
        );
        let pack = PackOptions {
            destination: options.name.clone(),
            instance: common.instance.clone(),
            boot: common.boot,
            spool: common.spool.dir().to_owned(),
            prefix: options.prefix.clone(),
            sources: options.sources.clone(),
            own_records: options.own_records,
            filter: options.filter.clone(),
            schedule: options.schedule,
            format: options.format.clone(),
            interval: options.interval,
            object_bytes: options.object_bytes,
            heartbeat: options.heartbeat,
            retention_days: options.retention_days,
            level: GZIP_LEVEL,
            signer: common.signer.name.clone(),
        };
        let mut resolver = common.actors.resolver();
        let sessions = SessionFile::open(common.spool.dir(), &options.name, common.session_gap);
        let told = Arc::clone(&sessions);
        let mut invocations = Invocations::default();
        let enrich = move |record: &RecordView<'_>, out: &mut Enrichment| {
            resolver.resolve(record, out);
            add_meaning(&mut sessions.lock(), record, out);
            invocations.hint(record, out);
        };
        let (metrics, name) = (common.metrics.clone(), options.name.clone());
        let journal = common.journal.clone();
        let observer = move |event: PackEvent<'_>| {
            if let PackEvent::Packed(report) = &event
                && report.records > 0
            {
                told.save();
            }
            observe(&metrics, &journal, &name, &event);
        };
        Packer::new(pack, Arc::clone(&common.signer.key), common.clock.clone(), Box::new(source))
            .with_fs(Arc::clone(common.spool.fs()))
            .with_previous_key(common.signer.previous.clone())
            .with_anchor(common.signer.anchor.clone())
            .with_enrich(Box::new(enrich))
            .with_observer(Box::new(observer))
    }

    /// Every destination's status with its newest committed batch.
    pub(super) fn statuses(&self) -> Vec<(DestinationStatus, Option<Arc<Outbox>>)> {
        let status = |running: &Running| (running.status.snapshot(), running.outbox.get().cloned());
        self.lock().running.iter().map(status).collect()
    }

    /// Who is told how a destination is.
    pub(super) fn owners(&self, name: &str) -> Vec<String> {
        let state = self.lock();
        let found = state.running.iter().find(|running| running.options.name == name);
        found.map(|running| running.options.owners.clone()).unwrap_or_default()
    }

    /// Packs what is left, closes the chains, and delivers for at most this long.
    pub(super) fn stop(&self, flush: Duration) {
        let running = std::mem::take(&mut self.lock().running);
        let deadline = Instant::now() + flush;
        for destination in &running {
            destination.packer.stop();
        }
        let busy =
            |destination: &Running| !destination.thread.is_finished() || !destination.shipper.is_finished();
        // What is paused delivers nothing: there is no more to wait for than its last batch.
        let paused_deadline = deadline.min(Instant::now() + PAUSED_FLUSH);
        let waits = |destination: &Running| {
            let until = if destination.control.is_paused() { paused_deadline } else { deadline };
            busy(destination) && Instant::now() < until
        };
        while running.iter().any(waits) {
            std::thread::sleep(LOOK);
        }
        for destination in running {
            if busy(&destination) {
                tracing::warn!(
                    destination = destination.status.snapshot().name,
                    "not everything could be delivered in time; the next start goes on with it"
                );
            }
            destination.packer.abandon();
            destination.shipper.abort();
            if destination.thread.join().is_err() {
                tracing::error!("a packer panicked");
            }
        }
    }

    /// All that run, and all that should.
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn observe(metrics: &Families, journal: &Journal, destination: &str, event: &PackEvent<'_>) {
    let label = &[destination];
    match event {
        PackEvent::Packed(report) => {
            own::note_packed(journal, destination, report);
            metrics.pack_duration.with_label_values(label).observe(report.duration.as_secs_f64());
            metrics.pack_records.with_label_values(label).inc_by(report.records);
            metrics.pack_bytes_in.with_label_values(label).inc_by(report.bytes_in);
            metrics.pack_bytes_out.with_label_values(label).inc_by(report.bytes_out);
            for (cause, count) in &report.gaps {
                let labels = &[destination, cause.as_str()];
                metrics.destination_gap_records.with_label_values(labels).inc_by(*count);
                tracing::warn!(
                    destination,
                    cause = cause.as_str(),
                    records = count,
                    "a gap is declared to a destination"
                );
            }
        }
        PackEvent::Failed(error) => {
            tracing::error!(destination, error = %Chain(error), "a batch cannot be packed now");
        }
        PackEvent::KeyChanged { number, handed_over: true } => {
            note_key(journal, destination, *number, true);
            tracing::info!(destination, manifest = number, "the signing key was handed over");
        }
        PackEvent::KeyChanged { number, handed_over: false } => {
            note_key(journal, destination, *number, false);
            tracing::warn!(
                destination,
                manifest = number,
                "the signing key has changed and the old one is not here: from this manifest on the chain is \
                 not proved by the key before; set [evidence] previous_key when a key is changed"
            );
        }
        PackEvent::Unanchored(error) => {
            tracing::error!(destination, error = %Chain(error), "the head of the chain could not be anchored");
        }
        PackEvent::Damaged(error) => {
            tracing::error!(destination, error = %Chain(error), "a batch was damaged and set aside");
        }
    }
}

fn note_key(journal: &Journal, destination: &str, manifest: u64, handed_over: bool) {
    journal.note(Actor::GATEWAY, &Event::SigningKeyChange { destination, manifest, handed_over });
}
