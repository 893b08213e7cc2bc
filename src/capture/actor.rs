//! What a request's head says of the actor.
//!
//! Nothing is looked up here and nothing is verified: the result is which
//! credential came, how, and what the client or a trusted proxy claims beside
//! it. The credential itself is only lent, to be fingerprinted; it is written
//! nowhere.
//!
//! Of several credentials the first counts: `Authorization`, then the API-key
//! headers in their order, then the query. An identity header of a trusted
//! proxy names the actor whatever the credential is.

use super::fields::Fields;
use crate::record::field::closed_list;
use crate::secret::Secret;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use http::HeaderName;
use http::header::{AUTHORIZATION, InvalidHeaderName};
use memchr::{memchr, memchr2};
use percent_encoding::percent_decode;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

closed_list! {
    /// How the actor was told (`actor.authentication`).
    Authentication {
        /// A bearer token that has the form of a JWT; its signature is not checked.
        Jwt = 1 => "jwt",
        /// Any other bearer token.
        Bearer = 2 => "bearer",
        /// A client certificate.
        Mtls = 3 => "mtls",
        /// A key in a header of the API's own, or in `Authorization` under no or another scheme.
        ApiKey = 4 => "api_key",
        /// User and password.
        Basic = 5 => "basic",
        /// An identity header of a trusted proxy, or an `Authorization` that
        /// differs from request to request and so names no credential.
        Header = 6 => "header",
        /// A credential in the query.
        Query = 7 => "query",
        /// Nothing.
        None = 8 => "none",
    }
}

/// Names (lower case) of request headers that say who acted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActorHeaders {
    /// The actor's id. Without it the others are not looked at.
    pub id: Option<String>,
    /// `actor.name`.
    pub name: Option<String>,
    /// `actor.email`.
    pub email: Option<String>,
}

/// Where one source's requests say who acts. Shared by reference; it never changes.
#[derive(Clone, Debug, Default)]
pub struct ActorRules {
    api_key_headers: Vec<HeaderName>,
    id: Option<HeaderName>,
    name: Option<HeaderName>,
    email: Option<HeaderName>,
}

/// What a request's head says of its actor. Shows no credential when debugged.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims<'r> {
    /// How.
    pub authentication: Authentication,
    /// What is fingerprinted: the token or key; of Basic the decoded
    /// `user:password`, so that a user's new password is a new credential.
    pub credential: Option<Cow<'r, [u8]>>,
    /// Whether the credential has the form of a JWT.
    pub is_jwt: bool,
    /// The user of Basic. Not there where the password is empty or a filler
    /// (`x`, `x-oauth-basic`): then the user *is* an API key.
    pub user: Option<SmallVec<[u8; 64]>>,
    /// What a trusted proxy says.
    pub identity: Option<Identity<'r>>,
}

/// An actor as a trusted proxy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'r> {
    /// The id; not empty.
    pub id: &'r [u8],
    /// The name, empty if there is none.
    pub name: &'r [u8],
    /// The e-mail address, empty if there is none.
    pub email: &'r [u8],
}

/// Makes `actor.credential.id` of credentials.
pub struct Fingerprinter {
    key: hmac::Key,
    name: String,
}

/// Query parameters that carry a credential, in small letters.
const QUERY_NAMES: [&[u8]; 4] = [b"access_token", b"api_key", b"apikey", b"key"];

/// Schemes whose parameters are made anew for each request or connection.
const PER_REQUEST_SCHEMES: [&str; 9] = [
    "digest",
    "negotiate",
    "ntlm",
    "hawk",
    "aws4-hmac-sha256",
    "signature",
    "oauth",
    "scram-sha-256",
    "mutual",
];

/// Tokens above this are not looked into, only fingerprinted.
const LOOKED_INTO: usize = 16 * 1024;

/// Standard base64, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl ActorRules {
    /// API-key headers of the catalogues and of the source, and identity headers.
    ///
    /// # Errors
    /// The first name that cannot be a header's.
    pub fn new(
        catalogue: &[HeaderName],
        source: &[String],
        identity: &ActorHeaders,
    ) -> Result<Self, InvalidHeaderName> {
        let mut api_key_headers: Vec<HeaderName> = Vec::new();
        let source = source.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
        for name in catalogue.iter().cloned().map(Ok).chain(source) {
            let name = name?;
            if name != AUTHORIZATION && !api_key_headers.contains(&name) {
                api_key_headers.push(name);
            }
        }
        let header = |name: &Option<String>| {
            name.as_ref().map(|name| HeaderName::from_bytes(name.as_bytes())).transpose()
        };
        Ok(Self {
            api_key_headers,
            id: header(&identity.id)?,
            name: header(&identity.name)?,
            email: header(&identity.email)?,
        })
    }

    /// What this head says. `query` is the raw query without `?`; identity
    /// headers count only if the peer is `trusted`. Allocates only to decode
    /// Basic and percent-encoded query credentials.
    #[must_use]
    pub fn read<'r>(&self, fields: &Fields<'r>, query: &'r [u8], trusted: bool) -> Claims<'r> {
        let mut claims = authorization(fields)
            .or_else(|| self.api_key(fields))
            .or_else(|| in_query(query))
            .unwrap_or_else(|| Claims::of(Authentication::None, None));
        if trusted && let Some(identity) = self.identity(fields) {
            claims.authentication = Authentication::Header;
            claims.identity = Some(identity);
        }
        claims
    }

    fn api_key<'r>(&self, fields: &Fields<'r>) -> Option<Claims<'r>> {
        let mut keys = self.api_key_headers.iter().filter_map(|name| value(fields, name));
        keys.next().map(|key| Claims::of(Authentication::ApiKey, Some(key)))
    }

    fn identity<'r>(&self, fields: &Fields<'r>) -> Option<Identity<'r>> {
        let id = value(fields, self.id.as_ref()?)?;
        let other = |name: &Option<HeaderName>| {
            name.as_ref().and_then(|name| value(fields, name)).unwrap_or_default()
        };
        Some(Identity { id, name: other(&self.name), email: other(&self.email) })
    }
}

