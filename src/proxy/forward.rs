//! The innermost service: sends the request to the upstream and hands back its response.

use super::body::{Coming, RequestBody, ResponseBody, UpstreamBody, arm, is_past_deadline};
use super::error::ForwardError;
use super::expect::{Expectation, Held};
use super::headers::{ForwardedFields, prepare_request, prepare_response};
use super::options::{Limits, SourceOptions};
use super::upgrade::{self, Tunnel};
use super::upstream::{Lease, Pool, Sender, UpstreamError, UpstreamShared};
use crate::capture::{Account, Call};
use crate::metrics::LaneStats;
use crate::record::ErrorType;
use crate::timer::Timers;
use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// Attempts of a request that HTTP/2 upstreams refuse unprocessed.
const MOST_REFUSALS: u32 = 3;

/// Where one source's requests go, on one worker.
#[derive(Debug)]
pub struct Target {
    pool: Rc<Pool>,
    limits: Rc<Limits>,
    timers: Rc<Timers>,
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

    /// The request target for the upstream: the path prefix taken off, the upstream's base
    /// path put before, every other byte as it came.
    fn rewrite(&self, uri: &Uri) -> Result<Uri, ForwardError> {
        let malformed = || {
            ForwardError::refused(
                StatusCode::BAD_REQUEST,
                ErrorType::Malformed,
                "the request target is not usable",
            )
        };
        let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let base = &self.pool.upstream().base_path;
        if self.path_prefix.is_empty() && base.is_empty() {
            return Ok(Uri::from(target));
        }
        let rest = strip_prefix(target.as_str(), &self.path_prefix).ok_or_else(|| {
            ForwardError::refused(
                StatusCode::NOT_FOUND,
                ErrorType::NoSource,
                "nothing is served outside the source's path prefix",
            )
        })?;
        let slash = if rest.starts_with('/') || rest == "*" { "" } else { "/" };
        PathAndQuery::try_from(format!("{base}{slash}{rest}")).map(Uri::from).map_err(|_| malformed())
    }
}

/// What follows the prefix, when the prefix ends at a segment's end.
fn strip_prefix<'a>(target: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = target.strip_prefix(prefix)?;
    (prefix.is_empty() || rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

/// Sends the request on and returns the response, its body still to come.
///
/// A request is sent a second time only where nothing of it can have been processed: the
/// kept connection was already closed when it was to be written, or an HTTP/2 upstream said
/// so (`REFUSED_STREAM`, or a GOAWAY that names an earlier stream) and there was no body.
/// Dropped, it closes the upstream connection that it used, or resets its stream.
///
/// # Errors
/// [`ForwardError`]; what goes on record is also noted in the account.
pub(super) async fn forward(
    target: &Target,
    fields: &ForwardedFields,
    call: Call,
) -> Result<Response<ResponseBody>, ForwardError> {
    let Call { request, account, peer, source, .. } = call;
    let uri = target.rewrite(request.uri())?;
    let trusted = source.trusts(&peer);
    let wish = upgrade::wanted(&request, &target.pool.forward().upgrades);
    let expects = Expectation::is_of(&request);
    let mut request = request.map(|body| RequestBody::new(body, &account, &target.limits));
    prepare_request(&mut request, fields, trusted, target.host.as_ref());
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    if let Some(protocol) = &wish {
        upgrade::write(request.headers_mut(), protocol.clone());
    }

    let mut refusals = 0;
    let mut is_again = false;
    loop {
        let mut lease = match &wish {
            None => match target.pool.ready() {
                Some(lease) => lease,
                // Boxed, as below: requests that find a connection are not to carry the space.
                None => Box::pin(target.pool.acquire()).await?,
            },
            Some(_) => Box::pin(target.pool.acquire_for_upgrade()).await?,
        };
        address(target, &lease, &mut request, is_again)?;
        is_again = true;
        let expectation = expects.then(|| hold_back(target, &lease, &mut request)).flatten();
        let spare = if lease.is_http2() { spare(&request) } else { None };
        account.upstream_attempt(&lease.endpoint().address, lease.reached());
        arm(&account, &target.limits, target.limits.response_timeout);
        let sent = Instant::now();
        match send(&mut lease, request, expectation.as_ref(), &account).await {
            Sent::Response(response) => {
                account.upstream_answered(sent.elapsed().as_micros() as u64);
                let answer = Answer { response, lease, account, wish, expectation };
                return accept(target, answer);
            }
            Sent::Untouched(again) if lease.is_reused() => {
                account.upstream_untouched();
                target.pool.count_retry();
                request = *again;
            }
            Sent::Untouched(_) => {
                account.upstream_untouched();
                lease.failed();
                let source = std::io::ErrorKind::ConnectionReset.into();
                let authority = lease.endpoint().address.to_string();
                return Err(ForwardError::Connect { authority, source });
            }
            Sent::Failed(error) => {
                if let Some(error) = account.error() {
                    return Err(ForwardError::RequestBody(error));
                }
                if is_refusal(&error)
                    && refusals < MOST_REFUSALS
                    && let Some(spare) = spare
                {
                    refusals += 1;
                    account.upstream_untouched();
                    target.pool.count_retry();
                    request = spare;
                    continue;
                }
                lease.failed();
                return Err(ForwardError::Upstream(error));
            }
            Sent::TimedOut if is_past_deadline(&account, &target.limits) => {
                return Err(ForwardError::Deadline);
            }
            Sent::TimedOut if account.is_waiting_for_client() => {
                account.fail(ErrorType::ClientTimeout);
                return Err(ForwardError::RequestBody(ErrorType::ClientTimeout));
            }
            Sent::TimedOut => {
                lease.failed();
                return Err(ForwardError::ResponseTimeout);
            }
        }
    }
}

/// Gives the request the form that the connection's address and version want: with several
/// addresses each has its own Host, and HTTP/2 has it in the target instead.
fn address(
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
    if target.host.is_some()
        && (is_again || lease.endpoint().is_further())
        && let Some(host) = lease.endpoint().host.as_ref()
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

/// Passes an expectation on, where the upstream's HTTP/1.1 can answer it.
fn hold_back(target: &Target, lease: &Lease, request: &mut Request<RequestBody>) -> Option<Rc<Expectation>> {
    if lease.is_http2() {
        request.body_mut().hold(None);
        return None;
    }
    let expectation = Expectation::pass_on(request);
    request.body_mut().hold(Some(Held::new(Rc::clone(&expectation), target.timers.timer())));
    Some(expectation)
}

/// A copy of a request that has no body, in case the upstream refuses it unprocessed.
fn spare(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(RequestBody::empty());
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    *copy.version_mut() = request.version();
    request.headers().clone_into(copy.headers_mut());
    Some(copy)
}

/// Whether an HTTP/2 upstream says that it has not processed the request (RFC 9113 §8.7).
fn is_refusal(error: &UpstreamError) -> bool {
    let UpstreamError::Http2(error) = error else { return false };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            // Streams that a GOAWAY covers do not end with it.
            return error.is_remote() && (refused || error.is_go_away());
        }
        cause = error.source();
    }
    false
}

