//! What a changed configuration does to destinations, while they run.
//!
//! The way to the store and what belongs to sending is changed in place. Whatever says what is
//! packed ends the packer and begins another with the same outbox, as a restart of the process
//! does: the manifest chain goes on. A destination that comes begins with the oldest that the
//! spool still holds; for one that goes nothing is kept any longer.

use super::delivery::{Delivery, store};
use super::own;
use crate::deliver::DestinationOptions;
use crate::deliver::state::Phase;

impl Delivery {
    /// Takes over what a reload changes, and has each destination that has changed try again
    /// at once: what was changed may be what was wrong.
    pub(super) fn reload(&self, wanted: &[DestinationOptions]) {
        let mut state = self.lock();
        for gone in state.wanted.iter().filter(|old| wanted.iter().all(|new| new.name != old.name)) {
            self.common.progress.remove(&gone.name);
            self.hide(&gone.name);
        }
        for new in wanted.iter().filter(|new| state.wanted.iter().all(|old| old.name != new.name)) {
            self.common.progress.add(&new.name);
            own::show_gaps(&self.common.metrics, std::iter::once(new.name.as_str()));
        }
        state.wanted = wanted.to_vec();
        if !state.started {
            return;
        }
        let mut kept = Vec::new();
        for mut running in std::mem::take(&mut state.running) {
            let new = wanted.iter().find(|new| new.name == running.options.name);
            match new.filter(|new| packs_alike(&running.options, new)) {
                Some(new) if *new == running.options => kept.push(running),
                Some(new) => {
                    if new.store != running.options.store {
                        running.control.replace_store(store(&new.store, &self.common.clock));
                    }
                    running.control.change(|settings| {
                        settings.retention = new.retention;
                        settings.concurrency = new.concurrency;
                        settings.limits = new.limits;
                    });
                    running.status.set_region(new.region.as_deref());
                    running.control.retry();
                    running.options = new.clone();
                    kept.push(running);
                }
                None => {
                    tracing::info!(destination = running.options.name, "a destination is ended by a reload");
                    running.abandon();
                }
            }
        }
        state.running = kept;
        for new in wanted {
            if state.running.iter().all(|running| running.options.name != new.name) {
                self.start_one(&mut state, new);
            }
        }
        let place = |name: &str| wanted.iter().position(|new| new.name == name);
        state.running.sort_by_key(|running| place(&running.options.name));
    }

    /// Gauges of a destination that is gone would stand still for ever. Counters stay.
    fn hide(&self, name: &str) {
        let metrics = &self.common.metrics;
        for phase in [Phase::Verifying, Phase::Delivering, Phase::Failing, Phase::Paused] {
            let _ = metrics.destination_state.remove_label_values(&[name, phase.as_str()]);
        }
        let _ = metrics.undelivered_records.remove_label_values(&[name]);
        for gauge in [
            &metrics.delivery_lag,
            &metrics.delivery_since_success,
            &metrics.delivery_first_loss,
            &metrics.credentials_expiry,
        ] {
            let _ = gauge.remove_label_values(&[name]);
        }
    }
}

/// Whether nothing has changed but what belongs to sending.
fn packs_alike(old: &DestinationOptions, new: &DestinationOptions) -> bool {
    let sending = DestinationOptions {
        store: new.store.clone(),
        region: new.region.clone(),
        retention: new.retention,
        owners: new.owners.clone(),
        concurrency: new.concurrency,
        limits: new.limits,
        ..old.clone()
    };
    sending == *new
}
