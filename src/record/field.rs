//! The numbered fields of a record's byte form and their closed value lists.
//!
//! Numbers are for ever: a field may fall out of use, its number is never given
//! to another. The attribute names that readers see are the encoders' affair.

/// A field of a record. The discriminant is its number in the byte form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// 16 bytes, UUIDv7: `event.id`.
    EventId = 1,
    /// Unix microseconds: `event.start`.
    Start = 2,
    /// Name of the log source.
    Source = 3,
    /// Attribute namespace of the source (`NS`).
    Namespace = 4,
    /// `NS.organization.id`.
    Organization = 5,
    /// `NS.space.id`.
    Space = 6,
    /// `NS.environment.id`.
    Environment = 7,
    /// [`CacheStatus`] as a number: `NS.cache.status`.
    CacheStatus = 8,
    /// The vendor's own word: `cache.detail`.
    CacheDetail = 9,
    /// The upstream's own request id: `NS.request.id`.
    UpstreamRequestId = 10,
    /// Microseconds: `duration.microseconds`.
    Duration = 11,
    /// `http.request.method`, as sent.
    Method = 12,
    /// `http.request.method_override`.
    MethodOverride = 13,
    /// `http.route`, the template.
    Route = 14,
    /// `url.path`, the bytes as received.
    Path = 15,
    /// `url.query`, already redacted.
    Query = 16,
    /// `http.response.status_code`.
    Status = 17,
    /// Bytes: `http.response.body.size`.
    ResponseBodySize = 18,
    /// Bytes: `http.request.body.size`.
    RequestBodySize = 19,
    /// `user_agent.original`.
    UserAgent = 20,
    /// `user_agent.product`.
    UserAgentProduct = 21,
    /// `http.request.header.referer`, already redacted.
    Referer = 22,
    /// `event.action`.
    Action = 23,
    /// `event.action.candidates`; may repeat.
    ActionCandidate = 24,
    /// [`Outcome`] as a number: `event.outcome`.
    Outcome = 25,
    /// `event.category`.
    Category = 26,
    /// `origin.type`.
    OriginType = 27,
    /// `origin.evidence`; may repeat.
    OriginEvidence = 28,
    /// `session.id`.
    SessionId = 29,
    /// `resource.type`.
    ResourceType = 30,
    /// `resource.id`.
    ResourceId = 31,
    /// `resources`: type, a zero byte, id; may repeat.
    Resources = 32,
    /// `resources_truncated`.
    ResourcesTruncated = 33,
    /// `actor.type`.
    ActorType = 34,
    /// `actor.id`.
    ActorId = 35,
    /// `actor.name`.
    ActorName = 36,
    /// `actor.email`.
    ActorEmail = 37,
    /// `actor.provenance`.
    ActorProvenance = 38,
    /// `actor.authentication`.
    ActorAuthentication = 39,
    /// 16 bytes: `actor.credential.id`.
    CredentialId = 40,
    /// `actor.credential.key`.
    CredentialKey = 41,
    /// Text of the address: `client.address`.
    ClientAddress = 42,
    /// `client.port`.
    ClientPort = 43,
    /// 10, 11 or 20: `network.protocol.version`.
    ProtocolVersion = 44,
    /// `tls.protocol.version`.
    TlsVersion = 45,
    /// `tls.client.subject`.
    TlsClientSubject = 46,
    /// 16 bytes: `trace.id`.
    TraceId = 47,
    /// 8 bytes: `span.id`.
    SpanId = 48,
    /// `upstream.address`.
    UpstreamAddress = 49,
    /// Microseconds: `upstream.duration.microseconds`.
    UpstreamDuration = 50,
    /// `upstream.attempts`.
    UpstreamAttempts = 51,
    /// [`ErrorType`] as a number: `error.type`.
    ErrorType = 52,
    /// Bits of the route: 1 sensitive, 2 bulk, 4 AI.
    RouteFlags = 53,
    /// 1: bodies of this exchange were handed to inspection, and a supplement may follow in
    /// the log. Nothing that readers see.
    Inspected = 60,
    /// [`InspectionError`] as a number: `inspection.error`.
    InspectionError = 61,
    /// Headers that hint at who is behind a request, as `name: value` in lower-case names; may
    /// repeat. Used for `origin.*`, not shown by itself.
    OriginHint = 62,
    /// An attribute of the gateway's own records, see [`super::own`]; may repeat. Its number lies
    /// apart from those that a view keeps a place for: it is read in order, not by number.
    Own = 120,
}

