//! What all workers know of one source's upstream: its addresses as they are resolved and
//! checked, and its TLS. Written by the watch behind the front, read by the workers at their
//! ticks; and what the workers tell back for status and metrics. No request touches it.

use super::options::{ForwardOptions, HealthOptions, Place, Upstream};
use super::tls::{self, UpstreamTlsError};
use crate::proxy::SourceOptions;
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ClientConfig;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One source's upstream. Made once a life of the process.
#[derive(Debug)]
pub struct UpstreamShared {
    pub(super) source: String,
    pub(super) upstream: Upstream,
    pub(super) forward: ForwardOptions,
    pub(super) health: Option<HealthOptions>,
    view: ArcSwap<View>,
    tls: ArcSwapOption<ClientConfig>,
    counters: Vec<Counters>,
    told: Mutex<Vec<Weak<Mutex<Vec<EndpointReport>>>>>,
}

/// The addresses as they are now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) endpoints: Vec<EndpointView>,
}

/// One address that connections are made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointView {
    /// The position of the address in the configuration.
    pub(crate) configured: usize,
    pub(crate) target: Target,
    /// What the active check says; true where there is none.
    pub(crate) is_well: bool,
}

/// Where a connection is made to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(Arc<Path>),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is counted of a configured address. All of it is rare, so workers may share it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    ejections: AtomicU64,
    connect_failures: AtomicU64,
}

/// What a worker tells of an address.
#[derive(Clone, Debug)]
pub(crate) struct EndpointReport {
    pub(crate) target: Arc<str>,
    pub(crate) in_flight: u32,
    pub(crate) is_ejected: bool,
}

/// How one address of an upstream is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressStatus {
    /// The address as it is configured.
    pub configured: String,
    /// The address that connections are made to; empty while the name has none.
    pub address: String,
    /// What the active check says; `None` where none is configured.
    pub is_well: Option<bool>,
    /// Workers that do not use it for now, since it failed them.
    pub ejected_by: usize,
    /// Workers that know it.
    pub workers: usize,
    /// Requests in flight.
    pub in_flight: u64,
}

/// What has been counted of one configured address since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTotals {
    /// The address as it is configured.
    pub configured: String,
    /// Times that a worker stopped using it for a while.
    pub ejections: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
}

impl UpstreamShared {
    /// The upstream of this source. Reads the files that TLS needs; looks no name up.
    ///
    /// # Errors
    /// [`UpstreamTlsError`], when trust or identity can't be had.
    pub fn new(source: &SourceOptions) -> Result<Arc<Self>, UpstreamTlsError> {
        let upstream = source.upstream.clone();
        let config = if upstream.tls { Some(Arc::new(tls::read(&source.forward)?)) } else { None };
        let known = upstream.addresses.iter().enumerate().filter_map(|(configured, address)| {
            let target = fixed(&address.place)?;
            Some(EndpointView { configured, target, is_well: true })
        });
        let view = View { endpoints: known.collect() };
        Ok(Arc::new(Self {
            source: source.name.clone(),
            forward: source.forward.clone(),
            health: source.health.clone(),
            view: ArcSwap::from_pointee(view),
            tls: ArcSwapOption::new(config),
            counters: upstream.addresses.iter().map(|_| Counters::default()).collect(),
            told: Mutex::default(),
            upstream,
        }))
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(crate) fn forward(&self) -> &ForwardOptions {
        &self.forward
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(super) fn set_view(&self, view: View) {
        if **self.view.load() != view {
            self.view.store(Arc::new(view));
        }
    }

    pub(super) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.load_full()
    }

    pub(super) fn set_tls(&self, config: ClientConfig) {
        self.tls.store(Some(Arc::new(config)));
    }

    pub(super) fn count_ejection(&self, configured: usize) {
        if let Some(counters) = self.counters.get(configured) {
            counters.ejections.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_connect_failure(&self, configured: usize) {
        if let Some(counters) = self.counters.get(configured) {
            counters.connect_failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A place for one worker to tell how its addresses are doing, as long as it keeps it.
    pub(super) fn reporter(&self) -> Arc<Mutex<Vec<EndpointReport>>> {
        let place = Arc::default();
        let mut told = lock(&self.told);
        told.retain(|place| place.strong_count() > 0);
        told.push(Arc::downgrade(&place));
        place
    }

    /// How each address is doing, as the workers last told.
    #[must_use]
    pub fn status(&self) -> Vec<AddressStatus> {
        let told: Vec<Vec<EndpointReport>> =
            lock(&self.told).iter().filter_map(Weak::upgrade).map(|place| lock(&place).clone()).collect();
        let view = self.view();
        let mut rows = Vec::new();
        for (configured, address) in self.upstream.addresses.iter().enumerate() {
            let here: Vec<_> =
                view.endpoints.iter().filter(|endpoint| endpoint.configured == configured).collect();
            let name = address.name();
            if here.is_empty() {
                rows.push(AddressStatus {
                    configured: name,
                    address: String::new(),
                    is_well: self.health.is_some().then_some(false),
                    ejected_by: 0,
                    workers: 0,
                    in_flight: 0,
                });
                continue;
            }
            for endpoint in here {
                let text = endpoint.target.to_string();
                let reports: Vec<_> =
                    told.iter().flatten().filter(|report| *report.target == *text).collect();
                rows.push(AddressStatus {
                    configured: name.clone(),
                    is_well: self.health.is_some().then_some(endpoint.is_well),
                    ejected_by: reports.iter().filter(|report| report.is_ejected).count(),
                    workers: reports.len(),
                    in_flight: reports.iter().map(|report| u64::from(report.in_flight)).sum(),
                    address: text,
                });
            }
        }
        rows
    }

    /// What was counted of each configured address.
    #[must_use]
    pub fn totals(&self) -> Vec<AddressTotals> {
        let total = |(address, counters): (&super::UpstreamAddress, &Counters)| AddressTotals {
            configured: address.name(),
            ejections: counters.ejections.load(Ordering::Relaxed),
            connect_failures: counters.connect_failures.load(Ordering::Relaxed),
        };
        self.upstream.addresses.iter().zip(&self.counters).map(total).collect()
    }
}

/// Where a place is that needs no look-up.
fn fixed(place: &Place) -> Option<Target> {
    match place {
        Place::Unix(path) => Some(Target::Unix(path.as_path().into())),
        Place::Tcp { host, port } => {
            let ip: IpAddr = host.parse().ok()?;
            Some(Target::Tcp(SocketAddr::new(ip, *port)))
        }
    }
}

/// The addresses of a place now: itself, or what its name resolves to.
///
/// # Errors
/// What the system's resolver says. Cancel safe.
pub(super) async fn resolve(place: &Place) -> std::io::Result<Vec<Target>> {
    if let Some(target) = fixed(place) {
        return Ok(vec![target]);
    }
    let Place::Tcp { host, port } = place else { return Ok(Vec::new()) };
    let mut targets = Vec::new();
    for address in tokio::net::lookup_host((host.as_str(), *port)).await? {
        let target = Target::Tcp(address);
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets.truncate(MOST_ADDRESSES);
    Ok(targets)
}

/// Addresses of one name that are used.
const MOST_ADDRESSES: usize = 64;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
