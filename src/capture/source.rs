//! What capture knows of a log source, and how it makes attributes of what passes.
//!
//! Everything here reads what is there anyway (request line, header map, path) and writes
//! fields straight into the record's bytes; there is no struct of strings in between.

use super::actor::{ActorRules, Claims, Fingerprinter};
use super::address::{parse_hop, write_address};
use super::cache_status::cache_status;
use super::durability::{Durabilities, Durability};
use super::exchange::{Account, Exchange};
use super::fields::Fields;
use super::inspection::Inspection;
use super::lane::Lane;
use super::last_credential::LastCredential;
use super::options::Organization;
use super::organization::Found;
use super::peer::{Peer, PeerSet};
use super::redact::{REDACTED, Redactor};
use super::traceparent::parse_traceparent;
use crate::identity::{Handover, Organizations, Presenter};
use crate::inspect::Wants;
use crate::metrics::{RequestCollector, RouteLabel, SourceLabels, SourceStats};
use crate::patterns::Patterns;
use crate::record::{Field, RecordWriter};
use crate::routes::{Action, Matched, RequestVariants, Route, RouteIndex, RouteTable, Settled, paths};
use http::header::{HeaderMap, HeaderName, ORIGIN, REFERER, USER_AGENT};
use http::{Method, Request, Version};
use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

const ACCESS_CONTROL_REQUEST_METHOD: HeaderName = HeaderName::from_static("access-control-request-method");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_HTTP_METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A source's rules, made once a (re)load and shared by all workers.
#[derive(Debug)]
pub struct SourcePlan {
    /// The source's name.
    pub name: String,
    /// Its attribute namespace.
    pub namespace: String,
    /// Taken off the front of each path.
    pub path_prefix: String,
    /// Where the organization comes from when the path does not name it.
    pub organization: Organization,
    /// What is known of spaces' organizations where nothing of these says it.
    pub organizations: Arc<Organizations>,
    /// Peers whose forwarding and identity headers are believed.
    pub trusted_proxies: PeerSet,
    /// Where identity and credentials are looked for.
    pub actor: ActorRules,
    /// What requests mean.
    pub routes: Arc<RouteTable>,
    /// Takes secrets out of queries.
    pub redactor: Arc<Redactor>,
    /// Takes out what the operator's patterns find, if there are any.
    pub patterns: Option<Arc<Patterns>>,
    /// Makes fingerprints of credentials.
    pub fingerprinter: Arc<Fingerprinter>,
    /// Where its tokens are judged, if they are.
    pub tokens: Option<Handover>,
    /// The labels of its counters.
    pub labels: Arc<SourceLabels>,
    /// Where its counters are registered.
    pub collector: RequestCollector,
    /// How sure its records are, by row of the counters.
    pub durabilities: Durabilities,
    /// What of its bodies is looked into.
    pub inspection: Option<Inspection>,
}

impl SourcePlan {
    /// The labels that a source of this name with these routes has.
    #[must_use]
    pub fn labels(name: &str, routes: &RouteTable) -> Arc<SourceLabels> {
        let label = |route: &crate::routes::Route| RouteLabel {
            template: route.template.clone(),
            method: route.method.clone(),
        };
        Arc::new(SourceLabels {
            source: name.to_owned(),
            routes: routes.routes().iter().map(label).collect(),
        })
    }
}

/// A source as one worker has it.
#[derive(Debug)]
pub struct Source {
    plan: Arc<SourcePlan>,
    stats: Arc<SourceStats>,
    tokens: Option<Presenter>,
    scratch: RefCell<Vec<u8>>,
}

/// What of a request's meaning is needed again at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Described {
    pub(super) route: Option<RouteIndex>,
    variants: RequestVariants,
    is_preflight: bool,
    /// How sure the record has to be.
    pub(super) durability: Durability,
    /// What is wanted of its bodies.
    pub(super) wants: Wants,
    /// The organization is not known, and the response may tell it.
    pub(super) lacks_organization: bool,
    /// The row of the source's counters.
    pub(super) row: u32,
}

/// The head of a record, which alone is known when the process dies: the intent.
pub(super) struct Intent<'a> {
    source: &'a str,
    namespace: &'a str,
    method: &'a str,
    route: &'a str,
    path: &'a [u8],
}

impl Intent<'_> {
    pub(super) fn write(&self, writer: &mut RecordWriter<'_>) {
        self.write_within(writer, usize::MAX);
    }

    /// Writes it with method and path cut to `bytes` together.
    pub(super) fn write_within(&self, writer: &mut RecordWriter<'_>, bytes: usize) {
        writer.text(Field::Source, self.source);
        writer.text(Field::Namespace, self.namespace);
        let method = &self.method.as_bytes()[..self.method.len().min(bytes)];
        writer.bytes(Field::Method, method);
        writer.text(Field::Route, self.route);
        writer.bytes(Field::Path, &self.path[..self.path.len().min(bytes - method.len())]);
    }
}

