//! Does what was delivered add up? What [`verify`](super::verify) reads, as the sums of
//! each lane: taken = delivered + filtered + declared + open.
//!
//! Unlike a verdict on evidence this asks neither who signed nor whether the end of a
//! chain is late: it is for whoever runs the gateway, also while it runs.

use super::store::EvidenceSource;
use super::verify::{BootReport, Finding, FindingKind, Report, VerifyError, VerifyOptions, verify};
use serde::Serialize;
use uuid::Uuid;

/// What the manifests and objects in a place come to.
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

/// The sums of one lane in one chain, as the newest manifest that speaks of it states them.
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

/// Adds up all that lies in a source, as of a Unix time in microseconds.
///
/// # Errors
/// When something can't be read; what is wrong is part of the account.
pub fn account(source: &dyn EvidenceSource, at: u64, threads: usize) -> Result<Account, VerifyError> {
    let options =
        VerifyOptions { keys: Vec::new(), anchor: None, at, deep: true, threads, any_beginning: true };
    match verify(source, &options, &|_| {}) {
        Ok(report) => Ok(Account::of(report)),
        Err(VerifyError::Nothing { place }) => {
            Ok(Account { notes: vec![format!("no manifest lies at {place}")], ..Account::default() })
        }
        Err(error) => Err(error),
    }
}

impl Account {
    fn of(report: Report) -> Self {
        let mut account = Self {
            manifests: report.manifests,
            objects: report.objects,
            records: report.records,
            expired: report.given_up,
            notes: report.notes,
            ..Self::default()
        };
        for chain in report.chains {
            for (cause, bound) in &chain.at_most {
                account.notes.push(format!(
                    "{} of {}: of what is declared lost {bound} ({cause}) are a bound: it can be less",
                    chain.destination, chain.instance
                ));
            }
            for boot in chain.boots {
                let BootReport { instance, boot, lanes, .. } = boot;
                account.lanes.extend(lanes.into_iter().map(|lane| LaneAccount {
                    chain: chain.instance.clone(),
                    destination: chain.destination.clone(),
                    instance: instance.clone(),
                    boot,
                    lane: lane.lane,
                    taken: lane.taken,
                    delivered: lane.delivered,
                    filtered: lane.filtered,
                    declared: lane.declared,
                    open: lane.awaited,
                }));
            }
        }
        let unnamed = report.unproved
            + report.counts.get(FindingKind::ForeignObject.as_str()).copied().unwrap_or_default();
        for (count, what) in [
            (unnamed, "objects are named by no manifest"),
            (report.expired, "objects were taken by retention"),
        ] {
            if count > 0 {
                account.notes.push(format!("{count} {what}"));
            }
        }
        let problem = |finding: &&Finding| {
            !matches!(finding.kind, FindingKind::ForeignObject | FindingKind::TailMissing)
        };
        account.problems = report.findings.iter().filter(problem).map(ToString::to_string).collect();
        account
    }

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
