//! The innermost service: sends the request to the upstream and hands back its response.
//!
//! Most requests find a connection of HTTP/1.1 that is ready: they are written to it at once, and
//! their future is small, since it is moved through all layers. What else there is to do for a
//! request is in [`attempts`], in a future on the heap.

use super::attempts;
use super::body::{Coming, RequestBody, ResponseBody, UpstreamBody, arm, is_past_deadline};
use super::error::ForwardError;
use super::expect::Expectation;
use super::headers::{ForwardedFields, prepare_request, prepare_response};
use super::hop::Hop;
use super::options::{Limits, SourceOptions};
use super::upgrade::{self, Tunnel};
use super::upstream::{Connection, Lease, Pool, UpstreamError, UpstreamShared};
use crate::capture::{Account, Call};
use crate::metrics::LaneStats;
use crate::record::ErrorType;
use crate::timer::Timers;
use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Request, Response, StatusCode, Version};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// Where one source's requests go, on one worker.
#[derive(Debug)]
pub struct Target {
    pub(super) pool: Rc<Pool>,
    pub(super) limits: Rc<Limits>,
    pub(super) timers: Rc<Timers>,
    host: Option<HeaderValue>,
    path_prefix: String,
}

impl Target {
    /// The target of this source.
    #[must_use]
    pub fn new(
        source: &SourceOptions,
        upstream: &Arc<UpstreamShared>,
        timers: &Rc<Timers>,
        stats: &Arc<LaneStats>,
    ) -> Self {
        let limits = Rc::new(source.limits.clone());
        let pool = Pool::new(Arc::clone(upstream), Rc::clone(&limits), Rc::clone(timers), Arc::clone(stats));
        let first = source.upstream.addresses.first();
        let authority = first.and_then(|address| HeaderValue::from_str(&address.authority).ok());
        Self {
            pool,
            limits,
            timers: Rc::clone(timers),
            host: if source.preserve_host { None } else { authority },
            path_prefix: source.path_prefix.clone(),
        }
    }

    /// The source's limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Closes upstream connections that are of no use any more.
    pub fn sweep(&self) {
        self.pool.sweep();
    }

    /// The request target for the upstream, where it is another than the client's: the path prefix
    /// taken off, the upstream's base path put before, every other byte as it came.
    fn rewrite(&self, uri: &Uri) -> Result<Option<Uri>, ForwardError> {
        let base = &self.pool.upstream().base_path;
        if self.path_prefix.is_empty() && base.is_empty() {
            return Ok(None);
        }
        let malformed = |_| {
            ForwardError::refused(
                StatusCode::BAD_REQUEST,
                ErrorType::Malformed,
                "the request target is not usable",
            )
        };
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let rest = strip_prefix(target, &self.path_prefix).ok_or_else(|| {
            ForwardError::refused(
                StatusCode::NOT_FOUND,
                ErrorType::NoSource,
                "nothing is served outside the source's path prefix",
            )
        })?;
        let slash = if rest.starts_with('/') || rest == "*" { "" } else { "/" };
        PathAndQuery::try_from(format!("{base}{slash}{rest}")).map(Uri::from).map(Some).map_err(malformed)
    }
}

/// What the client asks for, without the authority.
fn asked(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")).into()
}