impl Source {
    /// A worker's own source.
    #[must_use]
    pub fn new(plan: &Arc<SourcePlan>) -> Rc<Self> {
        let stats = plan.collector.source(&plan.labels);
        let tokens = plan.tokens.as_ref().map(Presenter::new);
        Rc::new(Self { plan: Arc::clone(plan), stats, tokens, scratch: RefCell::default() })
    }

    pub(super) fn stats(&self) -> &SourceStats {
        &self.stats
    }

    pub(super) fn durabilities(&self) -> &Durabilities {
        &self.plan.durabilities
    }

    /// Counts a strict request that is refused because the disk could not be told of it.
    pub fn count_not_recordable(&self) {
        self.stats.commits.refused.add(1);
    }

    /// Whether this peer's forwarding headers are believed.
    #[must_use]
    pub fn trusts(&self, peer: &Peer) -> bool {
        !self.plan.trusted_proxies.is_empty() && self.plan.trusted_proxies.contains(peer.ip())
    }

    /// Whether the path of this exchange has a form that no template matches safely.
    #[must_use]
    pub fn is_odd(&self, account: &Account, path: &str) -> bool {
        // What a template has matched is not odd.
        let is_matched = self.plan.path_prefix.is_empty() && account.has_route();
        !is_matched && paths::is_odd(path.as_bytes())
    }

    /// Opens the exchange of this request.
    pub(super) fn begin<B>(
        self: &Rc<Self>,
        lane: &Rc<Lane>,
        request: &Request<B>,
        (peer, last): (&Peer, &LastCredential),
    ) -> Exchange {
        let path = without_prefix(request.uri().path(), &self.plan.path_prefix).as_bytes();
        let asked = preflight_method(request);
        let is_preflight = asked.is_some();
        let method = request.method().as_str();
        let matched = self.plan.routes.find(asked.unwrap_or(method).as_bytes(), path);
        let route = matched.as_ref().map(|matched| self.plan.routes.route(matched.route));
        let shown = route.map_or(Cow::Borrowed(path), |route| route.redacted(path, REDACTED));
        let shown = match &self.plan.patterns {
            None => shown,
            Some(patterns) => Cow::Owned(patterns.path(&shown).into_owned()),
        };
        let row = self.plan.labels.row(matched.as_ref().map(|matched| matched.route.0), method);
        let organization = self.organization(request.headers(), matched.as_ref());
        let tells = |route: &Route| route.organization_response_header.is_some();
        let described = Described {
            lacks_organization: organization.is_none() && route.is_some_and(tells),
            route: matched.as_ref().map(|matched| matched.route),
            variants: route.map(|route| route.weigh(request.headers())).unwrap_or_default(),
            is_preflight,
            durability: self.plan.durabilities.of(row),
            wants: self.wants(matched.as_ref().filter(|_| !is_preflight).map(|matched| matched.route)),
            row: u32::try_from(row).unwrap_or(u32::MAX),
        };
        let intent = Intent {
            source: &self.plan.name,
            namespace: &self.plan.namespace,
            method,
            route: route.map_or("", |route| &route.template),
            path: &shown,
        };
        let exchange = lane.begin(self, described, &intent, |writer| {
            self.describe(request, (peer, last), (matched.as_ref(), organization.as_ref()), writer);
        });
        if let Some(patterns) = &self.plan.patterns {
            exchange.account().rewrite(patterns);
        }
        if described.wants.any() {
            self.begin_inspection(described, request.headers(), exchange.account());
        }
        exchange
    }

