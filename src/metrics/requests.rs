//! The families that the workers count themselves, added up at each scrape.

use super::lane::{BUCKETS, CLASSES, Histogram, LaneStats, SourceStats};
use super::refusals;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, MetricFamily, MetricType};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Method labels; the last stands for every other.
pub const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "_OTHER"];

/// The position of a method in [`METHODS`].
#[must_use]
pub fn method_index(method: &str) -> usize {
    METHODS.iter().position(|&known| known == method).unwrap_or(METHODS.len() - 1)
}

/// A route as a label: its template and its method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLabel {
    /// The template.
    pub template: String,
    /// The row's method.
    pub method: String,
}

/// The labels of a source's counters. Rows: one a route with its own method, one a
/// route for HEAD, one a route for a preflight, then one a method for what matched no route.
#[derive(Debug)]
pub struct SourceLabels {
    /// The source's name.
    pub source: String,
    /// Its routes, in the order of their index.
    pub routes: Vec<RouteLabel>,
}

impl SourceLabels {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.routes.len() * 3 + METHODS.len()
    }

    /// The row of a request.
    #[must_use]
    pub fn row(&self, route: Option<u32>, method: &str) -> usize {
        let count = self.routes.len();
        match route.map(|route| route as usize) {
            Some(route) if route < count => match method {
                _ if self.routes[route].method == method => route,
                "HEAD" => count + route,
                _ => 2 * count + route,
            },
            _ => 3 * count + method_index(method),
        }
    }

    /// The method of a route's own row.
    ///
    /// # Panics
    /// When there is no such route.
    #[must_use]
    pub fn method(&self, route: u32) -> &str {
        &self.routes[route as usize].method
    }

    /// Template and method of a row.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn labels(&self, row: usize) -> (&str, &str) {
        let count = self.routes.len();
        match row.checked_div(count) {
            Some(0) => (&self.routes[row].template, &self.routes[row].method),
            Some(1) => (&self.routes[row - count].template, "HEAD"),
            Some(2) => (&self.routes[row - 2 * count].template, "OPTIONS"),
            _ => ("_unmatched", METHODS[row - 3 * count]),
        }
    }
}

/// One source's labels with its counters in every lane.
#[derive(Debug)]
struct Registered {
    labels: Arc<SourceLabels>,
    lanes: Vec<Arc<SourceStats>>,
}

/// Collects what workers count. A reload that gives a source other routes registers new
/// counters; the old ones stay and are added in, so that no counter ever goes down.
#[derive(Clone, Debug)]
pub struct RequestCollector {
    state: Arc<Mutex<State>>,
    descriptions: Arc<[Desc]>,
}

#[derive(Debug, Default)]
struct State {
    sources: Vec<Registered>,
    lanes: Vec<Arc<LaneStats>>,
}

const REQUESTS: (&str, &str) = ("onrecord_http_requests_total", "Finished exchanges.");
const DURATION: (&str, &str) =
    ("onrecord_http_request_duration_seconds", "Time from a request's head to the end of its exchange.");
const UPSTREAM: (&str, &str) =
    ("onrecord_upstream_duration_seconds", "Time from sending a request to the upstream's response head.");
const IN_FLIGHT: (&str, &str) = ("onrecord_http_requests_in_flight", "Exchanges that are open.");
const CONNECTIONS: (&str, &str) = ("onrecord_connections", "Open client connections.");
const ACCEPTED: (&str, &str) = ("onrecord_connections_accepted_total", "Client connections accepted.");
const CAPTURED: (&str, &str) = ("onrecord_records_captured_total", "Records written into a ring.");
const UPSTREAM_CONNECTIONS: (&str, &str) =
    ("onrecord_upstream_connections_total", "Connections made to upstreams.");
const RETRIES: (&str, &str) =
    ("onrecord_upstream_retries_total", "Requests sent again because a kept connection was closed.");
const COMMITS: (&str, &str) = (
    "onrecord_commit_waits_total",
    "Waits for the disk by durable and strict requests, and strict requests refused for it.",
);
const COMMIT_WAIT: (&str, &str) =
    ("onrecord_commit_wait_duration_seconds", "Time that a request waited until it was on disk.");
