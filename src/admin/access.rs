//! Who may do what on the admin listener: tokens, roles, and a brake on guessing.
//!
//! A token is 256 random bits, so its plain SHA-256 says nothing of it; the configuration
//! holds that hash and nothing else. A token that is shown is hashed and compared with every
//! known hash, each in constant time.

use super::brake::Brake;
use crate::clock::Clock;
use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// What every token begins with, so that scanners for secrets know one when they see it.
pub const TOKEN_PREFIX: &str = "onrecord_";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// What somebody may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See how it is: status, metrics, destinations.
    Viewer,
    /// See what was: the history of destinations, with who did what.
    Auditor,
    /// Change it: probe, retry, pause, resume.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Auditor, Self::Operator];

    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }
}

/// A token as the configuration knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is: `actor.id` of what is done with it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

/// A new token and its hash.
///
/// # Errors
/// When the system gives no random bytes.
pub fn make_token() -> Result<(Zeroizing<String>, [u8; 32]), aws_lc_rs::error::Unspecified> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    aws_lc_rs::rand::fill(&mut *bytes)?;
    let token = Zeroizing::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(*bytes)));
    let hash = sha256(token.as_bytes());
    Ok((token, hash))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; empty where no tokens are configured.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where it comes from.
    pub address: IpAddr,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token was shown, or one that nobody has.
    Unknown {
        /// How long this address is not listened to from now on; zero: it may try again.
        wait: Duration,
    },
    /// Too many wrong tokens came from this address; not even a right one counts for so long.
    Braked(Duration),
    /// The token's role does not allow it.
    Role(Role),
    /// No tokens are configured, so nobody may change anything.
    Closed,
}

/// Judges callers.
#[derive(Debug)]
pub struct Access {
    tokens: ArcSwap<Vec<Token>>,
    brake: Mutex<Brake>,
    clock: Clock,
}

impl Access {
    /// With these tokens; none: everybody may look, and nobody may act.
    #[must_use]
    pub fn new(tokens: Vec<Token>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { tokens: ArcSwap::from_pointee(tokens), brake: Mutex::default(), clock })
    }

    /// Takes these tokens in place of those before; what was begun with an old one ends.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.tokens.store(Arc::new(tokens));
    }

    /// Whether nobody is asked who they are.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.load().is_empty()
    }

    /// Who asks, if that is somebody who may do what needs `needed`. `authorization` is the
    /// header's value.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge(
        &self,
        address: IpAddr,
        authorization: Option<&[u8]>,
        needed: Role,
    ) -> Result<Caller, Refusal> {
        let tokens = self.tokens.load();
        if tokens.is_empty() {
            return match needed {
                Role::Operator => Err(Refusal::Closed),
                role => Ok(Caller { name: String::new(), role, address }),
            };
        }
        let now = self.clock.monotonic();
        let mut brake = self.brake.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = brake.holds(address, now) {
            return Err(Refusal::Braked(wait));
        }
        let Some(shown) = authorization.and_then(bearer) else {
            // Who shows nothing has guessed nothing.
            return Err(Refusal::Unknown { wait: Duration::ZERO });
        };
        let Some((name, role)) = find(&tokens, shown) else {
            return Err(Refusal::Unknown { wait: brake.wrong(address, now) });
        };
        if role < needed {
            return Err(Refusal::Role(needed));
        }
        Ok(Caller { name: name.to_owned(), role, address })
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn find<'a>(tokens: &'a [Token], shown: &[u8]) -> Option<(&'a str, Role)> {
    let hash = sha256(shown);
    let mut found = None;
    // All of them, so that the time says nothing of which one it is.
    for token in tokens {
        if verify_slices_are_equal(&token.sha256, &hash).is_ok() {
            found = Some((token.name.as_str(), token.role));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn access(clock: &Clock) -> (Arc<Access>, [String; 3]) {
        let made = Role::ALL.map(|role| {
            let (token, sha256) = make_token().unwrap();
            (token.to_string(), Token { name: role.as_str().to_owned(), role, sha256 })
        });
        let tokens = made.iter().map(|(_, token)| token.clone()).collect();
        (Access::new(tokens, clock.clone()), made.map(|(token, _)| format!("Bearer {token}")))
    }

    #[test]
    fn a_role_may_do_what_those_before_it_may() {
        let (access, shown) = access(&Clock::manual(0));
        for (role, shown) in Role::ALL.into_iter().zip(&shown) {
            for needed in Role::ALL {
                let judged = access.judge(HERE, Some(shown.as_bytes()), needed);
                match role >= needed {
                    true => assert_eq!(judged.unwrap().name, role.as_str()),
                    false => assert_eq!(judged, Err(Refusal::Role(needed))),
                }
            }
        }
        assert_eq!(access.judge(HERE, None, Role::Viewer), Err(Refusal::Unknown { wait: Duration::ZERO }));
    }

    #[test]
    fn without_tokens_everybody_may_look_and_nobody_may_act() {
        let access = Access::new(Vec::new(), Clock::manual(0));
        assert!(access.judge(HERE, None, Role::Auditor).is_ok());
        assert_eq!(access.judge(HERE, Some(b"Bearer x"), Role::Operator), Err(Refusal::Closed));
    }

    #[test]
    fn after_some_wrong_tokens_not_even_the_right_one_counts_for_a_while() {
        let clock = Clock::manual(0);
        let (access, shown) = access(&clock);
        let right = shown[2].as_bytes();
        let mut wait = Duration::ZERO;
        while wait.is_zero() {
            match access.judge(HERE, Some(b"Bearer onrecord_guess"), Role::Viewer) {
                Err(Refusal::Unknown { wait: told }) => wait = told,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(access.judge(HERE, Some(right), Role::Viewer), Err(Refusal::Braked(wait)));
        let elsewhere = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        assert!(access.judge(elsewhere, Some(right), Role::Viewer).is_ok());
        clock.advance(wait);
        assert!(access.judge(HERE, Some(right), Role::Viewer).is_ok());
    }

    #[test]
    fn a_token_that_was_taken_away_counts_no_more_and_no_other_form_counts() {
        let (access, shown) = access(&Clock::manual(0));
        let token = shown[0].strip_prefix("Bearer ").unwrap();
        assert!(token.starts_with(TOKEN_PREFIX) && token.len() == TOKEN_PREFIX.len() + 43);
        for wrong in
            [token.to_owned(), format!("Basic {token}"), format!("Bearer {token}x"), "Bearer ".into()]
        {
            assert!(access.judge(HERE, Some(wrong.as_bytes()), Role::Viewer).is_err(), "{wrong}");
        }
        assert!(access.judge(HERE, Some(format!("bearer  {token} ").as_bytes()), Role::Viewer).is_ok());
        access.set_tokens(Vec::new());
        assert!(access.is_open());
    }
}