    fn describe<B>(
        &self,
        request: &Request<B>,
        (peer, last): (&Peer, &LastCredential),
        (matched, organization): (Option<&Matched<'_>>, Option<&Found<'_>>),
        writer: &mut RecordWriter<'_>,
    ) {
        let headers = Fields::of(request.headers());
        let query = request.uri().query().unwrap_or("").as_bytes();
        if !query.is_empty() {
            let mut scratch = self.scratch.borrow_mut();
            scratch.clear();
            self.plan.redactor.redact_query(query, &mut scratch);
            writer.bytes(Field::Query, &scratch);
        }
        if let Some(organization) = organization {
            writer.bytes(Field::Organization, organization);
        }
        self.describe_meaning(&headers, query, matched, writer);
        let mut header = |name: &HeaderName, field| {
            if let Some(value) = headers.get(name) {
                writer.bytes(field, value.as_bytes());
            }
        };
        header(&USER_AGENT, Field::UserAgent);
        header(&X_HTTP_METHOD_OVERRIDE, Field::MethodOverride);
        if let Some(referer) = headers.get(&REFERER) {
            let mut scratch = self.scratch.borrow_mut();
            scratch.clear();
            self.plan.redactor.redact_url(referer.as_bytes(), &mut scratch);
            writer.bytes(Field::Referer, &scratch);
        }
        if let Some((trace, span)) =
            headers.get(&TRACEPARENT).and_then(|value| parse_traceparent(value.as_bytes()))
        {
            writer.bytes(Field::TraceId, &trace);
            writer.bytes(Field::SpanId, &span);
        }
        let trusted = self.trusts(peer);
        self.describe_client(peer, trusted.then_some(&headers), writer);
        writer.integer(
            Field::ProtocolVersion,
            match request.version() {
                Version::HTTP_09 | Version::HTTP_10 => 10,
                Version::HTTP_11 => 11,
                _ => 20,
            },
        );
        let claims = self.plan.actor.read(&headers, query, trusted);
        match peer.actor() {
            // Unless the certificate is that of a trusted proxy, which speaks for another.
            Some((certificate, actor)) if claims.identity.is_none() => {
                actor.describe(certificate, &self.plan.fingerprinter, writer);
            }
            _ => self.describe_actor(&claims, last, writer),
        }
    }

    /// Who acts, as far as the head says: the one that a trusted proxy names, the user of
    /// Basic, or nobody known. A directory may name others by the fingerprint, off this path.
    fn describe_actor(&self, claims: &Claims<'_>, last: &LastCredential, writer: &mut RecordWriter<'_>) {
        writer.text(Field::ActorAuthentication, claims.authentication.as_str());
        if let Some(credential) = &claims.credential {
            let fingerprint = last.fingerprint(&self.plan.fingerprinter, credential);
            if let Some(tokens) = &self.tokens
                && (claims.is_jwt || tokens.takes_opaque() && claims.is_bearer())
            {
                tokens.present(fingerprint, credential, claims.is_jwt);
            }
            writer.bytes(Field::CredentialId, &fingerprint);
            writer.text(Field::CredentialKey, self.plan.fingerprinter.key_name());
        }
        let id = claims.identity.map(|identity| identity.id).or(claims.user.as_deref());
        let Some(id) = id else {
            writer.text(Field::ActorType, "anonymous");
            return;
        };
        writer.text(Field::ActorType, "user");
        writer.bytes(Field::ActorId, id);
        writer.text(Field::ActorProvenance, "claimed");
        if let Some(identity) = claims.identity {
            for (field, value) in [(Field::ActorName, identity.name), (Field::ActorEmail, identity.email)] {
                if !value.is_empty() {
                    writer.bytes(field, value);
                }
            }
        }
    }

