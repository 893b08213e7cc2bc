//! Calls over connections that are kept.

use super::connect::{Hop, Target, connect};
use super::fair::Fair;
use super::{CallError, Route, trust};
use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A request's body.
pub type Outgoing = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A connection that was idle for longer may be closed already at the other end.
const IDLE: Duration = Duration::from_secs(15);
/// So many connections are kept.
const KEPT: usize = 64;

/// A body of these bytes.
pub fn bytes(bytes: impl Into<Bytes>) -> Outgoing {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Calls hosts by one route. Clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    route: Route,
    tls: Arc<ClientConfig>,
    proxies: Matcher,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    target: Target,
    line: Line,
    since: Instant,
}

/// A connection. Dropped while an answer is awaited, it closes at once; else when what is
/// under way has been read or dropped.
struct Line {
    sender: SendRequest<Outgoing>,
    task: JoinHandle<()>,
    awaits: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.awaits {
            self.task.abort();
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("route", &self.0.route).finish_non_exhaustive()
    }
}

impl Client {
    /// A client by this route, with trust and proxies of the environment as they are now.
    ///
    /// # Errors
    /// [`CallError::Trust`], when the file of authorities can't be used.
    pub fn new(route: &Route) -> Result<Self, CallError> {
        let tls = trust::trust(route.ca.as_deref()).map_err(CallError::Trust)?;
        let (route, proxies, kept) = (route.clone(), Matcher::from_env(), Mutex::default());
        Ok(Self(Arc::new(Shared { route, tls, proxies, kept })))
    }

    /// Sends a request with an absolute URI and waits for the head of the answer. There is
    /// no deadline here but for connecting; what is dropped closes its connection.
    ///
    /// # Errors
    /// [`CallError`], when there is no answer.
    pub async fn call(&self, request: Request<Outgoing>) -> Result<Response<Incoming>, CallError> {
        let shared = &self.0;
        let uri = request.uri().clone();
        let target = Target::of(&uri)?;
        let hop = Hop::to(&target, &uri, &shared.route, &shared.proxies)?;
        let forwarded = hop.as_ref().filter(|hop| hop.forwards(&target));
        let mut request = prepared(request, &uri, forwarded)?;
        // An idle connection may not take it any more; then it comes back untouched.
        while let Some(mut line) = self.idle(&target) {
            line.awaits = true;
            match line.sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(target, line);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(untouched) => request = untouched,
                    None => return Err(broken(&target, error.into_error())),
                },
            }
        }
        let stream = connect(&target, hop.as_ref(), &shared.route, &shared.tls).await?;
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_headers(100)
            .handshake(TokioIo::new(Fair::new(stream)))
            .await
            .map_err(|source| broken(&target, source))?;
        let task = tokio::spawn(async move {
            // How the connection ends shows in the answer.
            let _ = connection.await;
        });
        let mut line = Line { sender, task, awaits: true };
        let response = line.sender.send_request(request).await.map_err(|source| broken(&target, source))?;
        self.keep(target, line);
        Ok(response)
    }

    fn idle(&self, target: &Target) -> Option<Line> {
        let mut kept = self.lock();
        kept.retain(|kept| {
            !kept.line.sender.is_closed() && (kept.since.elapsed() < IDLE || !kept.line.sender.is_ready())
        });
        let at = kept.iter().position(|kept| kept.target == *target && kept.line.sender.is_ready())?;
        Some(kept.swap_remove(at).line)
    }

    /// Keeps a connection whose answer may still be under way.
    fn keep(&self, target: Target, mut line: Line) {
        line.awaits = false;
        let mut kept = self.lock();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Kept { target, line, since: Instant::now() });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request as it is written: with `Host`, and a target that fits who reads it.
fn prepared(
    request: Request<Outgoing>,
    uri: &Uri,
    forwarded: Option<&Hop>,
) -> Result<Request<Outgoing>, CallError> {
    let (mut parts, body) = request.into_parts();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let wrong = || CallError::Address(authority.to_owned());
    if !parts.headers.contains_key(HOST) {
        parts.headers.insert(HOST, HeaderValue::try_from(authority).map_err(|_| wrong())?);
    }
    match forwarded {
        Some(hop) => {
            if let Some(login) = hop.header() {
                parts.headers.insert(PROXY_AUTHORIZATION, login);
            }
        }
        None => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            parts.uri = path.parse().map_err(|_| wrong())?;
        }
    }
    Ok(Request::from_parts(parts, body))
}

fn broken(target: &Target, source: hyper::Error) -> CallError {
    CallError::Broken { host: target.authority(), source }
}
