//! Holds what lies in the stores to what the workers did.
//!
//! For each destination: no record twice; none in another partition than its own; none that
//! nobody captured; each sequence delivered, filtered or declared, and declared only where
//! something has happened that may take records; sums that fit the workers' own count; and
//! the product's own verifier finds nothing.

use crate::model::{Boot, End, Exchange, Fate, Model};
use crate::process::{DESTINATIONS, INSTANCE, Machine, SIGNER};
use crate::store::SimStore;
use onrecord::evidence::note::Verifier;
use onrecord::evidence::verify::{VerifyOptions, verify};
use onrecord::format::{Civil, civil};
use onrecord::pack::Manifest;
use onrecord::pack::manifest::LaneEntry;
use onrecord::pack::partition::{UNKNOWN, escape};
use onrecord::record::SequenceSet;
use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use uuid::Uuid;

type LaneId = (Uuid, u16);

/// What a destination's store and manifests say.
#[derive(Default)]
struct Seen {
    delivered: BTreeMap<LaneId, SequenceSet>,
    gaps: BTreeMap<LaneId, SequenceSet>,
    /// What objects held that were given up: named by lane only.
    given_up: BTreeMap<LaneId, u64>,
    newest: BTreeMap<LaneId, LaneEntry>,
    covered: BTreeMap<LaneId, SequenceSet>,
}

/// Checks everything; returns the records delivered and the sequences declared.
///
/// # Errors
/// The first thing that is wrong, in words.
pub fn check(machine: &Machine, model: &Model) -> Result<(u64, u64), String> {
    let (mut delivered, mut declared) = (0, 0);
    for ((name, prefix, sources), store) in DESTINATIONS.iter().zip(&machine.stores) {
        let wrong = |text: String| format!("destination {name}: {text}");
        if let Some(key) = store.contradictions().first() {
            return Err(wrong(format!("{key} was written twice, with other bytes")));
        }
        let seen = read(store, prefix, model).map_err(wrong)?;
        for (&boot, life) in &model.boots {
            for (number, exchanges) in (0u16..).zip(&life.lanes) {
                let text = |text: String| wrong(format!("{boot} ({:?}) lane {number}: {text}", life.end));
                lane(&seen, (boot, number), life, exchanges, sources, model).map_err(text)?;
            }
        }
        evidence(machine, store).map_err(wrong)?;
        delivered += seen.delivered.values().map(SequenceSet::count).sum::<u64>();
        declared += seen.newest.values().map(|entry| entry.totals.declared).sum::<u64>();
    }
    Ok((delivered, declared))
}

fn read(store: &SimStore, prefix: &str, model: &Model) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let mut events = HashSet::new();
    let mut manifests = BTreeMap::new();
    for (key, bytes) in store.objects() {
        if key.contains("/manifest-") {
            let manifest = Manifest::read(&bytes).map_err(|error| format!("{key}: {error}"))?;
            if manifests.insert(manifest.number, manifest).is_some() {
                return Err(format!("{key}: two manifests have this number"));
            }
        } else if key.ends_with(".gz") {
            object(&key, &bytes, prefix, model, &mut seen, &mut events)?;
        }
    }
    for manifest in manifests.into_values() {
        for entry in &manifest.expired {
            for lane in &entry.lanes {
                *seen.given_up.entry((lane.boot, lane.lane)).or_default() += lane.records;
            }
        }
        for entry in manifest.lanes {
            let id = (entry.boot, entry.lane);
            let covered = seen.covered.entry(id).or_default();
            if entry.covered.difference(covered) != entry.covered {
                return Err(format!("manifest {}: {id:?}: a sequence is covered twice", manifest.number));
            }
            covered.union(&entry.covered);
            for gap in &entry.gaps {
                seen.gaps.entry(id).or_default().union(&gap.sequences);
            }
            seen.newest.insert(id, entry);
        }
    }
    Ok(seen)
}

fn object(
    key: &str,
    bytes: &[u8],
    prefix: &str,
    model: &Model,
    seen: &mut Seen,
    events: &mut HashSet<String>,
) -> Result<(), String> {
    let mut text = String::new();
    let read = flate2::read::GzDecoder::new(bytes).read_to_string(&mut text);
    read.map_err(|error| format!("{key}: {error}"))?;
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).map_err(|error| format!("{key}: {error}"))?;
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let boot = Uuid::parse_str(&word("onrecord.boot")).map_err(|error| format!("{key}: {error}"))?;
        let lane = line["onrecord.lane"].as_u64().unwrap_or(u64::MAX) as u16;
        let sequence = line["onrecord.sequence"].as_u64().unwrap_or(u64::MAX);
        let event = word("event.id");
        let what = format!("{key}: {boot} lane {lane} sequence {sequence}");
        if word("onrecord.instance") != INSTANCE {
            return Err(format!("{what}: from another instance"));
        }
        if !seen.delivered.entry((boot, lane)).or_default().insert(sequence) || !events.insert(event.clone())
        {
            return Err(format!("{what}: was delivered twice"));
        }
        let exchange = model.boots.get(&boot).and_then(|boot| boot.lanes.get(usize::from(lane)));
        let Some(exchange) = exchange.and_then(|lane| lane.get(sequence as usize)) else {
            return Err(format!("{what}: nobody captured this"));
        };
        if exchange.event != event {
            return Err(format!("{what}: is event {event}, should be {}", exchange.event));
        }
        let unknown = word("event.outcome") == "unknown";
        if unknown != (exchange.fate == Fate::Open) && exchange.fate != Fate::Lost {
            return Err(format!("{what}: outcome {}, was {:?}", word("event.outcome"), exchange.fate));
        }
        if !key.starts_with(&format!("{prefix}{}", folder(exchange))) {
            return Err(format!("{what}: lies in a wrong partition, not {}", folder(exchange)));
        }
    }
    Ok(())
}

