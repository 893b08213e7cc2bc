//! The lock that an object is put with, and what a store says when it won't have it.
//!
//! Records, manifests and the public key are locked. A probe is not: it proves nothing
//! later, and would lie there for years after each start.

use super::options::{LockMode, ObjectLock};
use crate::deliver::destination::{Cause, ObjectKind, PutError};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ObjectLockMode;

const DAY: u64 = 86_400;
/// Told beside the store's own words, which seldom say that the lock is the matter.
const HINT: &str = "object_lock needs a bucket that was made with Object Lock, and the permission \
                    s3:PutObjectRetention";

/// Mode and end of the lock of one object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lock {
    pub(super) mode: Option<ObjectLockMode>,
    pub(super) until: Option<DateTime>,
}

impl Lock {
    /// The lock of an object that is put at this Unix time in microseconds. The end of one
    /// that is put again later is later.
    pub(super) fn of(options: Option<ObjectLock>, kind: ObjectKind, now: u64) -> Self {
        let Some(ObjectLock { mode, days }) = options.filter(|_| kind != ObjectKind::Probe) else {
            return Self { mode: None, until: None };
        };
        let mode = match mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        let until = (now / 1_000_000).saturating_add(u64::from(days) * DAY);
        Self { mode: Some(mode), until: Some(DateTime::from_secs(until.try_into().unwrap_or(i64::MAX))) }
    }

    /// Says of a refusal that may be about the lock what a lock needs.
    pub(super) fn explain(&self, mut error: PutError) -> PutError {
        let about = |words: &str| {
            let words = words.to_ascii_lowercase();
            ["object lock", "objectlock", "retention", "retain"].iter().any(|word| words.contains(word))
        };
        if self.mode.is_none() {
            return error;
        }
        let unspecific =
            error.words.starts_with("InvalidRequest") || error.words.starts_with("InvalidArgument");
        if error.cause == Cause::ServerError && (unspecific || about(&error.words)) {
            error.cause = Cause::Policy;
        }
        if matches!(error.cause, Cause::Policy | Cause::Permission) {
            error.words = format!("{} ({HINT})", error.words);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_a_probe_is_locked_from_its_put_on() {
        let lock = |kind| {
            let options = ObjectLock { mode: LockMode::Compliance, days: 30 };
            Lock::of(Some(options), kind, 1_775_744_531_000_000)
        };
        for kind in [ObjectKind::Records, ObjectKind::Manifest, ObjectKind::PublicKey] {
            assert_eq!(lock(kind).mode, Some(ObjectLockMode::Compliance));
            assert_eq!(lock(kind).until, Some(DateTime::from_secs(1_775_744_531 + 30 * 86_400)));
        }
        assert_eq!(lock(ObjectKind::Probe), Lock { mode: None, until: None });
        assert_eq!(Lock::of(None, ObjectKind::Records, 0), Lock { mode: None, until: None });
    }

    #[test]
    fn a_refused_lock_is_a_matter_of_policy_and_says_what_it_needs() {
        let options = ObjectLock { mode: LockMode::Governance, days: 1 };
        let lock = Lock::of(Some(options), ObjectKind::Records, 0);
        let words = "InvalidRequest: Bucket is missing Object Lock Configuration";
        let told = lock.explain(PutError::new(Cause::ServerError, words));
        assert_eq!(told.cause, Cause::Policy);
        assert!(told.words.starts_with(words) && told.words.contains("s3:PutObjectRetention"));
        let denied = lock.explain(PutError::new(Cause::Permission, "AccessDenied"));
        assert!(denied.cause == Cause::Permission && denied.words.contains("made with Object Lock"));
        let other = PutError::new(Cause::ServerError, "InternalError");
        assert_eq!(lock.explain(other.clone()), other);
        let open = Lock::of(None, ObjectKind::Records, 0);
        assert_eq!(open.explain(PutError::new(Cause::Policy, "x")).words, "x");
    }
}
