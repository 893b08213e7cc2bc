//! Which paths can be matched, and how they fall into segments.
//!
//! A path that a gateway and an upstream might read differently must not be
//! matched: the record would name a route that the upstream did not serve.
//! Such a path is *odd*: it has a `.` or `..` segment, an empty segment before
//! its end, an encoded slash, backslash, zero byte or dot (`%2f` `%5c` `%00`
//! `%2e`, either case), a backslash, or a `;`. Everything else is compared byte
//! for byte; nothing is decoded.

use memchr::{memchr, memchr2, memchr3};
use percent_encoding::percent_decode;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Templates have at most this many segments, so that a path with more is known
/// not to match before any of it is looked up.
pub const MAX_SEGMENTS: usize = 64;

/// Few paths have more than the few that fit without an allocation; they are moved about.
pub(super) type Segments<'p> = SmallVec<[&'p [u8]; 12]>;

/// Whether no template may match this path, as the module says. One final slash
/// is not odd; `*` (as in `OPTIONS *`) is neither odd nor matched.
#[must_use]
pub fn is_odd(path: &[u8]) -> bool {
    if has_odd_byte(path) {
        return true;
    }
    let mut rest = path.strip_prefix(b"/").unwrap_or(path);
    while let Some(end) = memchr(b'/', rest) {
        if is_odd_segment(&rest[..end]) {
            return true;
        }
        rest = &rest[end + 1..];
    }
    // The last segment may be empty: that is the one final slash.
    matches!(rest, b"." | b"..")
}

/// The segments of a path that is not odd, begins with a slash and has no more
/// than `limit` of them; one final slash makes no segment.
pub(super) fn segments(path: &[u8], limit: usize) -> Option<Segments<'_>> {
    let mut rest = path.strip_prefix(b"/")?;
    if has_odd_byte(rest) {
        return None;
    }
    let mut segments = Segments::new();
    while !rest.is_empty() {
        let (segment, next) = match memchr(b'/', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        if is_odd_segment(segment) || segments.len() == limit {
            return None;
        }
        segments.push(segment);
        rest = next;
    }
    Some(segments)
}

/// The first value of this name in a query without its `?`. Names are compared
/// after percent-decoding, letter by letter; the value comes decoded, with `+`
/// as a space.
#[must_use]
pub fn query_value<'q>(query: &'q [u8], name: &str) -> Option<Cow<'q, [u8]>> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let (raw_name, value) = match memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[pair.len()..]),
        };
        (*form_decode(raw_name) == *name.as_bytes()).then(|| form_decode(value))
    })
}

fn form_decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'%', b'+', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

fn is_odd_segment(segment: &[u8]) -> bool {
    matches!(segment, b"" | b"." | b"..")
}

/// A backslash, a semicolon, or one of the encoded bytes.
fn has_odd_byte(mut path: &[u8]) -> bool {
    while let Some(at) = memchr3(b'%', b'\\', b';', path) {
        if path[at] != b'%' {
            return true;
        }
        path = &path[at + 1..];
        if let [high, low, ..] = path
            && matches!((high, low.to_ascii_lowercase()), (b'2', b'f' | b'e') | (b'5', b'c') | (b'0', b'0'))
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_that_two_servers_might_read_differently_is_odd() {
        for odd in [
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/a%2fb",
            "/a%2Fb",
            "/%5c",
            "/%5Cx",
            "/a%00",
            "/%2e%2e/a",
            "/a%2E",
            "/a\\b",
            "/a;b=c",
            "/%%2f",
            "/a/%2",
            "..",
        ] {
            let expected = odd != "/a/%2";
            assert_eq!(is_odd(odd.as_bytes()), expected, "{odd}");
        }
        for plain in ["/", "/a", "/a/", "/a/b.c", "/...", "/a/.b", "/%20", "/%252f", "*", "", "/a:b", "/é"] {
            assert!(!is_odd(plain.as_bytes()), "{plain}");
        }
    }

    #[test]
    fn a_query_value_is_found_by_its_decoded_name() {
        let query = b"order=x&sys%2Eid=a%20b+c&sys.id=2&flag";
        assert_eq!(query_value(query, "sys.id").as_deref(), Some(&b"a b c"[..]));
        assert_eq!(query_value(query, "flag").as_deref(), Some(&b""[..]));
        assert_eq!(query_value(query, "SYS.ID"), None);
        assert_eq!(query_value(b"", "url"), None);
    }

    proptest! {
        #[test]
        fn segments_exist_exactly_for_absolute_paths_that_are_not_odd(path in "[/a.%2fFeE5cC0;\\\\]{0,24}") {
            let path = path.as_bytes();
            let expected = path.first() == Some(&b'/') && !is_odd(path);
            prop_assert_eq!(segments(path, MAX_SEGMENTS).is_some(), expected);
        }

        #[test]
        fn the_segments_joined_again_are_the_path(parts in prop::collection::vec("[a-z:%3]{1,5}", 0..20), slash: bool) {
            let mut path = format!("/{}", parts.join("/"));
            if slash && !parts.is_empty() { path.push('/'); }
            let found = segments(path.as_bytes(), MAX_SEGMENTS).unwrap();
            prop_assert_eq!(found.to_vec(), parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>());
        }
    }
}