const COMMIT_WAITERS: (&str, &str) = ("onrecord_commit_waiters", "Requests that wait for the disk.");

/// Results of a wait for the disk, in the order of [`RequestCollector::commits`].
pub const COMMIT_RESULTS: [&str; 4] = ["on_disk", "timeout", "lost", "refused"];

impl RequestCollector {
    /// A collector without sources.
    ///
    /// # Errors
    /// Never in practice: the names are constants.
    pub fn new() -> prometheus::Result<Self> {
        let descriptions = [
            REQUESTS,
            DURATION,
            UPSTREAM,
            IN_FLIGHT,
            CONNECTIONS,
            ACCEPTED,
            CAPTURED,
            UPSTREAM_CONNECTIONS,
            RETRIES,
            COMMITS,
            COMMIT_WAIT,
            COMMIT_WAITERS,
            refusals::REQUESTS,
            refusals::RESPONSES,
        ]
        .into_iter()
        .map(|(name, help)| Desc::new(name.into(), help.into(), Vec::new(), HashMap::new()))
        .collect::<prometheus::Result<Vec<_>>>()?;
        Ok(Self { state: Arc::default(), descriptions: descriptions.into() })
    }

    /// Makes and registers a lane's own counters.
    #[must_use]
    pub fn lane(&self) -> Arc<LaneStats> {
        let stats = Arc::new(LaneStats::default());
        self.lock().lanes.push(Arc::clone(&stats));
        stats
    }

    /// Makes and registers one source's counters for one lane.
    #[must_use]
    pub fn source(&self, labels: &Arc<SourceLabels>) -> Arc<SourceStats> {
        let stats = Arc::new(SourceStats::new(labels.rows()));
        let mut state = self.lock();
        match state.sources.iter_mut().find(|known| Arc::ptr_eq(&known.labels, labels)) {
            Some(known) => known.lanes.push(Arc::clone(&stats)),
            None => {
                state.sources.push(Registered { labels: Arc::clone(labels), lanes: vec![Arc::clone(&stats)] })
            }
        }
        stats
    }

    /// A sum over all lanes.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&LaneStats) -> u64) -> u64 {
        self.lock().lanes.iter().map(|lane| of(lane)).fold(0, u64::wrapping_add)
    }

    /// How the waits of one source ended, by [`COMMIT_RESULTS`].
    #[must_use]
    pub fn commits(&self, source: &str) -> [u64; COMMIT_RESULTS.len()] {
        let state = self.lock();
        let known = state.sources.iter().filter(|known| known.labels.source == source);
        commit_counts(known.flat_map(|known| &known.lanes).map(AsRef::as_ref))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn commit_counts<'a>(lanes: impl Iterator<Item = &'a SourceStats>) -> [u64; COMMIT_RESULTS.len()] {
    lanes.fold([0; COMMIT_RESULTS.len()], |[on_disk, timeout, lost, refused], lane| {
        let commits = &lane.commits;
        [
            on_disk + commits.on_disk.get(),
            timeout + commits.timeout.get(),
            lost + commits.lost.get(),
            refused + commits.refused.get(),
        ]
    })
}

pub(super) fn family(
    (name, help): (&str, &str),
    kind: MetricType,
    metrics: Vec<proto::Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(labels: &[(&str, &str)]) -> proto::Metric {
    let mut metric = proto::Metric::default();
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    };
    metric.set_label(labels.iter().map(pair).collect());
    metric
}

pub(super) fn counter(labels: &[(&str, &str)], value: u64) -> proto::Metric {
    let mut metric = metric(labels);
    let mut counter = proto::Counter::default();
    counter.set_value(value as f64);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: &[(&str, &str)], value: u64) -> proto::Metric {
    let mut metric = metric(labels);
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value as f64);
    metric.set_gauge(gauge);
    metric
}

