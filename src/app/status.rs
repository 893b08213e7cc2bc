//! What `/api/v1/status`, `/readyz` and the gauges say.

use super::delivery::Delivery;
use super::entrances::Entrances;
use super::health::Health;
use crate::admin::View;
use crate::capture::ring::RingGauge;
use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::{Cause, DestinationStatus};
use crate::format::time_text;
use crate::metrics::{COMMIT_RESULTS, Families};
use crate::pack::Manifest;
use crate::proxy::UpstreamShared;
use crate::record::SELF_LANE;
use crate::recorder::RecorderStatus;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// A recorder that has told nothing for so long is held up by its disk.
const SILENCE: Duration = Duration::from_secs(2);
/// Looks at most until the sums are of one moment.
const SETTLE_LOOKS: usize = 40;
/// Between two looks.
const SETTLE_PAUSE: Duration = Duration::from_millis(5);

/// Where the parts of the status come from.
pub(super) struct Parts {
    pub(super) instance: String,
    pub(super) boot: Uuid,
    pub(super) recorder: Arc<Mutex<RecorderStatus>>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) metrics: Families,
    pub(super) rings_outlive_process: bool,
    pub(super) rings: Vec<RingGauge>,
    pub(super) clock: Clock,
    /// The public key that manifests are checked with.
    pub(super) public_key: String,
    /// The sources' upstreams, in the order of the sources.
    pub(super) upstreams: Vec<Arc<UpstreamShared>>,
    /// Where clients connect.
    pub(super) entrances: Entrances,
    /// What is ahead of destinations.
    pub(super) health: Arc<Health>,
}

/// Composes the status.
pub(super) struct StatusView {
    parts: Parts,
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    sources: Vec<Value>,
    destinations: Vec<String>,
    config_problem: Option<String>,
    phase: Phase,
    recovered: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Serving,
    Stopping,
}

impl std::fmt::Debug for StatusView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusView").field("boot", &self.parts.boot).finish_non_exhaustive()
    }
}

