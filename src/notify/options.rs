//! What an operator can set about notices.

use crate::secret::{Secret, SecretError, SecretRef};
use std::path::PathBuf;
use std::time::Duration;

/// Notices (`[notify]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyOptions {
    /// A destination has to fail for this long before somebody is told.
    pub after: Duration,
    /// By e-mail.
    pub email: Option<EmailOptions>,
    /// By webhook; with distinct names.
    pub webhooks: Vec<WebhookOptions>,
}

impl Default for NotifyOptions {
    fn default() -> Self {
        Self { after: Duration::from_secs(60), email: None, webhooks: Vec::new() }
    }
}

impl NotifyOptions {
    /// Names of all channels: `email`, and those of the webhooks.
    #[must_use]
    pub fn channels(&self) -> Vec<&str> {
        let email = self.email.iter().map(|_| EmailOptions::CHANNEL);
        email.chain(self.webhooks.iter().map(|webhook| webhook.name.as_str())).collect()
    }
}

/// How e-mail leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailOptions {
    /// The host of the mail server.
    pub server: String,
    /// Its port; `None`: the usual one.
    pub port: Option<u16>,
    /// How the way there is protected.
    pub security: Security,
    /// The login, where the server asks for one. The password is read whenever it is used.
    pub login: Option<(String, SecretRef)>,
    /// Who sends.
    pub from: String,
    /// Who gets every notice; a destination's owners get those of it too.
    pub to: Vec<String>,
    /// Authorities (PEM) that the server's certificate is checked against; `None`: the public ones.
    pub ca: Option<PathBuf>,
}

impl EmailOptions {
    /// The name of this channel in metrics and records.
    pub const CHANNEL: &'static str = "email";
}

/// How the way to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// TLS after STARTTLS, or nothing is sent. Port 587.
    #[default]
    StartTls,
    /// TLS from the first byte. Port 465.
    Tls,
    /// Not at all. Port 25.
    None,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOptions {
    /// Its name in metrics and records.
    pub name: String,
    /// Where it is.
    pub url: Place,
    /// What is sent there.
    pub preset: Preset,
    /// The key of the signature; `None`: not signed.
    pub secret: Option<SecretRef>,
    /// PagerDuty's routing key.
    pub routing_key: Option<SecretRef>,
    /// Authorities (PEM) that its certificate is checked against; `None`: the public ones.
    pub ca: Option<PathBuf>,
}

/// A URL, which can be a secret as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Typed into the configuration.
    Plain(String),
    /// Found elsewhere.
    At(SecretRef),
}

impl Place {
    /// The URL.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Plain(url) => Ok(Secret::new(url.clone().into_bytes())),
            Self::At(place) => place.resolve(),
        }
    }
}

/// What a webhook is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Everything, as JSON of our own.
    #[default]
    Generic,
    /// A message in a Slack channel.
    Slack,
    /// An event that opens or resolves an incident at PagerDuty (Events API v2).
    PagerDuty,
}
