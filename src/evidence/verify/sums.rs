//! The law of one chain, manifest by manifest: each sequence is delivered,
//! filtered or declared lost once, and the sums are those of the parts.

use super::finding::{Finding, FindingKind, Records};
use super::report::{BootReport, LaneReport, Report};
use crate::pack::manifest::{LaneEntry, Manifest, Totals, lane_text};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Records by the cause of their loss.
type Losses = BTreeMap<&'static str, u64>;

/// Where the lanes of a chain stand.
#[derive(Debug, Default)]
pub(super) struct Sums {
    lanes: BTreeMap<(Uuid, u16), LaneEntry>,
    /// Boots that are over and of which manifests speak no more.
    over: Vec<BootReport>,
    declared: Losses,
    /// What of it is a bound.
    at_most: Losses,
}

impl Sums {
    /// Takes the next manifest. `follows` says whether the one before it was there.
    /// Returns what manifests that are not there accounted for.
    pub(super) fn see(
        &mut self,
        path: &str,
        manifest: &Manifest,
        follows: bool,
        report: &mut Report,
    ) -> Vec<Records> {
        let mut hidden = Vec::new();
        let mut differ = |detail: String| {
            report.find(Finding {
                kind: FindingKind::SumsDiffer,
                place: path.to_owned(),
                detail,
                records: Vec::new(),
            });
        };
        let mut seen = BTreeMap::new();
        for lane in &manifest.lanes {
            let id = (lane.boot, lane.lane);
            let name = format!("boot {} lane {}", lane.boot, lane_text(lane.lane));
            if let Some(wrong) = own_sums(lane) {
                differ(format!("{name}: {wrong}"));
            }
            let mut all = self.lanes.get(&id).map(|lane| lane.accounted.clone()).unwrap_or_default();
            if lane.covered.difference(&all) != lane.covered {
                differ(format!("{name}: a sequence is accounted for twice"));
            }
            all.union(&lane.covered);
            let rest = lane.accounted.difference(&all);
            if follows && all != lane.accounted {
                differ(format!("{name}: what is accounted for is not what the manifests cover"));
            } else if !rest.is_empty() {
                let (boot, lane) = (lane.boot, lane_text(lane.lane));
                hidden.push(Records { boot, lane, count: rest.count(), among: rest });
            }
            let before = self.lanes.get(&id).map(|lane| lane.totals).unwrap_or_default();
            if follows && lane.totals != expected(before, lane, manifest) {
                differ(format!("{name}: its sums are not those before with this batch's added"));
            }
            for gap in &lane.gaps {
                let sum = self.declared.entry(gap.cause.as_str()).or_default();
                *sum = sum.saturating_add(gap.count);
                if !gap.exact {
                    let sum = self.at_most.entry(gap.cause.as_str()).or_default();
                    *sum = sum.saturating_add(gap.count);
                }
            }
            seen.insert(id, lane.clone());
        }
        let in_lanes = manifest.lanes.iter().fold(0, |sum: u64, lane| sum.saturating_add(lane.delivered));
        if manifest.records() != in_lanes {
            differ(format!("it lists {} records in objects and {in_lanes} in lanes", manifest.records()));
        }
        for expired in &manifest.expired {
            let sum = self.declared.entry(expired.cause.as_str()).or_default();
            *sum = sum.saturating_add(expired.records);
        }
        let gone: Vec<LaneEntry> = self
            .lanes
            .iter()
            .filter(|(id, _)| !seen.contains_key(id))
            .map(|(_, lane)| lane.clone())
            .collect();
        for lane in &gone {
            if follows && !lane.closed {
                differ(format!(
                    "boot {} lane {} is not over and is spoken of no more",
                    lane.boot,
                    lane_text(lane.lane)
                ));
            }
            add(&mut self.over, lane);
        }
        for lane in &gone {
            unaccounted(lane, path, report);
        }
        self.lanes = seen;
        hidden
    }

    /// Ends the chain: the sums by boot, the losses by cause, and what of these is a bound.
    pub(super) fn end(mut self, chain: &str, report: &mut Report) -> (Vec<BootReport>, Losses, Losses) {
        for lane in self.lanes.values() {
            add(&mut self.over, lane);
            unaccounted(lane, chain, report);
        }
        (self.over, self.declared, self.at_most)
    }
}

/// Finds what a boot that is over has left without account.
fn unaccounted(lane: &LaneEntry, place: &str, report: &mut Report) {
    let rest = lane.accounted.missing_below(lane.taken);
    if !lane.closed || rest.is_empty() {
        return;
    }
    report.find(Finding {
        kind: FindingKind::SequenceUnaccounted,
        place: place.to_owned(),
        detail: "the boot is over, and these are neither delivered nor declared".to_owned(),
        records: vec![Records {
            boot: lane.boot,
            lane: lane_text(lane.lane),
            count: rest.count(),
            among: rest,
        }],
    });
}

fn add(boots: &mut Vec<BootReport>, lane: &LaneEntry) {
    let known = boots.iter_mut().rev().find(|known| known.boot == lane.boot);
    let boot = match known {
        Some(boot) => boot,
        None => {
            boots.push(BootReport {
                instance: lane.instance.clone(),
                boot: lane.boot,
                taken: 0,
                delivered: 0,
                filtered: 0,
                declared: 0,
                awaited: 0,
                lanes: Vec::new(),
            });
            let last = boots.len() - 1;
            &mut boots[last]
        }
    };
    boot.taken = boot.taken.saturating_add(lane.taken);
    boot.delivered = boot.delivered.saturating_add(lane.totals.delivered);
    boot.filtered = boot.filtered.saturating_add(lane.totals.filtered);
    boot.declared = boot.declared.saturating_add(lane.totals.declared);
    boot.awaited = boot.awaited.saturating_add(lane.open);
    boot.lanes.push(LaneReport {
        lane: lane_text(lane.lane),
        taken: lane.taken,
        delivered: lane.totals.delivered,
        filtered: lane.totals.filtered,
        declared: lane.totals.declared,
        awaited: lane.open,
    });
}

/// What a lane's sums must be after a manifest, by those before it. What expires of a boot
/// that is not forgotten moves from delivered to declared.
fn expected(before: Totals, lane: &LaneEntry, manifest: &Manifest) -> Totals {
    let counts = manifest.expired.iter().flat_map(|entry| &entry.lanes);
    let own = counts.filter(|count| (count.boot, count.lane) == (lane.boot, lane.lane));
    let moved = own.fold(0, |sum: u64, count| sum.saturating_add(count.records)).min(before.delivered);
    let declared = lane.gaps.iter().fold(moved, |sum: u64, gap| sum.saturating_add(gap.count));
    Totals {
        delivered: (before.delivered - moved).saturating_add(lane.delivered),
        filtered: before.filtered.saturating_add(lane.filtered),
        declared: before.declared.saturating_add(declared),
    }
}

/// What is wrong within one entry.
fn own_sums(lane: &LaneEntry) -> Option<&'static str> {
    let declared = lane.gaps.iter().fold(0, |sum: u64, gap| sum.saturating_add(gap.count));
    let parts = lane.delivered.saturating_add(lane.filtered).saturating_add(declared);
    let Totals { delivered, filtered, declared } = lane.totals;
    let sum = delivered.saturating_add(filtered).saturating_add(declared);
    if lane.covered.count() != parts {
        Some("the batch covers another number than it accounts for")
    } else if lane.accounted.count() != sum || lane.taken != sum.saturating_add(lane.open) {
        Some("taken is not delivered + filtered + declared + open")
    } else {
        None
    }
}
