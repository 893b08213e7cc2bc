//! Capture: from request head to ring.
//!
//! An exchange is born when its request head is read: it takes a sequence of its lane and
//! a slot in the lane's ring, and writes what the request says straight into the bytes of
//! its record. It closes once, at the last byte for the client or when either side breaks
//! off, and then stands in the ring, where it outlives the process. Nothing here locks,
//! waits, or makes a system call.

pub mod actor;
mod address;
mod body;
pub mod cache_status;
mod client_limits;
pub mod commit;
mod durability;
mod exchange;
mod fields;
mod inspection;
mod lane;
mod last_credential;
mod layer;
mod options;
mod organization;
mod peer;
pub mod redact;
pub mod ring;
mod source;
mod traceparent;
mod wait;

pub use body::{BodyError, RecordedBody};
pub use client_limits::{ClientLimit, ClientLimitOptions, ClientTable, ConnectionPermit, RequestPermit};
pub use durability::{Durabilities, Durability, DurabilityRules, RouteRule, UnknownRoute, is_known_method};
pub use exchange::{Account, CLIENT_CLOSED_REQUEST, Exchange};
pub use fields::Fields;
pub use inspection::Inspection;
pub use lane::{Lane, Refusal};
pub use layer::{Call, Capture, FindSource};
pub use options::{Organization, RingOptions};
pub use peer::{CertificateActor, ClientCertificate, Peer, PeerSet, TlsPeer};
pub use ring::RingWriter;
pub use source::{Described, Source, SourcePlan};
pub use wait::{CommitWait, Committed};
