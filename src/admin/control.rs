//! The control API: what can be seen of destinations, and what can be done to them.

use super::access::Caller;
use super::{BoxFuture, Shared};
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What can be done to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Write a probe object now, and say what came of it.
    Probe,
    /// Try again at once, without waiting for the back-off to end.
    Retry,
    /// Deliver nothing more until it is resumed; a restart does not change that.
    Pause,
    /// Go on.
    Resume,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 4] = [Self::Probe, Self::Retry, Self::Pause, Self::Resume];

    /// Its word in paths and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Retry => "retry",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// Which part of a history is asked for: the newest entries, or those before a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Entries before the one of this number; `None`: the newest.
    pub before: Option<u64>,
    /// At most so many, 1 to [`PageRequest::MOST`].
    pub limit: usize,
}

impl PageRequest {
    /// The most entries of one page.
    pub const MOST: usize = 1000;
}

/// Why an act was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActError {
    /// There is no such destination.
    NoSuchDestination,
    /// It can't be done now; a sentence.
    NotNow(String),
    /// It failed; a sentence.
    Failed(String),
}

/// What the control API acts on, told by whoever composes the gateway.
pub trait Control: Send + Sync + 'static {
    /// Every destination as JSON, in the order of the configuration.
    fn destinations(&self) -> Vec<Value>;

    /// A page of a destination's history, newest first: `{entries, next}`. `None`: there is no
    /// such destination.
    fn history(&self, name: &str, page: PageRequest) -> Option<Result<Value, String>>;

    /// Does it, puts it on the gateway's own record with who did it, and says what came of it.
    fn act<'a>(&'a self, name: &'a str, act: Act, by: &'a Caller) -> BoxFuture<'a, Result<Value, ActError>>;

    /// An address is not listened to for a while, since it showed wrong tokens.
    fn guessing(&self, address: std::net::IpAddr, wait: std::time::Duration);
}

/// An error as JSON, in one sentence.
pub(super) fn problem(status: StatusCode, sentence: &str) -> Response {
    #[derive(Serialize)]
    struct Problem<'a> {
        error: &'a str,
    }
    fresh((status, axum::Json(Problem { error: sentence })).into_response())
}

/// Says that nobody may keep this answer.
fn fresh(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unknown(name: &str) -> Response {
    problem(StatusCode::NOT_FOUND, &format!("there is no destination {name}"))
}

pub(super) async fn list(State(shared): State<Shared>) -> Response {
    // It may wait some milliseconds for the recorder.
    match tokio::task::spawn_blocking(move || shared.control.destinations()).await {
        Ok(destinations) => fresh(axum::Json(json!({ "destinations": destinations })).into_response()),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) async fn show(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let found = tokio::task::spawn_blocking({
        let name = name.clone();
        move || shared.control.destinations().into_iter().find(|destination| destination["name"] == name)
    });
    match found.await {
        Ok(Some(destination)) => fresh(axum::Json(destination).into_response()),
        Ok(None) => unknown(&name),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The query of a page: `before` is the `next` of the page before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    before: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn history(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    query: Result<Query<HistoryQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        return problem(StatusCode::BAD_REQUEST, "the query can have before and limit, both numbers");
    };
    let limit = query.limit.unwrap_or(100);
    if limit == 0 || limit > PageRequest::MOST {
        return problem(StatusCode::BAD_REQUEST, "limit must be from 1 to 1000");
    }
    let page = PageRequest { before: query.before, limit };
    let read = tokio::task::spawn_blocking({
        let name = name.clone();
        move || shared.control.history(&name, page)
    });
    match read.await {
        Ok(Some(Ok(page))) => fresh(axum::Json(page).into_response()),
        Ok(Some(Err(why))) => problem(StatusCode::INTERNAL_SERVER_ERROR, &why),
        Ok(None) => unknown(&name),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) async fn act(
    State(shared): State<Shared>,
    Path((name, act)): Path<(String, String)>,
    Extension(by): Extension<Caller>,
) -> Response {
    let Some(act) = Act::ALL.into_iter().find(|known| known.as_str() == act) else {
        return problem(StatusCode::NOT_FOUND, "known acts are probe, retry, pause and resume");
    };
    // In a task of its own: a client that leaves does not leave half an act behind.
    let acted = tokio::spawn({
        let name = name.clone();
        async move { shared.control.act(&name, act, &by).await }
    });
    match acted.await {
        Ok(Ok(value)) => fresh(axum::Json(value).into_response()),
        Ok(Err(ActError::NoSuchDestination)) => unknown(&name),
        Ok(Err(ActError::NotNow(why))) => problem(StatusCode::CONFLICT, &why),
        Ok(Err(ActError::Failed(why))) => problem(StatusCode::INTERNAL_SERVER_ERROR, &why),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
