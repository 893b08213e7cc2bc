//! A connection's newest credential with its fingerprint.
//!
//! The requests of a connection nearly always bring the same credential, and an HMAC costs more
//! than all else that capture does with a head. The bytes themselves are compared, in constant
//! time: behind a proxy the requests of one connection may be those of several clients. What is
//! kept is wiped when it is replaced and when the connection ends.

use super::actor::Fingerprinter;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

/// Longer credentials are not kept: idle connections are not to hold much.
const MOST_BYTES: usize = 2048;

/// What is kept of a connection's newest credential. Shows none when debugged.
#[derive(Default)]
pub(super) struct LastCredential(RefCell<Option<Kept>>);

struct Kept {
    credential: Zeroizing<Vec<u8>>,
    fingerprint: [u8; 16],
    /// Whose key it was made by: sources may have different ones, and so may the next configuration.
    by: Arc<Fingerprinter>,
}

impl LastCredential {
    /// The credential's fingerprint, made anew only if it is another than that of the request before.
    pub(super) fn fingerprint(&self, by: &Arc<Fingerprinter>, credential: &[u8]) -> [u8; 16] {
        let mut last = self.0.borrow_mut();
        if let Some(kept) = &*last
            && Arc::ptr_eq(&kept.by, by)
            && verify_slices_are_equal(&kept.credential, credential).is_ok()
        {
            return kept.fingerprint;
        }
        let fingerprint = by.fingerprint(credential);
        if credential.len() > MOST_BYTES {
            *last = None;
            return fingerprint;
        }
        let mut bytes = last.take().map(|kept| kept.credential).unwrap_or_default();
        // Wiped before it grows, so that no copy stays behind where it was.
        bytes.zeroize();
        bytes.extend_from_slice(credential);
        *last = Some(Kept { credential: bytes, fingerprint, by: Arc::clone(by) });
        fingerprint
    }
}

impl fmt::Debug for LastCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastCredential").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn each_credential_has_the_fingerprint_that_its_key_makes_whatever_came_before() {
        let key = |name: &str| Arc::new(Fingerprinter::new(&Secret::new(name.as_bytes().to_vec()), name));
        let (one, two) = (key("0123456789abcdef0123456789abcdef"), key("fedcba9876543210fedcba9876543210"));
        let long = vec![b'x'; MOST_BYTES + 1];
        let last = LastCredential::default();
        for by in [&one, &one, &two, &one] {
            for credential in [&b"a"[..], b"a", b"ab", &long, &long, b"", b"a", b"b"] {
                assert_eq!(last.fingerprint(by, credential), by.fingerprint(credential));
            }
        }
        assert_eq!(format!("{last:?}"), "LastCredential { .. }");
    }
}
