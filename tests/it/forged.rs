//! What a thief of the signing key, or a gateway that counts wrongly, can't hide: each
//! way to lie in signed manifests has its finding, and no other.

use crate::evidence::{Bucket, Copy, gunzip, gzip};
use crate::harness::gateway::read_lossy;
use onrecord::evidence::keys::SigningKey;
use onrecord::evidence::merkle::{Tree, hex, sha256};
use onrecord::evidence::note;
use onrecord::evidence::verify::FindingKind;
use onrecord::pack::manifest::{LaneEntry, Manifest, ObjectEntry};
use std::path::{Path, PathBuf};

/// The manifests of a copy, to be changed and then linked and signed anew by the true key.
struct Forge {
    paths: Vec<PathBuf>,
    manifests: Vec<Manifest>,
    name: String,
    key: SigningKey,
}

impl Forge {
    fn open(bucket: &Bucket, copy: &Copy) -> Self {
        let paths = copy.manifests();
        let manifests =
            paths.iter().map(|path| Manifest::read(&std::fs::read(path).unwrap()).unwrap()).collect();
        let name = bucket.key.split('+').next().unwrap().to_owned();
        Self { paths, manifests, name, key: bucket.signing_key() }
    }

    /// Writes them back as a chain in which everything fits.
    fn write(mut self) {
        let (mut tree, mut previous) = (Tree::new(), None);
        for (path, manifest) in self.paths.iter().zip(&mut self.manifests) {
            manifest.previous = previous.take();
            manifest.tree_size = tree.size();
            manifest.tree_root = hex(&tree.root());
            manifest.tree_frontier = tree.frontier().iter().map(|hash| hex(hash)).collect();
            let note = note::sign(&manifest.text(), &self.name, &self.key);
            rename_to_hash(path, manifest.number, &note);
            tree.push(&note);
            previous = Some(hex(&sha256(&note)));
        }
    }

    /// The number of the first manifest with records, and its lane with the most of them.
    fn lane(&mut self) -> (usize, &mut LaneEntry) {
        let exchanges =
            |object: &ObjectEntry| object.records > 1 && !object.key.contains("log_source=onrecord/");
        let at = self.manifests.iter().position(|manifest| manifest.objects.iter().any(exchanges)).unwrap();
        let lane = self.manifests[at].lanes.iter_mut().max_by_key(|lane| lane.delivered).unwrap();
        (at, lane)
    }
}

/// Puts a manifest in place of another one, under the name that its bytes promise.
fn rename_to_hash(old: &Path, number: u64, note: &[u8]) {
    std::fs::remove_file(old).unwrap();
    let name = format!("manifest-{number:020}-{}.json", &hex(&sha256(note))[..16]);
    std::fs::write(old.with_file_name(name), note).unwrap();
}

/// Changes the lines of the first object that a manifest names, and signs the result.
fn change_lines(bucket: &Bucket, copy: &Copy, change: impl Fn(&mut Vec<String>)) {
    let mut forge = Forge::open(bucket, copy);
    let (at, _) = forge.lane();
    let entry = forge.manifests[at].objects.iter_mut().max_by_key(|object| object.records).unwrap();
    let path = copy.path.join(&entry.key);
    let mut lines: Vec<String> = gunzip(&path).lines().map(str::to_owned).collect();
    assert!(lines.len() > 1);
    change(&mut lines);
    gzip(&path, &format!("{}\n", lines.join("\n")));
    let bytes = std::fs::read(&path).unwrap();
    let mut tree = Tree::new();
    lines.iter().for_each(|line| tree.push(line.as_bytes()));
    (entry.sha256, entry.bytes) = (hex(&sha256(&bytes)), bytes.len() as u64);
    (entry.records_root, entry.records) = (hex(&tree.root()), lines.len() as u64);
    forge.write();
}

/// With the pinned key, as deep as can be.
#[track_caller]
fn finds(copy: &Copy, expected: &[(&str, u64)]) -> serde_json::Value {
    copy.finds(&["--deep", "--key", &copy.key], expected)
}

