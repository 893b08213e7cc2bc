//! A small sample content API for `onrecord demo` and `onrecord sample`: in memory,
//! nothing to install.
//!
//! It answers enough of the Contentful-like management routes that the preset
//! catalogue names, and marks every response with `X-Sample: onrecord-demo`.
//! Entries have versions, writers conflict, bad bodies are refused; one route is
//! slow (`…/references`) and one body is big (`…/assets`).

use super::{SampleArgs, print_error};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// How long the slow route takes.
pub const SLOW: Duration = Duration::from_millis(300);
/// Size of the big body, in bytes, before its frame of JSON.
pub const BIG: usize = 2 * 1024 * 1024;
/// Entries that one environment holds at most.
const MOST_ENTRIES: usize = 10_000;
/// Paths whose cache status is remembered at most.
const MOST_PATHS: usize = 10_000;

const ENVIRONMENT: &str = "/spaces/{space}/environments/{environment}";

/// Serves the sample alone until SIGTERM or SIGINT.
pub(super) fn run(args: &SampleArgs) -> ExitCode {
    let serve = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (mut terminate, mut interrupt) =
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let listener = TcpListener::bind(args.listen).await?;
            println!("the sample API listens on http://{}", listener.local_addr()?);
            let stop = async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            // Kept-alive connections must not hold up the end of a sample.
            tokio::select! {
                served = axum::serve(listener, router()) => served,
                () = stop => Ok(()),
            }
        })
    };
    serve().map_or_else(
        |error: std::io::Error| {
            print_error(&error);
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Serves the sample until `shutdown` is ready; open requests may end.
///
/// # Errors
/// What the listener says, if it can't go on.
pub async fn serve(
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router()).with_graceful_shutdown(shutdown).await
}

/// The sample's routes, with an empty memory.
fn router() -> Router {
    let memory = Memory::default();
    let in_environment = |path: &str| format!("{ENVIRONMENT}{path}");
    Router::new()
        .route("/users/me", get(me))
        .route("/spaces/{space}", get(space))
        .route(&in_environment("/content_types"), get(content_types))
        .route(&in_environment("/assets"), get(assets))
        .route(&in_environment("/entries"), get(list).post(create))
        .route(&in_environment("/entries/{entry}"), get(read).put(write).delete(remove))
        .route(&in_environment("/entries/{entry}/published"), put(publish).delete(unpublish))
        .route(&in_environment("/entries/{entry}/references"), get(references))
        .fallback(|| async { Refusal::NotFound })
        .method_not_allowed_fallback(|| async { Refusal::NotFound })
        .layer(middleware::from_fn_with_state(memory.clone(), label))
        // Not of the API that it plays: for `onrecord health`.
        .route("/readyz", get(|| async { "ready\n" }))
        .with_state(memory)
}

type Place = (String, String);

/// Entries by space and environment, then by id.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Shelves>>);

#[derive(Default)]
struct Shelves {
    entries: BTreeMap<Place, BTreeMap<String, Entry>>,
    /// Paths that were read: their next answer is a cache hit.
    read: HashSet<String>,
}

#[derive(Clone)]
struct Entry {
    version: u64,
    published: Option<u64>,
    fields: Value,
}

/// What the sample refuses, in the words of the API that it plays.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    NoToken,
    NotFound,
    Conflict,
    Invalid,
    Full,
}

impl Memory {
    fn open(&self) -> MutexGuard<'_, Shelves> {
        // A sample's memory is as good after a panic as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, id) = match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "AccessTokenInvalid"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NotFound"),
            Self::Conflict => (StatusCode::CONFLICT, "VersionMismatch"),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "ValidationFailed"),
            Self::Full => (StatusCode::TOO_MANY_REQUESTS, "RateLimitExceeded"),
        };
        let sample = "sample API of onrecord demo";
        (status, Json(json!({"sys": {"type": "Error", "id": id}, "message": sample}))).into_response()
    }
}

/// Around every route: asks for a token, marks the response, plays a cache.
async fn label(State(memory): State<Memory>, request: Request, next: Next) -> Response {
    let cacheable = request.method() == Method::GET;
    let path = request.uri().path().to_owned();
    let mut response = if request.headers().contains_key(header::AUTHORIZATION) {
        next.run(request).await
    } else {
        Refusal::NoToken.into_response()
    };
    let success = response.status().is_success();
    let headers = response.headers_mut();
    headers.insert("x-sample", HeaderValue::from_static("onrecord-demo"));
    let id = Uuid::now_v7().to_string();
    headers.insert("x-contentful-request-id", HeaderValue::try_from(id).expect("a UUID is plain ASCII"));
    let mut shelves = memory.open();
    if cacheable && success {
        let hit = shelves.read.contains(&path);
        headers.insert("x-cache", HeaderValue::from_static(if hit { "HIT" } else { "MISS" }));
        if shelves.read.len() < MOST_PATHS {
            shelves.read.insert(path);
        }
    } else if success {
        shelves.read.clear();
    }
    response
}

async fn me() -> Json<Value> {
    Json(json!({
        "sys": {"type": "User", "id": "sample-user"},
        "firstName": "Sample", "lastName": "User", "email": "sample@example.com"
    }))
}