impl<'r> Claims<'r> {
    /// Whether the credential is a bearer token.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        matches!(self.authentication, Authentication::Jwt | Authentication::Bearer)
    }

    fn of(authentication: Authentication, credential: Option<&'r [u8]>) -> Self {
        Self {
            authentication,
            credential: credential.map(Cow::Borrowed),
            is_jwt: false,
            user: None,
            identity: None,
        }
    }
}

impl fmt::Debug for Claims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("authentication", &self.authentication)
            .field("credential", &self.credential.as_ref().map(|_| "…"))
            .field("user", &self.user.as_deref().map(String::from_utf8_lossy))
            .field("identity", &self.identity)
            .finish()
    }
}

impl Fingerprinter {
    /// With this key, which records call `key_name` (`actor.credential.key`).
    #[must_use]
    pub fn new(key: &Secret, key_name: impl Into<String>) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()), name: key_name.into() }
    }

    /// The first 128 bits of the credential's HMAC-SHA-256.
    #[must_use]
    pub fn fingerprint(&self, credential: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.key, credential);
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&tag.as_ref()[..16]);
        fingerprint
    }

    /// The name of the key.
    #[must_use]
    pub fn key_name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprinter").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The header's value without white space around it; `None` if nothing is left.
fn value<'r>(fields: &Fields<'r>, name: &HeaderName) -> Option<&'r [u8]> {
    fields.get(name).map(|value| value.as_bytes().trim_ascii()).filter(|value| !value.is_empty())
}

fn authorization<'r>(fields: &Fields<'r>) -> Option<Claims<'r>> {
    let value = value(fields, &AUTHORIZATION)?;
    let Some(space) = memchr2(b' ', b'\t', value) else {
        // A scheme without parameters says nothing; any other single word is a key.
        let scheme = is_scheme(value, "bearer") || is_scheme(value, "basic") || is_per_request(value);
        return (!scheme).then(|| Claims::of(Authentication::ApiKey, Some(value)));
    };
    let (scheme, parameters) = (&value[..space], value[space..].trim_ascii_start());
    Some(if is_scheme(scheme, "bearer") {
        let is_jwt = is_jwt(parameters);
        let kind = if is_jwt { Authentication::Jwt } else { Authentication::Bearer };
        Claims { is_jwt, ..Claims::of(kind, Some(parameters)) }
    } else if is_scheme(scheme, "basic") {
        basic(parameters)
    } else if is_per_request(scheme) {
        Claims::of(Authentication::Header, None)
    } else {
        Claims::of(Authentication::ApiKey, Some(parameters))
    })
}

fn is_scheme(word: &[u8], scheme: &str) -> bool {
    word.eq_ignore_ascii_case(scheme.as_bytes())
}

fn is_per_request(scheme: &[u8]) -> bool {
    PER_REQUEST_SCHEMES.iter().any(|known| is_scheme(scheme, known))
}

fn basic(parameters: &[u8]) -> Claims<'_> {
    let encoded = Claims::of(Authentication::Basic, Some(parameters));
    if parameters.len() > LOOKED_INTO {
        return encoded;
    }
    let Ok(decoded) = BASE64.decode(parameters) else {
        return encoded;
    };
    let user = memchr(b':', &decoded).and_then(|colon| {
        let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
        let is_key = matches!(password, b"" | b"x" | b"X" | b"x-oauth-basic");
        (!is_key && !user.is_empty()).then(|| SmallVec::from_slice(user))
    });
    Claims { user, credential: Some(Cow::Owned(decoded)), ..encoded }
}

/// Three parts of base64url, the first of which begins like a JSON object, the
/// last of which may be empty (unsigned).
fn is_jwt(token: &[u8]) -> bool {
    if token.len() > LOOKED_INTO {
        return false;
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    !payload.is_empty()
        && token.iter().all(is_base64url)
        && header.get(..4).is_some_and(|start| {
            let mut json = [0; 3];
            URL_SAFE_NO_PAD.decode_slice(start, &mut json).is_ok() && json[0] == b'{'
        })
}

fn in_query(query: &[u8]) -> Option<Claims<'_>> {
    query.split(|byte| matches!(byte, b'&' | b';')).find_map(|pair| {
        let equals = memchr(b'=', pair)?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if value.is_empty() || !is_credential_name(name) {
            return None;
        }
        // A plus sign stays one: keys in base64 are often sent unescaped.
        let credential = match memchr(b'%', value) {
            Some(_) => Cow::Owned(percent_decode(value).collect()),
            None => Cow::Borrowed(value),
        };
        Some(Claims { credential: Some(credential), ..Claims::of(Authentication::Query, None) })
    })
}

fn is_credential_name(name: &[u8]) -> bool {
    // Fully encoded, the longest name has three times its length.
    if name.len() > 36 {
        return false;
    }
    let decoded: SmallVec<[u8; 36]> = percent_decode(name).collect();
    QUERY_NAMES.iter().any(|known| decoded.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