#[test]
fn lies_in_signed_manifests_are_named_one_by_one() {
    let bucket = Bucket::fill();
    // The forge itself leaves no trace but to an anchor.
    let copy = bucket.copy("forge");
    let mut forge = Forge::open(&bucket, &copy);
    forge.manifests[1].software.push_str(" (forged)");
    forge.write();
    finds(&copy, &[]);
    // From number 1 on all are other ones than were anchored.
    let others = copy.manifests().len() as u64 - 1;
    copy.finds(&["--anchor", &copy.anchor.display().to_string()], &[("anchor_contradicted", others)]);

    // A record is said to be filtered that was delivered before.
    let copy = bucket.copy("sums");
    let mut forge = Forge::open(&bucket, &copy);
    let newest = forge.manifests.last_mut().unwrap();
    let lane = newest.lanes.iter_mut().find(|lane| lane.totals.delivered > 0).unwrap();
    lane.totals.delivered -= 1;
    lane.totals.filtered += 1;
    forge.write();
    finds(&copy, &[("sums_differ", 1)]);

    // One that was taken is forgotten.
    let copy = bucket.copy("taken");
    let mut forge = Forge::open(&bucket, &copy);
    forge.manifests.last_mut().unwrap().lanes[0].taken += 1;
    forge.write();
    finds(&copy, &[("sequence_unaccounted", 1), ("sums_differ", 1)]);

    // The boot is over, and two of it are still said to be open.
    let copy = bucket.copy("unaccounted");
    let mut forge = Forge::open(&bucket, &copy);
    let newest = forge.manifests.last_mut().unwrap();
    let lane = newest.lanes.iter_mut().find(|lane| lane.closed).unwrap();
    (lane.taken, lane.open) = (lane.taken + 2, lane.open + 2);
    forge.write();
    let report = finds(&copy, &[("sequence_unaccounted", 1)]);
    assert_eq!(report["findings"][0]["records"][0]["count"], 2);

    // A record that nobody took.
    let sequence = |line: &str| -> u64 {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["onrecord.sequence"].as_u64().unwrap()
    };
    let copy = bucket.copy("invented");
    change_lines(&bucket, &copy, |lines| {
        let own = format!("\"onrecord.sequence\":{}", sequence(&lines[0]));
        lines[0] = lines[0].replace(&own, "\"onrecord.sequence\":1234567");
    });
    let report = finds(&copy, &[("record_unaccounted", 1)]);
    assert!(report["findings"][0].to_string().contains("1234567"), "{report:#}");

    // One record twice, in place of another.
    let copy = bucket.copy("twice");
    change_lines(&bucket, &copy, |lines| lines[1] = lines[0].clone());
    finds(&copy, &[("record_repeated", 1), ("record_unaccounted", 1)]);

    // A record that lies elsewhere than it says.
    let copy = bucket.copy("misplaced");
    change_lines(&bucket, &copy, |lines| {
        let day = lines[0].split_once("\"event.start\":\"").unwrap().1[..10].to_owned();
        lines[0] = lines[0].replacen(&format!("\"event.start\":\"{day}"), "\"event.start\":\"1999-12-31", 1);
    });
    finds(&copy, &[("record_misplaced", 1)]);
}

#[test]
fn a_signature_that_does_not_fit_is_told_from_one_by_somebody_else() {
    let bucket = Bucket::fill();
    let copy = bucket.copy("signature");
    let newest = copy.manifests().pop().unwrap();
    let note = read_lossy(&newest);
    // The last character of a signature of 68 bytes is padding; some before it count.
    let at = note.len() - 10;
    let other = if note.as_bytes()[at] == b'A' { "B" } else { "A" };
    let forged = format!("{}{other}{}", &note[..at], &note[at + 1..]);
    let number = Manifest::read(note.as_bytes()).unwrap().number;
    rename_to_hash(&newest, number, forged.as_bytes());
    for key in [&[][..], &["--key", &copy.key]] {
        let report = copy.finds(key, &[("signature_invalid", 1)]);
        assert_eq!((&report["integrity"], &report["completeness"]), (&"broken".into(), &"holds".into()));
    }
}

#[test]
fn a_manifest_that_is_replayed_elsewhere_is_found() {
    let bucket = Bucket::fill();
    // For another instance, for another destination, and under a number that is free.
    for (name, from, to) in
        [("instance", "instance=", "instance=other-"), ("destination", "destination=", "destination=other-")]
    {
        let copy = bucket.copy(name);
        let manifest = copy.manifests().remove(1);
        let replayed = PathBuf::from(manifest.to_string_lossy().replacen(from, to, 1));
        std::fs::create_dir_all(replayed.parent().unwrap()).unwrap();
        std::fs::copy(&manifest, &replayed).unwrap();
        finds(&copy, &[("manifest_altered", 1)]);
    }
    let copy = bucket.copy("number");
    let manifests = copy.manifests();
    let name = manifests[1].file_name().unwrap().to_string_lossy().into_owned();
    let later = format!("manifest-{:020}-{}", manifests.len(), &name[30..]);
    std::fs::copy(&manifests[1], manifests[1].with_file_name(later)).unwrap();
    finds(&copy, &[("manifest_altered", 1)]);
}

/// Names in the tests and in the docs: a kind that nobody tries is one that may not work.
#[test]
fn each_kind_of_finding_has_a_test_and_a_line_in_the_docs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests: String = ["evidence.rs", "forged.rs", "buckets.rs", "pipeline/retention.rs"]
        .iter()
        .map(|name| read_lossy(&root.join("tests/it").join(name)))
        .collect();
    let docs = read_lossy(&root.join("docs/evidence.md"));
    for kind in FindingKind::ALL {
        let name = kind.as_str();
        assert!(tests.contains(&format!("(\"{name}\", ")), "no test makes {name}");
        assert!(docs.contains(&format!("| `{name}` |")), "docs/evidence.md does not explain {name}");
    }
}
