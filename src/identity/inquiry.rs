//! Asking others about tokens: the issuer (RFC 7662), or the API itself who a credential is.
//!
//! A queue for each question, bounded in what waits and in what is asked at once. A server
//! that is down is asked less and less often, and the tokens wait for it; what comes beyond
//! the queue is handed over again by its next request. The credential is in memory while it
//! waits and is asked about, and nowhere else.

use super::facts::{Fact, Reason, Who};
use super::fetch::{self, Ask, FetchError};
use super::options::{AskOptions, IntrospectionOptions};
use super::presenter::Presented;
use crate::routes::Learn;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rustls::ClientConfig;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Tokens that wait to be asked about.
const MOST_PENDING: usize = 256;
/// Questions that are under way at once.
const MOST_RUNNING: usize = 4;
/// Tokens of which it is known when they were asked about.
const MOST_ASKED: usize = 65_536;
/// How long the API is not asked again about a credential that it did not name.
const ASK_AGAIN: Duration = Duration::from_secs(3600);
/// After a failure, and doubled with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// What is asked, and of whom.
#[derive(Debug)]
pub(super) struct Question {
    url: String,
    tls: Arc<ClientConfig>,
    pub(super) kind: Kind,
}

/// The two questions.
#[derive(Debug)]
pub(super) enum Kind {
    /// The issuer, with this `Authorization`.
    Introspection(Option<HeaderValue>),
    /// The API; the answer is read by this rule, for this namespace.
    Own { namespace: String, learn: Arc<Learn> },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    /// Of the issuer.
    Introspected(Fact),
    /// Of the API.
    Named(Who),
    /// The API names nobody.
    Nobody,
}

impl Question {
    /// Of the issuer. `secret` is the client's.
    pub(super) fn introspection(
        options: &IntrospectionOptions,
        secret: Option<&[u8]>,
        tls: Arc<ClientConfig>,
    ) -> Self {
        let authorization = options.client_id.as_ref().and_then(|id| {
            // RFC 6749 §2.3.1: both are form-encoded first.
            let id = percent_encode(id.as_bytes(), NON_ALPHANUMERIC);
            let secret = percent_encode(secret.unwrap_or_default(), NON_ALPHANUMERIC);
            let pair = Zeroizing::new(format!("{id}:{secret}"));
            sensitive(&Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))))
        });
        Self { url: options.endpoint.clone(), tls, kind: Kind::Introspection(authorization) }
    }

    /// Of the API itself.
    pub(super) fn own(
        options: &AskOptions,
        namespace: String,
        learn: Arc<Learn>,
        tls: Arc<ClientConfig>,
    ) -> Self {
        Self { url: options.url.clone(), tls, kind: Kind::Own { namespace, learn } }
    }

    /// Asks. An error means that there is no answer, and that it can be asked again.
    pub(super) async fn ask(&self, token: &[u8]) -> Result<Answer, FetchError> {
        let tls = Arc::clone(&self.tls);
        match &self.kind {
            Kind::Introspection(authorization) => {
                let token = percent_encode(token, NON_ALPHANUMERIC);
                let form = Some(format!("token={token}&token_type_hint=access_token").into());
                let ask = Ask { authorization: authorization.clone(), form };
                let (status, body) = fetch::send(&self.url, tls, ask).await?;
                fetch::expect_ok(&self.url, status)?;
                Ok(Answer::Introspected(introspected(&body)))
            }
            Kind::Own { learn, .. } => {
                let Ok(token) = std::str::from_utf8(token) else { return Ok(Answer::Nobody) };
                let authorization = sensitive(&Zeroizing::new(format!("Bearer {token}")));
                let (status, body) = fetch::send(&self.url, tls, Ask { authorization, form: None }).await?;
                if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
                {
                    return Ok(Answer::Nobody);
                }
                fetch::expect_ok(&self.url, status)?;
                Ok(named(learn, &body).map_or(Answer::Nobody, Answer::Named))
            }
        }
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The answer of an issuer (RFC 7662 §2.2).
fn introspected(body: &[u8]) -> Fact {
    let worthless = |reason| Fact { introspected: true, ..Fact::worthless(reason) };
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return worthless(Reason::Malformed) };
    if answer.get("active").and_then(Value::as_bool) != Some(true) {
        return worthless(Reason::Inactive);
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (subject, app) = (text("sub"), text("client_id"));
    let id = [&subject, &text("username"), &app].into_iter().find(|id| !id.is_empty()).cloned();
    let Some(id) = id else { return worthless(Reason::NoId) };
    let name = [text("name"), text("username")].into_iter().find(|name| !name.is_empty() && *name != id);
    let time = |name: &str| answer.get(name).and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let microseconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_or(u64::MAX, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    };
    let delegate = answer.pointer("/act/sub").and_then(Value::as_str).unwrap_or_default().to_owned();
    Fact {
        introspected: true,
        reason: None,
        not_before: time("nbf").map_or(0, microseconds),
        not_after: time("exp").map_or(u64::MAX, microseconds),
        who: Some(Who {
            kind: if id == app { "service" } else { "user" },
            id,
            name: name.unwrap_or_default(),
            email: text("email"),
            issuer: text("iss"),
            app,
            delegate,
        }),
    }
}

/// Whom the API names.
fn named(learn: &Learn, body: &[u8]) -> Option<Who> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let names: Vec<&str> = learn.name.iter().filter_map(|pointer| text(pointer)).collect();
    let id = text(learn.id.as_deref()?)?.to_owned();
    let email = learn.email.as_deref().and_then(text).unwrap_or_default().to_owned();
    Some(Who { kind: learn.kind, id, name: names.join(" ").trim().to_owned(), email, ..Who::default() })
}

