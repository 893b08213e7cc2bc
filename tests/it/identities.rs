//! Who the gateway is to Azure and Google: identities of machines and workloads, asked for at small
//! services that a test makes up, and used at the stores' emulators.

use crate::harness::clouds::{Azurite, FakeGcs};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::load::Load;
use crate::harness::origin::Origin;
use crate::harness::relays::{Relay, Speech};
use crate::harness::services::Services;
use crate::harness::tls::Authority;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A token as Entra ID makes them, but for the signature, which the emulator does not check.
fn entra_token() -> String {
    let now = jiff::Timestamp::now().as_second();
    let issuer = "https://sts.windows.net/11111111-2222-3333-4444-555555555555/";
    let claims = json!({"aud": "https://storage.azure.com", "iss": issuer, "iat": now - 60, "nbf": now - 60, "exp": now + 3600});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmVk", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims))
}

/// A private key in PEM, on one line, as the JSON of a service account has it.
fn private_key() -> String {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

/// The token services of both clouds in one.
fn services(entra: &str) -> Services {
    let entra = entra.to_owned();
    Services::start(move |asked| {
        let granted = |token: &str| {
            (200, json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).to_string())
        };
        match asked.line.split_once('?').map_or(asked.line.as_str(), |(path, _)| path) {
            "GET /metadata/identity/oauth2/token" if asked.head.contains("metadata: true") => granted(&entra),
            "POST /tenant-1/oauth2/v2.0/token" => granted(&entra),
            "POST /token" => granted("ya29.token-of-the-service-account"),
            "POST /exchange" => granted("ya29.token-of-the-federation"),
            "POST /impersonate" if asked.head.contains("bearer ya29.token-of-the-federation") => {
                (200, json!({"accessToken": "ya29.token-of-the-impersonated", "expireTime": "2099-01-01T00:00:00Z"}).to_string())
            }
            "GET /computeMetadata/v1/instance/service-accounts/default/token"
                if asked.head.contains("metadata-flavor: google") =>
            {
                granted("ya29.token-of-the-machine")
            }
            _ => (404, "{}".to_owned()),
        }
    })
}

#[test]
fn machines_and_workloads_deliver_by_their_identities_and_no_token_is_in_the_log() {
    let authority = Authority::new("own");
    let (Some(azurite), Some(fake)) =
        (Azurite::start_secure("identities", &authority), FakeGcs::start("identities"))
    else {
        return;
    };
    let origin = Origin::start();
    let entra = entra_token();
    let services = services(&entra);
    // Google's emulator checks no token: the proxy before it sees what is sent.
    let relay = Relay::start(Speech::Http, None, None);
    let account = json!({"type": "service_account", "client_email": "gw@p.iam.test", "private_key_id": "k1",
        "private_key": private_key(), "token_uri": format!("{}/token", services.url())});
    let federation = json!({"type": "external_account", "audience": "//iam.test/pool", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/exchange", services.url()),
        "service_account_impersonation_url": format!("{}/impersonate", services.url()),
        "credential_source": {"file": "subject.token"}});
    let container = format!("{:?}", azurite.container("audit"));
    let (proxy, endpoint) = (format!("\"http://{}\"", relay.address), format!("{:?}", fake.url()));
    let azure = |prefix: &'static str| {
        vec![
            ("type", "\"azure\""),
            ("container", container.as_str()),
            ("ca", "\"ca.pem\""),
            ("prefix", prefix),
        ]
    };
    let google = |prefix: &'static str, credentials: &'static str| {
        vec![
            ("type", "\"gcs\""),
            ("bucket", "\"audit\""),
            ("endpoint", endpoint.as_str()),
            ("proxy", proxy.as_str()),
            ("prefix", prefix),
            ("credentials", credentials),
        ]
    };
    let builder = || {
        Gateway::builder()
            .source(Source::new("api", &origin.url()))
            .set("log", "level", "\"trace\"")
            .file("ca.pem", &authority.pem())
            .file("account.json", &account.to_string())
            .file("federation.json", &federation.to_string())
            .file("subject.token", "the.subjects.token\n")
            .file("pod.token", "the.pods.token\n")
            // The relay is on loopback, and so is everything else.
            .environment("NO_PROXY", "127.0.0.1")
    };
    let by_machine = builder()
        .destination("azure", &azure("\"machine/\""))
        .destination("gcs", &google("\"account/\"", "{ file = \"account.json\" }"))
        .environment("AZURE_POD_IDENTITY_AUTHORITY_HOST", &services.url());
    let by_workload = builder()
        .destination("azure", &azure("\"workload/\""))
        .destination("gcs", &google("\"federation/\"", "{ file = \"federation.json\" }"))
        .environment("AZURE_FEDERATED_TOKEN_FILE", "pod.token")
        .environment("AZURE_TENANT_ID", "tenant-1")
        .environment("AZURE_CLIENT_ID", "client-1")
        .environment("AZURE_AUTHORITY_HOST", &services.url());
    for gateway in [by_machine, by_workload] {
        let mut gateway = gateway.start();
        Load::calm(1, 3).run(gateway.address());
        assert_eq!(gateway.stop().code(), Some(0), "{}", gateway.log());
        let log = gateway.log();
        for secret in [entra.as_str(), "ya29.", "the.subjects.token", "the.pods.token"] {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
    }
    let arrived = |keys: Vec<String>, prefix: &str| {
        keys.iter().any(|key| key.starts_with(&format!("{prefix}/log_source=api")))
    };
    for prefix in ["machine", "workload"] {
        assert!(arrived(azurite.list(), prefix), "{prefix}: {:?}", azurite.list());
    }
    for prefix in ["account", "federation"] {
        assert!(arrived(fake.list(), prefix), "{prefix}: {:?}", fake.list());
    }
    let seen = relay.seen().join("\n").to_lowercase();
    for token in ["ya29.token-of-the-service-account", "ya29.token-of-the-impersonated"] {
        assert!(seen.contains(&format!("authorization: bearer {token}")), "{token}");
    }
    let asked = services.seen();
    let form = |part: &str| {
        asked.iter().find(|asked| asked.body.contains(part)).unwrap_or_else(|| panic!("no {part}"))
    };
    form("client_assertion=the%2Epods%2Etoken");
    form("subject_token=the%2Esubjects%2Etoken");
    // The statement of the service account says who asks for what, for an hour.
    let statement = form("grant_type=urn")
        .body
        .split("assertion=")
        .nth(1)
        .unwrap()
        .replace("%2E", ".")
        .replace("%2D", "-")
        .replace("%5F", "_");
    let claims = URL_SAFE_NO_PAD.decode(statement.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], &claims["aud"]), (&account["client_email"], &account["token_uri"]));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
}
