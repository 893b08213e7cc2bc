//! What the gateway has to say of itself, and how each event becomes a record.

use crate::format::time_text;
use crate::record::{EventId, Field, Gap, GapCause, OWN_SOURCE, Outcome, OwnValue, RecordWriter, SELF_LANE};
use uuid::Uuid;

/// Ranges of a gap that are named one by one; the manifests name all.
const MAX_RANGES: usize = 100;
/// Keys that a change of the configuration names.
const MAX_KEYS: usize = 200;
/// Bytes of the words of a store or of the system.
const MAX_WORDS: usize = 1000;

/// Every value of `event.action` in the gateway's own records.
pub const ACTIONS: [&str; 18] = [
    "start",
    "stop",
    "recovery",
    "configuration_change",
    "configuration_refused",
    "signing_key_change",
    "fingerprint_key_change",
    "gap",
    "destination_state",
    "durability_trouble",
    "durability_restored",
    "clock_jump",
    "destination_probe",
    "destination_retry",
    "destination_pause",
    "destination_resume",
    "access_refused",
    "notice",
];

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor<'a> {
    /// `actor.type`: `service` or `user`.
    pub kind: &'a str,
    /// `actor.id`.
    pub id: &'a str,
}

impl Actor<'static> {
    /// The gateway itself.
    pub const GATEWAY: Self = Self { kind: "service", id: "onrecord" };
}

impl<'a> Actor<'a> {
    /// Who sent a signal; the system does not say more. `name` as in `SIGHUP`.
    #[must_use]
    pub const fn signal(name: &'a str) -> Self {
        Self { kind: "service", id: name }
    }

    /// Who showed the token of this name to the control API.
    #[must_use]
    pub const fn token(name: &'a str) -> Self {
        Self { kind: "user", id: name }
    }

    /// Somebody who showed no token that is known.
    pub const NOBODY: Actor<'static> = Actor { kind: "anonymous", id: "" };
}

/// Why records are not as safe as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble<'a> {
    /// The spool can't be written; the rings hold what comes.
    Spool {
        /// `spool_full` or `io_error`.
        cause: GapCause,
        /// The system's words.
        words: &'a str,
    },
    /// The spool's bound is reached and new requests are refused (`when_full = "refuse_new"`).
    RefusingNew,
    /// Commits do not come in time: durable responses go on without, strict requests are refused.
    CommitsStalled,
}

