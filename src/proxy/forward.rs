//! The innermost service: sends the request to the upstream and hands back its response.

use super::body::{RequestBody, ResponseBody, UpstreamBody, arm, is_past_deadline};
use super::error::ForwardError;
use super::headers::{ForwardedFields, prepare_request, prepare_response};
use super::options::{Limits, SourceOptions};
use super::pool::{Connection, Lease, Pool};
use crate::capture::{Account, Call};
use crate::metrics::LaneStats;
use crate::record::ErrorType;
use crate::timer::Timers;
use http::header::HeaderValue;
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// Where one source's requests go, on one worker.
#[derive(Debug)]
pub struct Target {
    pool: Rc<Pool>,
    limits: Rc<Limits>,
    host: Option<HeaderValue>,
    path_prefix: String,
}

impl Target {
    /// The target of this source.
    #[must_use]
    pub fn new(source: &SourceOptions, timers: &Rc<Timers>, stats: &Arc<LaneStats>) -> Self {
        let limits = Rc::new(source.limits.clone());
        let pool =
            Pool::new(source.upstream.clone(), Rc::clone(&limits), Rc::clone(timers), Arc::clone(stats));
        let authority = HeaderValue::from_str(&source.upstream.authority).ok();
        Self {
            pool,
            limits,
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
/// kept connection was already closed when it was to be written. Dropped, it closes the
/// upstream connection that it used.
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
    let trusted = source.trusts(peer.address.ip());
    let mut request = request.map(|body| RequestBody::new(body, &account, &target.limits));
    prepare_request(&mut request, fields, trusted, target.host.as_ref());
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_11;

    loop {
        let mut connection = match target.pool.take() {
            Some(connection) => connection,
            None => target.pool.connect().await?,
        };
        account.upstream_attempt(&connection.address);
        arm(&account, &target.limits, target.limits.response_timeout);
        let sent = Instant::now();
        match send(&mut connection, request, &account).await {
            Sent::Response(response) => {
                account.upstream_answered(sent.elapsed().as_micros() as u64);
                return accept(target, connection, response, account);
            }
            Sent::Untouched(again) if connection.reused => {
                account.upstream_untouched();
                target.pool.count_retry();
                request = *again;
            }
            Sent::Untouched(_) => {
                account.upstream_untouched();
                let source = std::io::ErrorKind::ConnectionReset.into();
                let authority = target.pool.upstream().authority.clone();
                return Err(ForwardError::Connect { authority, source });
            }
            Sent::Failed(error) => {
                return Err(match account.error() {
                    Some(error) => ForwardError::RequestBody(error),
                    None => ForwardError::Upstream(error),
                });
            }
            Sent::TimedOut if is_past_deadline(&account, &target.limits) => {
                return Err(ForwardError::Deadline);
            }
            Sent::TimedOut if account.is_waiting_for_client() => {
                account.fail(ErrorType::ClientTimeout);
                return Err(ForwardError::RequestBody(ErrorType::ClientTimeout));
            }
            Sent::TimedOut => return Err(ForwardError::ResponseTimeout),
        }
    }
}

enum Sent {
    Response(Response<Incoming>),
    /// Nothing of the request was written.
    Untouched(Box<Request<RequestBody>>),
    Failed(hyper::Error),
    TimedOut,
}

async fn send(connection: &mut Connection, request: Request<RequestBody>, account: &Rc<Account>) -> Sent {
    let mut response = std::pin::pin!(connection.sender.try_send_request(request));
    poll_fn(|context| match response.as_mut().poll(context) {
        Poll::Ready(Ok(response)) => Poll::Ready(Sent::Response(response)),
        Poll::Ready(Err(mut error)) => Poll::Ready(match error.take_message() {
            Some(request) => Sent::Untouched(Box::new(request)),
            None => Sent::Failed(error.into_error()),
        }),
        Poll::Pending => account.timer().poll(context).map(|()| Sent::TimedOut),
    })
    .await
}

fn accept(
    target: &Target,
    connection: Connection,
    mut response: Response<Incoming>,
    account: Rc<Account>,
) -> Result<Response<ResponseBody>, ForwardError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ForwardError::Switched);
    }
    prepare_response(&mut response);
    let lease = Lease::new(Rc::clone(&target.pool), connection);
    let limits = Rc::clone(&target.limits);
    Ok(response.map(|body| ResponseBody::Upstream(UpstreamBody::new(body, lease, account, limits))))
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