/// What follows the prefix, when the prefix ends at a segment's end.
fn strip_prefix<'a>(target: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = target.strip_prefix(prefix)?;
    (prefix.is_empty() || rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

/// A request that is ready for any connection.
pub(super) struct Prepared {
    pub(super) request: Request<RequestBody>,
    pub(super) account: Rc<Account>,
    pub(super) target: Rc<Target>,
    /// The protocol that is asked for instead of HTTP.
    pub(super) wish: Option<HeaderValue>,
    /// Whether the client waits for `100 Continue`.
    pub(super) expects: bool,
}

/// Sends the request on; the future gives the response, its body still to come.
///
/// A request is sent a second time only where nothing of it can have been processed: the
/// kept connection was already closed when it was to be written, or an HTTP/2 upstream said
/// so (`REFUSED_STREAM`, or a GOAWAY that names an earlier stream) and there was no body.
/// Dropped, the future closes the upstream connection that it used, or resets its stream.
pub(super) fn forward(target: &Rc<Target>, fields: &ForwardedFields, call: Call) -> Forwarding {
    let begun = begin(target, fields, call);
    begun.unwrap_or_else(|error| Forwarding::Failed(Some(error)))
}

/// Sends it over a connection of HTTP/1.1 that is ready, if there is one, with what a [`Hop`]
/// changes: that is all that most requests need, and their future carries no more than the
/// connection. The others get one of their own.
fn begin(target: &Rc<Target>, fields: &ForwardedFields, call: Call) -> Result<Forwarding, ForwardError> {
    let uri = target.rewrite(call.request.uri())?;
    let trusted = call.source.trusts(&call.peer);
    let Some(hop) = Hop::of(&call.request, fields, trusted, target.host.as_ref()) else {
        return begin_prepared(prepare(target, fields, uri, call));
    };
    match target.pool.ready() {
        Some(lease) if !lease.is_http2() => {
            let host = further_host(target, &lease).cloned();
            let Call { request, account, .. } = call;
            let request = request.map(|body| RequestBody::new(body, &account, &target.limits));
            Ok(start(target, account, lease, request, Some(&hop.to(host.as_ref(), uri))))
        }
        ready => Ok(attempt(prepare(target, fields, uri, call), ready)),
    }
}

/// The request with its fields as they go on. `uri`: its target, if it is another.
fn prepare(target: &Rc<Target>, fields: &ForwardedFields, uri: Option<Uri>, call: Call) -> Prepared {
    let Call { request, account, peer, source, .. } = call;
    let trusted = source.trusts(&peer);
    let wish = upgrade::wanted(&request, &target.pool.forward().upgrades);
    let expects = Expectation::is_of(&request);
    let mut request = request.map(|body| RequestBody::new(body, &account, &target.limits));
    prepare_request(&mut request, fields, trusted, target.host.as_ref());
    *request.uri_mut() = uri.unwrap_or_else(|| asked(request.uri()));
    *request.version_mut() = Version::HTTP_11;
    if let Some(protocol) = &wish {
        upgrade::write(request.headers_mut(), protocol.clone());
    }
    Prepared { request, account, target: Rc::clone(target), wish, expects }
}

fn begin_prepared(prepared: Prepared) -> Result<Forwarding, ForwardError> {
    if prepared.wish.is_some() || prepared.expects {
        return Ok(attempt(prepared, None));
    }
    match prepared.target.pool.ready() {
        Some(lease) if !lease.is_http2() => {
            let Prepared { mut request, account, target, .. } = prepared;
            address(&target, &lease, &mut request, false)?;
            Ok(start(&target, account, lease, request, None))
        }
        ready => Ok(attempt(prepared, ready)),
    }
}

fn attempt(prepared: Prepared, ready: Option<Lease>) -> Forwarding {
    Forwarding::Attempts(Box::pin(attempts::run(prepared, ready)))
}

fn start(
    target: &Rc<Target>,
    account: Rc<Account>,
    mut lease: Lease,
    request: Request<RequestBody>,
    hop: Option<&Hop<'_>>,
) -> Forwarding {
    account.upstream_attempt(&lease.endpoint().address, lease.reached());
    arm(&account, &target.limits, target.limits.response_timeout);
    let sent = Instant::now();
    // The pool has looked at it just now: nothing can have come in between.
    let connection = lease.http1().expect("those of HTTP/2 are handed to attempts");
    connection.start_ready(request, hop);
    Forwarding::Sent(Some(Sending { lease, account, target: Rc::clone(target), sent }))
}

/// What comes of a request.
pub(super) enum Forwarding {
    /// It is under way over HTTP/1.1.
    Sent(Option<Sending>),
    /// It needs a new connection, or more than one attempt, or HTTP/2, or another protocol.
    Attempts(Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, ForwardError>>>>),
    /// Nothing.
    Failed(Option<ForwardError>),
}

/// A request that an upstream connection of HTTP/1.1 has taken.
pub(super) struct Sending {
    lease: Lease,
    account: Rc<Account>,
    target: Rc<Target>,
    sent: Instant,
}

impl Future for Forwarding {
    type Output = Result<Response<ResponseBody>, ForwardError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Sent(sending) => {
                let mut under_way = sending.take().expect("a future is not polled after it was ready");
                let head = match under_way.poll_head(context) {
                    Poll::Ready(head) => head,
                    Poll::Pending => {
                        *sending = Some(under_way);
                        return Poll::Pending;
                    }
                };
                let Sending { lease, account, target, sent } = under_way;
                Poll::Ready(match head {
                    Sent::Response(response) => {
                        account.upstream_answered(sent.elapsed().as_micros() as u64);
                        accept(&target, Answer { response, lease, account, wish: None, expectation: None })
                    }
                    Sent::Failed(error) => Err(broken(&lease, &account, error)),
                    Sent::TimedOut => Err(late(&target, &lease, &account)),
                })
            }
            Self::Attempts(attempts) => attempts.as_mut().poll(context),
            Self::Failed(error) => {
                Poll::Ready(Err(error.take().expect("a future is not polled after it was ready")))
            }
        }
    }
}

impl Sending {
    #[inline]
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Sent> {
        let connection = self.lease.http1().expect("requests are under way over HTTP/1.1 only");
        poll_http1(connection, &self.account, context)
    }
}

/// What came of a request that a connection has taken.
pub(super) enum Sent {
    Response(Response<Coming>),
    Failed(UpstreamError),
    TimedOut,
}

/// Waits for the head of an answer over HTTP/1.1, no longer than the exchange's timer allows.
pub(super) fn poll_http1(
    connection: &mut Connection,
    account: &Account,
    context: &mut Context<'_>,
) -> Poll<Sent> {
    match connection.poll_head(context) {
        Poll::Ready(Ok(response)) => {
            let has_length = connection.size_hint().exact().is_some();
            Poll::Ready(Sent::Response(
                response.map(|head| Coming::Http1 { has_length, is_prepared: head.is_prepared }),
            ))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Sent::Failed(error)),
        Poll::Pending => account.timer().poll(context).map(|()| Sent::TimedOut),
    }
}

