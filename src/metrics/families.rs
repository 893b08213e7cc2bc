//! The families that are counted off the request path.

use prometheus::{
    CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::RequestCollector;

/// Every family of the gateway and the registry that holds them. Handles are cheap to clone.
#[derive(Clone, Debug)]
pub struct Families {
    /// Exchanges whose bodies were looked into.
    pub inspections: IntCounterVec,
    registry: Registry,
    /// What the workers count.
    pub requests: RequestCollector,
    /// How full each lane's ring is, 0 to 1.
    pub ring_fill: GaugeVec,
    /// Sequences that were declared lost, by cause.
    pub gap_records: IntCounterVec,
    /// Sequences that are reserved on disk and not given out, by lane.
    pub reserved_sequences: IntGaugeVec,
    /// The most that inexact gaps can hold, by cause.
    pub gap_bound: IntCounterVec,
    /// Events of the gateway that are on record, by action.
    pub own_records: IntCounterVec,
    /// Events of the gateway whose record was declared lost, by cause.
    pub own_gap_records: IntCounterVec,
    /// Sequences that a destination will never get, by cause.
    pub destination_gap_records: IntCounterVec,
    /// Bytes of all segments.
    pub spool_bytes: IntGauge,
    /// The bound of all segments.
    pub spool_bound: IntGauge,
    /// 1 while the spool can't be written.
    pub spool_failing: IntGauge,
    /// 1 while the gateway takes requests and records them: what `/readyz` says.
    pub ready: IntGauge,
    /// Age of the oldest frame in the spool, in seconds.
    pub spool_oldest_age: Gauge,
    /// Time of a write or sync of the spool.
    pub spool_write_duration: HistogramVec,
    /// Bytes of segments that were compressed, before and after.
    pub spool_compressed_bytes: IntCounterVec,
    /// Time to pack one batch.
    pub pack_duration: HistogramVec,
    /// Records packed.
    pub pack_records: IntCounterVec,
    /// Bytes before compression.
    pub pack_bytes_in: IntCounterVec,
    /// Bytes after compression.
    pub pack_bytes_out: IntCounterVec,
    /// Objects delivered.
    pub deliveries: IntCounterVec,
    /// Failed attempts.
    pub delivery_failures: IntCounterVec,
    /// Age of the oldest record that is not delivered.
    pub delivery_lag: GaugeVec,
    /// Records that are captured and not delivered.
    pub undelivered_records: IntGaugeVec,
    /// Attempts to create an object, by destination.
    pub delivery_attempts: IntCounterVec,
    /// Bytes of the objects that arrived.
    pub delivery_bytes: IntCounterVec,
    /// Records in the objects that arrived.
    pub delivery_records: IntCounterVec,
    /// Seconds since the newest arrival.
    pub delivery_since_success: GaugeVec,
    /// When the first loss would come; 0: none is in sight.
    pub delivery_first_loss: GaugeVec,
    /// Notices by channel and result.
    pub notices: IntCounterVec,
    /// When a destination's credentials run out.
    pub credentials_expiry: GaugeVec,
    /// 1 for the state that a destination is in.
    pub destination_state: IntGaugeVec,
    /// 1 while an address of an upstream is in use.
    pub upstream_up: IntGaugeVec,
    /// Requests in flight at an address of an upstream.
    pub upstream_in_flight: IntGaugeVec,
    /// Times that a worker stopped using an address for a while.
    pub upstream_ejections: IntCounterVec,
    /// Connections to an address that could not be made.
    pub upstream_connect_failures: IntCounterVec,
    /// Tokens that were judged, by source and result.
    pub tokens: IntCounterVec,
    /// Fetches of issuers' keys, by source and result.
    pub key_fetches: IntCounterVec,
    /// What responses told of who acts.
    pub learned: IntCounter,
    /// Readings of the changed directory of actors, by result.
    pub directory_reloads: IntCounterVec,
    /// Configuration reloads by result.
    pub reloads: CounterVec,
    /// TLS handshakes by result.
    pub tls_handshakes: IntCounterVec,
    /// When a certificate ends, by address and first name.
    pub tls_certificate_expiry: IntGaugeVec,
    /// 1 while the files of an address are broken and older ones are used.
    pub tls_files_broken: IntGaugeVec,
    /// Connections and requests refused for a limit by client.
    pub client_limited: IntCounterVec,
    /// Connections that were closed before HTTP began, by cause.
    pub connections_refused: IntCounterVec,
}

impl Families {
    /// Registers every family.
    ///
    /// # Errors
    /// When two families have one name, which a test excludes.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<GaugeVec> {
            let family = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let int_gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let histograms = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<HistogramVec> {
            let buckets = vec![0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
            let family = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let spool_bytes = IntGauge::new("onrecord_spool_bytes", "Bytes of all segments of the spool.")?;
        let spool_oldest_age =
            Gauge::new("onrecord_spool_oldest_age_seconds", "Age of the oldest segment of the spool.")?;
        registry.register(Box::new(spool_bytes.clone()))?;
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let learned = IntCounter::new(
            "onrecord_identity_learned_total",
            "What responses told of who acts: the sender, a credential's holder, or a person.",
        )?;
        registry.register(Box::new(learned.clone()))?;
        let spool_bound = gauge("onrecord_spool_bound_bytes", "The most that all segments may hold.")?;
        let spool_failing = gauge("onrecord_spool_failing", "1 while the spool cannot be written.")?;
        let ready = gauge("onrecord_ready", "1 while the gateway takes requests and records them.")?;
        registry.register(Box::new(spool_oldest_age.clone()))?;
        let requests = RequestCollector::new()?;
        registry.register(Box::new(requests.clone()))?;
        let build = int_gauges("onrecord_build_info", "The build that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let reloads = CounterVec::new(
            Opts::new("onrecord_config_reloads_total", "Configuration reloads."),
            &["result"],
        )?;
        registry.register(Box::new(reloads.clone()))?;
        let inspections = counters(
            "onrecord_inspections_total",
            "Exchanges whose bodies were looked into, by how that ended.",
            &["result"],
        )?;
        let destination = &["destination"];
        let address = &["source", "address"];
        Ok(Self {
            requests,
            inspections,
            ring_fill: gauges(
                "onrecord_ring_fill_ratio",
                "How full a lane's ring is, from 0 to 1.",
                &["lane"],
            )?,
            gap_records: counters(
                "onrecord_gap_records_total",
                "Sequences that were declared lost.",
                &["cause"],
            )?,
            reserved_sequences: int_gauges(
                "onrecord_reserved_sequences",
                "Sequences of a lane that are reserved on disk and not given out yet.",
                &["lane"],
            )?,
            gap_bound: counters(
                "onrecord_gap_bound_records_total",
                "Upper bound of what was lost where the number is not exact, after a loss of power.",
                &["cause"],
            )?,
            own_records: counters(
                "onrecord_own_records_total",
                "The gateway's own records (log source onrecord).",
                &["action"],
            )?,
            own_gap_records: counters(
                "onrecord_own_gap_records_total",
                "The gateway's own records that were declared lost.",
                &["cause"],
            )?,
            destination_gap_records: counters(
                "onrecord_destination_gap_records_total",
                "Sequences that were declared lost to a destination, those of every destination among them.",
                &["destination", "cause"],
            )?,
            spool_bytes,
            spool_bound,
            spool_failing,
            ready,
            spool_oldest_age,
            spool_write_duration: histograms(
                "onrecord_spool_write_duration_seconds",
                "Time of one write or sync of the spool.",
                &["operation"],
            )?,
            spool_compressed_bytes: counters(
                "onrecord_spool_compressed_bytes_total",
                "Bytes of segments that were compressed as they had to wait: before, and after.",
                &["size"],
            )?,
            pack_duration: histograms(
                "onrecord_pack_duration_seconds",
                "Time to pack one batch.",
                destination,
            )?,
            pack_records: counters("onrecord_pack_records_total", "Records packed.", destination)?,
            pack_bytes_in: counters(
                "onrecord_pack_bytes_in_total",
                "Bytes of packed records before compression.",
                destination,
            )?,
            pack_bytes_out: counters(
                "onrecord_pack_bytes_out_total",
                "Bytes of packed records after compression.",
                destination,
            )?,
            deliveries: counters(
                "onrecord_deliveries_total",
                "Objects and manifests delivered; `there` when the store had them already.",
                &["destination", "result"],
            )?,
            delivery_failures: counters(
                "onrecord_delivery_failures_total",
                "Failed attempts to deliver.",
                &["destination", "cause"],
            )?,
            delivery_lag: gauges(
                "onrecord_delivery_lag_seconds",
                "Age of the oldest record that is not delivered.",
                destination,
            )?,
            undelivered_records: int_gauges(
                "onrecord_undelivered_records",
                "Records that are captured and not delivered.",
                destination,
            )?,
            delivery_attempts: counters(
                "onrecord_delivery_attempts_total",
                "Attempts to create an object or manifest, those that failed among them.",
                destination,
            )?,
            delivery_bytes: counters(
                "onrecord_delivery_bytes_total",
                "Bytes of the objects that were delivered.",
                destination,
            )?,
            delivery_records: counters(
                "onrecord_delivery_records_total",
                "Records in the objects that were delivered.",
                destination,
            )?,
            delivery_since_success: gauges(
                "onrecord_delivery_since_success_seconds",
                "Seconds since a whole batch arrived last, or since the start if none has.",
                destination,
            )?,
            delivery_first_loss: gauges(
                "onrecord_delivery_first_loss_timestamp_seconds",
                "When the first loss would come if nothing changes, in Unix time; 0 while none is in sight.",
                destination,
            )?,
            notices: counters(
                "onrecord_notices_total",
                "Notices to people, sent or given up after all attempts.",
                &["channel", "result"],
            )?,
            credentials_expiry: gauges(
                "onrecord_destination_credentials_expiry_timestamp_seconds",
                "When a destination's credentials run out, in Unix time; 0 where they do not say so.",
                destination,
            )?,
            destination_state: int_gauges(
                "onrecord_destination_state",
                "1 for the state that a destination is in.",
                &["destination", "state"],
            )?,
            upstream_up: int_gauges(
                "onrecord_upstream_up",
                "1 while an address of an upstream is in use; 0 while its checks fail, no worker uses it, or its name is unknown.",
                address,
            )?,
            upstream_in_flight: int_gauges(
                "onrecord_upstream_in_flight",
                "Requests in flight at an address of an upstream.",
                address,
            )?,
            upstream_ejections: counters(
                "onrecord_upstream_ejections_total",
                "Times that a worker stopped using an address for a while, since it failed.",
                address,
            )?,
            upstream_connect_failures: counters(
                "onrecord_upstream_connect_failures_total",
                "Connections to an address that could not be made.",
                address,
            )?,
            tokens: counters(
                "onrecord_identity_tokens_total",
                "Different tokens that were judged: good, or why not; or passed over because the queue was full.",
                &["source", "result"],
            )?,
            key_fetches: counters(
                "onrecord_identity_key_fetches_total",
                "Readings of an issuer's key set.",
                &["source", "result"],
            )?,
            learned,
            directory_reloads: counters(
                "onrecord_directory_reloads_total",
                "Readings of the directory of actors after it had changed.",
                &["result"],
            )?,
            reloads,
            tls_handshakes: counters(
                "onrecord_tls_handshakes_total",
                "TLS handshakes of clients.",
                &["result"],
            )?,
            tls_certificate_expiry: int_gauges(
                "onrecord_tls_certificate_expiry_timestamp_seconds",
                "When a certificate that clients are shown ends, in Unix time.",
                &["listener", "name"],
            )?,
            tls_files_broken: int_gauges(
                "onrecord_tls_files_broken",
                "1 while the certificate files of a listener cannot be used and older ones are shown.",
                &["listener"],
            )?,
            client_limited: counters(
                "onrecord_client_limited_total",
                "Connections closed and requests answered 429 for a limit by client address.",
                &["limit"],
            )?,
            connections_refused: counters(
                "onrecord_connections_refused_total",
                "Client connections that were closed before HTTP began.",
                &["cause"],
            )?,
            registry,
        })
    }

    /// The text exposition format.
    ///
    /// # Errors
    /// When a family can't be encoded.
    pub fn encode(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RouteLabel, SourceLabels};
    use super::*;
    use std::sync::Arc;

    #[test]
    fn lanes_add_up_and_only_what_happened_is_shown() {
        let families = Families::new().unwrap();
        let labels = Arc::new(SourceLabels {
            source: "cma".into(),
            routes: vec![RouteLabel { template: "/spaces/:space".into(), method: "GET".into() }],
        });
        for status in [200, 204, 404] {
            let stats = families.requests.source(&labels);
            stats.count(labels.row(Some(0), "GET"), status);
            stats.count(labels.row(Some(0), "HEAD"), status);
            stats.count(labels.row(None, "BREW"), 0);
            stats.duration.observe(700);
        }
        let text = families.encode().unwrap();
        for line in [
            r#"onrecord_http_requests_total{method="GET",route="/spaces/:space",source="cma",status_class="2xx"} 2"#,
            r#"onrecord_http_requests_total{method="HEAD",route="/spaces/:space",source="cma",status_class="4xx"} 1"#,
            r#"onrecord_http_requests_total{method="_OTHER",route="_unmatched",source="cma",status_class="none"} 3"#,
            r#"onrecord_http_request_duration_seconds_bucket{source="cma",le="0.001"} 3"#,
            "onrecord_http_request_duration_seconds_count{source=\"cma\"} 3",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("OPTIONS"));
    }
}
