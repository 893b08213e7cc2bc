//! Authorization with a key of the account (Shared Key, version 2009-09-19 and later).

use crate::deliver::destination::{Cause, PutError};
use crate::secret::Secret;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Uri};

/// The account that a container's URL names: first label of the host, or first segment of
/// the path where the host is an address or has no labels, as with the emulator.
pub(super) fn account(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    let plain = host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') || !host.contains('.');
    if plain {
        uri.path().split('/').nth(1).unwrap_or_default()
    } else {
        host.split('.').next().unwrap_or_default()
    }
}

/// The value of `Authorization` of a PUT without query.
pub(super) fn sign(uri: &Uri, headers: &HeaderMap, key: &Secret) -> Result<HeaderValue, PutError> {
    let wrong =
        || PutError::new(Cause::Credentials, "the account key is no Base64: it must be the key alone");
    let text = std::str::from_utf8(key.expose()).map_err(|_| wrong())?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(text.trim()).map_err(|_| wrong())?);
    let account = account(uri);
    let tag = hmac::sign(&key, string_to_sign(uri, headers, account).as_bytes());
    let value = format!("SharedKey {account}:{}", STANDARD.encode(tag.as_ref()));
    let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(value)
}

fn string_to_sign(uri: &Uri, headers: &HeaderMap, account: &str) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut out = String::from("PUT\n");
    for name in [
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        // An empty body has an empty length.
        let value = header(name);
        if !(name == "content-length" && value == "0") {
            out.push_str(value);
        }
        out.push('\n');
    }
    let mut own: Vec<&str> =
        headers.keys().map(http::HeaderName::as_str).filter(|n| n.starts_with("x-ms-")).collect();
    own.sort_unstable();
    for name in own {
        out.push_str(&format!("{name}:{}\n", header(name).trim()));
    }
    out.push_str(&format!("/{account}{}", uri.path()));
    out
}
