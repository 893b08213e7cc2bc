//! A worker's connections to one upstream: last in, first out, so that the busy ones stay
//! warm and the rest age out.

use super::UpstreamShared;
use super::balance::{Rules, choose};
use super::connect::{ConnectError, Sender, Speech, begin, open};
use super::endpoint::Endpoint;
use super::http1::Buffers;
use super::lease::Lease;
use super::options::Http2;
use super::shared::{EndpointReport, EndpointView, View, lock, resolve};
use super::tls::Tls;
use crate::metrics::LaneStats;
use crate::proxy::error::ForwardError;
use crate::proxy::options::Limits;
use crate::timer::{TICK, Timers};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// A further address is tried when one has not answered for so long (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses that are tried for one request.
const MOST_TRIES: usize = 8;

/// The connections to one upstream, and how to make new ones.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<UpstreamShared>,
    pub(super) limits: Rc<Limits>,
    pub(super) timers: Rc<Timers>,
    stats: Arc<LaneStats>,
    rules: Rules,
    buffers: Rc<Buffers>,
    state: RefCell<State>,
    /// Held by the one who looks names up on the spot.
    resolving: tokio::sync::Mutex<()>,
    report: Arc<Mutex<Vec<EndpointReport>>>,
}

/// What of the shared upstream this worker has taken over.
#[derive(Debug, Default)]
struct State {
    endpoints: Vec<Rc<Endpoint>>,
    view: Arc<View>,
    tls: Option<Tls>,
    tls_from: Option<Arc<ClientConfig>>,
}

impl Pool {
    /// One worker's pool, without connections.
    #[must_use]
    pub(crate) fn new(
        shared: Arc<UpstreamShared>,
        limits: Rc<Limits>,
        timers: Rc<Timers>,
        stats: Arc<LaneStats>,
    ) -> Rc<Self> {
        let forward = shared.forward();
        let rules = Rules {
            eject_after: forward.eject_after,
            eject_ticks: ticks(forward.eject_time),
            slow_start_ticks: ticks(forward.slow_start),
        };
        let report = shared.reporter();
        let (buffers, state, resolving) = Default::default();
        let pool = Rc::new(Self { shared, limits, timers, stats, rules, buffers, state, resolving, report });
        pool.look_around();
        pool
    }

    /// The upstream.
    #[must_use]
    pub(crate) fn upstream(&self) -> &super::Upstream {
        self.shared.upstream()
    }

    /// What the operator has set about it.
    #[must_use]
    pub(crate) fn forward(&self) -> &super::ForwardOptions {
        self.shared.forward()
    }

    /// A connection for a request that is ready now. Apart from [`Self::acquire`], so that a
    /// request which finds one does not carry the space of making one.
    #[inline]
    pub(in crate::proxy) fn ready(self: &Rc<Self>) -> Option<Lease> {
        self.take().ok()
    }

    /// A connection for a request: one that is ready, or a new one.
    ///
    /// # Errors
    /// When no address can be connected to in time. Cancel safe.
    pub(in crate::proxy) async fn acquire(self: &Rc<Self>) -> Result<Lease, ForwardError> {
        loop {
            let picked = match self.take() {
                Ok(lease) => return Ok(lease),
                Err(picked) => picked,
            };
            let Some(endpoint) = picked.filter(|endpoint| endpoint.speaks_http2.get()) else {
                return self.connect(false).await;
            };
            if !endpoint.connecting.get() {
                let _connecting = Connecting::new(&endpoint);
                return self.connect(false).await;
            }
            // Somebody is making a connection that this request can share.
            endpoint.connected.notified().await;
        }
    }

