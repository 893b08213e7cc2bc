//! The sources' upstreams: made once, watched behind the front, told in status and metrics.

use super::StartError;
use crate::config::Config;
use crate::metrics::Families;
use crate::proxy::{UpstreamShared, watch as watch_one};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The upstreams of all sources, in their order. Reads the files that TLS needs.
pub(super) fn make(config: &Config) -> Result<Vec<Arc<UpstreamShared>>, StartError> {
    let make = |source: &crate::config::SourceConfig| {
        UpstreamShared::new(&source.options).map_err(|error| StartError::UpstreamTls {
            source_name: source.options.name.clone(),
            source: error,
        })
    };
    config.sources.iter().map(make).collect()
}

/// Watches them for as long as the runtime lives.
pub(super) fn watch(upstreams: &[Arc<UpstreamShared>], runtime: &tokio::runtime::Handle) {
    for upstream in upstreams {
        runtime.spawn(watch_one(Arc::clone(upstream)));
    }
}

/// How the addresses of one upstream are doing.
pub(super) fn status(upstream: &UpstreamShared) -> Value {
    let address = |status: crate::proxy::AddressStatus| {
        json!({
            "configured": status.configured,
            "address": status.address,
            "check": status.is_well.map(|well| if well { "ok" } else { "failing" }),
            "ejected_by": status.ejected_by,
            "workers": status.workers,
            "in_flight": status.in_flight,
        })
    };
    Value::from(upstream.status().into_iter().map(address).collect::<Vec<_>>())
}

/// Brings the metrics up to date. Labels are the addresses as configured.
pub(super) fn refresh(upstreams: &[Arc<UpstreamShared>], metrics: &Families) {
    for upstream in upstreams {
        let source = upstream.source();
        // A name with several addresses is up while one of them is in use.
        let mut up: BTreeMap<String, (bool, u64)> = BTreeMap::new();
        for status in upstream.status() {
            let used = !status.address.is_empty()
                && status.is_well != Some(false)
                && (status.workers == 0 || status.ejected_by < status.workers);
            let entry = up.entry(status.configured).or_default();
            entry.0 |= used;
            entry.1 += status.in_flight;
        }
        for (address, (is_up, in_flight)) in &up {
            let labels = &[source, address.as_str()];
            metrics.upstream_up.with_label_values(labels).set(i64::from(*is_up));
            let in_flight = i64::try_from(*in_flight).unwrap_or(i64::MAX);
            metrics.upstream_in_flight.with_label_values(labels).set(in_flight);
        }
        for totals in upstream.totals() {
            let labels = &[source, totals.configured.as_str()];
            super::status::raise(&metrics.upstream_ejections.with_label_values(labels), totals.ejections);
            let failures = &metrics.upstream_connect_failures.with_label_values(labels);
            super::status::raise(failures, totals.connect_failures);
        }
    }
}
