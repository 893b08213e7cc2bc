//! The Merkle tree hash of RFC 6962 §2.1, built leaf by leaf.
//!
//! Only the frontier is kept: the roots of the perfect subtrees that cover the
//! leaves so far, largest first. It is all that is needed to go on, so a
//! manifest can carry it and the next one continue.

use aws_lc_rs::digest;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A tree that grows at its right end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    frontier: Vec<Hash>,
}

impl Tree {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from a stored size and frontier. `None` where the two can't
    /// belong together: a tree of n leaves has as many subtrees as n has ones.
    #[must_use]
    pub fn resume(size: u64, frontier: Vec<Hash>) -> Option<Self> {
        (frontier.len() == size.count_ones() as usize).then_some(Self { size, frontier })
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hash = leaf_hash(leaf);
        // Each trailing one of the old size is a subtree as large as the new one.
        for _ in 0..self.size.trailing_ones() {
            let left = self.frontier.pop().expect("the frontier has a hash for each one bit of the size");
            hash = node_hash(&left, &hash);
        }
        self.frontier.push(hash);
        self.size += 1;
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    #[must_use]
    pub fn frontier(&self) -> &[Hash] {
        &self.frontier
    }

    /// The tree's hash.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.frontier.iter().rev();
        let Some(&last) = subtrees.next() else { return sha256(&[]) };
        subtrees.fold(last, |right, left| node_hash(left, &right))
    }
}

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    hash_parts(&[&[0], leaf])
}

/// SHA-256 of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    hash_parts(&[bytes])
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// The hash that 64 hexadecimal digits spell.
#[must_use]
pub fn unhex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(hash)
}

pub(super) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash_parts(&[&[1], left, right])
}

fn hash_parts(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    finish(context)
}

/// The value of a finished SHA-256 computation.
pub(crate) fn finish(context: digest::Context) -> Hash {
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of RFC 6962, word for word.
    fn definition(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&definition(&leaves[..split]), &definition(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_published_vectors_of_certificate_transparency_hold() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::new();
        assert_eq!(hex(&tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(leaf);
            assert_eq!(hex(&tree.root()), root);
            assert_eq!(unhex(root), Some(tree.root()));
        }
    }

    proptest! {
        #[test]
        fn a_tree_that_is_stored_and_resumed_has_the_root_of_the_definition(
            leaves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5), 0..40),
            stop in 0usize..40,
        ) {
            let mut tree = Tree::new();
            for (index, leaf) in leaves.iter().enumerate() {
                if index == stop {
                    tree = Tree::resume(tree.size(), tree.frontier().to_vec()).unwrap();
                }
                tree.push(leaf);
            }
            prop_assert_eq!(tree.root(), definition(&leaves));
        }
    }

    #[test]
    fn a_frontier_of_the_wrong_length_and_digits_that_are_none_are_refused() {
        assert!(Tree::resume(3, vec![[0; 32]]).is_none());
        assert!(unhex("zz").is_none());
        assert!(unhex(&"é".repeat(32)).is_none());
    }
}
