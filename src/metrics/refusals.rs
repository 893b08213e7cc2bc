//! The families that count what was refused for its form or for a limit.

use super::lane::{LaneStats, REFUSALS};
use super::requests::{counter, family};
use crate::http1::Fault;
use prometheus::proto::{MetricFamily, MetricType};
use std::sync::Arc;

pub(super) const REQUESTS: (&str, &str) = (
    "onrecord_refusals_total",
    "Requests that were refused, by cause: what is wrong with their form, or the error.type on record.",
);
pub(super) const RESPONSES: (&str, &str) =
    ("onrecord_upstream_faults_total", "Responses of upstreams that were broken off because of their form.");

/// Both families; every cause is there from the start, so that its first rise shows.
pub(super) fn families(lanes: &[Arc<LaneStats>]) -> [MetricFamily; 2] {
    let sum = |of: &dyn Fn(&LaneStats) -> u64| lanes.iter().map(|lane| of(lane)).fold(0, u64::wrapping_add);
    // A status of 502 marks what only responses can have.
    let of_requests = Fault::ALL.iter().filter(|fault| fault.status() != 502);
    let mut requests: Vec<_> = of_requests
        .map(|&fault| counter(&[("cause", fault.as_str())], sum(&|lane| lane.request_faults.get(fault))))
        .collect();
    requests.extend(
        REFUSALS.iter().enumerate().map(|(index, error)| {
            counter(&[("cause", error.as_str())], sum(&|lane| lane.refusals.get(index)))
        }),
    );
    let responses = Fault::ALL
        .iter()
        .map(|&fault| counter(&[("cause", fault.as_str())], sum(&|lane| lane.response_faults.get(fault))))
        .collect();
    [family(REQUESTS, MetricType::COUNTER, requests), family(RESPONSES, MetricType::COUNTER, responses)]
}
