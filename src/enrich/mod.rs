//! What is added to records behind the spool, from what the operator knows.

pub mod actor;
pub mod directory;
pub mod privacy;
