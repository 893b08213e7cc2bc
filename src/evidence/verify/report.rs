//! What a verification comes to.

use super::finding::{Finding, FindingKind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// More findings than this are counted and not kept.
const MAX_KEPT: usize = 10_000;

/// Who has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignerVerdict {
    /// The key that the reader brought, or one that it handed over to.
    Pinned,
    /// The key that is published beside the objects; whoever can write there could replace both.
    #[default]
    NotPinned,
    /// No public key was at hand.
    NotChecked,
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was found.
    Holds,
    /// Something was found.
    Broken,
}

/// The whole result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// As of when, RFC 3339.
    pub at: String,
    /// Whether lines were looked at too.
    pub deep: bool,
    /// Who has signed.
    pub signer: SignerVerdict,
    /// Manifests read.
    pub manifests: u64,
    /// Objects that are there as signed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Objects that were given up before delivery, as signed manifests say.
    pub given_up: u64,
    /// Objects of days that retention has taken.
    pub expired: u64,
    /// Objects whose manifest is not there (yet), or is itself a finding.
    pub unproved: u64,
    /// Each chain.
    pub chains: Vec<ChainReport>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
    /// What was found, as far as it is kept.
    pub findings: Vec<Finding>,
    /// How often each kind was found.
    pub counts: BTreeMap<&'static str, u64>,
}

/// One chain: what one instance packed for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The instance.
    pub instance: String,
    /// The destination.
    pub destination: String,
    /// The numbers of its first and last manifest.
    pub numbers: Option<(u64, u64)>,
    /// When the last manifest was written.
    pub last: String,
    /// Whether the last manifest closed it.
    pub closed: bool,
    /// The sums of each boot.
    pub boots: Vec<BootReport>,
    /// Records declared lost, by cause.
    pub declared: BTreeMap<&'static str, u64>,
    /// What of it is an upper bound and not a number, by cause.
    pub at_most: BTreeMap<&'static str, u64>,
}

/// The sums of one boot over its lanes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootReport {
    /// The instance that captured.
    pub instance: String,
    /// The boot.
    pub boot: Uuid,
    /// Sequences given out.
    pub taken: u64,
    /// Records in objects.
    pub delivered: u64,
    /// Records that the destination does not take.
    pub filtered: u64,
    /// Declared lost.
    pub declared: u64,
    /// Neither when the newest manifest was made.
    pub awaited: u64,
    /// The same lane by lane.
    pub lanes: Vec<LaneReport>,
}

/// The sums of one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
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
    /// Neither when the newest manifest was made.
    pub awaited: u64,
}

impl Report {
    /// Adds a finding.
    pub(super) fn find(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind.as_str()).or_default() += 1;
        if self.findings.len() < MAX_KEPT {
            self.findings.push(finding);
        }
    }

    /// Adds what a thread counted and found.
    pub(super) fn absorb(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.records += other.records;
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        let room = MAX_KEPT.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether each object is as it was signed, the chain whole, and nothing foreign there.
    #[must_use]
    pub fn integrity(&self) -> Verdict {
        self.verdict(FindingKind::breaks_integrity)
    }

    /// Whether each sequence is delivered, declared lost, or awaited.
    #[must_use]
    pub fn completeness(&self) -> Verdict {
        self.verdict(FindingKind::breaks_completeness)
    }

    fn has_strangers(&self) -> bool {
        [FindingKind::SignerChanged, FindingKind::SignerUnknown, FindingKind::SignatureInvalid]
            .iter()
            .any(|kind| self.counts.contains_key(kind.as_str()))
    }

    fn verdict(&self, breaks: fn(FindingKind) -> bool) -> Verdict {
        let found = |kind: &&FindingKind| self.counts.contains_key(kind.as_str());
        if FindingKind::ALL.iter().filter(found).any(|kind| breaks(*kind)) {
            Verdict::Broken
        } else {
            Verdict::Holds
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manifests, objects, records, bytes, at, .. } = self;
        writeln!(
            f,
            "{manifests} manifests, {objects} objects, {bytes} bytes, {records} records; as of {at}"
        )?;
        for chain in &self.chains {
            write_chain(f, chain)?;
        }
        for (count, what) in [
            (self.given_up, "objects were given up before delivery, as signed manifests say"),
            (self.expired, "objects were taken by retention, as the signed retention_days allows"),
            (self.unproved, "objects have no manifest to prove them"),
        ] {
            if count > 0 {
                writeln!(f, "{count} {what}")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for finding in &self.findings {
            writeln!(f, "FOUND {finding}")?;
        }
        let all: u64 = self.counts.values().sum();
        if all > self.findings.len() as u64 {
            writeln!(f, "… and {} findings more", all - self.findings.len() as u64)?;
        }
        let verdict = |verdict| if verdict == Verdict::Holds { "holds" } else { "BROKEN" };
        let signer = match self.signer {
            SignerVerdict::Pinned if self.has_strangers() => "NOT all signed by the pinned key",
            SignerVerdict::Pinned => "signed by the pinned key",
            SignerVerdict::NotPinned => "signed, signer not pinned",
            SignerVerdict::NotChecked => "signatures not checked: no public key is at hand",
        };
        writeln!(f, "integrity:    {} ({signer})", verdict(self.integrity()))?;
        write!(f, "completeness: {}", verdict(self.completeness()))?;
        let sum = |part: fn(&BootReport) -> u64| -> u64 {
            self.chains.iter().flat_map(|chain| &chain.boots).map(part).sum()
        };
        writeln!(
            f,
            " (delivered {}, filtered {}, declared lost {}{}, awaited {})",
            sum(|boot| boot.delivered),
            sum(|boot| boot.filtered),
            if self.chains.iter().any(|chain| !chain.at_most.is_empty()) { "at most " } else { "" },
            sum(|boot| boot.declared),
            sum(|boot| boot.awaited)
        )
    }
}

fn write_chain(f: &mut fmt::Formatter<'_>, chain: &ChainReport) -> fmt::Result {
    let ChainReport { instance, destination, last, closed, .. } = chain;
    if let Some((first, newest)) = chain.numbers {
        let end = if *closed { "closed" } else { "open" };
        writeln!(f, "{destination} of {instance}: manifests {first} to {newest}, {end}, last at {last}")?;
    }
    for boot in &chain.boots {
        let BootReport { instance, boot, taken, delivered, filtered, declared, awaited, lanes: _ } = boot;
        writeln!(
            f,
            "  {instance} {boot}: taken {taken} = delivered {delivered} + filtered {filtered} + \
             declared {declared} + awaited {awaited}"
        )?;
    }
    for (cause, count) in &chain.declared {
        match chain.at_most.get(cause) {
            None => writeln!(f, "  declared lost: {count} ({cause})")?,
            Some(bound) => {
                writeln!(f, "  declared lost: at most {count} ({cause}; {bound} of them a bound)")?
            }
        }
    }
    Ok(())
}
