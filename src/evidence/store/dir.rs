//! A directory as a source of evidence.

use super::{Entry, EvidenceSource, Listing, ReadError};
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

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
    fn list<'a>(&'a self, folder: &str) -> Box<dyn Listing + 'a> {
        Box::new(DirListing {
            path: self.file(folder),
            is_root: folder.is_empty(),
            after: None,
            ended: false,
        })
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

/// The system gives names in no order: each page is picked in a pass of its own.
struct DirListing {
    path: Option<PathBuf>,
    is_root: bool,
    after: Option<String>,
    ended: bool,
}

impl Listing for DirListing {
    fn page(&mut self, limit: usize) -> Result<Vec<Entry>, ReadError> {
        let Some(path) = self.path.as_ref().filter(|_| !self.ended) else { return Ok(Vec::new()) };
        let error = |source| ReadError { operation: "list", place: path.display().to_string(), source };
        let entries = match fs::read_dir(path) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound && !self.is_root => return Ok(Vec::new()),
            entries => entries.map_err(error)?,
        };
        // The smallest names behind `after`: the heap's top is the largest of them.
        let mut page: BinaryHeap<Entry> = BinaryHeap::new();
        for entry in entries {
            let entry = entry.map_err(error)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let late = page.len() >= limit && page.peek().is_some_and(|top| top.name <= name);
            if late || self.after.as_ref().is_some_and(|after| name <= *after) {
                continue;
            }
            let is_folder = entry.file_type().map_err(error)?.is_dir();
            page.push(Entry { name, is_folder });
            if page.len() > limit {
                page.pop();
            }
        }
        let page = page.into_sorted_vec();
        self.ended = page.len() < limit;
        self.after = page.last().map(|entry| entry.name.clone());
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::store::read;

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
        let (mut names, mut listing) = (Vec::new(), source.list(""));
        loop {
            let page = listing.page(7).unwrap();
            assert!(page.len() <= 7);
            if page.is_empty() {
                break;
            }
            names.extend(page);
        }
        assert_eq!(names.len(), 26);
        assert!(names.is_sorted());
        assert!(names[25].is_folder && names[25].name == "folder");
        assert!(source.list("gone/").page(9).unwrap().is_empty());
        assert!(DirSource::new(&dir.path().join("gone")).list("").page(9).is_err());
        for key in ["../outside", "folder/../../outside", "/etc/hostname", "gone", "file-00/x"] {
            assert!(source.open(key).unwrap().is_none(), "{key}");
        }
        assert_eq!(read(&source, "file-03", 1).unwrap().unwrap(), b"x");
        assert!(read(&source, "file-03", 0).is_err());
    }
}