/// The queue before one question. Pure: times are monotonic and passed in.
pub(super) struct Inquiry {
    pub(super) question: Arc<Question>,
    cache: Duration,
    pending: VecDeque<Presented>,
    running: Vec<[u8; 16]>,
    asked: HashMap<[u8; 16], Duration>,
    failures: u32,
    /// Not before this after a failure.
    pause_until: Duration,
    /// When workers were last let hand everything over again.
    renewed: Duration,
    /// Something found no room.
    missed: bool,
}

impl Inquiry {
    /// `cache`: how long an answer counts; `None`: as long as the API's own counts.
    pub(super) fn new(question: Question, cache: Option<Duration>) -> Self {
        Self {
            question: Arc::new(question),
            cache: cache.unwrap_or(ASK_AGAIN),
            pending: VecDeque::new(),
            running: Vec::new(),
            asked: HashMap::new(),
            failures: 0,
            pause_until: Duration::ZERO,
            renewed: Duration::ZERO,
            missed: false,
        }
    }

    /// Whether this token is to be asked about now.
    pub(super) fn wants(&self, fingerprint: &[u8; 16], now: Duration) -> bool {
        self.asked.get(fingerprint).is_none_or(|asked| now.saturating_sub(*asked) >= self.cache)
            && !self.running.contains(fingerprint)
            && !self.pending.iter().any(|waiting| waiting.fingerprint == *fingerprint)
    }

    /// Takes a token into the queue, unless that is full: then it comes back.
    pub(super) fn take(&mut self, presented: Presented) -> Result<(), Presented> {
        if self.pending.len() >= MOST_PENDING {
            self.missed = true;
            return Err(presented);
        }
        self.pending.push_back(presented);
        Ok(())
    }

    /// The next token to be asked about now; then [`Self::answered`] has to follow.
    pub(super) fn next(&mut self, now: Duration) -> Option<Presented> {
        // After a failure one token tries whether the server is back.
        let most = if self.failures > 0 { 1 } else { MOST_RUNNING };
        if self.running.len() >= most || now < self.pause_until {
            return None;
        }
        let presented = self.pending.pop_front()?;
        self.running.push(presented.fingerprint);
        Some(presented)
    }

    /// Notes whether there was an answer. Whether this is the first failure of several.
    pub(super) fn answered(&mut self, fingerprint: [u8; 16], there_was: bool, now: Duration) -> bool {
        if let Some(at) = self.running.iter().position(|running| *running == fingerprint) {
            self.running.swap_remove(at);
        }
        if !there_was {
            let pause = PAUSE.saturating_mul(1 << self.failures.min(6)).min(MOST_PAUSE);
            (self.failures, self.pause_until) = (self.failures + 1, now + pause);
            return self.failures == 1;
        }
        self.failures = 0;
        if self.asked.len() >= MOST_ASKED {
            self.asked.clear();
        }
        self.asked.insert(fingerprint, now);
        false
    }

    /// Whether workers should hand over again what they have handed over: answers have grown
    /// old, or something found no room and there is some now.
    pub(super) fn renews(&mut self, now: Duration) -> bool {
        let is_old = !self.asked.is_empty() && now.saturating_sub(self.renewed) >= self.cache;
        let has_room = self.missed && self.pending.len() < MOST_PENDING / 2;
        if is_old || has_room {
            (self.renewed, self.missed) = (now, false);
        }
        is_old || has_room
    }
}

#[cfg(test)]
mod tests;
