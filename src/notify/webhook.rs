//! Notices by webhook: the bodies of the presets, and the signature.

use super::message::{Kind, Notice};
use super::options::{Preset, WebhookOptions};
use super::sender::SendError;
use crate::call::{Call, CallError, trust};
use crate::secret::Secret;
use aws_lc_rs::hmac;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// For a whole exchange.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Of an answer no more is read.
const MOST_BYTES: usize = 64 * 1024;
/// Time and signature, as `t=SECONDS,v1=HEX`.
const SIGNATURE: HeaderName = HeaderName::from_static("onrecord-signature");
/// The longest summary that PagerDuty takes.
const MOST_SUMMARY: usize = 1024;

/// Sends it once. `now` is in Unix microseconds.
pub(super) async fn send(options: &WebhookOptions, notice: &Notice, now: u64) -> Result<(), SendError> {
    let url = options.url.resolve()?;
    let url = std::str::from_utf8(url.expose()).map_err(|_| SendError::last("the URL is not text"))?;
    let key = options.routing_key.as_ref().map(crate::secret::SecretRef::resolve).transpose()?;
    let body = Bytes::from(body(options.preset, notice, key.as_ref())?.to_string());
    let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if let Some(secret) = &options.secret {
        headers.push((SIGNATURE, signature(&secret.resolve()?, now / 1_000_000, &body)));
    }
    let tls = trust(options.ca.as_deref())
        .map_err(|error| SendError::again(format!("its authorities cannot be read: {error}")))?;
    let call = Call { method: Method::POST, headers, body, ..Call::get(url.trim(), TIMEOUT, MOST_BYTES) };
    let answer = call.make(tls).await.map_err(|error| match error {
        CallError::Url => SendError::last("its URL is not an http:// or https:// URL"),
        error => SendError::again(crate::error_chain::Chain(&error).to_string()),
    })?;
    judge(answer.status, answer.headers.get(header::RETRY_AFTER))
}

/// What an answer's status means.
fn judge(status: StatusCode, retry_after: Option<&HeaderValue>) -> Result<(), SendError> {
    let words = format!("it answers {status}");
    let after =
        retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(SendError { words, again: true, after })
        }
        status if status.is_server_error() => Err(SendError { words, again: true, after }),
        // Redirects are not followed: who is told is what was configured.
        _ => Err(SendError { words, again: false, after: None }),
    }
}

fn body(preset: Preset, notice: &Notice, routing_key: Option<&Secret>) -> Result<Value, SendError> {
    match preset {
        Preset::Generic => Ok(notice.json()),
        Preset::Slack => Ok(json!({ "text": slack_text(&notice.text()) })),
        Preset::PagerDuty => {
            let key = routing_key.and_then(|key| std::str::from_utf8(key.expose()).ok());
            let key = key.ok_or_else(|| SendError::last("its routing key is not text"))?;
            Ok(pagerduty(notice, key.trim()))
        }
    }
}

/// Three characters are markup there.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An event of PagerDuty's Events API v2. One key a matter, so that a recovery resolves what the
/// failure has opened.
fn pagerduty(notice: &Notice, routing_key: &str) -> Value {
    let (instance, destination) = (&notice.instance, &notice.about.destination);
    let subject = notice.subject();
    let action = if notice.kind == Kind::Recovered { "resolve" } else { "trigger" };
    let severity = match notice.kind {
        Kind::LossAhead => "critical",
        Kind::Failing | Kind::StillFailing => "error",
        Kind::CredentialsEnding => "warning",
        Kind::Recovered | Kind::Test => "info",
    };
    json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": format!("onrecord/{instance}/{destination}/{}", notice.kind.matter()),
        "payload": {
            "summary": &subject[..subject.floor_char_boundary(MOST_SUMMARY)],
            "source": instance,
            "component": destination,
            "severity": severity,
            "timestamp": crate::format::time_text(notice.at),
            "custom_details": notice.json(),
        },
    })
}

/// HMAC-SHA-256 over `{seconds}.{body}`: whoever checks it can refuse what is old.
fn signature(secret: &Secret, seconds: u64, body: &[u8]) -> HeaderValue {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let mut text = format!("t={seconds},v1=");
    for byte in context.sign().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    HeaderValue::from_str(&text).expect("digits and letters can stand in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_others_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let header = signature(&Secret::new(b"key".to_vec()), 1_700_000_000, br#"{"a":1}"#);
        let (time, rest) = header.to_str().unwrap().split_once(",v1=").unwrap();
        assert_eq!(time, "t=1700000000");
        assert_eq!(rest, "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03");
    }

    #[test]
    fn a_recovery_resolves_what_a_failure_has_opened() {
        let notice = |kind| {
            let mut notice = Notice { kind, ..Notice::test("gw", 0) };
            notice.about.destination = "main".into();
            notice
        };
        let (opened, resolved) =
            (pagerduty(&notice(Kind::Failing), "k"), pagerduty(&notice(Kind::Recovered), "k"));
        assert_eq!(
            (&opened["event_action"], &resolved["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
        assert_eq!(opened["dedup_key"], resolved["dedup_key"]);
        assert_ne!(opened["dedup_key"], pagerduty(&notice(Kind::LossAhead), "k")["dedup_key"]);
        assert_eq!(slack_text("a <b> & c"), "a &lt;b&gt; &amp; c");
    }

    #[test]
    fn only_what_may_mend_itself_is_tried_again() {
        let judged =
            |status: u16| judge(StatusCode::from_u16(status).unwrap(), None).map_err(|error| error.again);
        assert_eq!([200, 202, 204].map(judged), [Ok(()); 3]);
        assert_eq!([429, 500, 503, 408].map(judged), [Err(true); 4]);
        assert_eq!([301, 400, 401, 404].map(judged), [Err(false); 4]);
        let after = HeaderValue::from_static("7");
        let told = judge(StatusCode::TOO_MANY_REQUESTS, Some(&after)).unwrap_err();
        assert_eq!(told.after, Some(Duration::from_secs(7)));
    }
}
