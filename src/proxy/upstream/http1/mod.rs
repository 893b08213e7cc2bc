//! HTTP/1.1 towards upstreams: a client of our own, since hyper's costs a connection task, a
//! channel, wake-ups and a second parse a request.
//!
//! The exchange owns its [`Connection`]: it writes the request, with the body's first piece in
//! the same write, and reads the answer in its own task. There is no task of a connection, but
//! for the rest of a request's body when the answer has come before it. Buffers belong to the
//! worker ([`Buffers`]), so that an idle connection holds none. What is read goes through
//! [`crate::http1::ResponseReader`] alone.

mod buffers;
mod connection;
mod encode;
mod error;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use buffers::Buffers;
pub(in crate::proxy) use connection::Connection;
pub(super) use connection::Readiness;
pub(in crate::proxy) use encode::line;
pub use error::Http1Error;
