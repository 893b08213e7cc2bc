//! Tokens of Google: by a credentials file, or by the machine's own identity.

use crate::clock::Clock;
use crate::deliver::destination::{Cause, PutError};
use crate::deliver::rest::Rest;
use crate::deliver::token::{Token, ask, form, get, json};
use crate::secret::Secret;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKENS: &str = "https://oauth2.googleapis.com/token";
const METADATA: &str = "metadata.google.internal";

/// A credentials file, in the forms that Google's tools write.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    ServiceAccount {
        client_email: String,
        private_key: String,
        #[serde(default)]
        private_key_id: String,
        token_uri: Option<String>,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: String,
        refresh_token: String,
    },
    ExternalAccount {
        audience: String,
        subject_token_type: String,
        token_url: String,
        service_account_impersonation_url: Option<String>,
        credential_source: Source,
    },
}

/// Where the token of the other platform is.
#[derive(Deserialize)]
struct Source {
    file: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
struct Format {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    subject_token_field_name: String,
}

fn wrong(why: impl Into<String>) -> PutError {
    PutError::new(Cause::Credentials, why)
}

/// URLs of the services that a credentials file asks for tokens; none where it can't be read.
#[must_use]
pub fn token_services(text: &Secret) -> Vec<String> {
    match serde_json::from_slice(text.expose()) {
        Ok(File::ServiceAccount { token_uri, .. }) => vec![token_uri.unwrap_or_else(|| TOKENS.to_owned())],
        Ok(File::AuthorizedUser { .. }) => vec![TOKENS.to_owned()],
        Ok(File::ExternalAccount {
            token_url, service_account_impersonation_url, credential_source, ..
        }) => {
            let all = [credential_source.url, Some(token_url), service_account_impersonation_url];
            all.into_iter().flatten().collect()
        }
        Err(_) => Vec::new(),
    }
}

/// By a credentials file. What is in it is not repeated.
pub(super) async fn by_file(rest: &Rest, clock: &Clock, text: &Secret) -> Result<Token, PutError> {
    let file: File = serde_json::from_slice(text.expose()).map_err(|_| {
        wrong("the credentials are no JSON of type service_account, external_account or authorized_user")
    })?;
    match file {
        File::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
            let url = token_uri.as_deref().unwrap_or(TOKENS);
            let jwt = assertion(&client_email, &private_key, &private_key_id, url, clock)?;
            let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
            ask(rest, form(url, &[("grant_type", grant), ("assertion", &jwt)])?, clock).await
        }
        File::AuthorizedUser { client_id, client_secret, refresh_token } => {
            let fields = [
                ("grant_type", "refresh_token"),
                ("client_id", client_id.as_str()),
                ("client_secret", client_secret.as_str()),
                ("refresh_token", refresh_token.as_str()),
            ];
            ask(rest, form(TOKENS, &fields)?, clock).await
        }
        File::ExternalAccount {
            audience,
            subject_token_type,
            token_url,
            service_account_impersonation_url,
            credential_source,
        } => {
            let subject = credential_source.read(rest).await?;
            let scope = if service_account_impersonation_url.is_some() { CLOUD } else { SCOPE };
            let fields = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("audience", audience.as_str()),
                ("scope", scope),
                ("subject_token_type", subject_token_type.as_str()),
                ("subject_token", subject.as_str()),
            ];
            let token = ask(rest, form(&token_url, &fields)?, clock).await?;
            let Some(url) = service_account_impersonation_url else { return Ok(token) };
            let wanted = serde_json::json!({ "scope": [SCOPE] });
            ask(rest, json(&url, Some(&token), &wanted)?, clock).await
        }
    }
}

impl Source {
    async fn read(&self, rest: &Rest) -> Result<String, PutError> {
        let text = match (&self.file, &self.url) {
            (Some(file), _) => tokio::fs::read_to_string(file)
                .await
                .map_err(|error| wrong(format!("cannot read the subject token {file}: {error}")))?,
            (None, Some(url)) => {
                let headers: Vec<(&str, &str)> =
                    self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let answer = rest.send(get(url, &headers)?, std::time::Duration::from_secs(10)).await?;
                if answer.status != 200 {
                    return Err(wrong(format!("the source of the subject token answers {}", answer.status)));
                }
                String::from_utf8(answer.body).map_err(|_| wrong("the subject token is no text"))?
            }
            (None, None) => {
                return Err(wrong("this kind of credential_source is not supported; file and url are"));
            }
        };
        if self.format.kind != "json" {
            return Ok(text.trim().to_owned());
        }
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|_| wrong("the subject token is no JSON"))?;
        let field = value[&self.format.subject_token_field_name].as_str();
        field.map(str::to_owned).ok_or_else(|| wrong("the subject token's file lacks its field"))
    }
}

/// A signed statement of who asks (RFC 7523).
fn assertion(email: &str, key: &str, id: &str, audience: &str, clock: &Clock) -> Result<String, PutError> {
    let unusable = || wrong("the private_key of the service account cannot be used");
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|_| unusable())?;
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unusable())?;
    let now = clock.unix_microseconds() / 1_000_000;
    let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": id });
    let claims = serde_json::json!({
        "iss": email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + 3600,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .map_err(|_| unusable())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The machine's or the pod's own, by the metadata server.
pub(super) async fn by_machine(rest: &Rest, clock: &Clock) -> Result<Token, PutError> {
    let host = std::env::var("GCE_METADATA_HOST").ok().filter(|host| !host.is_empty());
    let host = host.as_deref().unwrap_or(METADATA);
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    ask(rest, get(&url, &[("metadata-flavor", "Google")])?, clock).await
}