/// The upstream broke off, unless it was the request's own body that did.
pub(super) fn broken(lease: &Lease, account: &Account, error: UpstreamError) -> ForwardError {
    if let Some(error) = account.error() {
        return ForwardError::RequestBody(error);
    }
    lease.failed();
    ForwardError::Upstream(error)
}

/// Who has let the time pass: the client, the upstream, or both together.
pub(super) fn late(target: &Target, lease: &Lease, account: &Account) -> ForwardError {
    if is_past_deadline(account, &target.limits) {
        return ForwardError::Deadline;
    }
    if account.is_waiting_for_client() {
        account.fail(ErrorType::ClientTimeout);
        return ForwardError::RequestBody(ErrorType::ClientTimeout);
    }
    lease.failed();
    ForwardError::ResponseTimeout
}

/// Gives the request the form that the connection's address and version want: with several
/// addresses each has its own Host, and HTTP/2 has it in the target instead.
pub(super) fn address(
    target: &Target,
    lease: &Lease,
    request: &mut Request<RequestBody>,
    is_again: bool,
) -> Result<(), ForwardError> {
    let malformed = || {
        ForwardError::refused(
            StatusCode::BAD_REQUEST,
            ErrorType::Malformed,
            "the request target or Host is not usable",
        )
    };
    if request.version() == Version::HTTP_2 {
        // An earlier attempt went over HTTP/2: back to the form of HTTP/1.1.
        let uri = std::mem::take(request.uri_mut()).into_parts();
        let host = uri.authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        request.headers_mut().insert(HOST, host.ok_or_else(malformed)?);
        *request.uri_mut() = uri.path_and_query.map(Uri::from).ok_or_else(malformed)?;
        *request.version_mut() = Version::HTTP_11;
    }
    let host = if is_again { lease.endpoint().host.as_ref() } else { further_host(target, lease) };
    if target.host.is_some()
        && let Some(host) = host
    {
        request.headers_mut().insert(HOST, host.clone());
    }
    if lease.is_http2() {
        let host = request.headers_mut().remove(HOST).ok_or_else(malformed)?;
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(if target.pool.upstream().tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(host.as_bytes().try_into().map_err(|_| malformed())?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| malformed())?;
        *request.version_mut() = Version::HTTP_2;
    }
    Ok(())
}

/// The authority of this connection's address, if it is another than the first one's.
fn further_host<'l>(target: &Target, lease: &'l Lease) -> Option<&'l HeaderValue> {
    let is_further = target.host.is_some() && lease.endpoint().is_further();
    lease.endpoint().host.as_ref().filter(|_| is_further)
}

/// A response's head with all that belongs to it.
pub(super) struct Answer {
    pub(super) response: Response<Coming>,
    pub(super) lease: Lease,
    pub(super) account: Rc<Account>,
    pub(super) wish: Option<HeaderValue>,
    pub(super) expectation: Option<Rc<Expectation>>,
}

/// Makes the client's response of an upstream's answer.
///
/// # Errors
/// [`ForwardError::Switched`].
pub(super) fn accept(target: &Target, answer: Answer) -> Result<Response<ResponseBody>, ForwardError> {
    let Answer { mut response, mut lease, account, wish, expectation } = answer;
    if matches!(response.status().as_u16(), 502..=504) {
        lease.failed()
    } else {
        lease.succeeded()
    }
    let limits = Rc::clone(&target.limits);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(protocol) = wish.filter(|asked| upgrade::is_answer(response.headers(), asked)) else {
            return Err(ForwardError::Switched);
        };
        let parts = lease.leave_http().ok_or(ForwardError::Switched)?;
        account.timer().clear();
        prepare_response(&mut response);
        upgrade::write(response.headers_mut(), protocol);
        let tunnel = Tunnel::new(parts, lease, limits, target.pool.forward().tunnel_timeout);
        return Ok(response.map(|_| ResponseBody::Tunnel(Box::new(tunnel))));
    }
    if !matches!(response.body(), Coming::Http1 { is_prepared: true, .. }) {
        prepare_response(&mut response);
    }
    Ok(response
        .map(|body| ResponseBody::Upstream(UpstreamBody::new(body, lease, account, limits, expectation))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_segments_end() {
        assert_eq!(strip_prefix("/cma/spaces?x", "/cma"), Some("/spaces?x"));
        assert_eq!(strip_prefix("/cma", "/cma"), Some(""));
        assert_eq!(strip_prefix("/cma?x", "/cma"), Some("?x"));
        assert_eq!(strip_prefix("/cmaspaces", "/cma"), None);
        assert_eq!(strip_prefix("/other", "/cma"), None);
        assert_eq!(strip_prefix("*", ""), Some("*"));
    }
}
