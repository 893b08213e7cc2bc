//! HTTP/1 message framing, read strictly: where one message ends and the next begins.
//!
//! Two programs that read one connection differently can be played against each other
//! (request smuggling, response splitting). hyper, which serves clients here, is lenient
//! where RFC 9112 allows it; these guards look at the same bytes first and let only through
//! what can be read in one way. They keep no copy and make no message: they follow the
//! boundaries, check the syntax in one pass, and say how many bytes may go on.
//!
//! Pure: bytes in, a number or a [`Fault`] out. [`RequestGuard`] is for what clients send,
//! [`ResponseGuard`] for what upstreams answer. Towards HTTP/1.1 upstreams there is no other
//! parser: [`ResponseReader`] makes the messages of what the guard has found.
//!
//! Heads of one sender mostly have the same names in the same order: those are expected (`names`,
//! `shapes`), and what is as expected is read at a fraction of the cost.

mod chunked;
mod fault;
mod fields;
mod grammar;
mod lanes;
mod lines;
mod names;
mod one_connection;
mod reader;
mod request;
mod response;
mod scan;
mod shapes;
mod target;
mod values;

pub use fault::Fault;
pub use grammar::{is_host, is_token};
pub use one_connection::{OneConnection, is_of_one_connection};
pub use reader::{Piece, ResponseHead, ResponseReader};
pub use request::{RequestGuard, RequestLimits};
pub use response::{FieldSpan, Part, ResponseGuard, StatusLine};
pub use shapes::Shapes;
