//! What the machine says of itself.

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
