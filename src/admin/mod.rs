//! The admin listener: metrics, health and status, on a runtime of its own so that a busy
//! front never hides them.

use crate::metrics::Families;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;

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

#[derive(Clone)]
struct Shared {
    view: Arc<dyn View>,
    metrics: Families,
}

/// Serves until `shutdown` is ready.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    view: Arc<dyn View>,
    metrics: Families,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status))
        .route("/api/v1/keys", get(keys))
        .with_state(Shared { view, metrics });
    axum::serve(listener, routes).with_graceful_shutdown(shutdown).await
}

async fn index() -> &'static str {
    "Onrecord admin listener\n\n\
     /metrics         Prometheus metrics\n\
     /healthz         200 while the process lives\n\
     /readyz          200 when it takes requests and records them, else 503 with the reasons\n\
     /api/v1/status   sources, lanes, spool and destinations as JSON\n\
     /api/v1/keys     the public keys that manifests are checked with\n"
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

async fn readyz(State(shared): State<Shared>) -> Response {
    let reasons = shared.view.not_ready();
    let ready = reasons.is_empty();
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
