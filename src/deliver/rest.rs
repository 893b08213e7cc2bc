//! What stores with a REST interface of their own share: one bounded exchange, and words
//! that may be shown.

use super::destination::{Advice, Cause, ObjectKind, PutError};
use super::token::Kept;
use crate::egress::{CallError, Client, Outgoing, Route};
use crate::error_chain::Chain;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Limited};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A store's words are cut off after so many characters.
pub(super) const MOST_WORDS: usize = 400;
/// An answer has at most this many bytes; real ones have a few hundred.
const MOST_BYTES: usize = 64 * 1024;
/// A link that is slower than this many bytes a second is taken for broken.
const SLOWEST: u64 = 256 * 1024;

/// A way to a store. The client is made at the first call, and anew after [`Rest::forget`].
pub(super) struct Rest {
    route: Route,
    client: Mutex<Option<Client>>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
    }

    /// When to try again, as far as the answer says so.
    pub(super) fn advice(&self) -> Advice {
        let after = self.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
        after.map_or(Advice::BackOff, |seconds| Advice::After(Duration::from_secs(seconds)))
    }

    /// The cause that a status alone tells.
    pub(super) fn cause(&self) -> Cause {
        match self.status {
            // Something on the way sends elsewhere.
            300..=399 | 407 | 408 => Cause::Network,
            401 => Cause::Credentials,
            403 => Cause::Permission,
            404 => Cause::NotFound,
            405 | 413 => Cause::Policy,
            429 | 503 => Cause::Throttled,
            501 => Cause::IgnoresConditions,
            507 => Cause::Quota,
            _ => Cause::ServerError,
        }
    }

    /// The store's words, or what can be said without repeating a page that might hold anything.
    pub(super) fn told(&self, code: &str, message: &str, kind: &str) -> String {
        let status = self.status;
        let mut out = match (code, message) {
            ("", "") if self.body.trim_ascii().is_empty() => format!("status {status} without a word"),
            ("", "") => match element(&self.body, "title") {
                Some(title) => format!("status {status} with a page titled `{title}`"),
                None => format!("status {status} with {} bytes that are no {kind}", self.body.len()),
            },
            ("", message) => format!("status {status}: {message}"),
            (code, "") => format!("{code} (status {status})"),
            (code, message) => format!("{code}: {message}"),
        };
        if let (300..400, Some(location)) = (status, self.header("location")) {
            // Without its query, which may be signed.
            let location = location.split(['?', '#']).next().unwrap_or_default();
            out.push_str(&format!(" (redirects to {location})"));
        }
        words(&out)
    }
}

impl Rest {
    pub(super) fn new(route: &Route) -> Self {
        Self { route: route.clone(), client: Mutex::default() }
    }

    /// One exchange, over within this long.
    pub(super) async fn send(&self, request: Request<Outgoing>, limit: Duration) -> Result<Answer, PutError> {
        let client = self.client()?;
        let exchange = async {
            let response = client.call(request).await.map_err(|error| unanswered(&error))?;
            let (parts, body) = response.into_parts();
            let status = parts.status.as_u16();
            let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|error| {
                let (cause, why) = if error.is::<http_body_util::LengthLimitError>() {
                    (Cause::ServerError, format!("an answer of more than {MOST_BYTES} bytes"))
                } else {
                    (Cause::Network, format!("the answer broke off: {error}"))
                };
                PutError::new(cause, words(&why))
            })?;
            Ok(Answer { status, headers: parts.headers, body: body.to_bytes().to_vec() })
        };
        let answer = tokio::time::timeout(limit, Box::pin(exchange)).await;
        answer.unwrap_or_else(|_| {
            Err(PutError::new(Cause::Network, format!("no answer within {} s", limit.as_secs_f64())))
        })
    }

    /// The next call reads trust and proxies anew.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn client(&self) -> Result<Client, PutError> {
        let mut client = self.lock();
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made = Client::new(&self.route).map_err(|error| unanswered(&error))?;
        Ok(client.insert(made).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What another attempt would do better without: a token after a refusal, trust and proxies after a
/// connection that could not be made.
pub(super) async fn forget(error: &PutError, token: &Kept, rest: &Rest) {
    match error.cause {
        Cause::Credentials | Cause::ExpiredToken | Cause::Permission => token.forget().await,
        Cause::Tls | Cause::Network => rest.forget(),
        _ => {}
    }
}

/// A deadline that grows with what is sent.
pub(super) fn limit(put_timeout: Duration, length: u64) -> Duration {
    put_timeout + Duration::from_secs(length / SLOWEST)
}

fn unanswered(error: &CallError) -> PutError {
    let cause = match error {
        error if error.is_tls() => Cause::Tls,
        CallError::Login(_) => Cause::Credentials,
        _ => Cause::Network,
    };
    PutError::new(cause, words(&Chain(error).to_string()))
}

/// The media type of an object.
pub(super) fn content_type(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Records => "application/gzip",
        ObjectKind::Manifest | ObjectKind::Probe | ObjectKind::PublicKey => "text/plain; charset=utf-8",
    }
}

/// The text of the first element of this name: good enough for errors, whatever is around it.
pub(super) fn element<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let open = format!("<{name}>");
    let from = memchr::memmem::find(body, open.as_bytes())? + open.len();
    let length = memchr::memmem::find(&body[from..], format!("</{name}>").as_bytes())?;
    std::str::from_utf8(&body[from..from + length]).ok().map(str::trim)
}

/// One line of bounded length.
pub(super) fn words(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out: String = clean.take(MOST_WORDS + 1).collect();
    if let Some((end, _)) = out.char_indices().nth(MOST_WORDS) {
        out.truncate(end);
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_object_has_longer_to_arrive() {
        let usual = Duration::from_secs(20);
        assert_eq!(limit(usual, 0), usual);
        // 2 Mbit/s are enough for the largest single put.
        assert_eq!(limit(usual, 64 << 20), Duration::from_secs(20 + 256));
    }
}
