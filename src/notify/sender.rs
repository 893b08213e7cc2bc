//! Sends notices beside everything else: a task each, with retries.

use super::email;
use super::message::{Kind, Notice};
use super::options::{EmailOptions, NotifyOptions};
use super::webhook;
use crate::clock::Clock;
use crate::secret::SecretError;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// The pause after the first attempt; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, also of those that a receiver asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Attempts in all: over about an hour.
const ATTEMPTS: u32 = 20;
/// So many are on their way at once.
const AT_ONCE: usize = 8;
/// So many wait at most.
const MOST_WAITING: usize = 1000;

/// Why a notice was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct SendError {
    /// What went wrong; no secrets.
    pub words: String,
    /// Whether it can go well another time.
    pub again: bool,
    /// Not before this long.
    pub after: Option<Duration>,
}

impl SendError {
    pub(super) fn again(words: String) -> Self {
        Self { words, again: true, after: None }
    }

    pub(super) fn last(words: &str) -> Self {
        Self { words: words.to_owned(), again: false, after: None }
    }
}

impl From<SecretError> for SendError {
    /// A secret can come yet.
    fn from(error: SecretError) -> Self {
        Self::again(crate::error_chain::Chain(&error).to_string())
    }
}

/// What became of a notice on one channel.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The notice.
    pub notice: Arc<Notice>,
    /// The channel.
    pub channel: String,
    /// `None`: it was sent; else why it was given up.
    pub failed: Option<String>,
}

type OnSent = Box<dyn Fn(&Sent) + Send + Sync>;

/// Sends notices. Clones send for the same gateway.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    options: ArcSwap<NotifyOptions>,
    clock: Clock,
    runtime: tokio::runtime::Handle,
    /// By channel, destination and matter: the newest notice. Older ones that are still on
    /// their way say what is no longer so, and are dropped.
    newest: Mutex<HashMap<(String, String, &'static str), Uuid>>,
    places: Semaphore,
    waiting: Semaphore,
    on_sent: OnSent,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

impl Notifier {
    /// Sends by these options, and tells `on_sent` what became of each notice on each channel.
    pub fn new(
        options: NotifyOptions,
        clock: Clock,
        runtime: tokio::runtime::Handle,
        on_sent: impl Fn(&Sent) + Send + Sync + 'static,
    ) -> Self {
        let (newest, on_sent) = (Mutex::default(), Box::new(on_sent));
        let (places, waiting) = (Semaphore::new(AT_ONCE), Semaphore::new(MOST_WAITING));
        let options = ArcSwap::from_pointee(options);
        Self { inner: Arc::new(Inner { options, clock, runtime, newest, places, waiting, on_sent }) }
    }

    /// The options that hold.
    #[must_use]
    pub fn options(&self) -> Arc<NotifyOptions> {
        self.inner.options.load_full()
    }

    /// Takes other options, for what is on its way too.
    pub fn set_options(&self, options: NotifyOptions) {
        self.inner.options.store(Arc::new(options));
    }

    /// Sends a notice on every channel, with retries; returns at once.
    pub fn send(&self, notice: Notice) {
        let notice = Arc::new(notice);
        for channel in self.options().channels() {
            let key = (channel.to_owned(), notice.about.destination.clone(), notice.kind.matter());
            self.inner.newest().insert(key, notice.id);
            let (inner, notice, channel) = (Arc::clone(&self.inner), Arc::clone(&notice), channel.to_owned());
            self.inner.runtime.spawn(async move { inner.deliver(notice, channel).await });
        }
    }
}

impl Inner {
    fn newest(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String, &'static str), Uuid>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_newest(&self, notice: &Notice, channel: &str) -> bool {
        let key = (channel.to_owned(), notice.about.destination.clone(), notice.kind.matter());
        self.newest().get(&key) == Some(&notice.id)
    }

    async fn deliver(&self, notice: Arc<Notice>, channel: String) {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            let failed = Some("too many notices wait".to_owned());
            return (self.on_sent)(&Sent { notice, channel, failed });
        };
        let mut attempts = Attempts::default();
        let failed = loop {
            if !self.is_newest(&notice, &channel) {
                break Some("a newer notice took its place".to_owned());
            }
            let result = {
                // Only closed semaphores have no place, and this one is never closed.
                let _place = self.places.acquire().await;
                let options = self.options.load_full();
                attempt(&options, &notice, &channel, self.clock.unix_microseconds(), &mut attempts.reached)
                    .await
            };
            match result {
                Ok(()) => break None,
                Err(error) => match attempts.pause(&error) {
                    Some(pause) => {
                        tracing::warn!(
                            channel,
                            error = error.words,
                            "a notice could not be sent; it is tried again"
                        );
                        tokio::time::sleep(pause).await;
                    }
                    None => break Some(error.words),
                },
            }
        };
        (self.on_sent)(&Sent { notice, channel, failed });
    }
}