async fn space(Path(space): Path<String>) -> Json<Value> {
    Json(json!({"sys": {"type": "Space", "id": space, "version": 1}, "name": "Sample space"}))
}

async fn content_types(Path((space, _)): Path<Place>) -> Json<Value> {
    let article = json!({"sys": {"type": "ContentType", "id": "article", "space": space}, "name": "Article"});
    Json(json!({"sys": {"type": "Array"}, "total": 1, "items": [article]}))
}

/// A big body, in pieces.
async fn assets() -> Response {
    const PIECE: &[u8] = &[b'x'; 16 * 1024];
    let begin =
        std::iter::once(Bytes::from_static(b"{\"sys\":{\"type\":\"Array\"},\"items\":[],\"padding\":\""));
    let middle = std::iter::repeat_n(Bytes::from_static(PIECE), BIG / PIECE.len());
    let pieces = begin.chain(middle).chain(std::iter::once(Bytes::from_static(b"\"}")));
    let stream = futures_util::stream::iter(pieces.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(stream)).into_response()
}

async fn list(State(memory): State<Memory>, Path(place): Path<Place>) -> Json<Value> {
    let shelves = memory.open();
    let entries = shelves.entries.get(&place);
    let items: Vec<Value> =
        entries.into_iter().flatten().take(100).map(|(id, entry)| shown(&place, id, entry)).collect();
    Json(json!({"sys": {"type": "Array"}, "total": entries.map_or(0, BTreeMap::len), "items": items}))
}

async fn create(
    State(memory): State<Memory>,
    Path(place): Path<Place>,
    body: Bytes,
) -> Result<Response, Refusal> {
    store(&memory, place, Uuid::now_v7().simple().to_string(), None, &body)
}

async fn read(
    State(memory): State<Memory>,
    Path(path): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    with_entry(&memory, path, |_| Ok(()))
}

async fn write(
    State(memory): State<Memory>,
    Path((space, environment, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let version = headers.get("x-contentful-version");
    let version = version.and_then(|version| version.to_str().ok()?.parse().ok());
    store(&memory, (space, environment), id, version, &body)
}

async fn remove(
    State(memory): State<Memory>,
    Path((space, environment, id)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    let mut shelves = memory.open();
    let shelf = shelves.entries.get_mut(&(space, environment)).ok_or(Refusal::NotFound)?;
    shelf.remove(&id).map(|_| StatusCode::NO_CONTENT).ok_or(Refusal::NotFound)
}

async fn publish(
    State(memory): State<Memory>,
    Path(path): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    with_entry(&memory, path, |entry| {
        entry.published = Some(entry.version);
        entry.version += 1;
        Ok(())
    })
}

async fn unpublish(
    State(memory): State<Memory>,
    Path(path): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    with_entry(&memory, path, |entry| {
        entry.published.take().ok_or(Refusal::Conflict)?;
        entry.version += 1;
        Ok(())
    })
}

async fn references(
    State(memory): State<Memory>,
    Path(path): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    tokio::time::sleep(SLOW).await;
    with_entry(&memory, path, |_| Ok(()))
}

/// Creates an entry, or writes the next version of one if the writer knows the last.
fn store(
    memory: &Memory,
    place: Place,
    id: String,
    version: Option<u64>,
    body: &[u8],
) -> Result<Response, Refusal> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::Invalid)?;
    let fields = body.get("fields").filter(|fields| fields.is_object()).ok_or(Refusal::Invalid)?.clone();
    let mut shelves = memory.open();
    let shelf = shelves.entries.entry(place.clone()).or_default();
    let full = shelf.len() >= MOST_ENTRIES;
    let (status, entry) = match shelf.get_mut(&id) {
        Some(entry) if version != Some(entry.version) => return Err(Refusal::Conflict),
        Some(entry) => {
            entry.version += 1;
            entry.fields = fields;
            (StatusCode::OK, &*entry)
        }
        None if full => return Err(Refusal::Full),
        None => {
            let entry = Entry { version: 1, published: None, fields };
            (StatusCode::CREATED, &*shelf.entry(id.clone()).or_insert(entry))
        }
    };
    Ok((status, Json(shown(&place, &id, entry))).into_response())
}

/// Does something to an entry and shows it.
fn with_entry(
    memory: &Memory,
    (space, environment, id): (String, String, String),
    act: impl FnOnce(&mut Entry) -> Result<(), Refusal>,
) -> Result<Response, Refusal> {
    let place = (space, environment);
    let mut shelves = memory.open();
    let entry =
        shelves.entries.get_mut(&place).and_then(|shelf| shelf.get_mut(&id)).ok_or(Refusal::NotFound)?;
    act(entry)?;
    Ok(Json(shown(&place, &id, entry)).into_response())
}

fn shown((space, environment): &Place, id: &str, entry: &Entry) -> Value {
    let mut sys = json!({
        "type": "Entry", "id": id, "version": entry.version, "space": space, "environment": environment
    });
    if let Some(published) = entry.published {
        sys["publishedVersion"] = published.into();
    }
    json!({"sys": sys, "fields": entry.fields})
}
