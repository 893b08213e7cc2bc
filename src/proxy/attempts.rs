//! Requests for which no connection is ready: those that need a new one, more than one attempt,
//! HTTP/2, another protocol, or the upstream's word before their body is sent.

use super::body::{Coming, RequestBody, ResponseBody, arm};
use super::error::ForwardError;
use super::expect::{Expectation, Held};
use super::forward::{Answer, Prepared, Sent, Target, accept, address, broken, late, poll_http1};
use super::upstream::{Lease, Sender, UpstreamError};
use crate::capture::Account;
use http::{Request, Response};
use hyper::body::Incoming;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

/// Attempts of a request that HTTP/2 upstreams refuse unprocessed.
const MOST_REFUSALS: u32 = 3;

/// Sends the request until an upstream takes it. `ready`: the connection for the first attempt, if
/// there is one.
///
/// # Errors
/// [`ForwardError`]; what goes on record is also noted in the account.
pub(super) async fn run(
    prepared: Prepared,
    mut ready: Option<Lease>,
) -> Result<Response<ResponseBody>, ForwardError> {
    let Prepared { mut request, account, target, wish, expects } = prepared;
    let mut refusals = 0;
    let mut is_again = false;
    loop {
        let mut lease = match (&wish, ready.take()) {
            (Some(_), _) => target.pool.acquire_for_upgrade().await?,
            (None, Some(lease)) => lease,
            (None, None) => target.pool.acquire().await?,
        };
        address(&target, &lease, &mut request, is_again)?;
        is_again = true;
        let expectation = expects.then(|| hold_back(&target, &lease, &mut request)).flatten();
        let spare = if lease.is_http2() { spare(&request) } else { None };
        account.upstream_attempt(&lease.endpoint().address, lease.reached());
        arm(&account, &target.limits, target.limits.response_timeout);
        let sent = Instant::now();
        let came = match send(&mut lease, request, expectation.as_ref(), &account).await {
            Ok(came) => came,
            Err(again) => {
                account.upstream_untouched();
                if lease.is_reused() {
                    target.pool.count_retry();
                    request = *again;
                    continue;
                }
                lease.failed();
                let source = std::io::ErrorKind::ConnectionReset.into();
                let authority = lease.endpoint().address.to_string();
                return Err(ForwardError::Connect { authority, source });
            }
        };
        match came {
            Sent::Response(response) => {
                account.upstream_answered(sent.elapsed().as_micros() as u64);
                return accept(&target, Answer { response, lease, account, wish, expectation });
            }
            Sent::Failed(error) => {
                if account.error().is_none()
                    && is_refusal(&error)
                    && refusals < MOST_REFUSALS
                    && let Some(spare) = spare
                {
                    refusals += 1;
                    account.upstream_untouched();
                    target.pool.count_retry();
                    request = spare;
                    continue;
                }
                return Err(broken(&lease, &account, error));
            }
            Sent::TimedOut => return Err(late(&target, &lease, &account)),
        }
    }
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

/// Sends the request over this connection.
///
/// # Errors
/// The request as it was, if nothing of it was written.
async fn send(
    lease: &mut Lease,
    request: Request<RequestBody>,
    expectation: Option<&Rc<Expectation>>,
    account: &Rc<Account>,
) -> Result<Sent, Box<Request<RequestBody>>> {
    match lease.sender() {
        Sender::Http1(connection) => {
            connection.start(request, expectation)?;
            Ok(poll_fn(|context| poll_http1(connection, account, context)).await)
        }
        Sender::Http2(connection) => wait(connection.sender.try_send_request(request), account).await,
    }
}

async fn wait(
    response: impl Future<
        Output = Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<RequestBody>>>,
    >,
    account: &Rc<Account>,
) -> Result<Sent, Box<Request<RequestBody>>> {
    let mut response = std::pin::pin!(response);
    poll_fn(|context| match response.as_mut().poll(context) {
        Poll::Ready(Ok(response)) => Poll::Ready(Ok(Sent::Response(response.map(Coming::Http2)))),
        Poll::Ready(Err(mut error)) => Poll::Ready(match error.take_message() {
            Some(request) => Err(Box::new(request)),
            None => Ok(Sent::Failed(error.into_error().into())),
        }),
        Poll::Pending => account.timer().poll(context).map(|()| Ok(Sent::TimedOut)),
    })
    .await
}
