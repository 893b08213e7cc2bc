//! The parts of capture that need nothing else of the gateway.

#[path = "../../../src/capture/cache_status.rs"]
pub(crate) mod cache_status;
#[path = "../../../src/capture/redact.rs"]
pub(crate) mod redact;
