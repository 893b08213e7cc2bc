//! The stream as a [`Destination`].

use super::answer::{refused, unconnected, unpublished};
use super::lines;
use super::options::{NatsAuth, NatsOptions};
use crate::deliver::content::{Also, check};
use crate::deliver::destination::{
    Body, BoxFuture, Cause, Created, Destination, Object, ObjectKind, PutError,
};
use crate::egress;
use crate::secret::{SecretError, SecretRef};
use async_nats::header::{HeaderMap, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture, PublishError};
use async_nats::jetstream::publish::PublishAck;
use async_nats::{ConnectOptions, Event};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// For each address of a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages of one object whose acknowledgements are awaited at once.
const IN_FLIGHT: usize = 256;
/// The object that a record is a line of.
const OBJECT: &str = "Onrecord-Object";
/// Which line, from 0.
const LINE: &str = "Onrecord-Line";

/// A stream that records are published to.
pub struct NatsStore {
    options: NatsOptions,
    /// Made at the first attempt, and anew after each failure.
    line: Mutex<Option<Line>>,
    /// When the credentials end, in Unix microseconds; 0: not known, or never.
    expires: AtomicU64,
}

/// A connection.
#[derive(Clone)]
struct Line {
    jetstream: Context,
    /// What the server said of its own accord, or that it is gone.
    said: watch::Receiver<Option<PutError>>,
}

impl NatsStore {
    /// A store in this stream. Nothing is read or connected before the first attempt.
    #[must_use]
    pub fn new(options: &NatsOptions) -> Self {
        Self { options: options.clone(), line: Mutex::default(), expires: AtomicU64::new(0) }
    }

    async fn line(&self) -> Result<Line, PutError> {
        if let Some(line) = &*self.lock() {
            return Ok(line.clone());
        }
        let (heard, said) = watch::channel(None);
        let heard = Arc::new(heard);
        let options = self
            .connect_options()?
            .name("onrecord")
            .connection_timeout(CONNECT_TIMEOUT)
            // What is lost is found out by the acknowledgement that does not come, and connected
            // anew by the next attempt, with secrets as they are then.
            .max_reconnects(self.options.servers.len())
            .event_callback(move |event| {
                let error = match &event {
                    Event::ServerError(error) => {
                        Some(refused(error.to_string().trim_start_matches("nats: ")))
                    }
                    Event::Disconnected | Event::Closed => {
                        Some(PutError::new(Cause::Network, "the connection ended"))
                    }
                    _ => None,
                };
                if let Some(error) = error {
                    heard.send_if_modified(|said| {
                        let first = said.is_none();
                        said.get_or_insert(error);
                        first
                    });
                }
                std::future::ready(())
            });
        let servers: Vec<async_nats::ServerAddr> = self
            .options
            .servers
            .iter()
            .map(|url| url.parse())
            .collect::<Result<_, _>>()
            .map_err(|error: std::io::Error| PutError::new(Cause::Network, error.to_string()))?;
        let limit = CONNECT_TIMEOUT * 4 + self.options.put_timeout;
        let client = tokio::time::timeout(limit, Box::pin(options.connect(servers)))
            .await
            .map_err(|_| PutError::new(Cause::Network, "no connection in time"))?
            .map_err(|error| unconnected(&error))?;
        let jetstream = ContextBuilder::new()
            .timeout(self.options.put_timeout)
            .ack_timeout(self.options.put_timeout)
            .max_ack_inflight(IN_FLIGHT * 64)
            .build(client);
        let line = Line { jetstream, said };
        *self.lock() = Some(line.clone());
        Ok(line)
    }

    fn connect_options(&self) -> Result<ConnectOptions, PutError> {
        let text = |place: &SecretRef| -> Result<String, PutError> {
            let unread = |error: SecretError| {
                PutError::new(Cause::Credentials, crate::error_chain::Chain(&error).to_string())
            };
            let secret = place.resolve().map_err(unread)?;
            Ok(String::from_utf8_lossy(secret.expose()).trim().to_owned())
        };
        let options = ConnectOptions::new();
        let mut options = match &self.options.auth {
            NatsAuth::None => options,
            NatsAuth::User(user, password) => options.user_and_password(user.clone(), text(password)?),
            NatsAuth::Token(token) => options.token(text(token)?),
            NatsAuth::Credentials(place) => {
                let creds = text(place)?;
                self.expires.store(end_of(&creds).unwrap_or(0), Ordering::Relaxed);
                // What is wrong is not repeated: it may hold the seed.
                options.credentials(&creds).map_err(|_| {
                    PutError::new(Cause::Credentials, "the credentials are not those of a .creds file")
                })?
            }
        };
        if let Some(ip) = self.options.local {
            options = options.local_address(SocketAddr::new(ip, 0));
        }
        let trusted = egress::trust(self.options.ca.as_deref())
            .map_err(|error| PutError::new(Cause::Tls, error.to_string()))?;
        let mut tls = (*trusted).clone();
        tls.alpn_protocols.clear();
        Ok(options.tls_client_config(tls))
    }

