//! Has people told of what destinations come to, and keeps what was told.

use super::health::Notes;
use crate::deliver::DestinationStatus;
use crate::error_chain::Chain;
use crate::health::Outlook;
use crate::journal::{Actor, Event, Journal};
use crate::metrics::Families;
use crate::notify::{Notifier, NotifyOptions, Observation, Rules, Sent};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Results, as `onrecord_notices_total` counts them.
const RESULTS: [&str; 2] = ["sent", "given_up"];

/// Rules with their file, and the way out.
#[derive(Debug)]
pub(super) struct Notices {
    rules: Rules,
    /// As they are in the file.
    kept: Rules,
    file: PathBuf,
    notifier: Notifier,
    instance: String,
}

/// What becomes of a notice is counted, and told to the record and the history.
pub(super) fn tell(journal: Journal, notes: Notes, metrics: Families) -> impl Fn(&Sent) + Send + Sync {
    move |sent| {
        let Sent { notice, channel, failed } = sent;
        let failed = failed.as_deref();
        let result = RESULTS[usize::from(failed.is_some())];
        metrics.notices.with_label_values(&[channel.as_str(), result]).inc();
        let event = Event::Notice {
            kind: notice.kind.as_str(),
            destination: &notice.about.destination,
            channel,
            failed,
        };
        journal.note(Actor::GATEWAY, &event);
        let members = json!({ "notice": notice.kind.as_str(), "channel": channel, "failed": failed });
        notes.take(&notice.about.destination, "notice", members);
        if let Some(failed) = failed {
            tracing::error!(channel, destination = notice.about.destination, failed, "a notice was not sent");
        }
    }
}

/// Shows the counters from the start.
pub(super) fn show(metrics: &Families, options: &NotifyOptions) {
    for channel in options.channels() {
        RESULTS.iter().for_each(|result| drop(metrics.notices.with_label_values(&[channel, result])));
    }
}

impl Notices {
    /// With what was told before, as the spool folder has it.
    pub(super) fn open(spool: &Path, notifier: Notifier, instance: &str) -> Self {
        let file = spool.join("notices.json");
        let read = fs::read(&file);
        let rules: Rules = match read.map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(rules)) => rules,
            // The worst that comes of it is that something is told again.
            Ok(Err(error)) => {
                tracing::warn!(path = %file.display(), error = %Chain(&error), "what was told before cannot be read");
                Rules::default()
            }
            Err(_) => Rules::default(),
        };
        Self { kept: rules.clone(), rules, file, notifier, instance: instance.to_owned() }
    }

    /// Looks at every destination: its status, what is ahead, and its owners.
    pub(super) fn look(&mut self, seen: &[(DestinationStatus, Option<Outlook>, Vec<String>)], now: u64) {
        let options = self.notifier.options();
        if options.channels().is_empty() {
            return;
        }
        for (status, outlook, owners) in seen {
            let observation = Observation {
                destination: status.name.clone(),
                state: status.state,
                cause: status.cause.map(|cause| cause.as_str()),
                words: status.words.clone(),
                mend: status.mend,
                since: status.since,
                undelivered_records: status.undelivered_records,
                first_loss: outlook.map(|outlook| (outlook.at, outlook.danger.as_str())),
                credentials_end: status.credentials_expire,
                owners: owners.clone(),
            };
            for notice in self.rules.observe(&observation, now, options.after, &self.instance) {
                self.notifier.send(notice);
            }
        }
        // While nothing runs yet, nothing is forgotten.
        if !seen.is_empty() {
            self.rules.keep(seen.iter().map(|(status, _, _)| status.name.as_str()));
        }
        if self.rules != self.kept {
            match self.keep() {
                Ok(()) => self.kept = self.rules.clone(),
                Err(error) => {
                    tracing::warn!(path = %self.file.display(), error = %Chain(&error), "what was told cannot be written down");
                    // Not again each second: with the next notice.
                    self.kept = self.rules.clone();
                }
            }
        }
    }

    fn keep(&self) -> io::Result<()> {
        let draft = self.file.with_extension("json.new");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(&self.rules).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&draft, &self.file)
    }
}
