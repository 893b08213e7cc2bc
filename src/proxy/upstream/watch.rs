//! The watch over one upstream, behind the front: looks its names up again, checks its
//! addresses, reads its certificates again. Once a gateway, not once a worker.

use super::UpstreamShared;
use super::connect::{ConnectError, Speech, open};
use super::options::{HealthOptions, Http2};
use super::shared::{EndpointView, Target, View, resolve};
use super::tls::{self, Tls};
use crate::error_chain::Chain;
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// Checks in a row that must fail before an address is left out.
const FALL: u32 = 3;
/// Checks in a row that must succeed before it is used again.
const RISE: u32 = 2;
/// Between two look-ups while a name has no address at all.
const IMPATIENCE: Duration = Duration::from_secs(1);
const AGENT: &str = concat!("onrecord/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Watches until it is dropped. Cancel safe.
pub async fn watch(shared: Arc<UpstreamShared>) {
    let mut watch = Watch {
        targets: vec![Vec::new(); shared.upstream.addresses.len()],
        opinions: HashMap::new(),
        files: fingerprint(&shared),
        shared,
        in_trouble: false,
    };
    let health = watch.shared.health.clone();
    let mut checks = interval(health.as_ref().map_or(Duration::MAX / 4, |health| health.interval));
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_look = Instant::now();
    loop {
        tokio::select! {
            () = sleep_until(next_look) => {
                let pause = watch.look_up().await;
                watch.read_again();
                next_look = Instant::now() + pause;
            }
            _ = checks.tick(), if health.is_some() => {
                if let Some(health) = &health {
                    watch.check(health).await;
                }
            }
        }
        watch.publish();
    }
}

struct Watch {
    shared: Arc<UpstreamShared>,
    /// What each configured address resolved to when that last worked.
    targets: Vec<Vec<Target>>,
    opinions: HashMap<(usize, Target), Opinion>,
    files: u64,
    /// The last reading failed, which is told once.
    in_trouble: bool,
}

/// What the checks say of an address.
#[derive(Clone, Copy, Debug)]
struct Opinion {
    is_well: bool,
    /// Checks in a row that said the opposite.
    against: u32,
}

impl Opinion {
    /// Takes a check in. True: the opinion has changed.
    fn hear(&mut self, good: bool) -> bool {
        if good == self.is_well {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let turns = self.against >= if good { RISE } else { FALL };
        if turns {
            *self = Self { is_well: good, against: 0 };
        }
        turns
    }
}

impl Watch {
    /// Looks all names up. An address that cannot be looked up keeps what it had. Returns
    /// the time until the next look.
    async fn look_up(&mut self) -> Duration {
        let shared = Arc::clone(&self.shared);
        let looks = shared.upstream.addresses.iter().map(|address| resolve(&address.place));
        for (configured, found) in join_all(looks).await.into_iter().enumerate() {
            let address = &shared.upstream.addresses[configured];
            match found {
                Ok(found) if !found.is_empty() => self.targets[configured] = found,
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    source = shared.source,
                    address = address.name(),
                    error = %Chain(&error),
                    "an upstream's name cannot be looked up; what it was before stays"
                ),
            }
        }
        let lost = self.targets.iter().any(Vec::is_empty);
        if lost { shared.forward.resolve_interval.min(IMPATIENCE) } else { shared.forward.resolve_interval }
    }

    fn publish(&mut self) {
        let mut endpoints = Vec::new();
        for (configured, targets) in self.targets.iter().enumerate() {
            endpoints.extend(targets.iter().map(|target| {
                let opinion = self.opinions.get(&(configured, target.clone()));
                let is_well = opinion.is_none_or(|opinion| opinion.is_well);
                EndpointView { configured, target: target.clone(), is_well }
            }));
        }
        // The resolver turns the order round; that is no change.
        endpoints.sort_by_cached_key(|endpoint| (endpoint.configured, endpoint.target.to_string()));
        self.opinions.retain(|(configured, target), _| self.targets[*configured].contains(target));
        if !endpoints.is_empty() {
            self.shared.set_view(View { endpoints });
        }
    }

    async fn check(&mut self, health: &HealthOptions) {
        let all: Vec<(usize, Target)> = self
            .targets
            .iter()
            .enumerate()
            .flat_map(|(configured, targets)| targets.iter().map(move |target| (configured, target.clone())))
            .collect();
        let shared = Arc::clone(&self.shared);
        let checks = all.iter().map(|(configured, target)| one_check(&shared, *configured, target, health));
        let results = join_all(checks).await;
        for (endpoint, result) in all.into_iter().zip(results) {
            let address = endpoint.1.to_string();
            let opinion = self.opinions.entry(endpoint).or_insert(Opinion { is_well: true, against: 0 });
            if !opinion.hear(result.is_ok()) {
                continue;
            }
            let source = &shared.source;
            match result {
                Ok(()) => tracing::info!(source, address, "an upstream's address is well again"),
                Err(error) => tracing::warn!(
                    source,
                    address,
                    error = %Chain(&error),
                    "an upstream's address fails its checks and is left out"
                ),
            }
        }
    }

    /// Reads trust and identity again if their files have changed.
    fn read_again(&mut self) {
        let now = fingerprint(&self.shared);
        if now == self.files {
            return;
        }
        let source = &self.shared.source;
        match tls::read(&self.shared.forward) {
            Ok(config) => {
                self.shared.set_tls(config);
                self.files = now;
                self.in_trouble = false;
                tracing::info!(source, "certificates for the upstream were read again");
            }
            Err(error) if !self.in_trouble => {
                self.in_trouble = true;
                tracing::warn!(
                    source,
                    error = %Chain(&error),
                    "certificates for the upstream have changed and are not usable; the old ones stay"
                );
            }
            Err(_) => {}
        }
    }
}

/// A number that changes when a file of the upstream's TLS does.
fn fingerprint(shared: &UpstreamShared) -> u64 {
    let mut hasher = DefaultHasher::new();
    if shared.upstream.tls {
        let forward = &shared.forward;
        for path in forward.ca.iter().chain(&forward.certificate) {
            std::fs::read(path).ok().hash(&mut hasher);
        }
        if let Some(key) = forward.private_key.as_ref().and_then(|key| key.resolve().ok()) {
            key.expose().hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[derive(Debug, Error)]
enum CheckError {
    #[error("no answer in time")]
    Timeout,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer")]
    Http(#[from] hyper::Error),
    #[error("the request")]
    Request(#[from] http::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
}

async fn one_check(
    shared: &UpstreamShared,
    configured: usize,
    target: &Target,
    health: &HealthOptions,
) -> Result<(), CheckError> {
    let status = timeout(health.timeout, ask(shared, configured, target, health))
        .await
        .map_err(|_| CheckError::Timeout)??;
    if health.status.contains(&status.as_u16()) { Ok(()) } else { Err(CheckError::Status(status)) }
}

async fn ask(
    shared: &UpstreamShared,
    configured: usize,
    target: &Target,
    health: &HealthOptions,
) -> Result<StatusCode, CheckError> {
    let address = &shared.upstream.addresses[configured];
    let http2 = if shared.forward.http2 == Http2::Always { Http2::Always } else { Http2::Off };
    let name = match &address.place {
        super::Place::Tcp { host, .. } => host.as_str(),
        super::Place::Unix(_) => "localhost",
    };
    let name = shared.forward.server_name.as_deref().unwrap_or(name).to_owned();
    let tls = shared.tls().map(|config| (Tls::new(&config, http2).config, name));
    let (io, is_http2) = open(target, &Speech { tls, http2 }).await?;
    let io = TokioIo::new(io);
    let request = Request::get(&health.path).header(USER_AGENT, AGENT);
    if is_http2 {
        let scheme = if shared.upstream.tls { "https" } else { "http" };
        let request = request
            .uri(format!("{scheme}://{}{}", address.authority, health.path))
            .body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        return drive(sender.send_request(request), connection).await;
    }
    let request = request.header(HOST, &address.authority).body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(io).await?;
    drive(sender.send_request(request), connection).await
}

/// The status of the response, while the connection is driven beside it.
async fn drive<B>(
    response: impl Future<Output = hyper::Result<http::Response<B>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Result<StatusCode, CheckError> {
    let mut response = std::pin::pin!(response);
    tokio::select! {
        response = &mut response => Ok(response?.status()),
        ended = connection => {
            ended?;
            Ok(response.await?.status())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bad_checks_turn_an_opinion_and_two_good_ones_turn_it_back() {
        let mut opinion = Opinion { is_well: true, against: 0 };
        assert!(!opinion.hear(false) && !opinion.hear(false) && !opinion.hear(true));
        assert!(!opinion.hear(false) && !opinion.hear(false) && opinion.hear(false));
        assert!(!opinion.is_well && !opinion.hear(true) && !opinion.hear(false));
        assert!(!opinion.hear(true) && opinion.hear(true) && opinion.is_well);
    }
}
