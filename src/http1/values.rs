//! Field values made of a head's bytes without a copy.
//!
//! The library checks such bytes one by one, which takes longer than all else that is done for a
//! value. Here they are looked at sixteen at a time, and handed over as checked: the one `unsafe`
//! in this module. It is sound since what the library demands of a value's bytes, that each is a
//! tab or neither a control character nor DEL, is what [`has_control`] has just found of the very same
//! bytes, which nobody can change meanwhile ([`Bytes`] are immutable). A test compares the two for
//! each byte at each place.
#![allow(unsafe_code, reason = "proven sound above")]

use super::scan::has_control;
use bytes::Bytes;
use http::header::HeaderValue;

/// The value of these bytes; `None` if there is a control character among them.
#[inline]
pub(super) fn value(bytes: Bytes) -> Option<HeaderValue> {
    if has_control(&bytes) {
        return None;
    }
    // SAFETY: no byte is a control character other than a tab, as `has_control` has just found.
    Some(unsafe { HeaderValue::from_maybe_shared_unchecked(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_the_library_would_take() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let text = Bytes::from(text);
                    assert_eq!(value(text.clone()), HeaderValue::from_maybe_shared(text).ok());
                }
            }
        }
        assert_eq!(value(Bytes::new()), Some(HeaderValue::from_static("")));
    }
}
