//! Tokens of Entra ID: by workload identity, or by the machine's managed identity.

use crate::clock::Clock;
use crate::deliver::destination::{Cause, PutError};
use crate::deliver::rest::Rest;
use crate::deliver::token::{Token, ask, form, get};

const SCOPE: &str = "https://storage.azure.com/.default";
const RESOURCE: &str = "https%3A%2F%2Fstorage.azure.com%2F";
const METADATA: &str = "http://169.254.169.254";

/// Asks for a token, as the environment says: `AZURE_FEDERATED_TOKEN_FILE` (workload identity),
/// `IDENTITY_ENDPOINT` (App Service, Functions, Container Apps), else the metadata service.
pub(super) async fn token(
    rest: &Rest,
    clock: &Clock,
    client_id: Option<&str>,
    env: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<Token, PutError> {
    if let Some(file) = env("AZURE_FEDERATED_TOKEN_FILE") {
        return workload(rest, clock, client_id, env, &file).await;
    }
    let chosen = client_id.map_or_else(String::new, |id| format!("&client_id={id}"));
    let request = match (env("IDENTITY_ENDPOINT"), env("IDENTITY_HEADER")) {
        (Some(endpoint), Some(header)) => {
            let url = format!("{endpoint}?api-version=2019-08-01&resource={RESOURCE}{chosen}");
            get(&url, &[("x-identity-header", &header)])?
        }
        _ => {
            let host = env("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| METADATA.to_owned());
            let host = host.trim_end_matches('/');
            let url = format!(
                "{host}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={RESOURCE}{chosen}"
            );
            get(&url, &[("metadata", "true")])?
        }
    };
    ask(rest, request, clock).await
}

async fn workload(
    rest: &Rest,
    clock: &Clock,
    client_id: Option<&str>,
    env: &(dyn Fn(&str) -> Option<String> + Sync),
    file: &str,
) -> Result<Token, PutError> {
    let need = |name: &str| {
        let words = format!("workload identity needs {name} beside AZURE_FEDERATED_TOKEN_FILE");
        env(name).ok_or_else(|| PutError::new(Cause::Credentials, words))
    };
    let tenant = need("AZURE_TENANT_ID")?;
    let client = match client_id {
        Some(id) => id.to_owned(),
        None => need("AZURE_CLIENT_ID")?,
    };
    let host = env("AZURE_AUTHORITY_HOST").unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
    let url = format!("{}/{tenant}/oauth2/v2.0/token", host.trim_end_matches('/'));
    // Read each time: it is exchanged every hour.
    let assertion = tokio::fs::read_to_string(file).await.map_err(|error| {
        PutError::new(Cause::Credentials, format!("cannot read the federated token {file}: {error}"))
    })?;
    let request = form(
        &url,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", &client),
            ("scope", SCOPE),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.trim()),
        ],
    )?;
    ask(rest, request, clock).await
}
