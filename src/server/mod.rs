//! Workers, listeners and connections.
//!
//! A thread a core, each with a current-thread runtime and its own listening sockets. A
//! connection stays on the worker that accepted it; its requests use that worker's
//! upstream pools and lane. What hyper refuses before the stack sees it is put on record
//! here.

mod client_io;
mod connection;
mod inbound;
mod listen;
mod options;
mod refusing;
mod site;
mod tunnel;
mod worker;

pub use listen::{ListenError, bind, shared};
pub use options::Options;
pub use site::SiteOptions;
pub use worker::{Seed, Stage, run};
