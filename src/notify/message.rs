//! What is told, in words and in JSON.

use crate::deliver::state::Phase;
use crate::format::time_text;
use serde_json::{Value, json};
use std::fmt::Write as _;
use uuid::Uuid;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Retries have not mended a failure.
    Failing,
    /// They still have not, a day later.
    StillFailing,
    /// It delivers again.
    Recovered,
    /// Records will be lost soon.
    LossAhead,
    /// Credentials will end soon.
    CredentialsEnding,
    /// Somebody tries whether notices arrive.
    Test,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Failing,
        Self::StillFailing,
        Self::Recovered,
        Self::LossAhead,
        Self::CredentialsEnding,
        Self::Test,
    ];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::StillFailing => "still_failing",
            Self::Recovered => "recovered",
            Self::LossAhead => "loss_ahead",
            Self::CredentialsEnding => "credentials_ending",
            Self::Test => "test",
        }
    }

    /// What notices are about that replace each other: the newest of them counts.
    pub(super) const fn matter(self) -> &'static str {
        match self {
            Self::Failing | Self::StillFailing | Self::Recovered => "delivery",
            Self::LossAhead => "loss",
            Self::CredentialsEnding => "credentials",
            Self::Test => "test",
        }
    }
}

/// What a destination looks like now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Its name.
    pub destination: String,
    /// What it is said to be.
    pub state: Phase,
    /// Why it fails.
    pub cause: Option<&'static str>,
    /// The store's words.
    pub words: Option<String>,
    /// What to do about it.
    pub mend: Option<&'static str>,
    /// Unix microseconds since when it fails.
    pub since: Option<u64>,
    /// Records that wait in its outbox.
    pub undelivered_records: u64,
    /// When records would be lost (Unix microseconds), and why.
    pub first_loss: Option<(u64, &'static str)>,
    /// When its credentials end, in Unix microseconds.
    pub credentials_end: Option<u64>,
    /// E-mail addresses of its owners.
    pub owners: Vec<String>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its own id, the same in each attempt to send it.
    pub id: Uuid,
    /// What it is about.
    pub kind: Kind,
    /// The gateway.
    pub instance: String,
    /// Unix microseconds.
    pub at: u64,
    /// What it says of the destination.
    pub about: Observation,
}

impl Notice {
    /// A notice that tries whether notices arrive.
    #[must_use]
    pub fn test(instance: &str, at: u64) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind: Kind::Test,
            instance: instance.to_owned(),
            at,
            about: Observation::default(),
        }
    }

    /// The whole of it in one line.
    #[must_use]
    pub fn subject(&self) -> String {
        let (instance, destination) = (&self.instance, &self.about.destination);
        let cause = self.about.cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
        match self.kind {
            Kind::Failing => format!("{destination} of {instance}: delivery is failing{cause}"),
            Kind::StillFailing => format!("{destination} of {instance}: delivery is still failing{cause}"),
            Kind::Recovered => format!("{destination} of {instance}: delivers again"),
            Kind::LossAhead => format!("{destination} of {instance}: records will be lost soon"),
            Kind::CredentialsEnding => format!("{destination} of {instance}: its credentials end soon"),
            Kind::Test => format!("{instance}: a test of notices"),
        }
    }

    /// The whole of it for people, a fact a line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.subject());
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(out, "{name}: {value}");
            }
        };
        let failing = matches!(self.kind, Kind::Failing | Kind::StillFailing);
        line("The store says", self.about.words.clone());
        line("To mend it", self.about.mend.map(str::to_owned));
        line(if failing { "Since" } else { "It failed since" }, self.about.since.map(time_text));
        let waiting = (self.about.undelivered_records > 0)
            .then(|| format!("{} records", self.about.undelivered_records));
        line("Waiting", waiting);
        let loss = self
            .about
            .first_loss
            .map(|(at, why)| format!("at {} ({why}), if nothing changes", time_text(at)));
        line("The first loss", loss);
        line("The credentials end", self.about.credentials_end.map(|at| format!("at {}", time_text(at))));
        if failing {
            out.push_str("Nothing is lost until then; delivery goes on by itself once the cause is gone.\n");
        }
        if self.kind == Kind::Test {
            out.push_str("Nothing is wrong: somebody ran `onrecord notify test`.\n");
        }
        let _ = writeln!(out, "Time: {}", time_text(self.at));
        out
    }

    /// All of it for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "type": "onrecord.notice",
            "version": 1,
            "id": self.id,
            "kind": self.kind.as_str(),
            "instance": self.instance,
            "destination": self.about.destination,
            "time": time_text(self.at),
            "subject": self.subject(),
            "cause": self.about.cause,
            "words": self.about.words,
            "mend": self.about.mend,
            "since": self.about.since.map(time_text),
            "undelivered_records": self.about.undelivered_records,
            "first_loss_at": self.about.first_loss.map(|(at, _)| time_text(at)),
            "first_loss_by": self.about.first_loss.map(|(_, why)| why),
            "credentials_end_at": self.about.credentials_end.map(time_text),
        })
    }
}
