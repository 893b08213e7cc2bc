//! What the control API does: acts on running destinations, each put on the gateway's own
//! record with who did it.

use super::delivery::Delivery;
use super::health::Health;
use super::status::StatusView;
use crate::admin::{Act, ActError, BoxFuture, Caller, Control, PageRequest, View as _};
use crate::deliver::{Cause, ProbeReport, PutError, ShipperControl, probe};
use crate::health::Page;
use crate::journal::{Actor, Event, Journal};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A probe that was asked for has its answer after this long.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that the control API reaches.
pub(super) struct ControlDesk {
    pub(super) view: Arc<StatusView>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) journal: Journal,
    pub(super) health: Arc<Health>,
}

impl Delivery {
    /// The handle on a destination that runs, and the prefix of its keys.
    fn handle(&self, name: &str) -> Option<(ShipperControl, String)> {
        let state = self.lock();
        let found = state.running.iter().find(|running| running.options.name == name)?;
        Some((found.control.clone(), found.options.prefix.clone()))
    }
}

impl ControlDesk {
    fn find(&self, name: &str) -> Result<(ShipperControl, String), ActError> {
        self.delivery.handle(name).ok_or_else(|| match self.view.knows_destination(name) {
            true => ActError::NotNow(
                "the destination does not run: it begins once what earlier boots left is recovered, \
                 and the log says so if it cannot"
                    .to_owned(),
            ),
            false => ActError::NoSuchDestination,
        })
    }

    async fn probe(&self, control: &ShipperControl, prefix: &str) -> Result<ProbeReport, PutError> {
        let store = control.settings().store;
        // A name of its own: that of the boot is there already, and would say nothing new.
        let probing = probe(&*store, prefix, Uuid::now_v7());
        let report = tokio::time::timeout(PROBE_TIMEOUT, probing).await.unwrap_or_else(|_| {
            let words = format!("no answer for {} s", PROBE_TIMEOUT.as_secs());
            Err(PutError::new(Cause::ServerError, words))
        })?;
        // What is mended need not wait for the end of its back-off.
        control.retry();
        Ok(report)
    }

    async fn pause(&self, control: &ShipperControl, name: &str, by: &Caller) -> Result<(), ActError> {
        let (pauses, name, by) = (self.delivery.common.pauses.clone(), name.to_owned(), by.name.clone());
        let written = tokio::task::spawn_blocking(move || pauses.pause(&name, &by)).await;
        kept(written)?;
        control.pause();
        Ok(())
    }

    async fn resume(&self, control: &ShipperControl, name: &str) -> Result<(), ActError> {
        let (pauses, name) = (self.delivery.common.pauses.clone(), name.to_owned());
        let written = tokio::task::spawn_blocking(move || pauses.resume(&name)).await;
        kept(written)?;
        control.resume();
        Ok(())
    }

    fn note(&self, name: &str, act: Act, by: &Caller, failed: Option<&str>) {
        let event = Event::DestinationAct { name, act: act.as_str(), address: by.address, failed };
        self.journal.note(Actor::token(&by.name), &event);
        let members = json!({ "act": act.as_str(), "by": by.name, "from": by.address, "failed": failed });
        self.delivery.common.notes.take(name, "act", members);
        tracing::info!(
            destination = name,
            act = act.as_str(),
            by = by.name,
            failed,
            "an operator acted on a destination"
        );
    }
}

/// Nothing is done that would not outlive a restart.
fn kept(written: Result<std::io::Result<()>, tokio::task::JoinError>) -> Result<(), ActError> {
    let failed = |why: String| ActError::Failed(format!("it could not be written down: {why}"));
    written.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

impl Control for ControlDesk {
    fn destinations(&self) -> Vec<Value> {
        match self.view.status()["destinations"].take() {
            Value::Array(destinations) => destinations,
            _ => Vec::new(),
        }
    }

    fn history(&self, name: &str, page: PageRequest) -> Option<Result<Value, String>> {
        // Names are safe as folders' only where the configuration has judged them.
        let read = |page: PageRequest| self.health.page(name, page.before, page.limit);
        let shown = |page: Page| json!({ "entries": page.entries, "next": page.next });
        self.view.knows_destination(name).then(|| read(page).map(shown))
    }

    fn act<'a>(&'a self, name: &'a str, act: Act, by: &'a Caller) -> BoxFuture<'a, Result<Value, ActError>> {
        Box::pin(async move {
            let (control, prefix) = self.find(name)?;
            let done = match act {
                Act::Probe => {
                    let report = self.probe(&control, &prefix).await;
                    let failed = report.as_ref().err().map(ToString::to_string);
                    self.note(name, act, by, failed.as_deref());
                    return Ok(match report {
                        Ok(report) => json!({
                            "destination": name, "act": act.as_str(), "works": true,
                            "honours_conditions": report.honours_conditions,
                        }),
                        Err(error) => json!({
                            "destination": name, "act": act.as_str(), "works": false,
                            "cause": error.cause, "words": error.words, "mend": error.cause.mend(),
                        }),
                    });
                }
                Act::Retry => {
                    control.retry();
                    Ok(())
                }
                Act::Pause => self.pause(&control, name, by).await,
                Act::Resume => self.resume(&control, name).await,
            };
            let failed = match &done {
                Err(ActError::Failed(why)) => Some(why.as_str()),
                _ => None,
            };
            self.note(name, act, by, failed);
            done.map(|()| json!({ "destination": name, "act": act.as_str() }))
        })
    }

    fn guessing(&self, address: IpAddr, wait: Duration) {
        let event = Event::AccessRefused { address, seconds: wait.as_secs() };
        self.journal.note(Actor::NOBODY, &event);
        tracing::warn!(%address, seconds = wait.as_secs(), "wrong tokens: the address is not listened to for a while");
    }
}
