//! Content codings as headers state them.

use http::header::{CONTENT_ENCODING, HeaderMap};

/// A content coding (RFC 9110 §8.4.1) as far as it can be undone here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// `gzip`, `x-gzip`.
    Gzip,
    /// `deflate`: zlib, or the bare stream that some senders mean.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
    /// Another, or several.
    Unknown,
}

impl Coding {
    /// The coding that these headers state.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut stated = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = stated.next() else { return Self::Identity };
        if stated.next().is_some() {
            return Self::Unknown;
        }
        match value.as_bytes().trim_ascii() {
            b"" => Self::Identity,
            name if name.eq_ignore_ascii_case(b"identity") => Self::Identity,
            name if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => Self::Gzip,
            name if name.eq_ignore_ascii_case(b"deflate") => Self::Deflate,
            name if name.eq_ignore_ascii_case(b"br") => Self::Brotli,
            name if name.eq_ignore_ascii_case(b"zstd") => Self::Zstd,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_coding_is_read_from_the_header_in_any_case() {
        let stated = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            Coding::of(&headers)
        };
        assert_eq!(stated(&[]), Coding::Identity);
        assert_eq!(stated(&["GZIP"]), Coding::Gzip);
        assert_eq!(stated(&["br"]), Coding::Brotli);
        assert_eq!(stated(&["zstd"]), Coding::Zstd);
        assert_eq!(stated(&["gzip, br"]), Coding::Unknown);
        assert_eq!(stated(&["gzip", "gzip"]), Coding::Unknown);
    }
}
