use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA512,
    RsaEncoding,
};
use serde_json::json;

const NOW: u64 = 1_000_000_000;

/// Makes a signature over a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

struct Issuer {
    set: Value,
    sign: Sign,
    algorithm: &'static str,
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        Self {
            set: json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig",
                "x": encode(&point[1..33]), "y": encode(&point[33..])}]}),
            sign: Box::new(move |message| {
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }),
            algorithm: "ES256",
        }
    }

    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = encode(pair.public_key().as_ref());
        Self {
            set: json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]}),
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
            algorithm: "EdDSA",
        }
    }

    fn rsa(algorithm: &'static str, encoding: &'static dyn RsaEncoding) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        Self {
            set: json!({"keys": [{"kty": "RSA", "kid": "k1", "alg": algorithm,
                "n": encode(&public.n), "e": encode(&public.e)}]}),
            sign: Box::new(move |message| {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }),
            algorithm,
        }
    }

    fn keys(&self) -> KeySet {
        KeySet::parse(self.set.to_string().as_bytes()).unwrap()
    }

    fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm, "kid": "k1"}), claims)
    }

    fn token_with(&self, head: &Value, claims: &Value) -> String {
        let message =
            format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = encode(&(self.sign)(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn options() -> JwtOptions {
    let from = crate::identity::KeysFrom::File("keys.json".into());
    JwtOptions { audience: vec!["api".to_owned()], ..JwtOptions::new(from, "https://idp.test") }
}

fn claims() -> Value {
    json!({"iss": "https://idp.test", "aud": ["other", "api"], "sub": "u1", "name": "Ann", "email": "ann@x.test",
        "azp": "web", "act": {"sub": "svc-7"}, "nbf": NOW - 60, "exp": NOW + 3600})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn every_kind_of_key_verifies_its_own_tokens_and_no_others() {
    let issuers = [
        Issuer::p256(),
        Issuer::ed25519(),
        Issuer::rsa("RS256", &RSA_PKCS1_SHA256),
        Issuer::rsa("PS512", &RSA_PSS_SHA512),
    ];
    for (number, issuer) in issuers.iter().enumerate() {
        let token = issuer.token(&claims());
        let fact = judge(token.as_bytes(), &options(), Some(&issuer.keys()));
        assert_eq!(fact.reason, None, "{}", issuer.algorithm);
        let who = fact.who.clone().unwrap();
        assert_eq!(
            (who.kind, who.id.as_str(), who.name.as_str(), who.email.as_str()),
            ("user", "u1", "Ann", "ann@x.test")
        );
        assert_eq!(
            (who.issuer.as_str(), who.app.as_str(), who.delegate.as_str()),
            ("https://idp.test", "web", "svc-7")
        );
        assert_eq!(fact.not_after, (NOW + 3600 + 60) * 1_000_000);
        assert_eq!(fact.doubt(NOW * 1_000_000), None);
        assert_eq!(fact.doubt((NOW + 7200) * 1_000_000), Some(Reason::Expired));
        let other = &issuers[(number + 1) % issuers.len()];
        let fact = judge(token.as_bytes(), &options(), Some(&other.keys()));
        assert!(fact.who.is_none() && fact.reason.is_some(), "{}: {fact:?}", issuer.algorithm);
    }
}

#[test]
fn a_token_that_is_not_rightly_signed_names_nobody() {
    let issuer = Issuer::p256();
    let keys = issuer.keys();
    let judged = |token: &str| judge(token.as_bytes(), &options(), Some(&keys));
    let forged = |token: &str, reason| {
        let fact = judged(token);
        assert_eq!((fact.who, fact.reason), (None, Some(reason)), "{token}");
    };
    let good = issuer.token(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let none = encode(br#"{"alg":"none"}"#);
    forged(&format!("{none}.{}.", parts[1]), Reason::Algorithm);
    forged(&issuer.token_with(&json!({"alg": "HS256", "kid": "k1"}), &claims()), Reason::Algorithm);
    forged(&issuer.token_with(&json!({"alg": "RS256", "kid": "k1"}), &claims()), Reason::UnknownKey);
    forged(&issuer.token_with(&json!({"alg": "ES256", "kid": "k2"}), &claims()), Reason::UnknownKey);
    forged(
        &issuer.token_with(&json!({"alg": "ES256", "crit": ["exp"], "exp": 1}), &claims()),
        Reason::Malformed,
    );
    let other = encode(with("sub", json!("root")).to_string().as_bytes());
    forged(&format!("{}.{other}.{}", parts[0], parts[2]), Reason::Signature);
    forged(&format!("{}.{}.{}", parts[0], parts[1], encode(&[0; 64])), Reason::Signature);
    forged(&format!("{}.{}.", parts[0], parts[1]), Reason::Signature);
    for broken in ["", ".", "..", "a.b", "a.b.c.d", &format!("{}..{}", parts[0], parts[2])] {
        assert!(judged(broken).who.is_none(), "{broken}");
    }
    forged(&format!("{}.{}.{}", parts[0], parts[1], "A".repeat(MAX_TOKEN)), Reason::Malformed);
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let message = format!("{}.{}", encode(br#"{"alg":"ES256","kid":"k1"}"#), encode(deep.as_bytes()));
    let signature = encode(&(issuer.sign)(message.as_bytes()));
    forged(&format!("{message}.{signature}"), Reason::Malformed);
}

#[test]
fn what_is_rightly_signed_and_yet_proves_nothing_is_a_claim_with_its_reason() {
    let issuer = Issuer::ed25519();
    let keys = issuer.keys();
    for (changed, reason) in [
        (with("iss", json!("https://evil.test")), Some(Reason::Issuer)),
        (with("aud", json!("other")), Some(Reason::Audience)),
        (with("aud", Value::Null), Some(Reason::Audience)),
        (with("aud", json!("api")), None),
    ] {
        let fact = judge(issuer.token(&changed).as_bytes(), &options(), Some(&keys));
        assert_eq!(fact.reason, reason, "{changed}");
        assert_eq!(fact.who.unwrap().id, "u1");
    }
    let nobody = judge(issuer.token(&with("sub", json!(""))).as_bytes(), &options(), Some(&keys));
    assert_eq!((nobody.who, nobody.reason), (None, Some(Reason::NoId)));
    let wild = judge(issuer.token(&with("exp", json!("soon"))).as_bytes(), &options(), Some(&keys));
    assert_eq!((wild.who, wild.reason), (None, Some(Reason::Malformed)));
    for (exp, not_after) in [(json!(-5), 60_000_000), (json!(1e300), u64::MAX), (json!(10.5), 70_500_000)] {
        let fact = judge(issuer.token(&with("exp", exp)).as_bytes(), &options(), Some(&keys));
        assert_eq!(fact.not_after, not_after);
    }
    // Nobody checked: a claim.
    let unchecked = judge(issuer.token(&claims()).as_bytes(), &options(), None);
    assert_eq!(unchecked.reason, Some(Reason::KeysUnavailable));
    assert_eq!(unchecked.who.unwrap().id, "u1");
}

#[test]
fn a_client_that_acts_for_itself_is_a_service_and_long_claims_are_cut() {
    let issuer = Issuer::ed25519();
    let service = issuer.token(&with("azp", json!("u1")));
    let who = judge(service.as_bytes(), &options(), Some(&issuer.keys())).who.unwrap();
    assert_eq!(who.kind, "service");
    let long = issuer.token(&with("name", json!("ü".repeat(1000))));
    let who = judge(long.as_bytes(), &options(), Some(&issuer.keys())).who.unwrap();
    assert_eq!(who.name, "ü".repeat(256));
}

#[test]
fn a_key_set_gives_only_public_keys_for_signatures() {
    let issuer = Issuer::p256();
    let mut encryption = issuer.set["keys"][0].clone();
    encryption["use"] = json!("enc");
    let small = json!({"kty": "RSA", "n": encode(&[0xff; 128]), "e": "AQAB"});
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"});
    let odd =
        [encryption, small, symmetric, json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), json!(7)];
    let set = json!({ "keys": odd });
    assert_eq!(KeySet::parse(set.to_string().as_bytes()), Err(crate::identity::KeySetError::NoKey(5)));
    for text in ["", "{}", "[]", "<html>", r#"{"keys":{}}"#] {
        assert!(
            matches!(KeySet::parse(text.as_bytes()), Err(crate::identity::KeySetError::Form(_))),
            "{text}"
        );
    }
    // A key of the right kind with another stated algorithm is not used for this one.
    let mut other = issuer.set.clone();
    other["keys"][0]["alg"] = json!("ES384");
    let keys = KeySet::parse(other.to_string().as_bytes()).unwrap();
    let fact = judge(issuer.token(&claims()).as_bytes(), &options(), Some(&keys));
    assert_eq!(fact.reason, Some(Reason::UnknownKey));
}
