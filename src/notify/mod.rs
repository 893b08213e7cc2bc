//! Notices: telling people by e-mail and webhook what needs them.
//!
//! [`Rules`] decide from what destinations look like when there is something to tell; pure, so
//! that days pass in tests as they are told to. [`Notifier`] sends what they come to, with
//! retries, and never holds up anything: a notice that can't be sent is counted and told in the
//! log. What was told last is kept in a small file, so that a restart tells nothing twice.

mod email;
mod message;
mod options;
mod rules;
mod sender;
mod webhook;

pub use message::{Kind, Notice, Observation};
pub use options::{EmailOptions, NotifyOptions, Place, Preset, Security, WebhookOptions};
pub use rules::Rules;
pub use sender::{Notifier, SendError, Sent, try_once};
