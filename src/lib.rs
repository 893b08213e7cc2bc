//! Onrecord: an HTTP gateway that puts every API request on the record.
//!
//! # One line of data, one direction
//! ```text
//! accept → stack → upstream                                            (server, proxy)
//!            └ capture → ring → recorder → spool → pack → outbox → deliver
//! ```
//! Nothing on the left waits for anything on the right. A worker writes the record of an
//! exchange into its [`capture::ring`] before the last byte is handed to the client; the
//! [`recorder`] moves what the rings hold into the [`spool`]; each destination has a
//! packer ([`pack`]) that reads the spool from its own cursor and a shipper ([`deliver`])
//! that sends what the packer has committed. The newest manifest is cursor and chain head
//! at once.
//!
//! # The words
//! *Log source*: one audited API. *Exchange*: one request and its response. *Record*: the
//! final account of an exchange. *Lane*: one worker's own path from request to spool.
//! *Boot*: one life of one process. *Sequence*: the number that an exchange takes at its
//! birth, gapless in its (boot, lane). *Gap*: a declared loss. *Batch*: objects and their
//! manifest, which appear whole or not at all.
//!
//! # What always holds
//! * An account of an exchange is closed exactly once ([`capture::Exchange`]).
//! * For every instance, boot and destination: taken = delivered + filtered + declared +
//!   open + in the spool. What is lost is an entry of the log, never only a log line.
//! * Bytes in an outbox never change; objects are created, never overwritten.
//! * No credential leaves the request path.
//!
//! # Who may import whom
//! Lowest first: `bucket` `call` `clock` `error_chain` `http1` `metrics` `patterns` `record` `secret`
//! `timer`, then
//! `routes` `format` `identity` `spool`, then `inspect`, then `capture` `journal` `recorder`
//! `enrich` `pack` `deliver` `evidence` `health` `notify`, then
//! `proxy` `server`, then `config` `admin`, then `app` `cli`. A test reads the imports and
//! holds the code to it.

pub mod admin;
pub mod app;
pub mod bucket;
pub mod call;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod egress;
pub mod enrich;
pub mod error_chain;
pub mod evidence;
pub mod format;
pub mod health;
pub mod http1;
pub mod identity;
pub mod inspect;
pub mod journal;
pub mod metrics;
pub mod notify;
pub mod pack;
pub mod patterns;
pub mod proxy;
pub mod record;
pub mod recorder;
pub mod routes;
pub mod secret;
pub mod server;
pub mod spool;
pub mod timer;
