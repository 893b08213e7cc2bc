//! Access tokens: had once, used until shortly before they run out.

use super::destination::{Cause, PutError};
use super::rest::{Answer, Rest, words};
use crate::clock::Clock;
use crate::egress::{self, Outgoing};
use crate::secret::Secret;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Mutex;

/// A token service answers within this.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So long before its end a token is not used any more, in microseconds.
const MARGIN: u64 = 300 * 1_000_000;

/// A bearer token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    value: Secret,
    /// Unix microseconds.
    until: u64,
}

/// A token that is kept. Those who want it at once wait for the one that asks.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Token>>);

impl Kept {
    /// The token, or a new one by `ask`.
    pub(super) async fn get(
        &self,
        clock: &Clock,
        ask: impl Future<Output = Result<Token, PutError>>,
    ) -> Result<Token, PutError> {
        let mut kept = self.0.lock().await;
        if let Some(token) = &*kept
            && token.until > clock.unix_microseconds().saturating_add(MARGIN)
        {
            return Ok(token.clone());
        }
        Ok(kept.insert(ask.await?).clone())
    }

    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

impl Token {
    /// As the value of `Authorization`, which nothing shows.
    pub(super) fn header(&self) -> Result<HeaderValue, PutError> {
        let value = [b"Bearer ", self.value.expose()].concat();
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            PutError::new(Cause::Credentials, "the token service gave a token that cannot be sent")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// How long a token holds, in the forms that services have.
#[derive(Deserialize)]
struct Granted {
    #[serde(alias = "accessToken")]
    access_token: String,
    #[serde(default)]
    expires_in: serde_json::Value,
    /// RFC 3339, of Google's impersonation.
    #[serde(default, rename = "expireTime")]
    expire_time: Option<String>,
}

#[derive(Default, Deserialize)]
struct Denied {
    #[serde(default)]
    error: serde_json::Value,
    #[serde(default)]
    error_description: String,
}

/// Asks a token service.
///
/// # Errors
/// Its refusal: a matter of credentials, unless it says something else.
pub(super) async fn ask(rest: &Rest, request: Request<Outgoing>, clock: &Clock) -> Result<Token, PutError> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let asked = clock.unix_microseconds();
    let named =
        |error: PutError| PutError { words: words(&format!("token from {host}: {}", error.words)), ..error };
    let answer = rest.send(request, TIMEOUT).await.map_err(named)?;
    if answer.status != 200 {
        return Err(named(refused(&answer)));
    }
    let granted: Result<Granted, _> = serde_json::from_slice(&answer.body);
    let Ok(granted) = granted else {
        // Not repeated: it may hold a token.
        return Err(named(PutError::new(Cause::ServerError, "status 200 with something that is no token")));
    };
    let seconds = match &granted.expires_in {
        serde_json::Value::String(text) => text.parse().unwrap_or(0),
        value => value.as_u64().unwrap_or(0),
    };
    let at = granted.expire_time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let until = match at.and_then(|at| u64::try_from(at.as_microsecond()).ok()) {
        Some(at) => at,
        None => asked.saturating_add(seconds.saturating_mul(1_000_000)),
    };
    Ok(Token { value: Secret::new(granted.access_token.into_bytes()), until })
}

fn refused(answer: &Answer) -> PutError {
    let denied: Denied = serde_json::from_slice(&answer.body).unwrap_or_default();
    let (code, message) = match &denied.error {
        serde_json::Value::String(code) => (code.clone(), denied.error_description),
        // Google's other services put an object there.
        value => {
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            (text("status"), text("message"))
        }
    };
    let all = format!("{code} {message}").to_ascii_lowercase();
    let speaks = |parts: &[&str]| parts.iter().any(|part| all.contains(part));
    let cause = match answer.status {
        // Entra ID: AADSTS700024 an assertion out of its time, AADSTS7000222 a secret that ran out.
        _ if speaks(&["short-lived token", "aadsts700024", "not within its valid time range"]) => {
            Cause::ClockSkew
        }
        _ if speaks(&["expired", "aadsts7000222"]) => Cause::ExpiredToken,
        400 | 401 => Cause::Credentials,
        // The metadata service says so where no identity is given to the machine.
        404 => Cause::Credentials,
        _ => answer.cause(),
    };
    let words = answer.told(&code, &message, "answer of a token service");
    PutError { cause, words, advice: answer.advice() }
}

/// A POST of a form to a token service.
pub(super) fn form(url: &str, fields: &[(&str, &str)]) -> Result<Request<Outgoing>, PutError> {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let body = body.join("&");
    Request::post(url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(http::header::CONTENT_LENGTH, body.len())
        .body(egress::bytes(body))
        .map_err(|_| not_a_url(url))
}

/// A GET, with headers.
pub(super) fn get(url: &str, headers: &[(&str, &str)]) -> Result<Request<Outgoing>, PutError> {
    let mut request = Request::get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(egress::bytes("")).map_err(|_| not_a_url(url))
}

/// A POST of JSON, with a bearer token if there is one.
pub(super) fn json(
    url: &str,
    bearer: Option<&Token>,
    body: &serde_json::Value,
) -> Result<Request<Outgoing>, PutError> {
    let body = body.to_string();
    let mut request = Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(http::header::CONTENT_LENGTH, body.len());
    if let Some(token) = bearer {
        request = request.header(AUTHORIZATION, token.header()?);
    }
    request.body(egress::bytes(body)).map_err(|_| not_a_url(url))
}

fn not_a_url(url: &str) -> PutError {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    PutError::new(Cause::Credentials, words(&format!("`{url}` is no address of a token service")))
}
