//! Who stands behind a credential, found out off the request path.
//!
//! # The way of a token
//! ```text
//! worker: head → claims → fingerprint → record
//!                  └ first time seen? ─ try_send ─▶ desk (one thread, bounded queue)
//!                                                   parse, check signature, fetch keys
//!                                                   └▶ facts (fingerprint → who) ─▶ packer
//! ```
//! A worker pays one load, one comparison of 16 bytes in a table of its own, and a copy of
//! a token that it has not seen ([`Presenter`]). It never waits: where the queue is full the
//! token is passed over and comes again with its next request. The packer joins the facts
//! by `actor.credential.id` ([`Facts`]), so one check serves every request of a token, and
//! whether a token was valid is judged by each record's own time.
//!
//! Tokens that no key can judge go to an inquiry: the issuer is asked (RFC 7662), or the API
//! itself; what the API says goes to what was learned ([`Learned`]).
//!
//! # Bounds
//! Tokens above 16 KiB are not looked into. The queue holds 512 tokens, a source at most 256
//! that wait for keys, a key set at most 256 keys and 1 MiB. Facts of tokens with a good
//! signature and of others are kept apart, so that a flood of forged ones pushes out none
//! of the good.
//!
//! # Secrets
//! A token exists in memory only, from the worker to its judgement, and is zeroed then.
//! Facts are keyed by the fingerprint; that is what the file of facts holds (mode 0600).

mod desk;
mod facts;
mod fetch;
mod inquiry;
mod jwks;
mod kept;
mod learned;
mod learned_file;
mod opened;
mod options;
mod organizations;
mod presenter;
mod schedule;
mod token;

pub use desk::{Desk, DeskError};
pub use facts::{Fact, Facts, Reason, Who};
pub use jwks::{KeySet, KeySetError};
pub use learned::{Known, Learned};
pub use options::{AskOptions, IntrospectionOptions, JwtOptions, KeysFrom, TokenOptions};
pub use organizations::{Home, Organizations};
pub use presenter::{Handover, Presenter};
pub use token::MAX_TOKEN;
