//! Does what was delivered add up? Reads manifests and objects as they lie in a
//! directory and checks chains, hashes, counts, and the law for each lane:
//! taken = delivered + filtered + declared + open.

use super::merkle::{self, Tree};
use crate::pack::manifest::{LaneEntry, Manifest, ObjectEntry, Totals, lane_text};
use crate::record::SequenceSet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;
use uuid::Uuid;

/// Why nothing could be checked.
#[derive(Debug, Error)]
pub enum AccountError {
    /// A folder or a manifest can't be read.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What the manifests and objects below a directory come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Manifests read.
    pub manifests: u64,
    /// Objects that are there and right.
    pub objects: u64,
    /// Records in them.
    pub records: u64,
    /// Objects that manifests say will never arrive.
    pub expired: u64,
    /// The lanes, by chain.
    pub lanes: Vec<LaneAccount>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
    /// What is wrong. Empty: everything adds up.
    pub problems: Vec<String>,
}

/// The sums of one lane in one chain, as its newest manifest states them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneAccount {
    /// The instance that packed.
    pub chain: String,
    /// The destination.
    pub destination: String,
    /// The instance that captured.
    pub instance: String,
    /// The boot that captured.
    pub boot: Uuid,
    /// The lane, or `self`.
    pub lane: String,
    /// Sequences given out.
    pub taken: u64,
    /// Records in objects.
    pub delivered: u64,
    /// Records that the destination does not take.
    pub filtered: u64,
    /// Declared lost.
    pub declared: u64,
    /// Neither packed nor declared when the newest manifest was made: still
    /// running, or in ring or spool.
    pub open: u64,
}

impl Account {
    /// Whether everything adds up.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { manifests, objects, records, expired, .. } = self;
        writeln!(
            f,
            "{manifests} manifests, {objects} objects, {records} records, {expired} objects expired"
        )?;
        for lane in &self.lanes {
            let LaneAccount {
                destination,
                instance,
                boot,
                lane,
                taken,
                delivered,
                filtered,
                declared,
                open,
                ..
            } = lane;
            writeln!(
                f,
                "{destination}: {instance} {boot} lane {lane}: taken {taken} = delivered {delivered} + \
                 filtered {filtered} + declared {declared} + open {open}"
            )?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for problem in &self.problems {
            writeln!(f, "WRONG: {problem}")?;
        }
        writeln!(f, "{}", if self.is_whole() { "the account is whole" } else { "the account is NOT whole" })
    }
}

/// One manifest as found.
struct Found {
    manifest: Manifest,
    hash: String,
    bytes: Vec<u8>,
}

/// Which records a lane was seen to have in objects, across one chain.
type Seen = BTreeMap<(Uuid, u64), SequenceSet>;