    fn describe_meaning(
        &self,
        headers: &Fields<'_>,
        query: &[u8],
        matched: Option<&Matched<'_>>,
        writer: &mut RecordWriter<'_>,
    ) {
        let route = matched.map(|matched| self.plan.routes.route(matched.route));
        let parameter = |index: Option<u8>| -> Option<Cow<'_, [u8]>> {
            matched?.parameters.get(usize::from(index?)).map(|raw| percent_decoded(raw))
        };
        let mut text = |field, value: Option<Cow<'_, [u8]>>| {
            if let Some(value) = value {
                writer.bytes(field, &value);
            }
        };
        let product = match route {
            Some(route) => route.user_agent_header.as_ref().and_then(|name| headers.get(name)),
            None => self.plan.routes.user_agent_headers().iter().find_map(|name| headers.get(name)),
        };
        text(Field::UserAgentProduct, product.map(|value| Cow::Borrowed(value.as_bytes())));
        let Some(route) = route else { return };
        for name in route.origin_headers.iter() {
            if let Some(value) = headers.get(name) {
                let hint = [name.as_str().as_bytes(), b": ", value.as_bytes()].concat();
                text(Field::OriginHint, Some(Cow::Owned(hint)));
            }
        }
        text(Field::Space, parameter(route.space));
        let default = || route.default_environment.as_deref().map(|name| Cow::Borrowed(name.as_bytes()));
        let in_query = |name: &Option<String>| paths::query_value(query, name.as_deref()?);
        let environment = parameter(route.environment).or_else(|| in_query(&route.environment_query));
        text(Field::Environment, environment.or_else(default));
        let id = parameter(route.resource).or_else(|| in_query(&route.resource_id_query));
        text(Field::ResourceId, id);
        writer.text(Field::ResourceType, &route.resource_type);
        if let Some(category) = route.category {
            writer.text(Field::Category, category.as_str());
        }
        if route.flags != 0 {
            writer.integer(Field::RouteFlags, u64::from(route.flags));
        }
    }

    /// The client's address: the peer's, or the nearest one that no trusted proxy vouches
    /// for as being another trusted proxy.
    fn describe_client(&self, peer: &Peer, believed: Option<&Fields<'_>>, writer: &mut RecordWriter<'_>) {
        let (client, port) = self.find_client(peer, believed);
        if let Some(client) = client {
            write_address(client, writer);
        }
        peer.describe(writer);
        if let Some(port) = port {
            writer.integer(Field::ClientPort, u64::from(port));
        }
    }

    /// The client's address, and its port where that is known.
    pub(super) fn find_client(
        &self,
        peer: &Peer,
        believed: Option<&Fields<'_>>,
    ) -> (Option<IpAddr>, Option<u16>) {
        let mut client = peer.ip();
        let mut port = peer.address.map(|address| address.port());
        if let Some(headers) = believed {
            let lists = headers.get_all(&X_FORWARDED_FOR);
            let hops: smallvec::SmallVec<[&[u8]; 8]> =
                lists.flat_map(|list| list.as_bytes().split(|&byte| byte == b',')).collect();
            for hop in hops.iter().rev() {
                let Some(address) = parse_hop(hop.trim_ascii()) else { break };
                (client, port) = (Some(address), None);
                if !self.plan.trusted_proxies.contains(client) {
                    break;
                }
            }
        }
        (client, port)
    }

    /// Writes what the response head says.
    pub(super) fn describe_response(
        &self,
        described: Described,
        headers: &HeaderMap,
        writer: &mut RecordWriter<'_>,
    ) {
        if let Some((status, detail)) = cache_status(headers) {
            writer.integer(Field::CacheStatus, status as u64);
            writer.bytes(Field::CacheDetail, &self.clean(detail));
        }
        let route = described.route.map(|route| self.plan.routes.route(route));
        let of_route = route.and_then(|route| route.request_id_header.as_ref());
        let request_id = match route {
            Some(_) => of_route.and_then(|name| headers.get(name)),
            None => self.plan.routes.request_id_headers().iter().find_map(|name| headers.get(name)),
        };
        if let Some(id) = request_id {
            writer.bytes(Field::UpstreamRequestId, &self.clean(id.as_bytes()));
        }
    }

    /// A text of the response without what the operator's patterns find.
    pub(super) fn clean<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        self.plan.patterns.as_ref().map_or(Cow::Borrowed(text), |patterns| patterns.text(text))
    }

    /// Writes what only the end tells: the action, as far as the heads decide it. `has_body`:
    /// the request brought bytes.
    pub(super) fn describe_end(
        &self,
        described: Described,
        status: u16,
        has_body: bool,
        writer: &mut RecordWriter<'_>,
    ) {
        if described.is_preflight {
            writer.text(Field::Action, Action::Preflight.as_str());
            return;
        }
        let Some(route) = described.route.map(|route| self.plan.routes.route(route)) else { return };
        let settled = Self::settle(route, described, status, has_body);
        if let Some(action) = settled.decided() {
            writer.text(Field::Action, action.as_str());
            return;
        }
        // Until a body or the state before tells, and for good if neither does.
        writer.text(Field::Action, Action::Ambiguous.as_str());
        for candidate in settled.candidates(route) {
            writer.text(Field::ActionCandidate, candidate.as_str());
        }
    }

    pub(super) fn settle(route: &Route, described: Described, status: u16, has_body: bool) -> Settled {
        let settled = route.settle(described.variants, (status != 0).then_some(status));
        if has_body { settled } else { settled.without_request_body(route) }
    }

    pub(super) fn plan(&self) -> &SourcePlan {
        &self.plan
    }

    /// Writes what is known of something that never became a request.
    pub(super) fn describe_refusal(&self, peer: &Peer, writer: &mut RecordWriter<'_>) {
        writer.text(Field::Source, &self.plan.name);
        writer.text(Field::Namespace, &self.plan.namespace);
        self.describe_client(peer, None, writer);
    }

    pub(super) fn count_refusal(&self, status: u16) {
        self.stats.count(self.plan.labels.row(None, ""), status);
    }
}

/// The path behind the prefix; all of it where the prefix does not end at a segment's end.
fn without_prefix<'a>(path: &'a str, prefix: &str) -> &'a str {
    match path.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The method that a CORS preflight asks for (Fetch standard, "CORS-preflight request").
fn preflight_method<B>(request: &Request<B>) -> Option<&str> {
    if *request.method() != Method::OPTIONS || !request.headers().contains_key(ORIGIN) {
        return None;
    }
    request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()
}

pub(super) fn percent_decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    percent_encoding::percent_decode(raw).into()
}