/// An event of the gateway.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The process began to take requests; the first record of its boot.
    Start,
    /// The process is asked to end.
    Stop,
    /// An earlier boot that did not end cleanly was taken up.
    Recovery {
        /// That boot.
        boot: Uuid,
        /// Records that were still in its rings.
        from_rings: u64,
        /// Exchanges that were in flight.
        unknown: u64,
        /// Sequences that were declared lost.
        lost: u64,
        /// False where that is an upper bound.
        exact: bool,
    },
    /// An earlier boot could not be taken up; the next start tries again.
    RecoveryFailed {
        /// That boot.
        boot: Uuid,
    },
    /// The configuration was read again.
    ConfigurationChange {
        /// Keys that changed and hold from now on.
        live: &'a [String],
        /// Keys that changed and hold from the next start on.
        restart: &'a [String],
    },
    /// The configuration was read again and has mistakes, so that nothing changed. It says
    /// no more: the words of a mistake can quote the file.
    ConfigurationRefused,
    /// Another key signs a destination's manifests.
    SigningKeyChange {
        /// The destination.
        destination: &'a str,
        /// The first manifest that it signs.
        manifest: u64,
        /// Whether the old key has signed the change.
        handed_over: bool,
    },
    /// Credentials are fingerprinted with another key than at the last start.
    FingerprintKeyChange {
        /// The key's name.
        name: &'a str,
    },
    /// Records were declared lost.
    Gap {
        /// The boot whose sequences are lost.
        boot: Uuid,
        /// Where it was found out; none: by the recorder, so that it holds for every destination.
        destination: Option<&'a str>,
        /// What is lost; no sequences where they are not known one by one.
        gap: &'a Gap,
        /// How many.
        records: u64,
    },
    /// A destination's state is another one.
    DestinationState {
        /// The destination.
        name: &'a str,
        /// The state.
        state: &'a str,
        /// Why it fails.
        cause: Option<&'a str>,
        /// The store's words.
        words: Option<&'a str>,
        /// Unix microseconds since when it fails.
        since: Option<u64>,
    },
    /// Records are not as safe as they should be.
    DurabilityTrouble(Trouble<'a>),
    /// That is over.
    DurabilityRestored(Trouble<'a>),
    /// Somebody did something to a destination.
    DestinationAct {
        /// The destination.
        name: &'a str,
        /// What: `probe`, `retry`, `pause`, `resume`.
        act: &'a str,
        /// Where it was asked from.
        address: std::net::IpAddr,
        /// Why it was not done, or what came of a probe that failed.
        failed: Option<&'a str>,
    },
    /// An address showed so many wrong tokens that it is not listened to for a while.
    AccessRefused {
        /// The address.
        address: std::net::IpAddr,
        /// For how many seconds.
        seconds: u64,
    },
    /// People were to be told of something.
    Notice {
        /// Of what: `failing`, `recovered` and so on.
        kind: &'a str,
        /// Of which destination.
        destination: &'a str,
        /// By which channel.
        channel: &'a str,
        /// Why it was not sent.
        failed: Option<&'a str>,
    },
    /// The wall clock moved by other than the time that went by.
    ClockJump {
        /// By how much, in microseconds; negative: backwards.
        microseconds: i64,
    },
}

impl Event<'_> {
    /// `event.action`, one of [`ACTIONS`].
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Recovery { .. } | Self::RecoveryFailed { .. } => "recovery",
            Self::ConfigurationChange { .. } => "configuration_change",
            Self::ConfigurationRefused => "configuration_refused",
            Self::SigningKeyChange { .. } => "signing_key_change",
            Self::FingerprintKeyChange { .. } => "fingerprint_key_change",
            Self::Gap { .. } => "gap",
            Self::DestinationState { .. } => "destination_state",
            Self::DurabilityTrouble(_) => "durability_trouble",
            Self::DurabilityRestored(_) => "durability_restored",
            Self::ClockJump { .. } => "clock_jump",
            Self::DestinationAct { act, .. } => match act.as_bytes() {
                b"probe" => "destination_probe",
                b"pause" => "destination_pause",
                b"resume" => "destination_resume",
                _ => "destination_retry",
            },
            Self::AccessRefused { .. } => "access_refused",
            Self::Notice { .. } => "notice",
        }
    }

    /// `event.category`.
    const fn category(&self) -> &'static str {
        match self {
            Self::Start | Self::Stop | Self::Recovery { .. } | Self::RecoveryFailed { .. } => "lifecycle",
            Self::ConfigurationChange { .. }
            | Self::ConfigurationRefused
            | Self::SigningKeyChange { .. }
            | Self::FingerprintKeyChange { .. } => "configuration",
            Self::DestinationState { .. } | Self::DestinationAct { .. } | Self::Notice { .. } => "delivery",
            Self::AccessRefused { .. } => "access",
            Self::Gap { .. }
            | Self::DurabilityTrouble(_)
            | Self::DurabilityRestored(_)
            | Self::ClockJump { .. } => "integrity",
        }
    }

    const fn outcome(&self) -> Outcome {
        match self {
            Self::RecoveryFailed { .. }
            | Self::ConfigurationRefused
            | Self::Gap { .. }
            | Self::DurabilityTrouble(_)
            | Self::DestinationState { cause: Some(_), .. }
            | Self::DestinationAct { failed: Some(_), .. }
            | Self::Notice { failed: Some(_), .. }
            | Self::AccessRefused { .. } => Outcome::Failure,
            _ => Outcome::Success,
        }
    }

    pub(super) fn to_record(self, id: EventId, now: u64, by: Actor<'_>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        let mut writer = RecordWriter::new(&mut bytes);
        writer.bytes(Field::EventId, &id.0);
        writer.integer(Field::Start, now);
        writer.text(Field::Source, OWN_SOURCE);
        writer.text(Field::Action, self.action());
        writer.integer(Field::Outcome, self.outcome() as u64);
        writer.text(Field::Category, self.category());
        writer.text(Field::ActorType, by.kind);
        if !by.id.is_empty() {
            writer.text(Field::ActorId, by.id);
        }
        self.attributes(&mut Attributes(writer));
        bytes
    }

    fn attributes(self, out: &mut Attributes<'_>) {
        match self {
            Self::Start => out.text("software.version", env!("CARGO_PKG_VERSION")),
            Self::Stop | Self::ConfigurationRefused => {}
            Self::Recovery { boot, from_rings, unknown, lost, exact } => {
                out.text("recovery.boot", &boot.to_string());
                out.number("recovery.from_rings", from_rings);
                out.number("recovery.unknown", unknown);
                out.number("recovery.lost", lost);
                out.flag("recovery.exact", exact);
            }
            Self::RecoveryFailed { boot } => out.text("recovery.boot", &boot.to_string()),
            Self::ConfigurationChange { live, restart } => {
                out.list("configuration.keys", live);
                out.list("configuration.keys_at_restart", restart);
            }
            Self::SigningKeyChange { destination, manifest, handed_over } => {
                out.text("destination.name", destination);
                out.number("manifest.number", manifest);
                out.flag("key.handed_over", handed_over);
            }
            Self::FingerprintKeyChange { name } => out.text("key.name", name),
            Self::Gap { boot, destination, gap, records } => out.gap(boot, destination, gap, records),
            Self::DestinationState { name, state, cause, words, since } => {
                out.text("destination.name", name);
                out.text("destination.state", state);
                out.text("destination.cause", cause.unwrap_or_default());
                out.words("destination.words", words.unwrap_or_default());
                out.text("destination.since", &since.map(time_text).unwrap_or_default());
            }
            Self::DurabilityTrouble(trouble) | Self::DurabilityRestored(trouble) => match trouble {
                Trouble::Spool { cause, words } => {
                    out.text("durability.cause", cause.as_str());
                    out.words("durability.words", words);
                }
                Trouble::RefusingNew => out.text("durability.cause", "refusing_new"),
                Trouble::CommitsStalled => out.text("durability.cause", "commits_stalled"),
            },
            Self::DestinationAct { name, act: _, address, failed } => {
                out.text("destination.name", name);
                out.text("client.address", &address.to_string());
                out.words("administration.failed", failed.unwrap_or_default());
            }
            Self::Notice { kind, destination, channel, failed } => {
                out.text("destination.name", destination);
                out.text("notice.kind", kind);
                out.text("notice.channel", channel);
                out.words("notice.failed", failed.unwrap_or_default());
            }
            Self::AccessRefused { address, seconds } => {
                out.text("client.address", &address.to_string());
                out.number("administration.refused_seconds", seconds);
            }
            Self::ClockJump { microseconds } => {
                out.0.own("clock.jump_microseconds", OwnValue::Number(microseconds));
            }
        }
    }
}

