//! A worker: one thread with its own runtime, listeners, upstream pools and lane. Workers
//! share nothing that a request touches.

use super::arrival;
use super::entrance::Entrance;
use super::site::{Site, SiteOptions};
use super::socket::{Bound, Listening, Socket};
use crate::capture::commit::Commits;
use crate::capture::{Lane, Peer, RingWriter};
use crate::error_chain::Chain;
use crate::metrics::LaneStats;
use crate::timer::{TICK, Timers};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

/// Ticks between two looks at idle upstream connections.
const SWEEP_TICKS: u64 = 5;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Serve.
    Serving,
    /// Accept nothing new, let requests end.
    Draining,
    /// End at once; what is in flight is put on record as it stands.
    Stopping,
}

/// All that a worker is made of, before its thread runs.
#[derive(Debug)]
pub struct Seed {
    /// The lane's number.
    pub number: u16,
    /// The lane's ring.
    pub ring: RingWriter,
    /// What the recorder says of how far the ring is on disk.
    pub commits: Arc<Commits>,
    /// The lane's counters.
    pub stats: Arc<LaneStats>,
    /// Bound sockets, each with what connections pass there.
    pub listeners: Vec<(Arc<Entrance>, Bound)>,
    /// What to serve; a new value replaces the old for new connections.
    pub site: watch::Receiver<Arc<SiteOptions>>,
    /// What to do.
    pub stage: watch::Receiver<Stage>,
    /// Open client connections at most.
    pub max_connections: usize,
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) lane: Rc<Lane>,
    site: RefCell<Rc<Site>>,
    draining: Cell<bool>,
    connections: Cell<usize>,
    max_connections: usize,
    one_less: Notify,
}

impl Worker {
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }
}

/// Runs a worker on this thread until it is told to end.
///
/// # Errors
/// When the runtime can't be made or a socket can't be registered with it.
pub fn run(seed: Seed) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    let worker = runtime.block_on(tasks.run_until(serve(seed)))?;
    worker.lane.stop();
    // Everything still in flight is dropped here, which closes its account.
    drop(tasks);
    Ok(())
}

async fn serve(seed: Seed) -> io::Result<Rc<Worker>> {
    let Seed { number, ring, commits, stats, listeners, mut site, mut stage, max_connections } = seed;
    let timers = Rc::new(Timers::default());
    let lane = Lane::new(number, (ring, commits), timers, Arc::clone(&stats), fastrand::u64(..));
    let first = Site::new(&site.borrow_and_update(), lane.timers(), &stats);
    let worker = Rc::new(Worker {
        lane,
        site: RefCell::new(first),
        draining: Cell::new(false),
        connections: Cell::new(0),
        max_connections,
        one_less: Notify::new(),
    });
    let mut accepting = Vec::new();
    for (entrance, listener) in listeners {
        let listener = Listening::new(listener)?;
        accepting.push(tokio::task::spawn_local(accept(Rc::clone(&worker), listener, entrance)));
    }
    tokio::task::spawn_local(tick(Rc::clone(&worker)));
    tokio::task::spawn_local(Rc::clone(&worker.lane).watch_commits());
    loop {
        tokio::select! {
            changed = stage.changed() => {
                // Nobody is left to say what to do: the same as being told to end.
                let now = if changed.is_ok() { *stage.borrow_and_update() } else { Stage::Stopping };
                if now >= Stage::Draining && !worker.draining.get() {
                    worker.draining.set(true);
                    accepting.drain(..).for_each(|task| task.abort());
                    worker.lane.timers().wake_all();
                }
                if now == Stage::Stopping {
                    return Ok(worker);
                }
            }
            Ok(()) = site.changed() => {
                let options = Arc::clone(&site.borrow_and_update());
                *worker.site.borrow_mut() = Site::new(&options, worker.lane.timers(), &stats);
            }
            () = worker.one_less.notified() => {}
        }
        if worker.draining.get() && worker.connections.get() == 0 {
            return Ok(worker);
        }
    }
}

async fn tick(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        worker.lane.tick();
        if worker.lane.timers().now().is_multiple_of(SWEEP_TICKS) {
            worker.site.borrow().sweep();
        }
    }
}

async fn accept(worker: Rc<Worker>, listener: Listening, entrance: Arc<Entrance>) {
    loop {
        while worker.connections.get() >= worker.max_connections {
            worker.one_less.notified().await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => open(&worker, stream, peer, &entrance),
            Err(error) if is_about_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(address = %entrance.address, error = %Chain(&error), "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The peer left before it was accepted: no fault of ours, and no reason to pause.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

fn open(worker: &Rc<Worker>, socket: Socket, address: Option<SocketAddr>, entrance: &Arc<Entrance>) {
    // Without it small responses wait for the client's acknowledgement.
    if socket.set_nodelay().is_err() {
        return;
    }
    let site = Rc::clone(&worker.site.borrow());
    let counted = Counted::new(worker);
    let peer = Peer { address, tls: None };
    // One future as it is: a block around it would hold it twice.
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(arrival::serve(counted, worker, site, Arc::clone(entrance), socket, peer));
}

/// Counts an open connection while it lives.
pub(super) struct Counted(Rc<Worker>);

impl Counted {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        worker.lane.stats().connections.add(1);
        worker.lane.stats().accepted.add(1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.lane.stats().connections.subtract(1);
        self.0.one_less.notify_one();
    }
}