    async fn put(&self, line: &mut Line, object: &Object<'_>) -> Result<Created, PutError> {
        check(object, u64::MAX, Also::Nothing).await?;
        let sink = Sink { store: self, jetstream: &line.jetstream };
        let publish = async {
            match (object.kind, object.body) {
                (ObjectKind::Records, body) => sink.records(object.key, body).await,
                (kind, Body::Bytes(bytes)) => sink.evidence(object.key, kind, bytes).await,
                (kind, Body::File(path)) => {
                    let bytes = tokio::fs::read(path).await.map_err(|error| {
                        PutError::new(Cause::ServerError, format!("{}: {error}", path.display()))
                    })?;
                    sink.evidence(object.key, kind, &bytes).await
                }
            }
        };
        tokio::select! {
            result = publish => result,
            // It refuses a publication by a word of its own, and never answers it.
            error = heard(&mut line.said) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready once there is something to hear.
async fn heard(said: &mut watch::Receiver<Option<PutError>>) -> PutError {
    let heard = said.wait_for(Option::is_some).await.ok().and_then(|said| said.clone());
    heard.unwrap_or_else(|| PutError::new(Cause::Network, "the connection ended"))
}

/// The way into the stream.
struct Sink<'a> {
    store: &'a NatsStore,
    jetstream: &'a Context,
}

impl Sink<'_> {
    /// Publishes each line of an object. It was there before if each message was.
    async fn records(&self, key: &str, body: Body<'_>) -> Result<Created, PutError> {
        let mut blocks = lines::read(key, body, &self.store.options.subject);
        let mut acks = FuturesUnordered::new();
        let mut all = Created::AlreadyThere;
        let mut empty = true;
        let mut take = |ack: Result<PublishAck, PublishError>| {
            let ack = ack.map_err(|error| self.failed(&error))?;
            if !ack.duplicate {
                all = Created::Created;
            }
            Ok::<(), PutError>(())
        };
        while let Some(block) = blocks.recv().await {
            for line in block? {
                empty = false;
                while acks.len() >= IN_FLIGHT {
                    if let Some(ack) = acks.next().await {
                        take(ack)?;
                    }
                }
                let mut headers = self.headers(&line.id);
                headers.insert(OBJECT, key);
                headers.insert(LINE, line.number.to_string());
                let ack = self.publish(line.subject, headers, line.payload).await?;
                acks.push(ack.into_future());
            }
        }
        while let Some(ack) = acks.next().await {
            take(ack)?;
        }
        Ok(if empty { Created::Created } else { all })
    }

    /// Publishes a manifest, key or probe as a whole.
    async fn evidence(&self, key: &str, kind: ObjectKind, bytes: &[u8]) -> Result<Created, PutError> {
        let what = match kind {
            ObjectKind::Manifest => "manifest",
            ObjectKind::PublicKey => "key",
            ObjectKind::Probe => "probe",
            ObjectKind::Records => "records",
        };
        let subject = format!("{}.{what}", self.store.options.evidence_subject);
        let mut headers = self.headers(key);
        headers.insert(OBJECT, key);
        let ack = self.publish(subject, headers, Bytes::copy_from_slice(bytes)).await?;
        let ack = ack.into_future().await.map_err(|error| self.failed(&error))?;
        Ok(if ack.duplicate { Created::AlreadyThere } else { Created::Created })
    }

    fn headers(&self, id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, id);
        if let Some(stream) = &self.store.options.stream {
            headers.insert(NATS_EXPECTED_STREAM, stream.as_str());
        }
        headers
    }

    async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PublishAckFuture, PutError> {
        let published = self.jetstream.publish_with_headers(subject, headers, payload).await;
        published.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &PublishError) -> PutError {
        unpublished(error, self.store.options.put_timeout)
    }
}

impl Destination for NatsStore {
    fn create<'a>(&'a self, object: Object<'a>) -> BoxFuture<'a, Result<Created, PutError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let result = Box::pin(self.put(&mut line, &object)).await;
            if result.is_err() {
                *self.lock() = None;
            }
            result
        })
    }

    fn place(&self) -> String {
        format!("{} on {}", self.options.subject.as_str(), self.options.servers.join(", "))
    }

    fn credentials_expire(&self) -> Option<u64> {
        Some(self.expires.load(Ordering::Relaxed)).filter(|end| *end > 0)
    }
}

impl std::fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsStore").field("options", &self.options).finish_non_exhaustive()
    }
}

/// When the JWT of a `.creds` file ends, in Unix microseconds.
fn end_of(creds: &str) -> Option<u64> {
    let jwt = creds.lines().map(str::trim).find(|line| line.split('.').count() == 3)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["exp"].as_u64()?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_credentials_is_read_from_their_token() {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(br#"{"exp":1800000000}"#);
        let creds =
            format!("-----BEGIN NATS USER JWT-----\nhead.{claims}.sig\n------END NATS USER JWT------\n");
        assert_eq!(end_of(&creds), Some(1_800_000_000_000_000));
        assert_eq!(end_of("nothing of the kind"), None);
    }
}
