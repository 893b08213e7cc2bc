//! What a changed file changes while the gateway runs.

use super::{Config, SourceConfig};
use crate::deliver::{DestinationOptions, Store};
use crate::format::{FormatOptions, Timestamps};
use crate::server::ListenerOptions;

/// The outcome of comparing the running configuration with a new one, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The running configuration with the live changes made: what holds from now on.
    pub config: Config,
    /// Keys that changed and take effect at once, such as `source[cma].limits.body_bytes`.
    pub live: Vec<String>,
    /// Keys that changed and take effect at the next start.
    pub restart: Vec<String>,
}

/// Compares the named fields of two values: `live` ones are copied from the new to
/// the running one, `restart` ones are only told.
macro_rules! compare {
    ($out:ident, $path:expr, $running:expr, $new:expr;
     live: $($live:ident).+ $(, $($more_live:ident).+)*; $($rest:tt)*) => {
        compare!(@live $out, $path, $running, $new, $($live).+);
        $(compare!(@live $out, $path, $running, $new, $($more_live).+);)*
        compare!($out, $path, $running, $new; $($rest)*);
    };
    ($out:ident, $path:expr, $running:expr, $new:expr; restart: $($($restart:ident).+),+;) => {
        $(if $running.$($restart).+ != $new.$($restart).+ {
            $out.restart.push(format!("{}{}", $path, key(stringify!($($restart).+))));
        })+
    };
    ($out:ident, $path:expr, $running:expr, $new:expr;) => {};
    (@live $out:ident, $path:expr, $running:expr, $new:expr, $($field:ident).+) => {
        if $running.$($field).+ != $new.$($field).+ {
            $out.live.push(format!("{}{}", $path, key(stringify!($($field).+))));
            $running.$($field).+ = $new.$($field).+.clone();
        }
    };
}

#[derive(Default)]
struct Changes {
    live: Vec<String>,
    restart: Vec<String>,
}

impl Config {
    /// Compares this, the running configuration, with a new one.
    #[must_use]
    pub fn reload(&self, new: &Self) -> Reload {
        let mut running = self.clone();
        let mut out = Changes::default();
        compare!(out, "", running, new;
            live: secrets_key, redact.query, redact.query_patterns, redact.patterns, actors.directory, log.level, admin.tokens, notify.after, notify.email, notify.webhooks;
            restart: instance, server.workers, server.grace, server.flush, server.max_connections,
                server.max_in_flight, acme.agreed, acme.options.directory, acme.options.contact,
                acme.options.ca, acme.options.dir, client_limits.connections, client_limits.in_flight,
                client_limits.requests_per_second, client_limits.burst, client_limits.clients, client_limits.exempt,
                ring.dir, ring.bytes, spool.dir, spool.bytes, spool.when_full,
                spool.segment_bytes, spool.segment_age, spool.sync_interval, spool.compress_after,
                meaning.bodies, meaning.session_gap, redact.hash,
                actors.fingerprint_key,
                actors.fingerprint_key_name, actors.names, actors.emails, actors.learned_for, admin.listen,
                admin.certificates, evidence.key,
                evidence.previous_key, evidence.anchor, evidence.name, log.format;
        );
        for source in &mut running.sources {
            let name = source.options.name.clone();
            let path = format!("source[{name}]");
            match new.sources.iter().find(|new| new.options.name == name) {
                Some(new) => compare_source(&mut out, &path, source, new),
                None => out.restart.push(format!("{path} (removed)")),
            }
        }
        compare_listeners(&mut out, &mut running.listeners, &new.listeners);
        for destination in &mut running.destinations {
            let path = format!("destination[{}]", destination.name);
            match new.destinations.iter().find(|new| new.name == destination.name) {
                Some(new) => compare_destination(&mut out, &path, destination, new),
                None => out.live.push(format!("{path} (removed)")),
            }
        }
        // Whatever is changed of a destination is changed while the gateway runs.
        running.destinations.clone_from(&new.destinations);
        for new in &new.sources {
            let name = &new.options.name;
            if !self.sources.iter().any(|old| old.options.name == *name) {
                out.restart.push(format!("source[{name}] (added)"));
            }
        }
        for new in &new.destinations {
            if !self.destinations.iter().any(|old| old.name == new.name) {
                out.live.push(format!("destination[{}] (added)", new.name));
            }
        }
        Reload { config: running, live: out.live, restart: out.restart }
    }
}

