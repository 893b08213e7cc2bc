//! What caches said of a response.
//!
//! Looked for in this order: `Cache-Status` (RFC 9211), `X-Cache`,
//! `CF-Cache-Status`, `X-Cache-Status`, and at last an `Age` above 0. Of a list
//! the last element counts, which is the cache nearest the client.

use crate::record::CacheStatus;
use http::{HeaderMap, HeaderName, HeaderValue, header};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Headers that hold a vendor's word, in the order in which they are believed.
const VENDOR_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-cache"),
    HeaderName::from_static("cf-cache-status"),
    HeaderName::from_static("x-cache-status"),
];

/// The status and the vendor's own words (the list element as sent; `age` where
/// only that header told it); `None` where no cache spoke.
#[must_use]
pub fn cache_status(headers: &HeaderMap) -> Option<(CacheStatus, &[u8])> {
    if let Some(element) = last_value(headers, &CACHE_STATUS).and_then(last_element) {
        return Some((standard(element), element));
    }
    for name in &VENDOR_HEADERS {
        if let Some(element) = last_value(headers, name).and_then(last_element) {
            return Some((vendor(element), element));
        }
    }
    let age = last_value(headers, &header::AGE)?.trim_ascii();
    let above_zero = age.iter().all(u8::is_ascii_digit) && age.iter().any(|digit| *digit != b'0');
    above_zero.then_some((CacheStatus::Hit, b"age"))
}

fn last_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    headers.get_all(name).iter().next_back().map(HeaderValue::as_bytes)
}

/// The last element of a list that is not blank. Commas in quotes separate nothing.
fn last_element(value: &[u8]) -> Option<&[u8]> {
    let mut last = None;
    let mut rest = value;
    loop {
        let (element, next) = split_unquoted(rest, b',');
        let element = element.trim_ascii();
        if !element.is_empty() {
            last = Some(element);
        }
        match next {
            Some(next) => rest = next,
            None => return last,
        }
    }
}

/// The part before the first `separator` outside quotes, and the part behind it.
fn split_unquoted(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in text.iter().enumerate() {
        match *byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            other if other == separator && !quoted => return (&text[..index], Some(&text[index + 1..])),
            _ => {}
        }
    }
    (text, None)
}

/// An element of `Cache-Status`: `hit`, or a stale response that the next hop
/// confirmed (`fwd=stale; fwd-status=304`), which is what others call revalidated.
fn standard(element: &[u8]) -> CacheStatus {
    let (mut stale, mut confirmed) = (false, false);
    let (_name, mut rest) = split_unquoted(element, b';');
    while let Some(parameters) = rest {
        let (parameter, next) = split_unquoted(parameters, b';');
        match parameter.trim_ascii() {
            b"hit" | b"hit=?1" => return CacheStatus::Hit,
            b"fwd=stale" => stale = true,
            b"fwd-status=304" => confirmed = true,
            _ => {}
        }
        rest = next;
    }
    if stale && confirmed { CacheStatus::Hit } else { CacheStatus::Miss }
}

/// A vendor's word; what follows it ("from cloudfront") does not count.
fn vendor(element: &[u8]) -> CacheStatus {
    let end = element
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .unwrap_or(element.len());
    let word = &element[..end];
    let is_hit = ["hit", "stale", "revalidated", "updating", "refreshhit"]
        .iter()
        .any(|hit| word.eq_ignore_ascii_case(hit.as_bytes()));
    let is_tcp_hit = word.len() >= 7
        && word[..4].eq_ignore_ascii_case(b"tcp_")
        && word[word.len() - 3..].eq_ignore_ascii_case(b"hit");
    if is_hit || is_tcp_hit { CacheStatus::Hit } else { CacheStatus::Miss }
}

#[cfg(test)]
mod tests;
