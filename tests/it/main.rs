//! The gateway from outside: the real process, real sockets, real files.
//!
//! One binary, one module a promise. `ONRECORD_FULL=1` runs the long versions of
//! the load tests, `ONRECORD_SEED=n` repeats a random one, `ONRECORD_KEEP=1`
//! keeps every folder. A failed test prints the gateway's log and where its
//! folder is.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails loudly"
)]

mod harness;
mod harness_checks;

mod acme;
mod actors;
mod admin;
mod architecture;
mod bad_config;
mod bad_disk;
mod bad_stores;
mod buckets;
mod canaries;
mod causes;
mod client_limits;
mod clouds;
mod control;
mod deploy;
mod documented;
mod duckdb;
mod durability;
mod encrypted;
mod entrances;
mod evidence;
mod forged;
mod formats;
mod formats_same;
mod forwarding;
mod front;
mod front_corpora;
mod front_differential;
mod front_http2;
mod front_lies;
mod front_upstreams;
mod fuzz_targets;
mod hostile_meaning;
mod identities;
mod inquiries;
mod learned;
mod meaning;
mod nats;
mod notices;
mod outcomes;
mod own_records;
mod pipeline;
mod records;
mod redaction;
mod redeliver;
mod reload;
mod roles;
mod sdks;
mod secrets;
mod shutdown;
mod store_faults;
mod stores;
mod survives_kill;
mod ten_thousand;
mod tls;
mod tls_clients;
mod tunnels;
mod upstream_addresses;
mod upstream_http2;
mod upstream_limits;
mod upstream_tls;
mod ways_out;
mod websocket_suite;
mod wishes;
