//! Shared access signatures: read, checked for what is often wrong, and their end.

use crate::deliver::destination::{Cause, PutError};
use crate::secret::Secret;
use percent_encoding::percent_decode_str;

/// A signature, ready to be put behind a blob's URL.
pub(super) struct Sas {
    pub(super) query: Secret,
    /// Unix microseconds; `None`: set by a stored policy, which is not told here.
    pub(super) expires: Option<u64>,
}

/// Reads the query or the whole URL that Azure's tools print. What was given is not repeated.
pub(super) fn read(given: &Secret, container: &str) -> Result<Sas, PutError> {
    let wrong = |why: &str| PutError::new(Cause::Credentials, format!("the shared access signature {why}"));
    let text = std::str::from_utf8(given.expose()).map_err(|_| wrong("is no text"))?;
    if text.trim() != text {
        return Err(wrong("has white space before or after it; write the file without"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(wrong("has white space in it; was it copied in several lines?"));
    }
    if text.starts_with(['"', '\'']) {
        return Err(wrong("is in quotes; write the file without"));
    }
    let query = match text.split_once('?') {
        Some(("", query)) => query,
        Some((url, query)) => {
            if !url.trim_end_matches('/').eq_ignore_ascii_case(container) {
                return Err(wrong("is for another container than the one configured"));
            }
            query
        }
        None => text,
    };
    let value = |name: &str| {
        let mut fields = query.split('&').filter_map(|field| field.split_once('='));
        let found = fields.find(|(key, _)| *key == name).map(|(_, value)| value);
        found.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    if value("sig").is_none_or(|sig| sig.is_empty()) {
        return Err(wrong("has no `sig`: is it a signature, or a key or connection string?"));
    }
    if let Some(allowed) = value("sp")
        && !allowed.contains(['c', 'w'])
    {
        return Err(PutError::new(
            Cause::Permission,
            format!("the shared access signature allows `{allowed}`; create (c) and write (w) are needed"),
        ));
    }
    let expires = match value("se") {
        None => None,
        Some(text) => Some(time(&text).ok_or_else(|| wrong("has an expiry (`se`) that is no time"))?),
    };
    Ok(Sas { query: Secret::new(query.as_bytes().to_vec()), expires })
}

/// `2026-12-01`, `2026-12-01T10:00Z` or `2026-12-01T10:00:00Z`, in Unix microseconds.
fn time(text: &str) -> Option<u64> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        17 => format!("{}:00Z", text.trim_end_matches('Z')),
        _ => text.to_owned(),
    };
    u64::try_from(whole.parse::<jiff::Timestamp>().ok()?.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &str = "https://a.blob.core.windows.net/audit";

    fn sas(text: &str) -> Result<Sas, PutError> {
        read(&Secret::new(text.as_bytes().to_vec()), CONTAINER)
    }

    #[test]
    fn a_signature_is_taken_as_query_or_url_with_its_end() {
        let query = "sv=2021-12-02&se=2026-12-01T10%3A00%3A00Z&sr=c&sp=cw&sig=abc%3D";
        for text in [
            query.to_owned(),
            format!("?{query}"),
            format!("{CONTAINER}?{query}"),
            format!("{CONTAINER}/?{query}"),
        ] {
            let sas = sas(&text).unwrap();
            assert_eq!(sas.query.expose(), query.as_bytes());
            assert_eq!(sas.expires, Some(1_796_119_200_000_000));
        }
        for (text, seconds) in [("2026-12-01", 1_796_083_200), ("2026-12-01T10:00Z", 1_796_119_200)] {
            assert_eq!(time(text), Some(seconds * 1_000_000), "{text}");
        }
        assert_eq!(sas("si=policy&sr=c&sig=x").unwrap().expires, None);
    }

    #[test]
    fn what_is_often_wrong_is_told_without_the_secret() {
        for (text, told) in [
            ("sp=cw&sig=hunter2 ", "before or after"),
            ("sp=cw&\nsig=hunter2", "several lines"),
            ("sp=cw& sig=hunter2", "white space in it"),
            ("\"sp=cw&sig=hunter2\"", "quotes"),
            ("hunter2==", "no `sig`"),
            ("DefaultEndpointsProtocol=https;AccountKey=hunter2", "connection string"),
            ("https://b.blob.core.windows.net/audit?sp=cw&sig=hunter2", "another container"),
            ("sp=rl&sig=hunter2", "allows `rl`"),
            ("se=tomorrow&sp=cw&sig=hunter2", "no time"),
        ] {
            let error = sas(text).err().unwrap();
            assert!(error.words.contains(told) && !error.words.contains("hunter2"), "{text:?}: {error}");
        }
    }
}
