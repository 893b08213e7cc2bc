//! The entrances: made before anything is bound, kept up with their files while the gateway
//! runs, told of in status and metrics.

use super::StartError;
use crate::capture::{ClientLimit, ClientTable};
use crate::config::Config;
use crate::error_chain::Chain;
use crate::metrics::Families;
use crate::server::{
    Acme, Bound, Entrance, EntranceStats, ListenAddress, ListenerOptions, Place, Shown, Tls,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks at the files of certificates.
const LOOK: Duration = Duration::from_secs(1);

/// Every entrance, by address.
#[derive(Clone, Debug)]
pub(super) struct Entrances {
    by_address: Arc<BTreeMap<ListenAddress, Arc<Entrance>>>,
    metrics: Families,
    clients: Option<Arc<ClientTable>>,
}

/// What each address is like, whether it has a section or not.
pub(super) fn options(config: &Config) -> Vec<ListenerOptions> {
    let addresses: BTreeSet<&ListenAddress> =
        config.sources.iter().flat_map(|source| &source.options.listen).collect();
    let options = |address: &ListenAddress| {
        let section = config.listeners.iter().find(|listener| listener.address == *address);
        section.cloned().unwrap_or_else(|| ListenerOptions::plain(address.clone()))
    };
    addresses.into_iter().map(options).collect()
}

/// The places to bind.
pub(super) fn places(options: &[ListenerOptions]) -> Vec<Place> {
    options.iter().map(ListenerOptions::place).collect()
}

impl Entrances {
    /// Reads the files that the options name.
    ///
    /// # Errors
    /// [`StartError::Tls`].
    pub(super) fn new(
        config: &Config,
        options: &[ListenerOptions],
        metrics: &Families,
    ) -> Result<Self, StartError> {
        let stats = EntranceStats {
            handshakes: metrics.tls_handshakes.clone(),
            refused: metrics.connections_refused.clone(),
        };
        stats.show_all();
        let entrance = |options: &ListenerOptions| {
            let made = Entrance::new(options, &stats);
            let made = made.map_err(|source| StartError::Tls { address: options.address.clone(), source })?;
            Ok((options.address.clone(), made))
        };
        let by_address = Arc::new(options.iter().map(entrance).collect::<Result<_, StartError>>()?);
        let counter = |limit: ClientLimit| metrics.client_limited.with_label_values(&[limit.as_str()]);
        let clients = ClientTable::new(&config.client_limits, Instant::now(), counter);
        let made = Self { by_address, metrics: metrics.clone(), clients };
        made.tell();
        Ok(made)
    }

    /// What each client may have.
    pub(super) fn clients(&self) -> Option<Arc<ClientTable>> {
        self.clients.clone()
    }

    /// Joins bound sockets with their entrances.
    pub(super) fn join(&self, listeners: Vec<Vec<(ListenAddress, Bound)>>) -> Vec<Listeners> {
        let of_worker = |listeners: Vec<(ListenAddress, Bound)>| {
            let joined = listeners
                .into_iter()
                .filter_map(|(address, bound)| Some((Arc::clone(self.by_address.get(&address)?), bound)));
            joined.collect()
        };
        listeners.into_iter().map(of_worker).collect()
    }

    fn with_tls(&self) -> impl Iterator<Item = (&ListenAddress, &Tls)> {
        self.by_address.iter().filter_map(|(address, entrance)| Some((address, entrance.tls.as_ref()?)))
    }

    /// Reads everything again, with the options of a reload.
    ///
    /// # Errors
    /// [`StartError::Tls`]: the first address whose files are broken. It keeps what it had, and
    /// those before it have the new already.
    pub(super) fn reload(&self, config: &Config) -> Result<(), StartError> {
        let mut first = Ok(());
        for (address, tls) in self.with_tls() {
            let section = config.listeners.iter().find(|listener| listener.address == *address);
            let Some(options) = section.and_then(|listener| listener.tls.as_ref()) else { continue };
            if let Err(source) = tls.reload(options)
                && first.is_ok()
            {
                first = Err(StartError::Tls { address: address.clone(), source });
            }
        }
        self.tell();
        first
    }

    /// What has to be kept in certificates; `keys` is the folder of keys that are made here.
    pub(super) fn acme(&self, config: &Config, keys: &Path) -> Vec<Acme> {
        let dir = config.acme.options.dir.clone().unwrap_or_else(|| keys.join("acme"));
        let options = &config.acme.options;
        let of = |tls: &Tls| Acme {
            options: options.clone(),
            dir: dir.clone(),
            hosts: tls.acme_hosts(),
            keys: Arc::clone(tls.acme()),
        };
        self.with_tls().map(|(_, tls)| of(tls)).filter(|acme| !acme.hosts.is_empty()).collect()
    }

    /// Follows the files until the runtime ends.
    pub(super) async fn follow(self) {
        let mut interval = tokio::time::interval(LOOK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let entrances = self.clone();
            // Files may lie on a disk that hangs.
            if tokio::task::spawn_blocking(move || entrances.look()).await.is_err() {
                return;
            }
        }
    }

    fn look(&self) {
        for (address, tls) in self.with_tls() {
            match tls.follow() {
                None => {}
                Some(Ok(())) => tracing::info!(%address, "the certificates have changed and were read again"),
                Some(Err(error)) => {
                    tracing::error!(%address, error = %Chain(&error), "the certificates have changed but cannot be used; the old ones stay");
                }
            }
        }
        self.tell();
    }

    /// Brings the gauges up to date.
    fn tell(&self) {
        // A certificate that is gone is not shown with its old time.
        self.metrics.tls_certificate_expiry.reset();
        for (address, tls) in self.with_tls() {
            let standing = tls.standing();
            for shown in &standing.certificates {
                let labels = &[address.to_string(), first_name(shown)];
                self.metrics.tls_certificate_expiry.with_label_values(labels).set(shown.not_after);
            }
            if let Some((hosts, acme)) = &standing.acme {
                let labels = &[address.to_string(), hosts.first().cloned().unwrap_or_default()];
                let end = acme.not_after.unwrap_or_default();
                self.metrics.tls_certificate_expiry.with_label_values(labels).set(end);
            }
            let broken = i64::from(standing.problem.is_some());
            self.metrics.tls_files_broken.with_label_values(&[&address.to_string()]).set(broken);
        }
    }

    /// For `/api/v1/status`.
    pub(super) fn status(&self) -> Vec<Value> {
        let row = |(address, entrance): (&ListenAddress, &Arc<Entrance>)| {
            let tls = entrance.tls.as_ref().map(Tls::standing).map(|standing| {
                let certificates = standing.certificates.iter().map(|shown| {
                    json!({
                        "file": shown.file,
                        "names": shown.names,
                        "not_before": time(shown.not_before),
                        "not_after": time(shown.not_after),
                        "warning": warning(shown),
                    })
                });
                let certificates: Vec<_> = certificates.collect();
                let acme = standing.acme.as_ref().map(|(hosts, acme)| {
                    json!({ "hosts": hosts, "not_after": acme.not_after.and_then(time), "problem": acme.problem })
                });
                json!({ "certificates": certificates, "problem": standing.problem, "acme": acme })
            });
            json!({ "address": address.to_string(), "tls": tls })
        };
        self.by_address.iter().map(row).collect()
    }
}

/// A worker's bound sockets.
pub(super) type Listeners = Vec<(Arc<Entrance>, Bound)>;

/// What clients will not like about the certificates that the configuration names; for `check`.
///
/// # Errors
/// [`StartError::Tls`]: a file that can't be used.
pub fn certificate_warnings(config: &Config) -> Result<Vec<String>, StartError> {
    let mut out = Vec::new();
    for listener in &config.listeners {
        let Some(options) = &listener.tls else { continue };
        let tls = Tls::new(options.clone());
        let tls = tls.map_err(|source| StartError::Tls { address: listener.address.clone(), source })?;
        let shown = tls.standing().certificates;
        out.extend(told(&shown));
    }
    if let Some(tls) = super::admin_listener::tls(&config.admin)? {
        out.extend(told(&tls.standing().certificates));
    }
    Ok(out)
}

fn told(shown: &[Shown]) -> impl Iterator<Item = String> {
    shown.iter().filter_map(|shown| Some(format!("certificate {} {}", shown.file, warning(shown)?)))
}

fn first_name(shown: &Shown) -> String {
    shown.names.first().cloned().unwrap_or_else(|| shown.file.clone())
}

fn time(unix: i64) -> Option<String> {
    jiff::Timestamp::from_second(unix).ok().map(|time| time.to_string())
}

/// What clients will not like about a certificate.
fn warning(shown: &Shown) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if shown.not_after < now {
        return Some(format!("has expired on {}", time(shown.not_after).unwrap_or_default()));
    }
    if shown.not_before > now {
        return Some(format!("is not valid before {}", time(shown.not_before).unwrap_or_default()));
    }
    shown.names.is_empty().then(|| "names no host (no subject alternative names)".to_owned())
}
