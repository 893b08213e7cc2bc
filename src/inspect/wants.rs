//! What a route wants of its bodies, as the request path asks it.

/// What a route wants of an exchange. Looked at on the request path: one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants(pub(super) u8);

impl Wants {
    pub(super) const REQUEST: u8 = 1;
    pub(super) const RESPONSE: u8 = 2;
    pub(super) const TOLD: u8 = 4;
    pub(super) const QUIET: u8 = 8;
    /// The request's body is wanted while results of an AI feature are awaited.
    pub(super) const AWAITS: u8 = 16;
    /// From an exchange with it on, results are awaited.
    pub(super) const ARMS: u8 = 32;

    /// What a route wants that needs the request's body, and nothing else.
    #[must_use]
    pub const fn of_request() -> Self {
        Self(Self::REQUEST)
    }

    /// Whether anything is wanted.
    #[inline]
    #[must_use]
    pub fn any(self) -> bool {
        self.0 & !(Self::AWAITS | Self::ARMS) != 0
    }

    /// The request's body.
    #[inline]
    #[must_use]
    pub fn request(self) -> bool {
        self.0 & Self::REQUEST != 0
    }

    /// The body of a successful response.
    #[inline]
    #[must_use]
    pub fn response(self) -> bool {
        self.0 & Self::RESPONSE != 0
    }

    /// Nothing of it goes into the record: what is read is for others to know.
    #[inline]
    #[must_use]
    pub fn quiet(self) -> bool {
        self.0 & Self::QUIET != 0
    }

    /// To be told of the exchange, even without a body.
    #[inline]
    #[must_use]
    pub fn told(self) -> bool {
        self.0 & Self::TOLD != 0
    }
}
