//! Anchors: the head of a chain, told to another place after each commit, so that
//! who owns the bucket can't rewrite it unseen.
//!
//! A line of JSON each; its checkpoint is a signed note of the C2SP form
//! `tlog-checkpoint`: origin, tree size, tree hash, and the manifest's number and
//! SHA-256 as an extension line. The tree is that over all manifests so far.

use super::keys::SigningKey;
use super::merkle::{self, Hash, Tree};
use super::note::{self, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// No line is longer than this.
const MAX_LINE: u64 = 64 * 1024;

/// The head of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The instance that packs.
    pub instance: String,
    /// The destination.
    pub destination: String,
    /// The manifest's number.
    pub number: u64,
    /// SHA-256 of the manifest.
    pub sha256: String,
    /// Number of manifests up to and with this one.
    pub tree_size: u64,
    /// RFC 6962 tree hash over them.
    pub tree_root: String,
    /// The same as a signed note.
    pub checkpoint: String,
}

impl Head {
    /// The head after a manifest was added as the last leaf of this tree. The
    /// checkpoint's signer has the origin as name, as its readers want it.
    #[must_use]
    pub fn new(
        signer: (&str, &SigningKey),
        chain: (&str, &str),
        number: u64,
        manifest: &[u8],
        tree: &Tree,
    ) -> Self {
        let (instance, destination) = chain;
        let (root, sha256) = (tree.root(), merkle::hex(&merkle::sha256(manifest)));
        let origin = origin(signer.0, instance, destination);
        let size = tree.size();
        let text = format!("{origin}\n{size}\n{}\nmanifest {number} {sha256}\n", BASE64.encode(root));
        let checkpoint = String::from_utf8_lossy(&note::sign(&text, &origin, signer.1)).into_owned();
        Self {
            instance: instance.to_owned(),
            destination: destination.to_owned(),
            number,
            sha256,
            tree_size: size,
            tree_root: merkle::hex(&root),
            checkpoint,
        }
    }

    /// The manifest's hash and the tree's, if the checkpoint says the same as the
    /// line and, where keys are given, one of them signed it.
    #[must_use]
    pub fn hashes(&self, keys: &[Verifier]) -> Option<(Hash, Hash)> {
        let note = note::parse(self.checkpoint.as_bytes()).ok()?;
        let (sha256, root) = (merkle::unhex(&self.sha256)?, merkle::unhex(&self.tree_root)?);
        let said = format!(
            "{}\n{}\nmanifest {} {}\n",
            self.tree_size,
            BASE64.encode(root),
            self.number,
            self.sha256
        );
        let (origin, rest) = note.text.split_once('\n')?;
        let signed = |key: &Verifier| Verifier::new(origin, *key.public()).check(&note).is_ok();
        (rest == said && (keys.is_empty() || keys.iter().any(signed))).then_some((sha256, root))
    }
}

fn origin(signer: &str, instance: &str, destination: &str) -> String {
    let plain = |text: &str| text.replace(|c: char| c.is_whitespace() || c.is_control() || c == '+', "-");
    format!("{}/{}/{}", plain(signer), plain(instance), plain(destination))
}

/// A file that heads are appended to; several chains may share it.
#[derive(Clone, Debug)]
pub struct AnchorFile {
    path: PathBuf,
}

impl AnchorFile {
    /// The file at this path, which is made at the first head if it is missing.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a head; it is on stable storage when this returns.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn append(&self, head: &Head) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        file.lock()?;
        let mut line = serde_json::to_vec(head)?;
        line.push(b'\n');
        // A crash may have left half a line: it stays alone.
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                line.insert(0, b'\n');
            }
        }
        file.write_all(&line)?;
        file.sync_data()
    }

    /// The heads of one chain in the file's order; lines that are none are left out.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn heads(&self, instance: &str, destination: &str) -> io::Result<Heads> {
        let lines = BufReader::new(File::open(&self.path)?);
        Ok(Heads { lines, instance: instance.to_owned(), destination: destination.to_owned() })
    }
}

/// Reads heads line by line.
#[derive(Debug)]
pub struct Heads {
    lines: BufReader<File>,
    instance: String,
    destination: String,
}

impl Iterator for Heads {
    type Item = io::Result<Head>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut self.lines).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            if let Ok(head) = serde_json::from_slice::<Head>(&line)
                && head.instance == self.instance
                && head.destination == self.destination
            {
                return Some(Ok(head));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(key: &SigningKey, number: u64) -> Head {
        let mut tree = Tree::new();
        (0..=number).for_each(|n| tree.push(&n.to_be_bytes()));
        Head::new(("onrecord/gw", key), ("gw", "archive"), number, &number.to_be_bytes(), &tree)
    }

    #[test]
    fn heads_come_back_in_order_and_half_a_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = AnchorFile::new(&dir.path().join("anchor"));
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        file.append(&head(&key, 0)).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(file.path())
            .unwrap()
            .write_all(b"{\"instance\":\"gw\"")
            .unwrap();
        file.append(&head(&key, 1)).unwrap();
        file.append(&Head { destination: "other".to_owned(), ..head(&key, 2) }).unwrap();
        let heads: Vec<Head> = file.heads("gw", "archive").unwrap().map(Result::unwrap).collect();
        assert_eq!(heads, [head(&key, 0), head(&key, 1)]);
    }

    #[test]
    fn a_head_counts_only_if_its_checkpoint_says_the_same_and_the_key_signed_it() {
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        let verifier = Verifier::new("onrecord/gw", key.public());
        let other = Verifier::new("onrecord/gw", SigningKey::from_seed(&[4; 32]).unwrap().public());
        let good = head(&key, 5);
        assert!(good.hashes(std::slice::from_ref(&verifier)).is_some());
        assert!(good.hashes(&[]).is_some());
        assert!(good.hashes(&[other]).is_none());
        let keys = std::slice::from_ref(&verifier);
        assert!(Head { number: 6, ..good.clone() }.hashes(keys).is_none());
        assert!(Head { tree_size: 7, ..good.clone() }.hashes(keys).is_none());
        assert!(Head { sha256: "0".repeat(64), ..good.clone() }.hashes(keys).is_none());
        assert!(good.checkpoint.starts_with("onrecord/gw/gw/archive\n6\n"));
    }
}
