//! What is allowed and yet seldom meant.

use super::{Config, OWN_SOURCE};
use crate::proxy::ActorHeaders;
use crate::server::ListenerOptions;
use std::time::Duration;

impl Config {
    /// Sentences on what is valid, but probably not what was meant. Looks at nothing but the configuration.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        for source in &self.sources {
            let options = &source.options;
            let name = &options.name;
            let delivered = |sources: &[String]| sources.is_empty() || sources.contains(name);
            if !self.destinations.iter().any(|destination| delivered(&destination.sources)) {
                out.push(format!("source {name} is delivered to no destination"));
            }
            if source.catalogues.is_empty() {
                out.push(format!(
                    "source {name} has no catalogue: its records have no route, action or resource"
                ));
            }
            if options.actor_headers != ActorHeaders::default() && options.trusted_proxies.is_empty() {
                out.push(format!(
                    "source {name} names actor headers, but no trusted_proxies: they are never believed"
                ));
            }
            if options.trusted_proxies.networks.iter().any(|network| network.prefix_len() == 0) {
                out.push(format!("source {name} trusts every peer: anyone can claim to be anyone"));
            }
        }
        for listener in &self.listeners {
            let address = &listener.address;
            if listener.mode != ListenerOptions::MODE && address.ip().is_some() {
                out.push(format!("listener {address} has a mode, but only Unix sockets have permissions"));
            }
            if listener.proxy_protocol.networks.iter().any(|network| network.prefix_len() == 0) {
                out.push(format!(
                    "listener {address} takes the PROXY protocol from everybody: anyone can claim any address"
                ));
            }
        }
        if !self.destinations.iter().any(|destination| destination.own_records) {
            out.push(format!("the gateway's own records ({OWN_SOURCE}) are delivered to no destination"));
        }
        for destination in &self.destinations {
            if destination.interval < Duration::from_secs(1) {
                let name = &destination.name;
                out.push(format!(
                    "destination {name} makes objects more than once a second: they will be many and small"
                ));
            }
        }
        out
    }
}