impl StatusView {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, own: Mutex::default() }
    }

    pub(super) fn set_sources(&self, config: &Config) {
        let source = |source: &crate::config::SourceConfig| {
            let options = &source.options;
            json!({
                "name": options.name,
                "listen": options.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "hosts": options.hosts,
                "upstream": options.upstream.listed(),
            })
        };
        let mut own = self.lock();
        own.sources = config.sources.iter().map(source).collect();
        own.destinations = config.destinations.iter().map(|destination| destination.name.clone()).collect();
    }

    /// Whether the configuration has a destination of this name, be it that it runs or not.
    pub(super) fn knows_destination(&self, name: &str) -> bool {
        self.lock().destinations.iter().any(|known| known == name)
    }

    pub(super) fn set_config_problem(&self, problem: Option<String>) {
        self.lock().config_problem = problem;
    }

    pub(super) fn started(&self) {
        self.lock().phase = Phase::Serving;
    }

    pub(super) fn recovered(&self) {
        self.lock().recovered = true;
    }

    pub(super) fn stopping(&self) {
        self.lock().phase = Phase::Stopping;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recorder(&self) -> RecorderStatus {
        let mut status = self.parts.recorder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let silent = self.parts.clock.monotonic().saturating_sub(status.told);
        let silent = silent + status.syncing.unwrap_or_default();
        if silent >= SILENCE && status.trouble.is_none() {
            let seconds = silent.as_secs();
            status.trouble =
                Some(format!("the disk has not answered for {seconds} s; the rings hold what comes"));
        }
        status
    }

    /// The sources, each with its upstream's addresses and how its waits for the disk ended.
    fn sources(&self, sources: &[Value]) -> Vec<Value> {
        let mut sources = sources.to_vec();
        for source in &mut sources {
            let counts = self.parts.metrics.requests.commits(source["name"].as_str().unwrap_or_default());
            let counts: BTreeMap<&str, u64> = COMMIT_RESULTS.into_iter().zip(counts).collect();
            source["durability"] = json!(counts);
        }
        for (source, upstream) in sources.iter_mut().zip(&self.parts.upstreams) {
            source["addresses"] = super::upstreams::status(upstream);
        }
        sources
    }

    fn rings(&self) -> Vec<Value> {
        let ring = |ring: &RingGauge| json!({ "bytes_used": ring.bytes_used(), "bytes": ring.bytes() });
        self.parts.rings.iter().map(ring).collect()
    }

    /// The law's sums of one destination, a row a (boot, lane): what its newest manifest
    /// says, and for the running boot what came since.
    fn law(&self, manifest: Option<&Manifest>, recorder: &RecorderStatus) -> Vec<Value> {
        let mut rows = Vec::new();
        let entries = manifest.map(|manifest| manifest.lanes.as_slice()).unwrap_or_default();
        for entry in entries.iter().filter(|entry| entry.boot != self.parts.boot) {
            let accounted = entry.accounted.count();
            let totals = &entry.totals;
            rows.push(json!({
                "boot": entry.boot,
                "lane": entry.lane,
                "taken": entry.taken,
                "delivered": totals.delivered,
                "filtered": totals.filtered,
                "declared": totals.declared,
                "open": if entry.closed { 0 } else { entry.open },
                "in_spool": entry.taken.saturating_sub(accounted + entry.open),
                "difference": 0,
            }));
        }
        for lane in recorder.lanes.iter().chain(&recorder.own) {
            let entry = entries.iter().find(|entry| entry.boot == self.parts.boot && entry.lane == lane.lane);
            let totals = entry.map(|entry| entry.totals).unwrap_or_default();
            let packed = totals.delivered + totals.filtered + totals.declared;
            // Counted by the recorder frame by frame, not worked out from the others.
            let in_spool = (lane.recorded + lane.declared).saturating_sub(packed);
            let known = packed + lane.open + in_spool;
            rows.push(json!({
                "boot": self.parts.boot,
                "lane": lane.lane,
                "taken": lane.taken,
                "delivered": totals.delivered,
                "filtered": totals.filtered,
                "declared": totals.declared,
                "open": lane.open,
                "in_spool": in_spool,
                "difference": i128::from(lane.taken) - i128::from(known),
            }));
        }
        rows
    }

    /// One look at everything, and whether the sums are of one moment.
    fn look(&self) -> (Value, bool) {
        let statuses = self.parts.delivery.statuses();
        let newest: Vec<_> = statuses
            .into_iter()
            .map(|(status, outbox)| (status, outbox.and_then(|outbox| outbox.newest())))
            .collect();
        // After the manifests, so that it is the newer of the two.
        let recorder = self.recorder();
        let mut settled = true;
        let destinations: Vec<Value> = newest
            .into_iter()
            .map(|(status, newest)| {
                let manifest = newest.as_ref().map(|batch| &batch.manifest);
                let law = self.law(manifest, &recorder);
                settled &= law.iter().all(|row| row["difference"] == 0);
                // The gateway's own records are no exchanges: they have their own sums.
                let (own, law): (Vec<Value>, Vec<Value>) =
                    law.into_iter().partition(|row| row["lane"] == SELF_LANE);
                let mut value = serde_json::to_value(&status).unwrap_or_default();
                if let Value::Object(members) = &mut value {
                    let outlook = self.parts.health.outlook(&status.name);
                    let (at, by) = (outlook.map(|o| time_text(o.at)), outlook.map(|o| o.danger.as_str()));
                    members.insert("first_loss_at".into(), json!(at));
                    members.insert("first_loss_by".into(), json!(by));
                    members.insert(
                        "credentials_expire_at".into(),
                        json!(status.credentials_expire.map(time_text)),
                    );
                    members.insert("last_success_at".into(), json!(status.last_success.map(time_text)));
                    members.insert("newest_manifest".into(), json!(manifest.map(|manifest| manifest.number)));
                    members.insert("law".into(), json!(law));
                    members.insert("own_law".into(), json!(own));
                }
                value
            })
            .collect();
        let own = self.lock();
        let open: u64 = recorder.lanes.iter().map(|lane| lane.open).sum();
        let status = json!({
            "instance": self.parts.instance,
            "boot": self.parts.boot,
            "version": env!("CARGO_PKG_VERSION"),
            "config_problem": own.config_problem,
            "recovered": own.recovered,
            "sources": self.sources(&own.sources),
            "listeners": self.parts.entrances.status(),
            "lanes": recorder.lanes,
            "own": recorder.own,
            "rings": self.rings(),
            "open": open,
            "spool": {
                "bytes": recorder.spool_bytes,
                "bound": recorder.spool_bound,
                "segments": recorder.segments,
                "oldest_segment": recorder.oldest_segment,
                "trouble": recorder.trouble,
                "rings_outlive_process": self.parts.rings_outlive_process,
            },
            "destinations": destinations,
        });
        (status, settled)
    }
}

impl View for StatusView {
    fn keys(&self) -> Value {
        json!({ "keys": [self.parts.public_key] })
    }

