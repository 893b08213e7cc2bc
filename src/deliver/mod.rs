//! Delivery: from outbox to store.
//!
//! A shipper a destination sends what lies in the outbox, oldest first, objects
//! before their manifest, create-only. Names carry their content, so "already
//! there" is success and a retry never does harm. No failure is final before
//! retention is over; a pure state machine says what is next.

mod attempt;
mod azure;
mod content;
mod control;
mod destination;
mod dir;
mod expiry;
mod gcs;
mod nats;
mod options;
mod pace;
mod rest;
mod s3;
mod shipper;
pub mod state;
mod status;
mod token;

pub use crate::format::{FormatOptions, Timestamps};
pub use attempt::{Errand, Outcome, Work};
pub use azure::{AzureAuth, AzureOptions, AzureStore};
pub use control::{ShipSettings, ShipperControl};
pub use destination::{
    Advice, Body, BoxFuture, Cause, Created, Destination, Object, ObjectKind, ProbeReport, PutError, probe,
};
pub use dir::{DirOptions, DirStore};
pub use gcs::{GcsOptions, GcsStore, token_services};
pub use nats::{NatsAuth, NatsOptions, NatsStore, SubjectError, SubjectTemplate};
pub use options::{DestinationOptions, Store};
pub use pace::{Limits, Pace};
pub use s3::{Encryption, LockMode, ObjectLock, S3Options, S3Store};
pub use shipper::{Next, Shipper};
pub use status::{DestinationStatus, StatusCell};
