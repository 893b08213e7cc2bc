//! Notices by e-mail: one message a recipient, so that one that is refused costs no other.

use super::message::Notice;
use super::options::{EmailOptions, Security};
use super::sender::SendError;
use crate::error_chain::Chain;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use std::time::Duration;

/// For each answer of the server.
const ANSWER: Duration = Duration::from_secs(30);
/// For all of a message.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Everybody who gets this notice, each once.
pub(super) fn recipients(options: &EmailOptions, notice: &Notice) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for address in options.to.iter().chain(&notice.about.owners) {
        if !all.iter().any(|known| known.eq_ignore_ascii_case(address)) {
            all.push(address.clone());
        }
    }
    all
}

/// Sends it to one recipient, once.
pub(super) async fn send(options: &EmailOptions, notice: &Notice, to: &str) -> Result<(), SendError> {
    let message = message(options, notice, to)?;
    let transport = transport(options)?;
    match tokio::time::timeout(TIMEOUT, transport.send(message)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            // Only what the server itself calls permanent is.
            Err(SendError { words: Chain(&error).to_string(), again: !error.is_permanent(), after: None })
        }
        Err(_) => Err(SendError::again("no answer in time".to_owned())),
    }
}

fn message(options: &EmailOptions, notice: &Notice, to: &str) -> Result<Message, SendError> {
    let mailbox = |address: &str| {
        address.parse::<Mailbox>().map_err(|error| SendError::last(&format!("{address}: {error}")))
    };
    // No vacation answers it (RFC 3834).
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let id = format!("<{}@{}>", notice.id, options.from.rsplit('@').next().unwrap_or("localhost"));
    Message::builder()
        .from(mailbox(&options.from)?)
        .to(mailbox(to)?)
        .subject(format!("[onrecord] {}", notice.subject()))
        .message_id(Some(id))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .body(notice.text())
        .map_err(|error| SendError::last(&error.to_string()))
}

fn transport(options: &EmailOptions) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
    let (tls, port) = match options.security {
        Security::StartTls => (Tls::Required(parameters(options)?), 587),
        Security::Tls => (Tls::Wrapper(parameters(options)?), 465),
        Security::None => (Tls::None, 25),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&options.server)
        .port(options.port.unwrap_or(port))
        .tls(tls)
        .timeout(Some(ANSWER));
    if let Some((user, password)) = &options.login {
        let password = password.resolve()?;
        let password = std::str::from_utf8(password.expose())
            .map_err(|_| SendError::last("the password is not text"))?;
        builder = builder.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    Ok(builder.build())
}

fn parameters(options: &EmailOptions) -> Result<TlsParameters, SendError> {
    let mut builder = TlsParameters::builder(options.server.clone());
    builder = match &options.ca {
        None => builder.certificate_store(CertificateStore::WebpkiRoots),
        Some(path) => {
            let unusable = |why: String| SendError::again(format!("{}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let authority = Certificate::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(authority)
        }
    };
    builder.build().map_err(|error| SendError::last(&error.to_string()))
}
