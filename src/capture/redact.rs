//! Takes secrets out of queries and URLs before they are recorded.
//!
//! Every value whose name is on the list becomes `REDACTED`; names, order and
//! all else stay byte for byte. A wrong guess can only hide too much, so where
//! servers differ in how they read a query, the reading that hides is taken:
//!
//! - `&`, `;`, `?` and `#` all separate pairs (`next=/a?token=x` hides `x`).
//! - Names are compared in any letter case, percent-decoded as often as it
//!   changes them (at most four times), with `+`, white space and the marks
//!   `/ ! # ?` around them put aside.
//! - Of a name with brackets, each part counts: `token[]`, `user[password]`.
//! - A value that holds an encoded query with a secret in it
//!   (`next=%2Fa%3Ftoken%3Dx`) is hidden whole.

use memchr::{memchr, memchr_iter, memchr2, memmem};
use percent_encoding::percent_decode;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashSet;

/// What stands in the place of a secret.
pub const REDACTED: &[u8] = b"REDACTED";

/// Names that are always on the list (contract 2.5), in small letters.
const NAMES: &[&str] = &[
    "access_token",
    "draftkey",
    "token",
    "policy",
    "api_key",
    "apikey",
    "key",
    "sig",
    "signature",
    "password",
    "secret",
    "code",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "awsaccesskeyid",
    "x-goog-signature",
    "x-goog-credential",
];

/// A name is decoded at most this often.
const DECODINGS: usize = 4;

/// The names whose values are secret. Shared by reference; it never changes.
#[derive(Clone, Debug)]
pub struct Redactor {
    names: HashSet<Vec<u8>>,
    /// By first letter, one bit a length, so that most names are told apart by two loads.
    lengths: Box<[u64; 256]>,
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(std::iter::empty::<&str>())
    }
}

impl Redactor {
    /// The built-in names and these (any letter case). None can be taken away.
    pub fn new<S: AsRef<str>>(extra_names: impl IntoIterator<Item = S>) -> Self {
        let mut names: HashSet<Vec<u8>> = NAMES.iter().map(|name| name.as_bytes().to_vec()).collect();
        for name in extra_names {
            let name = name.as_ref().trim().to_ascii_lowercase().into_bytes();
            if !name.is_empty() {
                names.insert(name);
            }
        }
        let mut lengths = Box::new([0; 256]);
        for name in &names {
            lengths[name[0] as usize] |= length_bit(name.len());
        }
        Self { names, lengths }
    }

    /// Appends a query (without its `?`) to `out`, its secrets redacted.
    pub fn redact_query(&self, query: &[u8], out: &mut Vec<u8>) {
        let mut copied = 0;
        for pair in Pairs::of(query) {
            if !pair.value.is_empty() && self.is_secret_pair(pair.name, &query[pair.value.clone()]) {
                out.extend_from_slice(&query[copied..pair.value.start]);
                out.extend_from_slice(REDACTED);
                copied = pair.value.end;
            }
        }
        out.extend_from_slice(&query[copied..]);
    }

    /// Appends a URL or a reference (as in `Referer`) to `out`, with the secrets
    /// of its query and fragment redacted, and its user information too.
    pub fn redact_url(&self, url: &[u8], out: &mut Vec<u8>) {
        let tail = url.iter().position(|byte| b"?#".contains(byte)).unwrap_or(url.len());
        let (front, tail) = url.split_at(tail);
        match user_information(front) {
            Some(range) => {
                out.extend_from_slice(&front[..range.start]);
                out.extend_from_slice(REDACTED);
                out.extend_from_slice(&front[range.end..]);
            }
            None => out.extend_from_slice(front),
        }
        // The `?` or `#` at its front separates like any other.
        self.redact_query(tail, out);
    }

    fn is_secret_pair(&self, name: &[u8], value: &[u8]) -> bool {
        self.is_secret_name(name) || self.holds_secret(value, DECODINGS)
    }

    fn is_secret_name(&self, raw: &[u8]) -> bool {
        let mut name = Cow::Borrowed(raw);
        for _ in 0..DECODINGS {
            if self.matches(&name) {
                return true;
            }
            match decoded(&name) {
                Some(next) => name = Cow::Owned(next),
                None => return false,
            }
        }
        self.matches(&name)
    }

    /// Whether the name, or a part between its brackets, is on the list.
    fn matches(&self, name: &[u8]) -> bool {
        name.split(|byte| matches!(byte, b'[' | b']')).any(|part| {
            let part = trimmed(part);
            let Some(first) = part.first() else { return false };
            self.lengths[first.to_ascii_lowercase() as usize] & length_bit(part.len()) != 0 && {
                let mut lower: SmallVec<[u8; 64]> = SmallVec::from_slice(part);
                lower.make_ascii_lowercase();
                self.names.contains(&lower[..])
            }
        })
    }

    /// Whether an encoded query lies in this value, with a secret in it.
    fn holds_secret(&self, value: &[u8], depth: usize) -> bool {
        // Without an encoded `=` (`%3D`, itself encoded `%253D`) there are no pairs.
        if depth == 0
            || memchr(b'%', value).is_none()
            || memmem::find(&value.to_ascii_lowercase(), b"3d").is_none()
        {
            return false;
        }
        decoded(value).is_some_and(|inner| {
            Pairs::of(&inner).any(|pair| !pair.value.is_empty() && self.is_secret_name(pair.name))
                || self.holds_secret(&inner, depth - 1)
        })
    }
}

/// One `name=value` of a query; without `=` the value is empty.
struct Pair<'q> {
    name: &'q [u8],
    value: std::ops::Range<usize>,
}

struct Pairs<'q> {
    query: &'q [u8],
    next: usize,
}

impl<'q> Pairs<'q> {
    fn of(query: &'q [u8]) -> Self {
        Self { query, next: 0 }
    }
}

impl<'q> Iterator for Pairs<'q> {
    type Item = Pair<'q>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'q>> {
        let start = self.next;
        let rest = self.query.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| SEPARATES[*byte as usize]).unwrap_or(rest.len());
        let pair = &rest[..length];
        self.next = start + length + 1;
        let name_length = memchr(b'=', pair).unwrap_or(length);
        Some(Pair {
            name: &pair[..name_length],
            value: (start + name_length + 1).min(start + length)..start + length,
        })
    }
}

const SEPARATES: [bool; 256] = {
    let mut table = [false; 256];
    table[b'&' as usize] = true;
    table[b';' as usize] = true;
    table[b'?' as usize] = true;
    table[b'#' as usize] = true;
    table
};

/// Everything between `//` and the last `@` of the authority.
fn user_information(front: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = memmem::find(front, b"//")? + 2;
    let authority = &front[start..];
    let end = memchr2(b'/', b'\\', authority).unwrap_or(authority.len());
    let at = memchr_iter(b'@', &authority[..end]).next_back()?;
    Some(start..start + at)
}

/// The bytes with percent encoding and `+` undone; `None` if that changes nothing.
fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    memchr2(b'%', b'+', bytes)?;
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    (decoded != bytes).then_some(decoded)
}

fn trimmed(mut name: &[u8]) -> &[u8] {
    let aside = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"+/!#?".contains(byte);
    while let [first, rest @ ..] = name
        && aside(first)
    {
        name = rest;
    }
    while let [rest @ .., last] = name
        && aside(last)
    {
        name = rest;
    }
    name
}

/// Lengths from 63 up share a bit.
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

#[cfg(test)]
mod tests;
