//! What is added to records behind the spool, from what the operator knows.

pub mod directory;
