//! A container of Azure Blob Storage as destination.
//!
//! Objects are block blobs, created by one Put Blob with `If-None-Match: *` and a
//! Content-MD5. A shared access signature that may create and write is enough; nothing is
//! read or listed.

mod answer;
mod identity;
mod options;
mod sas;
mod shared_key;
mod store;

pub use options::{AzureAuth, AzureOptions};
pub use store::AzureStore;