/// Writes attributes; empty texts are left out.
struct Attributes<'a>(RecordWriter<'a>);

impl Attributes<'_> {
    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.0.own(name, OwnValue::Text(text.as_bytes()));
        }
    }

    /// Words from outside are cut where they are too many.
    fn words(&mut self, name: &str, words: &str) {
        self.text(name, &words[..words.floor_char_boundary(MAX_WORDS)]);
    }

    fn number(&mut self, name: &str, number: u64) {
        self.0.own(name, OwnValue::Number(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    fn flag(&mut self, name: &str, flag: bool) {
        self.0.own(name, OwnValue::Flag(flag));
    }

    fn list(&mut self, name: &str, keys: &[String]) {
        for key in keys.iter().take(MAX_KEYS) {
            self.0.own(name, OwnValue::Element(key.as_bytes()));
        }
    }

    fn gap(&mut self, boot: Uuid, destination: Option<&str>, gap: &Gap, records: u64) {
        self.text("gap.boot", &boot.to_string());
        let lane = if gap.lane == SELF_LANE { "self".to_owned() } else { gap.lane.to_string() };
        self.text("gap.lane", &lane);
        if let (Some(first), Some(last)) = (gap.sequences.first(), gap.sequences.last()) {
            self.number("gap.first", first);
            self.number("gap.last", last);
        }
        let mut ranges = gap.sequences.iter();
        for (first, last) in ranges.by_ref().take(MAX_RANGES) {
            self.0.own("gap.ranges", OwnValue::Element(format!("{first}-{last}").as_bytes()));
        }
        if ranges.next().is_some() {
            self.flag("gap.ranges_truncated", true);
        }
        self.number("gap.records", records);
        self.text("gap.cause", gap.cause.as_str());
        self.flag("gap.exact", gap.exact);
        self.text("destination.name", destination.unwrap_or_default());
    }
}
