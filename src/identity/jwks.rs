//! Key sets (RFC 7517, RFC 7518 §6, RFC 8037) and what their keys verify.
//!
//! Only public keys for signatures are taken: RSA from 2048 bits, the NIST curves, Ed25519.
//! Symmetric keys are passed over: who knows one could sign, too. What the set says of a key
//! (`use`, `key_ops`, `alg`) limits it; the algorithm in a token's head never chooses
//! anything but among what the key's own type allows.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use thiserror::Error;

/// Keys that are taken of one set.
const MOST_KEYS: usize = 256;
/// Keys that one token without a key id is tried with.
const MOST_TRIES: usize = 8;
/// Bytes of an RSA modulus: 8192 bits.
const MOST_MODULUS: usize = 1024;

/// Why a key set is not usable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// Not a JSON object with `keys`.
    #[error("it is not a key set (RFC 7517): {0}")]
    Form(String),
    /// There is no key in it that could verify.
    #[error("none of its {0} keys is a public key for signatures of a known kind")]
    NoKey(usize),
}

/// What a signature was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Made with a key of the set.
    Good,
    /// Not made with the key it names, nor with any that it could mean.
    Bad,
    /// The set has no key that it could mean.
    NoKey,
}

/// The public keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    algorithm: Option<String>,
    public: Public,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The curve's algorithm, and the point uncompressed.
    Ec {
        algorithm: &'static str,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a key set. Keys of other kinds or for other uses are passed over.
    ///
    /// # Errors
    /// [`KeySetError`], when it is no key set or no key is left.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let set: Set = serde_json::from_slice(text).map_err(|error| KeySetError::Form(error.to_string()))?;
        let count = set.keys.len();
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).take(MOST_KEYS).collect();
        if keys.is_empty() { Err(KeySetError::NoKey(count)) } else { Ok(Self { keys }) }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether this algorithm can be checked at all: a public-key signature known here.
    #[must_use]
    pub fn knows(algorithm: &str) -> bool {
        rsa(algorithm).is_some() || matches!(algorithm, "ES256" | "ES384" | "ES512" | "EdDSA" | "Ed25519")
    }

    /// Checks a signature made with `algorithm`, by the key of this id if it names one.
    #[must_use]
    pub fn verify(&self, id: Option<&str>, algorithm: &str, message: &[u8], signature: &[u8]) -> Signature {
        let means = |key: &&Key| (id.is_none() || key.id.as_deref() == id) && key.allows(algorithm);
        let mut result = Signature::NoKey;
        for key in self.keys.iter().filter(means).take(MOST_TRIES) {
            if key.verify(algorithm, message, signature) {
                return Signature::Good;
            }
            result = Signature::Bad;
        }
        result
    }
}

impl Key {
    fn read(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let for_signatures = jwk.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        if !for_signatures {
            return None;
        }
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let n = integer(jwk.n.as_deref()?)?;
                if !(256..=MOST_MODULUS).contains(&n.len()) {
                    return None;
                }
                Public::Rsa { n, e: integer(jwk.e.as_deref()?)? }
            }
            ("EC", Some(curve)) => {
                let (algorithm, size) = match curve {
                    "P-256" => ("ES256", 32),
                    "P-384" => ("ES384", 48),
                    "P-521" => ("ES512", 66),
                    _ => return None,
                };
                let (x, y) = (bytes(jwk.x.as_deref()?)?, bytes(jwk.y.as_deref()?)?);
                if x.len() != size || y.len() != size {
                    return None;
                }
                Public::Ec { algorithm, point: [&[4][..], &x, &y].concat() }
            }
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes(jwk.x.as_deref()?).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { id: jwk.kid, algorithm: jwk.alg, public })
    }

    fn allows(&self, algorithm: &str) -> bool {
        let by_kind = match &self.public {
            Public::Rsa { .. } => rsa(algorithm).is_some(),
            Public::Ec { algorithm: own, .. } => *own == algorithm,
            Public::Ed25519(_) => matches!(algorithm, "EdDSA" | "Ed25519"),
        };
        let is_own = |own: &str| {
            own == algorithm
                || (matches!(own, "EdDSA" | "Ed25519") && matches!(self.public, Public::Ed25519(_)))
        };
        by_kind && self.algorithm.as_deref().is_none_or(is_own)
    }

    fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let by = |method: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(method, key).verify(message, signature).is_ok()
        };
        match &self.public {
            Public::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
            Public::Ec { algorithm: "ES256", point } => by(&ECDSA_P256_SHA256_FIXED, point),
            Public::Ec { algorithm: "ES384", point } => by(&ECDSA_P384_SHA384_FIXED, point),
            Public::Ec { point, .. } => by(&ECDSA_P521_SHA512_FIXED, point),
            Public::Ed25519(point) => by(&ED25519, point),
        }
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// A big-endian integer, without the zeros that some issuers put in front.
fn integer(text: &str) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec()).filter(|bytes| !bytes.is_empty())
}
