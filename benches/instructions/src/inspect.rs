//! The parts of inspection that the request path meets.

#[path = "../../../src/inspect/coding.rs"]
pub(crate) mod coding;
#[path = "../../../src/inspect/take.rs"]
pub(crate) mod take;
#[path = "../../../src/inspect/wants.rs"]
pub(crate) mod wants;
