//! Inclusion proofs of RFC 6962 §2.1.1: that a leaf is part of a tree, shown by
//! one hash a level.

use super::merkle::{Hash, node_hash, sha256};

/// The audit path of a leaf, from its neighbour up: `PATH(index, leaves)` of the
/// RFC, over leaf hashes. `None` where the tree has no such leaf.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The tree's hash over leaf hashes.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&root(left), &root(right))
        }
    }
}

/// The hash of the tree of `size` leaves in which this leaf stands at `index`, if
/// the path is right. `None` where the path has another length than such a tree's.
#[must_use]
pub fn root_from_path(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node without a right neighbour rises until it has a left one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::merkle::{Tree, hex, leaf_hash};
    use proptest::prelude::*;

    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];

    #[test]
    fn the_published_paths_of_certificate_transparency_hold() {
        let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect();
        let cases: [(usize, usize, &[&str]); 4] = [
            (0, 1, &[]),
            (
                0,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                5,
                8,
                &[
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ],
            ),
            (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        ];
        for (index, size, expected) in cases {
            let found = path(&leaves[..size], index).unwrap();
            let text: Vec<String> = found.iter().map(|hash| hex(hash)).collect();
            assert_eq!(text, expected, "leaf {index} of {size}");
            let top = root_from_path(&leaves[index], index as u64, size as u64, &found);
            assert_eq!(top, Some(root(&leaves[..size])));
        }
    }

    proptest! {
        #[test]
        fn every_path_leads_to_the_root_and_no_other_leaf_place_or_path_does(
            size in 1usize..70, index in 0usize..70, other in 0usize..70, flip in 0usize..8,
        ) {
            let bytes: Vec<[u8; 2]> = (0..size as u16).map(u16::to_be_bytes).collect();
            let leaves: Vec<Hash> = bytes.iter().map(|leaf| leaf_hash(leaf)).collect();
            let mut tree = Tree::new();
            bytes.iter().for_each(|leaf| tree.push(leaf));
            prop_assert_eq!(root(&leaves), tree.root());
            let (index, other) = (index % size, other % size);
            let proof = path(&leaves, index).unwrap();
            let lead = |leaf: &Hash, index: usize, proof: &[Hash]| {
                root_from_path(leaf, index as u64, size as u64, proof)
            };
            prop_assert_eq!(lead(&leaves[index], index, &proof), Some(tree.root()));
            if other != index {
                prop_assert_ne!(lead(&leaves[other], index, &proof), Some(tree.root()));
                prop_assert_ne!(lead(&leaves[index], other, &proof), Some(tree.root()));
            }
            let mut wrong = proof.clone();
            if let Some(hash) = wrong.get_mut(flip) {
                hash[0] ^= 1;
                prop_assert_ne!(lead(&leaves[index], index, &wrong), Some(tree.root()));
            }
            let mut long = proof.clone();
            long.push([0; 32]);
            prop_assert_eq!(lead(&leaves[index], index, &long), None);
            prop_assert!(proof.is_empty() || lead(&leaves[index], index, &proof[1..]) != Some(tree.root()));
            prop_assert!(path(&leaves, size).is_none());
        }
    }
}