fn histogram<'a>(source: &str, parts: impl Iterator<Item = &'a Histogram>) -> proto::Metric {
    let (mut counts, mut sum) = ([0; BUCKETS.len() + 1], 0);
    parts.for_each(|part| part.add_to(&mut counts, &mut sum));
    let mut histogram = proto::Histogram::default();
    let mut cumulative = 0;
    let mut buckets = Vec::with_capacity(BUCKETS.len());
    for (bound, count) in BUCKETS.iter().zip(counts) {
        cumulative += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_cumulative_count(cumulative);
        bucket.set_upper_bound(*bound as f64 / 1e6);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum as f64 / 1e6);
    let mut metric = metric(&[("source", source)]);
    metric.set_histogram(histogram);
    metric
}

impl Collector for RequestCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let state = self.lock();
        let mut requests: std::collections::BTreeMap<[&str; 4], u64> = Default::default();
        let mut by_source: std::collections::BTreeMap<&str, Vec<&SourceStats>> = Default::default();
        for registered in &state.sources {
            let labels = &registered.labels;
            by_source.entry(&labels.source).or_default().extend(registered.lanes.iter().map(AsRef::as_ref));
            for row in 0..labels.rows() {
                let (route, method) = labels.labels(row);
                for (index, class) in CLASSES.iter().enumerate() {
                    let lanes = registered.lanes.iter().filter_map(|lane| lane.row(row));
                    let count: u64 = lanes.map(|classes| classes[index].get()).sum();
                    if count > 0 {
                        *requests.entry([&labels.source, route, method, class]).or_default() += count;
                    }
                }
            }
        }
        let requests = requests
            .into_iter()
            .map(|([source, route, method, class], count)| {
                let labels =
                    [("method", method), ("route", route), ("source", source), ("status_class", class)];
                counter(&labels, count)
            })
            .collect();
        let durations = by_source
            .iter()
            .map(|(source, parts)| histogram(source, parts.iter().map(|part| &part.duration)));
        let upstream = by_source
            .iter()
            .map(|(source, parts)| histogram(source, parts.iter().map(|part| &part.upstream_duration)));
        let in_flight = by_source.iter().map(|(source, parts)| {
            let open = parts.iter().map(|part| part.in_flight.get()).fold(0, u64::wrapping_add);
            gauge(&[("source", source)], open)
        });
        let commits = by_source.iter().flat_map(|(source, parts)| {
            let counts = commit_counts(parts.iter().copied());
            // Shown from the start, so that the first one is seen as a rise.
            COMMIT_RESULTS
                .iter()
                .zip(counts)
                .map(move |(result, count)| counter(&[("result", result), ("source", source)], count))
        });
        let commit_waits = by_source
            .iter()
            .map(|(source, parts)| histogram(source, parts.iter().map(|part| &part.commits.wait)));
        let sum =
            |of: fn(&LaneStats) -> u64| state.lanes.iter().map(|lane| of(lane)).fold(0, u64::wrapping_add);
        let total = |value| vec![counter(&[], value)];
        let mut families = vec![
            family(DURATION, MetricType::HISTOGRAM, durations.collect()),
            family(UPSTREAM, MetricType::HISTOGRAM, upstream.collect()),
            family(IN_FLIGHT, MetricType::GAUGE, in_flight.collect()),
            family(CONNECTIONS, MetricType::GAUGE, vec![gauge(&[], sum(|lane| lane.connections.get()))]),
            family(ACCEPTED, MetricType::COUNTER, total(sum(|lane| lane.accepted.get()))),
            family(CAPTURED, MetricType::COUNTER, total(sum(|lane| lane.captured.get()))),
            family(
                UPSTREAM_CONNECTIONS,
                MetricType::COUNTER,
                total(sum(|lane| lane.upstream_connections.get())),
            ),
            family(RETRIES, MetricType::COUNTER, total(sum(|lane| lane.upstream_retries.get()))),
            family(REQUESTS, MetricType::COUNTER, requests),
            family(COMMITS, MetricType::COUNTER, commits.collect()),
            family(COMMIT_WAIT, MetricType::HISTOGRAM, commit_waits.collect()),
            family(
                COMMIT_WAITERS,
                MetricType::GAUGE,
                vec![gauge(&[], sum(|lane| lane.commit_waiters.get()))],
            ),
        ];
        families.extend(refusals::families(&state.lanes));
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}
