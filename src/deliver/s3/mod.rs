//! An S3 bucket as destination: Amazon's, or of any store with its API.
//!
//! Objects are created by PutObject with `If-None-Match: *`, large ones by a
//! multipart upload that is completed with the same condition. Nothing but the
//! permission to put objects is needed. The library's own retries are off: the
//! destination's state machine retries.

mod answer;
mod content;
mod lock;
mod multipart;
mod options;
mod refusal;
mod store;
mod unanswered;
mod wishes;

pub use options::{Encryption, LockMode, ObjectLock, S3Options};
pub use store::S3Store;
