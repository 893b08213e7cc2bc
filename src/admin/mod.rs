//! The admin listener: metrics, health, status and control, on a runtime of its own so that a
//! busy front never hides them.
//!
//! Whether it is well (`/healthz`, `/readyz`) is told to everybody, for the probes of
//! machines. All else asks for a token with a role ([`Access`]) as soon as tokens are
//! configured; without tokens the listener is on loopback, everybody there may look, and
//! nobody may act.

mod access;
mod brake;
mod control;
mod listener;

pub use access::{Access, Caller, Refusal, Role, TOKEN_PREFIX, Token, make_token};
pub use control::{Act, ActError, Control, PageRequest};

use crate::metrics::Families;
use crate::server::Tls;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use control::problem;
use listener::Peer;
use serde::Serialize;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A future behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the admin listener shows, told by whoever composes the gateway.
pub trait View: Send + Sync + 'static {
    /// The whole status as JSON.
    fn status(&self) -> serde_json::Value;

    /// The public keys that manifests are checked with, as JSON.
    fn keys(&self) -> serde_json::Value;

    /// Why the gateway is not ready, each reason in one sentence; empty when it is.
    fn not_ready(&self) -> Vec<String>;

    /// Brings gauges up to date before they are scraped.
    fn refresh_metrics(&self);
}

/// What the admin listener serves.
#[derive(Clone)]
pub struct Parts {
    /// What is shown.
    pub view: Arc<dyn View>,
    /// What is acted on.
    pub control: Arc<dyn Control>,
    /// Who may.
    pub access: Arc<Access>,
    /// Numbers for Prometheus.
    pub metrics: Families,
}

type Shared = Parts;

/// Serves until `shutdown` is ready.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    parts: Parts,
    shutdown: impl Future<Output = ()>,
) {
    listener::serve(listener, tls, routes(parts), shutdown).await;
}

fn routes(shared: Shared) -> Router {
    let needs = |role: Role| {
        let shared = shared.clone();
        middleware::from_fn(move |request: Request, next: Next| {
            let shared = shared.clone();
            async move { admit(&shared, role, request, next).await }
        })
    };
    let viewer = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/api/v1/status", get(status))
        .route("/api/v1/keys", get(keys))
        .route("/api/v1/destinations", get(control::list))
        .route("/api/v1/destinations/{name}", get(control::show))
        .route_layer(needs(Role::Viewer));
    let auditor = Router::new()
        .route("/api/v1/destinations/{name}/history", get(control::history))
        .route_layer(needs(Role::Auditor));
    let operator = Router::new()
        .route("/api/v1/destinations/{name}/{act}", post(control::act))
        .route_layer(needs(Role::Operator));
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(viewer)
        .merge(auditor)
        .merge(operator)
        .with_state(shared)
}

/// Lets a request through whose caller has this role.
async fn admit(shared: &Shared, role: Role, mut request: Request, next: Next) -> Response {
    match judge(shared, role, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refused(refusal),
    }
}

/// Who asks. Guessing is told to whoever keeps the record.
fn judge(shared: &Shared, role: Role, request: &Request) -> Result<Caller, Refusal> {
    let address = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let shown = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let judged = shared.access.judge(address, shown, role);
    if let Err(Refusal::Unknown { wait }) = judged
        && !wait.is_zero()
    {
        shared.control.guessing(address, wait);
    }
    judged
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Unknown { .. } => {
            let mut response = problem(
                StatusCode::UNAUTHORIZED,
                "show a token that is configured: Authorization: Bearer TOKEN",
            );
            let realm = HeaderValue::from_static("Bearer realm=\"onrecord\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
            response
        }
        Refusal::Braked(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let mut response =
                problem(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens came from your address");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        Refusal::Role(role) => {
            problem(StatusCode::FORBIDDEN, &format!("this needs a token with the role {}", role.as_str()))
        }
        Refusal::Closed => problem(
            StatusCode::FORBIDDEN,
            "no tokens are configured, so nobody may change anything: make one with `onrecord token`",
        ),
    }
}

async fn index() -> &'static str {
    "Onrecord admin listener\n\n\
     /metrics                             Prometheus metrics\n\
     /healthz                             200 while the process lives\n\
     /readyz                              200 when it takes requests and records them, else 503 with the reasons\n\
     /api/v1/status                       sources, lanes, spool and destinations as JSON\n\
     /api/v1/keys                         the public keys that manifests are checked with\n\
     /api/v1/destinations                 every destination; one: /api/v1/destinations/NAME\n\
     /api/v1/destinations/NAME/history    what became of it\n\
     POST /api/v1/destinations/NAME/ACT   probe, retry, pause or resume it\n"
}

async fn keys(State(shared): State<Shared>) -> Response {
    axum::Json(shared.view.keys()).into_response()
}

async fn metrics_text(State(shared): State<Shared>) -> Response {
    shared.view.refresh_metrics();
    match shared.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

async fn readyz(State(shared): State<Shared>, request: Request) -> Response {
    let mut reasons = shared.view.not_ready();
    let ready = reasons.is_empty();
    // Whether it is ready is told to everybody; why not is for those who may look.
    if judge(&shared, Role::Viewer, &request).is_err() {
        reasons.clear();
    }
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(Readiness { ready, reasons })).into_response()
}

async fn status(State(shared): State<Shared>) -> Response {
    // It may wait some milliseconds for the recorder.
    match tokio::task::spawn_blocking(move || shared.view.status()).await {
        Ok(status) => axum::Json(status).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
