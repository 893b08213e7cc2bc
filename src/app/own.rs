//! What the gateway as a whole puts on its own record, and how the parts reach the journal.

use super::actors::Actors;
use super::health::Notes;
use crate::capture::actor::Fingerprinter;
use crate::deliver::StatusCell;
use crate::error_chain::Chain;
use crate::journal::{Actor, Event, Journal};
use crate::metrics::Families;
use crate::pack::PackReport;
use crate::record::{GapCause, SELF_LANE};
use crate::recorder::Recovered;
use crate::spool::Spool;
use std::io;
use uuid::Uuid;

/// The file beside the keys that tells which fingerprint key was used last, and not the key.
const LAST_FINGERPRINT_KEY: &str = "fingerprint.last";

/// Shows counters from the start, so that the first loss is seen as a rise.
pub(super) fn show_gaps<'a>(metrics: &Families, destinations: impl Iterator<Item = &'a str> + Clone) {
    for cause in GapCause::ALL {
        let cause = cause.as_str();
        for family in [&metrics.gap_records, &metrics.gap_bound, &metrics.own_gap_records] {
            family.with_label_values(&[cause]);
        }
        for destination in destinations.clone() {
            metrics.destination_gap_records.with_label_values(&[destination, cause]);
        }
    }
}

/// Begins the journal of this boot with the start, whatever comes to be told.
pub(super) fn begin(journal: Journal, spool: &Spool, actors: &Actors) -> Journal {
    journal.note(Actor::GATEWAY, &Event::Start);
    watch_fingerprints(spool, &actors.fingerprinter, &journal);
    journal
}

/// Notes it when credentials get other fingerprints than at the last start.
fn watch_fingerprints(spool: &Spool, fingerprinter: &Fingerprinter, journal: &Journal) {
    let path = spool.keys_dir().join(LAST_FINGERPRINT_KEY);
    let tag = fingerprinter.fingerprint(b"onrecord: which key is this?");
    let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    let now = format!("{} {tag}\n", fingerprinter.key_name());
    match std::fs::read_to_string(&path) {
        Ok(before) if before == now => return,
        Ok(_) => {
            let event = Event::FingerprintKeyChange { name: fingerprinter.key_name() };
            journal.note(Actor::GATEWAY, &event);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), error = %Chain(&error), "cannot read which fingerprint key was used last");
        }
    }
    if let Err(error) = std::fs::write(&path, now) {
        tracing::warn!(path = %path.display(), error = %Chain(&error), "cannot write down which fingerprint key is used");
    }
}

/// Notes each state that a destination comes into.
pub(super) fn watch_destination(status: &StatusCell, journal: &Journal, notes: &Notes) {
    let (journal, notes) = (journal.clone(), notes.clone());
    status.on_state(move |status| {
        notes.state(status);
        let event = Event::DestinationState {
            name: &status.name,
            state: status.state.as_str(),
            cause: status.cause.map(|cause| cause.as_str()),
            words: status.words.as_deref(),
            since: status.since,
        };
        journal.note(Actor::GATEWAY, &event);
    });
}

/// Notes and counts what recovery of an earlier boot came to.
pub(super) fn note_recovery(journal: &Journal, metrics: &Families, boot: Uuid, found: &Recovered) {
    let event = Event::Recovery {
        boot,
        from_rings: found.from_rings,
        unknown: found.unknown,
        lost: found.declared,
        exact: found.exact,
    };
    journal.note(Actor::GATEWAY, &event);
    for gap in &found.gaps {
        let family = match gap.lane {
            SELF_LANE => &metrics.own_gap_records,
            _ if gap.exact => &metrics.gap_records,
            _ => &metrics.gap_bound,
        };
        let records = gap.sequences.count();
        family.with_label_values(&[gap.cause.as_str()]).inc_by(records);
        journal.note(Actor::GATEWAY, &Event::Gap { boot, destination: None, gap, records });
    }
}

/// Notes what a packer found lost that the log itself does not declare.
pub(super) fn note_packed(journal: &Journal, destination: &str, report: &PackReport) {
    for found in &report.found {
        let event = Event::Gap {
            boot: found.boot,
            destination: Some(destination),
            gap: &found.gap,
            records: found.records,
        };
        journal.note(Actor::GATEWAY, &event);
    }
}
