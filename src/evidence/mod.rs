//! Evidence: what lets a stranger check that a record of deliveries is whole
//! and was not changed later.

mod account;
pub mod anchor;
mod chain;
pub mod copying;
pub mod inclusion;
pub mod keys;
pub mod merkle;
pub mod note;
mod options;
pub mod proof;
pub mod store;
pub mod verify;

pub use account::{Account, LaneAccount, account};
pub use options::EvidenceOptions;