    fn status(&self) -> Value {
        // The recorder tells where it stands at the end of each turn, a destination at once:
        // for some milliseconds a destination can be ahead. Look again before it is told.
        let mut looks = 0;
        loop {
            let (status, settled) = self.look();
            looks += 1;
            if settled || looks == SETTLE_LOOKS {
                return status;
            }
            std::thread::sleep(SETTLE_PAUSE);
        }
    }

    fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        match self.lock().phase {
            Phase::Starting => reasons.push("the gateway is starting".to_owned()),
            Phase::Stopping => reasons.push("the gateway is stopping".to_owned()),
            Phase::Serving => {}
        }
        if let Some(trouble) = self.recorder().trouble {
            reasons.push(format!("the spool cannot be written: {trouble}"));
        }
        reasons
    }

    fn refresh_metrics(&self) {
        let metrics = &self.parts.metrics;
        for (lane, ring) in self.parts.rings.iter().enumerate() {
            let fill = ring.bytes_used() as f64 / ring.bytes().max(1) as f64;
            metrics.ring_fill.with_label_values(&[&lane.to_string()]).set(fill);
        }
        super::upstreams::refresh(&self.parts.upstreams, metrics);
        let recorder = self.recorder();
        metrics.spool_bound.set(i64::try_from(recorder.spool_bound).unwrap_or(i64::MAX));
        metrics.spool_failing.set(i64::from(recorder.trouble.is_some()));
        for lane in &recorder.lanes {
            let left = i64::try_from(lane.reserved.saturating_sub(lane.taken)).unwrap_or(i64::MAX);
            metrics.reserved_sequences.with_label_values(&[&lane.lane.to_string()]).set(left);
        }
        metrics.ready.set(i64::from(self.not_ready().is_empty()));
        for (status, outbox) in self.parts.delivery.statuses() {
            let name = &[status.name.as_str()];
            let newest = outbox.and_then(|outbox| outbox.newest());
            let law = self.law(newest.as_ref().map(|batch| &batch.manifest), &recorder);
            let in_spool: u64 = law.iter().filter_map(|row| row["in_spool"].as_u64()).sum();
            let waiting = in_spool + status.undelivered_records;
            metrics
                .undelivered_records
                .with_label_values(name)
                .set(i64::try_from(waiting).unwrap_or(i64::MAX));
            // What is packed waits in the outbox; what is not is younger than the newest batch.
            let packed =
                newest.as_ref().and_then(|batch| batch.manifest.time.parse::<jiff::Timestamp>().ok());
            let unpacked = packed
                .filter(|_| in_spool > 0)
                .map_or(0.0, |packed| jiff::Timestamp::now().duration_since(packed).as_secs_f64().max(0.0));
            metrics.delivery_lag.with_label_values(name).set(status.lag_seconds.max(unpacked));
            for state in ["verifying", "delivering", "failing", "paused"] {
                let is = serde_json::to_value(status.state).is_ok_and(|now| now == state);
                metrics.destination_state.with_label_values(&[name[0], state]).set(i64::from(is));
            }
            raise(&metrics.deliveries.with_label_values(&[name[0], "objects"]), status.delivered_objects);
            raise(&metrics.deliveries.with_label_values(&[name[0], "manifests"]), status.delivered_manifests);
            self.refresh_goals(&status);
            for cause in Cause::ALL {
                // Shown from the start, so that the first failure is seen as a rise.
                let failures = status.failures_by_cause.get(cause.as_str()).copied().unwrap_or(0);
                raise(&metrics.delivery_failures.with_label_values(&[name[0], cause.as_str()]), failures);
            }
        }
    }
}

impl StatusView {
    /// What service levels are judged by.
    fn refresh_goals(&self, status: &DestinationStatus) {
        let (metrics, name) = (&self.parts.metrics, &[status.name.as_str()]);
        let now = self.parts.clock.unix_microseconds();
        raise(&metrics.delivery_attempts.with_label_values(name), status.attempts);
        raise(&metrics.delivery_bytes.with_label_values(name), status.delivered_bytes);
        raise(&metrics.delivery_records.with_label_values(name), status.delivered_records);
        let since = status.last_success.map_or(status.begun, |at| at.max(status.begun));
        let since = now.saturating_sub(since) as f64 / 1e6;
        metrics.delivery_since_success.with_label_values(name).set(since);
        let loss = self.parts.health.outlook(name[0]).map_or(0.0, |outlook| outlook.at as f64 / 1e6);
        metrics.delivery_first_loss.with_label_values(name).set(loss);
        let expiry = status.credentials_expire.map_or(0.0, |at| at as f64 / 1e6);
        metrics.credentials_expiry.with_label_values(name).set(expiry);
    }
}

/// Brings a counter up to a number that only rises.
pub(super) fn raise(counter: &prometheus::IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