/// Checks all that lies below a directory that objects were delivered to.
/// Signatures are not checked here: that needs the public key.
///
/// # Errors
/// When the directory can't be read; what is wrong with its contents is part of the account.
pub fn account(root: &Path) -> Result<Account, AccountError> {
    let mut account = Account::default();
    let mut files = Vec::new();
    find_files(root, &mut files)?;
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (files, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| {
        let name = name(path);
        name.starts_with("manifest-") && name.ends_with(".json")
    });
    let mut chains: BTreeMap<(String, String), Vec<Found>> = BTreeMap::new();
    for path in files {
        let bytes = fs::read(&path).map_err(|source| AccountError::Io { path: path.clone(), source })?;
        let hash = merkle::hex(&merkle::sha256(&bytes));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(&format!("-{}.json", &hash[..16])) {
            account
                .problems
                .push(format!("{} does not hold the bytes that its name promises", path.display()));
        }
        match Manifest::read(&bytes) {
            Ok(manifest) => {
                account.manifests += 1;
                let chain = (manifest.instance.clone(), manifest.destination.clone());
                chains.entry(chain).or_default().push(Found { manifest, hash, bytes });
            }
            Err(error) => account.problems.push(format!("{}: {error}", path.display())),
        }
    }
    if account.manifests == 0 {
        account.notes.push(format!("no manifest lies below {}", root.display()));
    }
    let objects = chains.values().flatten().flat_map(|found| &found.manifest.objects);
    let named: HashSet<String> = objects.map(|object| object.key.clone()).collect();
    count_unnamed(root, &others, &named, &mut account);
    for ((instance, destination), mut chain) in chains {
        chain.sort_by(|a, b| {
            (a.manifest.number, &a.manifest.time).cmp(&(b.manifest.number, &b.manifest.time))
        });
        let name = format!("{destination} of {instance}");
        check_links(&name, &chain, &mut account);
        let seen = check_objects(root, &name, &chain, &mut account);
        check_law(&name, &chain, &seen, &mut account);
    }
    Ok(account)
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), AccountError> {
    let io = |source| AccountError::Io { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_type().map_err(io)?.is_dir() {
            find_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Objects that no manifest names: their manifest has not arrived, or is gone.
fn count_unnamed(root: &Path, files: &[PathBuf], named: &HashSet<String>, account: &mut Account) {
    let unnamed = |path: &&PathBuf| {
        let object = path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.starts_with("compacted-") && name.ends_with(".gz")
        });
        object && path.strip_prefix(root).is_ok_and(|key| !named.contains(&*key.to_string_lossy()))
    };
    let count = files.iter().filter(unnamed).count();
    if count > 0 {
        account.notes.push(format!("{count} objects are named by no manifest"));
    }
}

/// Numbers without gap or fork, each manifest naming the one before, and the tree over all.
fn check_links(name: &str, chain: &[Found], account: &mut Account) {
    let mut tree: Option<Tree> = None;
    let mut before: Option<&Found> = None;
    for found in chain {
        let manifest = &found.manifest;
        let number = manifest.number;
        match before {
            None if manifest.previous.is_some() => {
                account.notes.push(format!("{name}: history before manifest {number} is unproved"));
            }
            None => {}
            Some(last) if last.manifest.number == number => {
                account.problems.push(format!("{name}: two manifests have the number {number} (a fork)"));
            }
            Some(last) => {
                let next = last.manifest.number + 1;
                if number != next {
                    account.problems.push(format!("{name}: manifests {next} to {} are missing", number - 1));
                    tree = None;
                } else if manifest.previous.as_deref() != Some(&last.hash) {
                    account
                        .problems
                        .push(format!("{name}: manifest {number} does not follow from the one before"));
                }
            }
        }
        let stated = manifest.tree();
        if let (Some(tree), Some(stated)) = (&tree, &stated)
            && tree != stated
        {
            account
                .problems
                .push(format!("{name}: the tree of manifest {number} is not that of its forerunners"));
        }
        tree = stated.map(|mut tree| {
            tree.push(&found.bytes);
            tree
        });
        before = Some(found);
    }
}

/// Every listed object is there with its bytes, lines and root; no record twice.
fn check_objects(root: &Path, name: &str, chain: &[Found], account: &mut Account) -> Seen {
    let expired: HashSet<&str> =
        chain.iter().flat_map(|found| &found.manifest.expired).map(|e| e.key.as_str()).collect();
    let mut seen = Seen::new();
    for found in chain {
        for object in &found.manifest.objects {
            if expired.contains(object.key.as_str()) {
                account.expired += 1;
                continue;
            }
            match read_object(&root.join(&object.key), object, &mut seen) {
                Ok(None) => {
                    account.objects += 1;
                    account.records += object.records;
                }
                Ok(Some(problem)) => account.problems.push(format!("{name}: {}: {problem}", object.key)),
                Err(error) => account.problems.push(format!("{name}: {}: {error}", object.key)),
            }
        }
    }
    seen
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "onrecord.boot")]
    boot: Uuid,
    #[serde(rename = "onrecord.lane")]
    lane: u64,
    #[serde(rename = "onrecord.sequence")]
    sequence: u64,
}

/// Reads an object line by line; returns what is wrong with it.
fn read_object(path: &Path, entry: &ObjectEntry, seen: &mut Seen) -> io::Result<Option<String>> {
    let mut compressed = Hashing {
        file: File::open(path)?,
        hash: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256),
        bytes: 0,
    };
    let mut tree = Tree::new();
    {
        let mut lines = BufReader::new(flate2::read::MultiGzDecoder::new(&mut compressed));
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            tree.push(line);
            let Ok(read) = serde_json::from_slice::<Line>(line) else {
                return Ok(Some(format!("line {} is no record", tree.size())));
            };
            if !seen.entry((read.boot, read.lane)).or_default().insert(read.sequence) {
                let Line { boot, lane, sequence } = read;
                return Ok(Some(format!("sequence {sequence} of {boot} lane {lane} was delivered twice")));
            }
        }
    }
    io::copy(&mut compressed, &mut io::sink())?;
    let hash = merkle::hex(&merkle::finish(compressed.hash));
    Ok(if hash != entry.sha256 || compressed.bytes != entry.bytes {
        Some("its bytes are not those that were packed".to_owned())
    } else if tree.size() != entry.records || merkle::hex(&tree.root()) != entry.records_root {
        Some("its lines are not those that were packed".to_owned())
    } else {
        None
    })
}

