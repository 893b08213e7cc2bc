//! Where evidence is read from: a tree of named bytes that can be listed.
//!
//! Listing goes page by page, so that a reader needs the same memory however
//! many objects there are.

mod bucket;
mod dir;

pub use bucket::BucketSource;
pub use dir::DirSource;

use std::io::{self, Read};
use thiserror::Error;

/// Why something can't be read. What is not there is no error.
#[derive(Debug, Error)]
#[error("cannot {operation} {place}")]
pub struct ReadError {
    /// What was tried.
    pub operation: &'static str,
    /// The file, folder or object.
    pub place: String,
    /// Why not.
    pub source: io::Error,
}

/// What lies in a folder under one name. Ordered by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name in the folder, without a slash.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Goes through what lies in a folder.
pub trait Listing: Send {
    /// The next entries, at most `limit`; none: the end. Files come in the order of
    /// their names.
    ///
    /// # Errors
    /// [`ReadError`] when the folder can't be listed.
    fn page(&mut self, limit: usize) -> Result<Vec<Entry>, ReadError>;
}

/// Something that holds delivered objects and can be read. Any number of threads
/// may read at once.
pub trait EvidenceSource: Send + Sync {
    /// What lies in a folder. A folder is `""` or ends with `/`; one that is not
    /// there is empty, but for the first.
    fn list<'a>(&'a self, folder: &str) -> Box<dyn Listing + 'a>;

    /// The bytes under a path; `None` where nothing is.
    ///
    /// # Errors
    /// [`ReadError`] when it is there and can't be opened.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, ReadError>;

    /// Where it is, for people: no secrets.
    fn place(&self) -> String;

    /// How many threads can usefully read at once, where each object is not far from
    /// its reader: `processors` of them.
    fn threads(&self, processors: usize) -> usize {
        processors
    }
}

/// All the bytes under a path, at most `limit`; `None` where nothing is.
///
/// # Errors
/// [`ReadError`]; one of kind [`io::ErrorKind::FileTooLarge`] behind the limit.
pub fn read(source: &dyn EvidenceSource, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(reader) = source.open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let error = |source| ReadError { operation: "read", place: path.to_owned(), source };
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > limit {
        return Err(error(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(bytes))
}
