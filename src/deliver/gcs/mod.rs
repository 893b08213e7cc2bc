//! A bucket of Google Cloud Storage as destination, by its JSON interface.
//!
//! Objects are created by one upload with `ifGenerationMatch=0` and a CRC32C that the
//! store checks. The permission `storage.objects.create` is enough.

mod answer;
mod credentials;
mod options;
mod store;

pub use credentials::token_services;
pub use options::GcsOptions;
pub use store::GcsStore;