/// What was tried of one notice on one channel.
#[derive(Debug, Default)]
struct Attempts {
    made: u32,
    /// Recipients that need not be tried again, with what became of it.
    reached: Vec<(String, Option<SendError>)>,
}

impl Attempts {
    /// The pause before the next attempt; `None`: there is none.
    fn pause(&mut self, error: &SendError) -> Option<Duration> {
        self.made += 1;
        if !error.again || self.made >= ATTEMPTS {
            return None;
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << (self.made - 1).min(16));
        Some(doubled.max(error.after.unwrap_or_default()).min(LONGEST_PAUSE))
    }
}

/// One attempt. Of e-mail, those that got it or refused it for good are noted in `reached` and
/// not tried again.
async fn attempt(
    options: &NotifyOptions,
    notice: &Notice,
    channel: &str,
    now: u64,
    reached: &mut Vec<(String, Option<SendError>)>,
) -> Result<(), SendError> {
    let email = options.email.as_ref().filter(|_| channel == EmailOptions::CHANNEL);
    let Some(email) = email else {
        let webhook = options.webhooks.iter().find(|webhook| webhook.name == channel);
        let gone = || SendError::last("the channel is no longer configured");
        return webhook::send(webhook.ok_or_else(gone)?, notice, now).await;
    };
    let mut again = None;
    for to in email::recipients(email, notice) {
        if reached.iter().any(|(known, _)| *known == to) {
            continue;
        }
        match email::send(email, notice, &to).await {
            Ok(()) => reached.push((to, None)),
            Err(error) if error.again => again = Some(error),
            Err(error) => {
                tracing::warn!(to, error = error.words, "a recipient is refused for good");
                reached.push((to, Some(error)));
            }
        }
    }
    if let Some(error) = again {
        return Err(error);
    }
    // Somebody who got it is enough.
    match reached.iter().all(|(_, failed)| failed.is_some()) {
        true => Err(reached
            .iter()
            .find_map(|(_, failed)| failed.clone())
            .unwrap_or_else(|| SendError::last("nobody to send it to"))),
        false => Ok(()),
    }
}

/// Sends a test to each channel once: its name, and why it failed if it did.
pub async fn try_once(options: &NotifyOptions, instance: &str, now: u64) -> Vec<(String, Option<String>)> {
    let notice = Notice::test(instance, now);
    debug_assert_eq!(notice.kind, Kind::Test);
    let mut all = Vec::new();
    for channel in options.channels() {
        let mut reached = Vec::new();
        let mut result = attempt(options, &notice, channel, now, &mut reached).await.err();
        // A test is to tell of every recipient.
        let refused = reached.into_iter().find_map(|(to, failed)| Some(format!("{to}: {}", failed?.words)));
        let words = result.take().map(|error| error.words).or(refused);
        all.push((channel.to_owned(), words));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_listen_to_the_receiver_and_come_to_an_end() {
        let mut attempts = Attempts::default();
        let error = SendError::again("no".to_owned());
        let pauses: Vec<Duration> = std::iter::from_fn(|| attempts.pause(&error)).collect();
        assert_eq!((pauses[0], pauses[3], pauses.len()), (FIRST_PAUSE, FIRST_PAUSE * 8, 19));
        assert!(pauses.iter().sum::<Duration>() > Duration::from_secs(3000));
        let asked = SendError { after: Some(Duration::from_secs(9)), ..error.clone() };
        assert_eq!(Attempts::default().pause(&asked), Some(Duration::from_secs(9)));
        assert_eq!(Attempts::default().pause(&SendError::last("no")), None);
    }
}
