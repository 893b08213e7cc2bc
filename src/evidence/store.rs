//! Where evidence is read from: a tree of named bytes that can be listed.
//!
//! Listing goes page by page, so that a reader needs the same memory however
//! many objects there are.

use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
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

/// Something that holds delivered objects and can be read.
pub trait EvidenceSource: Send + Sync {
    /// The next entries of a folder behind `after`, in the order of their names, at
    /// most `limit`; fewer mean the end. A folder is `""` or ends with `/`; one
    /// that is not there is empty.
    ///
    /// # Errors
    /// [`ReadError`] when the folder can't be listed.
    fn list(&self, folder: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, ReadError>;

    /// The bytes under a path; `None` where nothing is.
    ///
    /// # Errors
    /// [`ReadError`] when it is there and can't be opened.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, ReadError>;

    /// Where it is, for people.
    fn place(&self) -> String;
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

/// A directory that objects were delivered to, or a copy of a bucket.
#[derive(Clone, Debug)]
pub struct DirSource {
    root: PathBuf,
}

impl DirSource {
    /// The directory at this path.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The file of a key; `None` for one that would leave the directory.
    fn file(&self, key: &str) -> Option<PathBuf> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let key = key.strip_suffix('/').unwrap_or(key);
        (key.is_empty() || key.split('/').all(plain)).then(|| self.root.join(key))
    }
}

impl EvidenceSource for DirSource {
    fn list(&self, folder: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, ReadError> {
        let Some(path) = self.file(folder) else { return Ok(Vec::new()) };
        let error = |source| ReadError { operation: "list", place: path.display().to_string(), source };
        let entries = match fs::read_dir(&path) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound && !folder.is_empty() => {
                return Ok(Vec::new());
            }
            entries => entries.map_err(error)?,
        };
        // The smallest names behind `after`: the heap's top is the largest of them.
        let mut page: BinaryHeap<Entry> = BinaryHeap::new();
        for entry in entries {
            let entry = entry.map_err(error)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let late = page.len() >= limit && page.peek().is_some_and(|top| top.name <= name);
            if late || after.is_some_and(|after| name.as_str() <= after) {
                continue;
            }
            let is_folder = entry.file_type().map_err(error)?.is_dir();
            page.push(Entry { name, is_folder });
            if page.len() > limit {
                page.pop();
            }
        }
        Ok(page.into_sorted_vec())
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, ReadError> {
        let Some(path) = self.file(path) else { return Ok(None) };
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(source) => Err(ReadError { operation: "open", place: path.display().to_string(), source }),
        }
    }

    fn place(&self) -> String {
        self.root.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_page_by_page_and_no_key_leaves_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("folder")).unwrap();
        for number in (0..25).rev() {
            fs::write(root.join(format!("file-{number:02}")), b"x").unwrap();
        }
        fs::write(dir.path().join("outside"), b"x").unwrap();
        let source = DirSource::new(&root);
        let (mut names, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = source.list("", after.as_deref(), 7).unwrap();
            assert!(page.len() <= 7);
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            names.extend(page);
        }
        assert_eq!(names.len(), 26);
        assert!(names.is_sorted());
        assert!(names[25].is_folder && names[25].name == "folder");
        assert!(source.list("gone/", None, 9).unwrap().is_empty());
        for key in ["../outside", "folder/../../outside", "/etc/hostname", "gone", "file-00/x"] {
            assert!(source.open(key).unwrap().is_none(), "{key}");
        }
        assert_eq!(read(&source, "file-03", 1).unwrap().unwrap(), b"x");
        assert!(read(&source, "file-03", 0).is_err());
    }
}