fn folder(exchange: &Exchange) -> String {
    let organization = match exchange.organization {
        "" => UNKNOWN.to_owned(),
        name => escape(name.as_bytes()),
    };
    let Civil { year, month, day } = civil(exchange.start);
    let source = exchange.source;
    format!(
        "log_source={source}/organization_id={organization}/year={year:04}/month={month:02}/day={day:02}/"
    )
}

fn lane(
    seen: &Seen,
    id: LaneId,
    life: &Boot,
    exchanges: &[Exchange],
    sources: &[&str],
    model: &Model,
) -> Result<(), String> {
    let count = exchanges.len() as u64;
    let power = life.end == End::Power;
    let Some(entry) = seen.newest.get(&id) else {
        let durable = exchanges.iter().any(|exchange| is_durable(exchange, life, id.1));
        return if count == 0 || (power && !durable) || model.damaged {
            Ok(())
        } else {
            Err(format!("{count} sequences were taken, and no manifest speaks of it"))
        };
    };
    let totals = entry.totals;
    let sum = totals.delivered + totals.filtered + totals.declared;
    if entry.open != 0 || entry.taken != sum || entry.accounted.count() != sum {
        return Err(format!(
            "taken {} is not delivered {} + filtered {} + declared {}; open {}",
            entry.taken, totals.delivered, totals.filtered, totals.declared, entry.open
        ));
    }
    // After a loss of power nobody knows how many were taken: what is said is a bound, and never
    // too small.
    if entry.taken < count && !model.damaged {
        return Err(format!("{count} sequences were taken, and the bound is {}", entry.taken));
    }
    if entry.taken != count && !power && !model.damaged {
        return Err(format!("{count} sequences were taken, the manifests say {}", entry.taken));
    }
    let none = SequenceSet::new();
    let (delivered, gaps) = (seen.delivered.get(&id).unwrap_or(&none), seen.gaps.get(&id).unwrap_or(&none));
    let mut given_up = seen.given_up.get(&id).copied().unwrap_or(0);
    for (sequence, exchange) in (0u64..).zip(exchanges) {
        let what = || format!("sequence {sequence} ({exchange:?})");
        let wanted = sources.is_empty() || sources.contains(&exchange.source);
        let (arrived, declared) = (delivered.contains(sequence), gaps.contains(sequence));
        // Whatever happened short of damage to the disk, and even after a loss of power.
        if !entry.accounted.contains(sequence) && !model.damaged {
            return Err(format!("{}: the account does not have it; {entry:?}", what()));
        }
        if arrived && declared {
            return Err(format!("{}: delivered and declared lost", what()));
        }
        if arrived && !wanted {
            return Err(format!("{}: this destination does not take it", what()));
        }
        let may_be_lost = model.damaged || model.crowded || (power && !is_durable(exchange, life, id.1));
        match exchange.fate {
            Fate::Lost if arrived => return Err(format!("{}: the ring had no room for it", what())),
            Fate::Lost if !declared && !power && !model.damaged && !model.crowded => {
                return Err(format!("{}: lost, and not declared; {entry:?}", what()));
            }
            Fate::Lost => {}
            Fate::Kept(_) | Fate::Open if declared && !may_be_lost => {
                return Err(format!("{}: declared lost, and nothing took it", what()));
            }
            Fate::Kept(_) | Fate::Open
                if wanted && !arrived && !declared && given_up > 0 && (model.late || model.damaged) =>
            {
                given_up -= 1;
            }
            Fate::Kept(_) | Fate::Open if wanted && !arrived && !declared && !may_be_lost => {
                return Err(format!("{}: neither delivered nor declared", what()));
            }
            Fate::Kept(_) | Fate::Open => {}
        }
    }
    Ok(())
}

/// Whether somebody was told that the record is on disk.
fn is_durable(exchange: &Exchange, life: &Boot, lane: u16) -> bool {
    let durable = life.durable.get(usize::from(lane)).copied().unwrap_or(0);
    matches!(exchange.fate, Fate::Kept(end) if end <= durable)
}

fn evidence(machine: &Machine, store: &SimStore) -> Result<(), String> {
    let options = VerifyOptions {
        keys: vec![Verifier::new(SIGNER, machine.key.public())],
        anchor: None,
        at: machine.clock.unix_microseconds(),
        deep: true,
        threads: 1,
        any_beginning: false,
    };
    let report = verify(store, &options, &|_| {}).map_err(|error| error.to_string())?;
    if !report.is_clean() || report.unproved > 0 {
        return Err(format!("the verifier finds:\n{report}"));
    }
    Ok(())
}