/// The highest field number that a view keeps a place for.
pub const MAX_FIELD: u8 = Field::OriginHint as u8;

/// A closed list whose members have a stable number and a name that readers see.
macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)+ }

        impl $name {
            /// Every member, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that readers see.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The member with this number, if there is one.
            #[must_use]
            pub const fn from_number(number: u64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use closed_list;

closed_list! {
    /// How an exchange ended (`event.outcome`).
    Outcome {
        /// A complete response below 400.
        Success = 1 => "success",
        /// A complete response from 400.
        Failure = 2 => "failure",
        /// Either side broke off.
        Aborted = 3 => "aborted",
        /// The gateway died with the exchange in flight.
        Unknown = 4 => "unknown",
    }
}

closed_list! {
    /// What a cache said of the response (`NS.cache.status`).
    CacheStatus {
        /// Served by a cache: hit, stale, revalidated, updating.
        Hit = 1 => "HIT",
        /// Any other answer of a cache.
        Miss = 2 => "MISS",
    }
}

closed_list! {
    /// Why a body could not tell what the catalogue wants of it (`inspection.error`).
    InspectionError {
        /// Larger than the bound, as sent or decoded.
        TooLarge = 1 => "too_large",
        /// All memory for bodies was in use, or the queue was full.
        Overload = 2 => "overload",
        /// The body did not come to its end.
        Incomplete = 3 => "incomplete",
        /// A content coding that is not known here.
        UnknownCoding = 4 => "unknown_coding",
        /// The bytes are not what their content coding says.
        BadCoding = 5 => "bad_coding",
        /// Not JSON, or not UTF-8.
        NotJson = 6 => "not_json",
        /// Values nested deeper than is looked into.
        TooDeep = 7 => "too_deep",
        /// A wanted name stands twice in one object: two readers may take different ones.
        DuplicateKey = 8 => "duplicate_key",
        /// The gateway ended, or fell behind, before the body was looked into.
        Lost = 9 => "lost",
    }
}

closed_list! {
    /// Why an exchange failed (`error.type`).
    ErrorType {
        /// No connection to the upstream could be made.
        UpstreamConnect = 1 => "upstream_connect",
        /// The upstream did not answer in time.
        UpstreamTimeout = 2 => "upstream_timeout",
        /// The upstream closed or reset the connection before the response was complete.
        UpstreamReset = 3 => "upstream_reset",
        /// The upstream's answer was not HTTP.
        UpstreamProtocol = 4 => "upstream_protocol",
        /// The client left before the response was complete.
        ClientAbort = 5 => "client_abort",
        /// The client did not send its request in time.
        ClientTimeout = 6 => "client_timeout",
        /// The request could not be parsed.
        Malformed = 7 => "malformed",
        /// Head or body went over a limit.
        TooLarge = 8 => "too_large",
        /// A limit of the gateway was reached.
        Overload = 9 => "overload",
        /// The exchange could not be put on record where that is a condition.
        NotRecordable = 10 => "not_recordable",
        /// No log source takes this host.
        NoSource = 11 => "no_source",
        /// The whole request took longer than allowed.
        Deadline = 12 => "deadline",
        /// The gateway was stopped before the exchange could end.
        Shutdown = 13 => "shutdown",
        /// The method or form of request is not forwarded by this gateway.
        Unsupported = 14 => "unsupported",
        /// A fault in the gateway itself.
        Internal = 15 => "internal",
        /// The path has a form that the source refuses (`odd_paths`).
        OddPath = 16 => "odd_path",
        /// TLS with the upstream could not be agreed on.
        UpstreamTls = 17 => "upstream_tls",
        /// Nothing passed an upgraded connection for too long.
        TunnelIdle = 18 => "tunnel_idle",
        /// The client is over a limit of its own (`[client_limits]`).
        ClientLimit = 19 => "client_limit",
    }
}