struct Hashing {
    file: File,
    hash: aws_lc_rs::digest::Context,
    bytes: u64,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hash.update(&buffer[..length]);
        self.bytes += length as u64;
        Ok(length)
    }
}

/// The sums of each manifest over its lanes, and of each lane over the chain.
fn check_law(name: &str, chain: &[Found], seen: &Seen, account: &mut Account) {
    let mut newest: BTreeMap<(Uuid, u16), (&Found, &LaneEntry)> = BTreeMap::new();
    let mut covered: BTreeMap<(Uuid, u16), SequenceSet> = BTreeMap::new();
    // A chain whose beginning is not here can't be summed up from its batches.
    let complete = chain.first().is_some_and(|found| found.manifest.number == 0);
    for found in chain {
        let number = found.manifest.number;
        for lane in &found.manifest.lanes {
            let problem = |text: &str| {
                format!("{name}: manifest {number}, {} lane {}: {text}", lane.boot, lane_text(lane.lane))
            };
            let declared: u64 = lane.gaps.iter().map(|gap| gap.count).sum();
            if lane.covered.count() != lane.delivered + lane.filtered + declared {
                account.problems.push(problem("the batch covers another number than it accounts for"));
            }
            let all = covered.entry((lane.boot, lane.lane)).or_default();
            if lane.covered.difference(all) != lane.covered {
                account.problems.push(problem("a sequence is accounted for twice"));
            }
            all.union(&lane.covered);
            if complete && *all != lane.accounted {
                account.problems.push(problem("what is accounted for is not what the batches cover"));
            }
            let Totals { delivered, filtered, declared } = lane.totals;
            let sum = delivered + filtered + declared;
            if lane.accounted.count() != sum || lane.taken != sum + lane.open {
                account.problems.push(problem("taken is not delivered + filtered + declared + open"));
            }
            newest.insert((lane.boot, lane.lane), (found, lane));
        }
        let in_objects: u64 = found.manifest.records();
        let in_lanes: u64 = found.manifest.lanes.iter().map(|lane| lane.delivered).sum();
        if in_objects != in_lanes {
            account.problems.push(format!(
                "{name}: manifest {number} lists {in_objects} records in objects and {in_lanes} in lanes"
            ));
        }
    }
    let mut expiring = unstated_expiry(chain);
    for ((boot, number), (found, lane)) in newest {
        let in_objects = seen.get(&(boot, u64::from(number))).map_or(0, SequenceSet::count);
        let late = expiring.remove(&(boot, number)).unwrap_or(0);
        if complete && in_objects + late != lane.totals.delivered {
            account.problems.push(format!(
                "{name}: {boot} lane {}: {} delivered by the manifests, {in_objects} in the objects",
                lane_text(number),
                lane.totals.delivered
            ));
        }
        account.lanes.push(LaneAccount {
            chain: found.manifest.instance.clone(),
            destination: found.manifest.destination.clone(),
            instance: lane.instance.clone(),
            boot,
            lane: lane_text(number),
            taken: lane.taken,
            delivered: lane.totals.delivered,
            filtered: lane.totals.filtered,
            declared: lane.totals.declared,
            open: lane.open,
        });
    }
}

/// Records of expired objects whose lanes the stating manifest did not move to
/// "declared", because the lane's boot was over and forgotten by then.
fn unstated_expiry(chain: &[Found]) -> BTreeMap<(Uuid, u16), u64> {
    let mut late = BTreeMap::new();
    for found in chain {
        for count in found.manifest.expired.iter().flat_map(|entry| &entry.lanes) {
            let spoken = |lane: &LaneEntry| (lane.boot, lane.lane) == (count.boot, count.lane);
            if !found.manifest.lanes.iter().any(spoken) {
                *late.entry((count.boot, count.lane)).or_default() += count.records;
            }
        }
    }
    late
}