enum Sent {
    Response(Response<Coming>),
    /// Nothing of the request was written.
    Untouched(Box<Request<RequestBody>>),
    Failed(UpstreamError),
    TimedOut,
}

async fn send(
    lease: &mut Lease,
    request: Request<RequestBody>,
    expectation: Option<&Rc<Expectation>>,
    account: &Rc<Account>,
) -> Sent {
    match lease.sender() {
        Sender::Http1(connection) => {
            if let Err(request) = connection.start(request, expectation) {
                return Sent::Untouched(request);
            }
            poll_fn(|context| match connection.poll_head(context) {
                Poll::Ready(Ok(response)) => {
                    let has_length = connection.size_hint().exact().is_some();
                    Poll::Ready(Sent::Response(response.map(|()| Coming::Http1 { has_length })))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Sent::Failed(error)),
                Poll::Pending => account.timer().poll(context).map(|()| Sent::TimedOut),
            })
            .await
        }
        // Boxed: requests over HTTP/1.1 are not to carry the space.
        Sender::Http2(connection) => {
            Box::pin(wait(connection.sender.try_send_request(request), account)).await
        }
    }
}

async fn wait(
    response: impl Future<
        Output = Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<RequestBody>>>,
    >,
    account: &Rc<Account>,
) -> Sent {
    let mut response = std::pin::pin!(response);
    poll_fn(|context| match response.as_mut().poll(context) {
        Poll::Ready(Ok(response)) => Poll::Ready(Sent::Response(response.map(Coming::Http2))),
        Poll::Ready(Err(mut error)) => Poll::Ready(match error.take_message() {
            Some(request) => Sent::Untouched(Box::new(request)),
            None => Sent::Failed(error.into_error().into()),
        }),
        Poll::Pending => account.timer().poll(context).map(|()| Sent::TimedOut),
    })
    .await
}

/// A response's head with all that belongs to it.
struct Answer {
    response: Response<Coming>,
    lease: Lease,
    account: Rc<Account>,
    wish: Option<HeaderValue>,
    expectation: Option<Rc<Expectation>>,
}

fn accept(target: &Target, answer: Answer) -> Result<Response<ResponseBody>, ForwardError> {
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
    prepare_response(&mut response);
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