    /// A new connection that can switch protocols.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub(in crate::proxy) async fn acquire_for_upgrade(self: &Rc<Self>) -> Result<Lease, ForwardError> {
        self.connect(true).await
    }

    /// A ready connection to the address that is due, or that address.
    fn take(self: &Rc<Self>) -> Result<Lease, Option<Rc<Endpoint>>> {
        let state = self.state.borrow();
        let now = self.timers.now();
        let index = self.choose(&state, now).ok_or(None)?;
        let endpoint = &state.endpoints[index];
        match endpoint.take(now) {
            Some(sender) => Ok(Lease::new(self, Rc::clone(endpoint), sender, true)),
            None => Err(Some(Rc::clone(endpoint))),
        }
    }

    fn choose(&self, state: &State, now: u64) -> Option<usize> {
        let standings = state.endpoints.iter().map(|endpoint| &endpoint.standing);
        choose(standings, now, &self.rules, |below| fastrand::usize(..below))
    }

    /// Connects to the address that is due, and to the others where that fails or takes long:
    /// nothing of a request has been sent yet.
    async fn connect(self: &Rc<Self>, for_upgrade: bool) -> Result<Lease, ForwardError> {
        let deadline = Instant::now() + self.limits.connect_timeout;
        if self.state.borrow().endpoints.is_empty() {
            self.resolve_now(deadline).await?;
        }
        let candidates = self.candidates();
        let mut waiting = candidates.iter();
        let mut attempts = FuturesUnordered::new();
        let mut running: SmallVec<[&Rc<Endpoint>; 4]> = SmallVec::new();
        let mut last = None;
        loop {
            if let Some(endpoint) = waiting.next() {
                running.push(endpoint);
                attempts.push(self.attempt(endpoint, for_upgrade));
            }
            let next = if waiting.len() > 0 { deadline.min(Instant::now() + STAGGER) } else { deadline };
            tokio::select! {
                Some((endpoint, result)) = attempts.next() => {
                    running.retain(|other| !Rc::ptr_eq(other, endpoint));
                    match result {
                        Ok(sender) => {
                            self.stats.upstream_connections.add(1);
                            return Ok(self.lease(endpoint, sender));
                        }
                        Err(error) => {
                            self.cannot_connect(endpoint);
                            last = Some(self.error(endpoint, error));
                        }
                    }
                }
                () = sleep_until(next) => {
                    if Instant::now() >= deadline {
                        running.iter().for_each(|endpoint| self.cannot_connect(endpoint));
                        return Err(ForwardError::ConnectTimeout { authority: self.shared.upstream().listed() });
                    }
                }
            }
            if attempts.is_empty() && waiting.len() == 0 {
                return Err(last.unwrap_or_else(|| self.nowhere()));
            }
        }
    }

    /// One attempt, with the endpoint that it was for.
    async fn attempt<'a>(
        &self,
        endpoint: &'a Rc<Endpoint>,
        for_upgrade: bool,
    ) -> (&'a Rc<Endpoint>, Result<Sender, ConnectError>) {
        let speech = self.speech(endpoint, for_upgrade);
        // A request that waits for a connection is in flight like any other.
        let _counted = InFlight::new(endpoint);
        let attempt = async {
            let (io, is_http2) = open(&endpoint.target, &speech).await?;
            if !for_upgrade {
                endpoint.speaks_http2.set(is_http2);
            }
            begin(io, is_http2, &self.stats, &self.buffers).await
        };
        (endpoint, attempt.await)
    }

    fn lease(self: &Rc<Self>, endpoint: &Rc<Endpoint>, sender: Sender) -> Lease {
        if let Sender::Http2(connection) = &sender {
            endpoint.share(connection, self.timers.now());
        }
        Lease::new(self, Rc::clone(endpoint), sender, false)
    }

    fn speech(&self, endpoint: &Endpoint, for_upgrade: bool) -> Speech {
        let state = self.state.borrow();
        let tls = state.tls.as_ref().map(|tls| {
            let config = if for_upgrade { &tls.http1 } else { &tls.config };
            (Arc::clone(config), endpoint.tls_name.clone())
        });
        let http2 = if for_upgrade { Http2::Off } else { self.forward().http2 };
        Speech { tls, http2 }
    }

    /// The addresses to try, in this order: the one that is due, the others that are well,
    /// and those that are not.
    fn candidates(&self) -> SmallVec<[Rc<Endpoint>; 4]> {
        let state = self.state.borrow();
        let now = self.timers.now();
        let mut all: SmallVec<[Rc<Endpoint>; 4]> = state.endpoints.iter().cloned().collect();
        if let Some(due) = self.choose(&state, now) {
            all.rotate_left(due);
            all[1..].sort_by_key(|endpoint| !endpoint.standing.is_usable(now));
        }
        all.truncate(MOST_TRIES);
        all
    }

    /// Looks the names up on the spot: the watch has not yet, or could not.
    async fn resolve_now(&self, deadline: Instant) -> Result<(), ForwardError> {
        let upstream = self.shared.upstream();
        // One at a time: a name that is not there must not take a thread for each request.
        let Ok(_one) =
            timeout(deadline.saturating_duration_since(Instant::now()), self.resolving.lock()).await
        else {
            return Err(ForwardError::ConnectTimeout { authority: upstream.listed() });
        };
        if !self.state.borrow().endpoints.is_empty() {
            return Ok(());
        }
        let mut view = View::default();
        let mut failed = None;
        for (configured, address) in upstream.addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, resolve(&address.place)).await {
                Ok(Ok(targets)) => view.endpoints.extend(targets.into_iter().map(|target| EndpointView {
                    configured,
                    target,
                    is_well: true,
                })),
                Ok(Err(source)) => {
                    failed = Some(ForwardError::Connect { authority: address.name(), source });
                }
                Err(_) => return Err(ForwardError::ConnectTimeout { authority: address.name() }),
            }
        }
        if view.endpoints.is_empty() {
            return Err(failed.unwrap_or_else(|| self.nowhere()));
        }
        if self.state.borrow().endpoints.is_empty() {
            self.adopt(&Arc::new(view));
        }
        Ok(())
    }

    fn nowhere(&self) -> ForwardError {
        let authority = self.shared.upstream().listed();
        ForwardError::Connect { authority, source: io::ErrorKind::AddrNotAvailable.into() }
    }

    fn error(&self, endpoint: &Endpoint, error: ConnectError) -> ForwardError {
        let authority = endpoint.address.to_string();
        match error {
            ConnectError::Io(source) => ForwardError::Connect { authority, source },
            ConnectError::Tls(source) => ForwardError::Tls { authority, source },
        }
    }

    fn cannot_connect(&self, endpoint: &Endpoint) {
        self.shared.count_connect_failure(endpoint.configured);
        self.note_failure(endpoint, "no connection could be made several times in a row");
    }

    pub(super) fn note_failure(&self, endpoint: &Endpoint, why: &'static str) {
        // The only address is never left out, so it is not judged.
        if self.state.borrow().endpoints.len() < 2 {
            return;
        }
        if endpoint.standing.failed(self.timers.now(), &self.rules) {
            self.shared.count_ejection(endpoint.configured);
            tracing::warn!(
                source = self.shared.source,
                address = &*endpoint.address,
                "a worker does not use an upstream's address for a while: {why}"
            );
        }
    }

    /// Closes connections of no use, takes over what has changed, and tells how the addresses
    /// are doing. To be called every few ticks.
    pub(crate) fn sweep(&self) {
        self.look_around();
        let now = self.timers.now();
        let idle = ticks(self.limits.upstream_idle_timeout);
        let state = self.state.borrow();
        for endpoint in &state.endpoints {
            endpoint.sweep(now, idle);
        }
        let reports = state.endpoints.iter().map(|endpoint| EndpointReport {
            target: Arc::clone(&endpoint.told),
            in_flight: endpoint.standing.in_flight(),
            is_ejected: endpoint.standing.is_ejected(now),
        });
        let mut told = lock(&self.report);
        told.clear();
        told.extend(reports);
    }

    fn look_around(&self) {
        let config = self.shared.tls();
        let is_new = |old: &Arc<ClientConfig>, new: &Arc<ClientConfig>| !Arc::ptr_eq(old, new);
        {
            let mut state = self.state.borrow_mut();
            if let Some(config) = config
                && state.tls_from.as_ref().is_none_or(|old| is_new(old, &config))
            {
                state.tls = Some(Tls::new(&config, self.forward().http2));
                state.tls_from = Some(config);
            }
        }
        let view = self.shared.view();
        if !view.endpoints.is_empty() && !Arc::ptr_eq(&view, &self.state.borrow().view) {
            self.adopt(&view);
        }
    }

    /// Takes a view over: known addresses keep their connections, those that left lose them.
    fn adopt(&self, view: &Arc<View>) {
        let now = self.timers.now();
        let mut state = self.state.borrow_mut();
        let upstream = self.shared.upstream();
        let mut old = std::mem::take(&mut state.endpoints);
        for endpoint in &view.endpoints {
            let known = old
                .iter()
                .position(|old| old.configured == endpoint.configured && old.target == endpoint.target);
            let own = match known {
                Some(index) => old.swap_remove(index),
                None => {
                    let address = &upstream.addresses[endpoint.configured];
                    let host = match &address.place {
                        super::Place::Tcp { host, .. } => host.as_str(),
                        super::Place::Unix(_) => "localhost",
                    };
                    let name = self.forward().server_name.as_deref().unwrap_or(host);
                    let http2 = self.forward().http2 == Http2::Always;
                    Endpoint::new(endpoint, &address.authority, name, http2)
                }
            };
            own.standing.check(endpoint.is_well, now);
            state.endpoints.push(own);
        }
        old.iter().for_each(|endpoint| endpoint.leave());
        state.view = Arc::clone(view);
    }

    /// Counts a request that is sent a second time.
    pub(in crate::proxy) fn count_retry(&self) {
        self.stats.upstream_retries.add(1);
    }
}

/// Counts a request at an address while it lives.
struct InFlight<'a>(&'a Endpoint);

impl<'a> InFlight<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        endpoint.standing.begin();
        Self(endpoint)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.standing.end();
    }
}

/// Held while a connection is made that others wait for; they are woken whatever becomes of it.
struct Connecting<'a>(&'a Endpoint);

impl<'a> Connecting<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        endpoint.connecting.set(true);
        Self(endpoint)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.connected.notify_waiters();
    }
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX)
}
