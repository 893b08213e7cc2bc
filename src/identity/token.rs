//! Judging one JWT (RFC 7519, RFC 8725).
//!
//! What a token with a wrong signature says is worth nothing: its claims are thrown away, so
//! that nobody is put on record for what a forger did. What is rightly signed and yet proves
//! nothing (expired, of another audience) is kept as a claim with the reason, and so is what
//! nobody could check.

use super::facts::{Fact, Reason, Who};
use super::jwks::{KeySet, Signature};
use super::options::JwtOptions;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Tokens above this are not looked into.
pub const MAX_TOKEN: usize = 16 * 1024;
/// Bytes that are kept of a claim.
const MOST_TEXT: usize = 512;

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Judges a token by these keys; `None`: they could not be had.
pub(super) fn judge(token: &[u8], options: &JwtOptions, keys: Option<&KeySet>) -> Fact {
    read(token, options, keys).unwrap_or_else(Fact::worthless)
}

fn read(token: &[u8], options: &JwtOptions, keys: Option<&KeySet>) -> Result<Fact, Reason> {
    let malformed = Reason::Malformed;
    let last = memchr::memrchr(b'.', token).ok_or(malformed)?;
    let (message, signature) = (&token[..last], &token[last + 1..]);
    let first = memchr::memchr(b'.', message).ok_or(malformed)?;
    let (head, payload) = (&message[..first], &message[first + 1..]);
    if token.len() > MAX_TOKEN || payload.contains(&b'.') {
        return Err(malformed);
    }
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed);
    let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| malformed)?;
    if head.crit.is_some() {
        return Err(malformed);
    }
    if !KeySet::knows(&head.alg) {
        return Err(Reason::Algorithm);
    }
    let signature = decode(signature)?;
    let unchecked = match keys.map(|keys| keys.verify(head.kid.as_deref(), &head.alg, message, &signature)) {
        Some(Signature::Good) => None,
        Some(Signature::Bad) => return Err(Reason::Signature),
        Some(Signature::NoKey) => return Err(Reason::UnknownKey),
        None => Some(Reason::KeysUnavailable),
    };
    let claims: Map<String, Value> = serde_json::from_slice(&decode(payload)?).map_err(|_| malformed)?;
    let who = who(&claims, options);
    let issuer_fits = claims.get("iss").and_then(Value::as_str) == Some(options.issuer.as_str());
    let reason = if !issuer_fits {
        Some(Reason::Issuer)
    } else if !is_for(claims.get("aud"), &options.audience) {
        Some(Reason::Audience)
    } else if who.id.is_empty() {
        Some(Reason::NoId)
    } else {
        unchecked
    };
    let time = |name: &str, absent: u64| match claims.get(name) {
        None => Ok(absent),
        Some(value) => value.as_f64().map(microseconds).ok_or(malformed),
    };
    let leeway = u64::try_from(options.leeway.as_micros()).unwrap_or(u64::MAX);
    Ok(Fact {
        introspected: false,
        reason,
        not_before: time("nbf", 0)?.saturating_sub(leeway),
        not_after: time("exp", u64::MAX)?.saturating_add(leeway),
        who: (!who.id.is_empty()).then_some(who),
    })
}

/// A NumericDate in microseconds; what lies outside of all time is its end or beginning.
fn microseconds(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds.max(0.0))
        .ok()
        .and_then(|time| u64::try_from(time.as_micros()).ok())
        .unwrap_or(u64::MAX)
}

fn is_for(audience: Option<&Value>, wanted: &[String]) -> bool {
    let is_wanted = |value: &Value| value.as_str().is_some_and(|text| wanted.iter().any(|one| one == text));
    wanted.is_empty()
        || match audience {
            Some(Value::Array(all)) => all.iter().any(is_wanted),
            Some(one) => is_wanted(one),
            None => false,
        }
}

fn who(claims: &Map<String, Value>, options: &JwtOptions) -> Who {
    let text = |name: &str| match claims.get(name) {
        Some(Value::String(text)) => bounded(text),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let id = text(&options.id_claim);
    let app =
        ["azp", "client_id", "cid"].into_iter().map(text).find(|app| !app.is_empty()).unwrap_or_default();
    let delegate = claims.get("act").and_then(|act| act.get("sub")).and_then(Value::as_str);
    Who {
        // A client that acts for itself is its own subject (RFC 9068 §2.2).
        kind: if !id.is_empty() && (id == app || text("gty") == "client-credentials") {
            "service"
        } else {
            "user"
        },
        id,
        name: text(&options.name_claim),
        email: text(&options.email_claim),
        issuer: text("iss"),
        app,
        delegate: delegate.map(bounded).unwrap_or_default(),
    }
}

/// The text up to [`MOST_TEXT`] bytes, cut between two characters.
fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(MOST_TEXT)].to_owned()
}

#[cfg(test)]
mod tests;
