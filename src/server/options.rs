//! What an operator can set about the workers.

use std::time::Duration;

/// The workers' settings (`[server]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Worker threads, each with its own listeners, upstream pool and lane. 0: one a core.
    pub workers: usize,
    /// How long requests may go on after SIGTERM.
    pub grace: Duration,
    /// How long the last records may take to be delivered after that.
    pub flush: Duration,
    /// Open client connections a worker; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Requests in flight a worker; further ones are answered 503. At most 65,536.
    pub max_in_flight: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 0,
            grace: Duration::from_secs(30),
            flush: Duration::from_secs(20),
            max_connections: 16_384,
            max_in_flight: 4_096,
        }
    }
}
