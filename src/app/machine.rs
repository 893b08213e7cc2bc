//! What the machine says of itself, and what it is asked for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Worker threads: as configured, or one a core.
pub(super) fn worker_count(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// The machine's name, which stays the same over restarts.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_str().ok().filter(|name| !name.is_empty()).unwrap_or("onrecord").to_owned()
}

/// Raises the soft limit of open files to the hard one, and says so where even that is less
/// than all clients and as many upstream connections need: beyond it, connections wait in the
/// kernel's queue. Programs keep the low soft limit for `select`, which is not used here.
pub(super) fn raise_open_files(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return warn_of_open_files(limit.current, needed);
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => warn_of_open_files(limit.maximum, needed),
        Err(error) => {
            tracing::warn!(error = %io::Error::from(error), "the limit of open files cannot be raised");
            warn_of_open_files(limit.current, needed);
        }
    }
}

fn warn_of_open_files(limit: Option<u64>, needed: u64) {
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "fewer files may be open than [server] max_connections asks for: raise the hard limit (LimitNOFILE, ulimit -Hn) or lower max_connections"
        );
    }
}
