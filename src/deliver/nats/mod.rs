//! JetStream of a NATS server as a destination, for those who fan out live.
//!
//! What is packed for it is packed as for any other store, with the same cursor, outbox and
//! manifest chain. An object is not stored but taken apart: each of its lines is a message,
//! with `event.id` as `Nats-Msg-Id`, so that the broker drops what it is sent again. The
//! object has arrived when each message was acknowledged; then its manifest follows, as a
//! message on a subject of its own.

mod answer;
mod lines;
mod options;
mod store;
mod subject;

pub use options::{NatsAuth, NatsOptions};
pub use store::NatsStore;
pub use subject::{SubjectError, SubjectTemplate};