impl Reload {
    /// Whether nothing changed at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

fn compare_source(out: &mut Changes, path: &str, running: &mut SourceConfig, new: &SourceConfig) {
    let dotted = format!("{path}.");
    compare!(out, dotted, running, new;
        live: identify, catalogues, api_host, organization_placeholder, options.organization, options.trusted_proxies,
            options.actor_headers, options.api_key_headers, options.odd_paths, options.limits,
            options.durability;
        restart: jwt, introspection, ask, options.namespace, options.listen, options.hosts, options.path_prefix, options.upstream,
            options.preserve_host, options.forward, options.health;
    );
}

fn compare_listeners(out: &mut Changes, running: &mut [ListenerOptions], new: &[ListenerOptions]) {
    for listener in running.iter_mut() {
        let path = format!("listener[{}]", listener.address);
        let Some(new) = new.iter().find(|new| new.address == listener.address) else {
            out.restart.push(format!("{path} (removed)"));
            continue;
        };
        let dotted = format!("{path}.");
        compare!(out, dotted, listener, new; restart: mode, proxy_protocol;);
        match (&mut listener.tls, &new.tls) {
            (Some(running), Some(new)) => {
                let dotted = format!("{path}.tls.");
                compare!(out, dotted, running, new;
                    live: certificates, min_version, handshake_timeout, client, client_ca, client_crl, client_actor;
                    restart: acme;
                );
            }
            (None, None) => {}
            _ => out.restart.push(format!("{path}.tls")),
        }
    }
    for new in new {
        if !running.iter().any(|listener| listener.address == new.address) {
            out.restart.push(format!("listener[{}] (added)", new.address));
        }
    }
}

fn compare_destination(
    out: &mut Changes,
    path: &str,
    running: &mut DestinationOptions,
    new: &DestinationOptions,
) {
    let dotted = format!("{path}.");
    compare!(out, dotted, running, new;
        live: retention, concurrency, limits.objects_per_second, limits.bytes_per_second, owners, interval,
            object_bytes, heartbeat, retention_days, prefix, sources, own_records, format.timestamps, filter,
            schedule;
    );
    let plain =
        |options: &FormatOptions| FormatOptions { timestamps: Timestamps::default(), ..options.clone() };
    if plain(&running.format) != plain(&new.format) {
        out.live.push(format!("{dotted}format"));
    }
    // A bucket of Amazon's has it in its own options too, where it is told.
    if !matches!(new.store, Store::S3(_)) && running.region != new.region {
        out.live.push(format!("{dotted}region"));
    }
    running.region.clone_from(&new.region);
    match (&mut running.store, &new.store) {
        (Store::Dir(running), Store::Dir(new)) => {
            compare!(out, dotted, running, new; live: path, file_mode, folder_mode;);
        }
        (Store::S3(running), Store::S3(new)) => {
            compare!(out, dotted, running, new;
                live: bucket.name, bucket.region, bucket.endpoint, bucket.path_style, bucket.profile,
                    bucket.keys, bucket.role, bucket.route, storage_class, encryption, tags, object_lock, multipart_bytes, put_timeout;
            );
        }
        (Store::Azure(running), Store::Azure(new)) => {
            compare!(out, dotted, running, new; live: container, auth, tier, put_timeout, route;);
        }
        (Store::Gcs(running), Store::Gcs(new)) => {
            compare!(out, dotted, running, new;
                live: bucket, endpoint, credentials, storage_class, put_timeout, route;
            );
        }
        (Store::Nats(running), Store::Nats(new)) => {
            compare!(out, dotted, running, new;
                live: servers, subject, evidence_subject, stream, auth, ca, local, put_timeout;
            );
        }
        _ => out.live.push(format!("{dotted}type")),
    }
}

/// A field's path as the key that is typed for it.
fn key(field: &str) -> String {
    let field: String = field.split_whitespace().collect();
    let field = field.strip_prefix("options.").unwrap_or(&field);
    match field {
        "actor_headers" => "actor",
        "organization_placeholder" => "organization",
        "identify" => "actor.identify",
        "jwt" => "actor.jwt",
        "introspection" => "actor.introspection",
        "ask" => "actor.ask",
        "bucket.name" => "bucket",
        "secrets_key" => "secrets.key",
        "bucket.keys" => "access_key_id",
        "bucket.role" => "role_arn",
        "bucket.route" | "route" => "proxy",
        "auth" => "sas",
        "tier" => "storage_class",
        "limits.objects_per_second" => "objects_per_second",
        "limits.bytes_per_second" => "bandwidth",
        "local" => "local_address",
        other if other.starts_with("bucket.") => &other["bucket.".len()..],
        "client" => "client_certificates",
        "acme.agreed" => "acme.agree_to_terms",
        "format.timestamps" => "timestamps",
        other => other,
    }
    .to_owned()
}
