//! What a worker serves: its sources, by listener and host, each with its target.

use super::address::ListenAddress;
use crate::capture::{ClientTable, FindSource, Source};
use crate::metrics::LaneStats;
use crate::proxy::{Policy, SourceOptions, Target, UpstreamShared};
use crate::timer::Timers;
use http::Request;
use hyper::body::Incoming;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What all workers serve, made once a (re)load and shared between them.
#[derive(Debug)]
pub struct SiteOptions {
    /// The sources, with all that capture needs of them.
    pub sources: Vec<(SourceOptions, Arc<crate::capture::SourcePlan>)>,
    /// Their upstreams, in the same order.
    pub upstreams: Vec<Arc<UpstreamShared>>,
    /// Requests in flight a worker.
    pub max_in_flight: usize,
    /// True while the spool can't take more and new requests are refused for it.
    pub refusing: Arc<AtomicBool>,
    /// What each client may have; `None`: no limits are set.
    pub clients: Option<Arc<ClientTable>>,
}

/// One worker's sources.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) sources: Vec<Rc<Source>>,
    pub(super) forwarding: Rc<[(Policy, Rc<Target>)]>,
    options: Arc<SiteOptions>,
}

impl Site {
    pub(super) fn new(options: &Arc<SiteOptions>, timers: &Rc<Timers>, stats: &Arc<LaneStats>) -> Rc<Self> {
        let sources = options.sources.iter().map(|(_, plan)| Source::new(plan)).collect();
        let forwarding = options.sources.iter().zip(&options.upstreams).map(|((source, _), upstream)| {
            let policy = Policy {
                max_in_flight: options.max_in_flight,
                odd_paths: source.odd_paths.unwrap_or_default(),
                refusing: Arc::clone(&options.refusing),
                clients: options.clients.clone(),
            };
            (policy, Rc::new(Target::new(source, upstream, timers, stats)))
        });
        Rc::new(Self { sources, forwarding: forwarding.collect(), options: Arc::clone(options) })
    }

    /// What each client may have.
    pub(super) fn clients(&self) -> Option<&ClientTable> {
        self.options.clients.as_deref()
    }

    /// The sources of one listener.
    pub(super) fn listener(self: &Rc<Self>, address: &ListenAddress) -> Listener {
        let mut by_host = Vec::new();
        let mut default = None;
        for (index, (source, _)) in self.options.sources.iter().enumerate() {
            if !source.listen.contains(address) {
                continue;
            }
            if source.hosts.is_empty() {
                default.get_or_insert(index);
            }
            by_host.extend(source.hosts.iter().map(|host| (host.clone(), index)));
        }
        Listener { site: Rc::clone(self), by_host: by_host.into(), default }
    }

    /// Limits that count before a source is known: the widest of the listener's sources.
    pub(super) fn listener_limits(&self, address: &ListenAddress) -> crate::proxy::Limits {
        let mut here = self.options.sources.iter().filter(|(source, _)| source.listen.contains(address));
        let mut limits = here.next().map(|(source, _)| source.limits.clone()).unwrap_or_default();
        for (source, _) in here {
            limits.head_bytes = limits.head_bytes.max(source.limits.head_bytes);
            limits.head_fields = limits.head_fields.max(source.limits.head_fields);
            limits.head_timeout = limits.head_timeout.max(source.limits.head_timeout);
            limits.idle_timeout = limits.idle_timeout.max(source.limits.idle_timeout);
            limits.body_timeout = limits.body_timeout.max(source.limits.body_timeout);
        }
        limits
    }

    pub(super) fn sweep(&self) {
        for (_, target) in self.forwarding.iter() {
            target.sweep();
        }
    }
}

/// The sources that one listener serves, by host.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    site: Rc<Site>,
    by_host: Rc<[(String, usize)]>,
    default: Option<usize>,
}

impl Listener {
    /// The source that answers for what is no request.
    pub(super) fn first(&self) -> Rc<Source> {
        let index = self.default.or_else(|| self.by_host.first().map(|&(_, index)| index)).unwrap_or(0);
        Rc::clone(&self.site.sources[index])
    }

    fn index(&self, request: &Request<Incoming>) -> Option<usize> {
        if self.by_host.is_empty() {
            return self.default;
        }
        let host = request.uri().host().or_else(|| {
            let host = request.headers().get(http::header::HOST)?.to_str().ok()?;
            Some(without_port(host))
        });
        let found = host.and_then(|host| {
            self.by_host.iter().find(|(known, _)| known.eq_ignore_ascii_case(host)).map(|&(_, index)| index)
        });
        found.or(self.default)
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) => &host[..colon],
        _ => host,
    }
}

impl FindSource for Listener {
    fn find(&self, request: &Request<Incoming>) -> Option<(usize, Rc<Source>)> {
        let index = self.index(request)?;
        Some((index, Rc::clone(&self.site.sources[index])))
    }

    fn fallback(&self) -> Rc<Source> {
        self.first()
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_host_is_compared_without_its_port() {
        assert_eq!(without_port("api.example:8080"), "api.example");
        assert_eq!(without_port("api.example"), "api.example");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }
}
