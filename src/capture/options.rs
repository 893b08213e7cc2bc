//! What an operator can set about capture.

use std::path::PathBuf;

/// The rings' settings (`[ring]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingOptions {
    /// Directory for ring files, on memory that outlives the process. `None`:
    /// `/dev/shm/onrecord-{spool id}`.
    pub dir: Option<PathBuf>,
    /// Bytes a lane for closed records. At least 1 MiB.
    pub bytes: u64,
}

impl Default for RingOptions {
    fn default() -> Self {
        Self { dir: None, bytes: 16 * 1024 * 1024 }
    }
}

/// Where `NS.organization.id` comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Organization {
    /// The placeholder that the catalogue names, else nothing.
    #[default]
    Catalogue,
    /// Always this; a placeholder in the path still wins.
    Fixed(String),
    /// A request header (lower case); a placeholder in the path still wins.
    Header(String),
}
