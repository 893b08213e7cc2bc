//! `[[destination]]` of types `azure` and `gcs`, and the keys of how any store is reached.

use super::bucket::{endpoint, name, put_timeout, required, storage_class, word};
use super::{Item, Table};
use crate::config::reference::{Absent, Key, Kind};
use crate::deliver::{AzureAuth, AzureOptions, GcsOptions};
use crate::egress::{Proxy, Route};
use std::net::IpAddr;

/// Which types a key belongs to; keys that are not here belong to all.
pub(crate) const TYPES_OF: &[(&str, &[&str])] = &[
    ("path", &["dir"]),
    ("file_mode", &["dir"]),
    ("folder_mode", &["dir"]),
    ("bucket", &["s3", "gcs"]),
    ("endpoint", &["s3", "gcs"]),
    ("path_style", &["s3"]),
    ("profile", &["s3"]),
    ("access_key_id", &["s3"]),
    ("secret_access_key", &["s3"]),
    ("session_token", &["s3"]),
    ("role_arn", &["s3"]),
    ("external_id", &["s3"]),
    ("session_name", &["s3"]),
    ("sts_endpoint", &["s3"]),
    ("encryption", &["s3"]),
    ("kms_key", &["s3"]),
    ("tags", &["s3"]),
    ("storage_class", &["s3", "gcs", "azure"]),
    ("object_lock", &["s3"]),
    ("multipart_bytes", &["s3"]),
    ("put_timeout", &["s3", "azure", "gcs", "nats"]),
    ("container", &["azure"]),
    ("sas", &["azure"]),
    ("account_key", &["azure"]),
    ("client_id", &["azure"]),
    ("credentials", &["gcs", "nats"]),
    ("servers", &["nats"]),
    ("subject", &["nats"]),
    ("evidence_subject", &["nats"]),
    ("stream", &["nats"]),
    ("user", &["nats"]),
    ("password", &["nats"]),
    ("token", &["nats"]),
    ("local_address", &["s3", "azure", "gcs", "nats"]),
    ("proxy", &["s3", "azure", "gcs"]),
    ("proxy_login", &["s3", "azure", "gcs"]),
    ("ca", &["s3", "azure", "gcs", "nats"]),
];

pub(super) const CONTAINER: Key = Key {
    name: "container",
    kind: Kind::Other("URL"),
    absent: Absent::Unset("required for `azure`"),
    doc: "`azure`: the URL of the container, such as `https://account.blob.core.windows.net/audit`. It must exist.",
};
pub(super) const SAS: Key = Key {
    name: "sas",
    kind: Kind::Secret,
    absent: Absent::Unset("`account_key`, else the identity of workload or machine"),
    doc: "`azure`: a shared access signature for that container with the permissions create and write: its query, or the whole URL. Read again at each attempt; its end is warned of 14, 7 and 1 days ahead.",
};
pub(super) const ACCOUNT_KEY: Key = Key {
    name: "account_key",
    kind: Kind::Secret,
    absent: Absent::Unset("the identity of workload or machine"),
    doc: "`azure`: a key of the storage account, in Base64. It allows everything; a `sas` is better.",
};
pub(super) const CLIENT_ID: Key = Key {
    name: "client_id",
    kind: Kind::Text,
    absent: Absent::Unset("`AZURE_CLIENT_ID`, or the machine's only identity"),
    doc: "`azure`: which identity the gateway takes, where neither `sas` nor `account_key` is given: workload identity, if `AZURE_FEDERATED_TOKEN_FILE` is set, else managed identity.",
};
pub(super) const CREDENTIALS: Key = Key {
    name: "credentials",
    kind: Kind::Secret,
    absent: Absent::Unset(
        "`GOOGLE_APPLICATION_CREDENTIALS`, else the metadata server; none for an endpoint over http",
    ),
    doc: "`gcs`: the JSON of a service account, of a workload identity federation (`external_account` with `file` or `url`) or of a user. Read again whenever a token is asked for. `nats`: the text of a `.creds` file.",
};
pub(super) const LOCAL_ADDRESS: Key = Key {
    name: "local_address",
    kind: Kind::Other("IP address"),
    absent: Absent::Unset("as the system chooses"),
    doc: "Not `dir`: the address of this machine that connections to the store and its token services come from.",
};
pub(super) const PROXY: Key = Key {
    name: "proxy",
    kind: Kind::Other("URL"),
    absent: Absent::Unset("as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say"),
    doc: "`s3`, `azure`, `gcs`: the proxy that leads to the store: `http://`, `https://` or `socks5://` with host and port. Metadata services of the machine are asked without it.",
};
pub(super) const PROXY_LOGIN: Key = Key {
    name: "proxy_login",
    kind: Kind::Secret,
    absent: Absent::Unset("none"),
    doc: "`s3`, `azure`, `gcs`: `user:password` for that proxy.",
};
pub(super) const CA: Key = Key {
    name: "ca",
    kind: Kind::Path,
    absent: Absent::Unset("the authorities of this machine"),
    doc: "Not `dir`: a PEM file with the only authorities that the store's certificate may come from.",
};

/// Reads the keys of a container.
pub(super) fn azure(table: &Table<'_>) -> Option<AzureOptions> {
    let url = required(table, "container").and_then(|item| container(&item));
    let mut options = AzureOptions::new(url.as_deref().unwrap_or_default());
    let (sas, key, client) = (table.take("sas"), table.take("account_key"), table.take("client_id"));
    {
        let mut given = [sas.as_ref(), key.as_ref(), client.as_ref()].into_iter().flatten();
        if let (Some(_), Some(second)) = (given.next(), given.next()) {
            let hint = "keep one of sas, account_key and client_id";
            second.refuse::<()>("is given beside another way to prove who the gateway is", Some(hint));
        }
    }
    let identity = client.and_then(|item| word(&item, "a client id"));
    let auth = match (sas, key) {
        (Some(sas), _) => sas.secret().map(AzureAuth::Sas),
        (None, Some(key)) => key.secret().map(AzureAuth::Key),
        (None, None) => Some(AzureAuth::Identity { client_id: identity }),
    };
    options.tier = storage_class(table, "an access tier such as Cool");
    put_timeout(table, &mut options.put_timeout);
    options.route = route(table);
    // Only now: all keys are read, so that none of them is taken for one that nobody knows.
    options.auth = auth?;
    url.map(|_| options)
}

/// Reads the keys of a bucket of Google's.
pub(super) fn gcs(table: &Table<'_>) -> Option<GcsOptions> {
    let bucket = required(table, "bucket").and_then(|item| name(&item));
    let mut options = GcsOptions::new(bucket.as_deref().unwrap_or_default());
    options.endpoint = table.take("endpoint").and_then(|item| endpoint(&item));
    options.credentials = table.secret("credentials");
    options.storage_class = storage_class(table, "a storage class such as NEARLINE");
    put_timeout(table, &mut options.put_timeout);
    options.route = route(table);
    bucket.map(|_| options)
}

pub(super) fn local_address(table: &Table<'_>) -> Option<IpAddr> {
    table.take("local_address").and_then(|item| match item.text()?.value.parse() {
        Ok(ip) => Some(ip),
        Err(_) => item.refuse("is not an IP address", Some("write it like \"10.0.0.5\"")),
    })
}

/// Reads how the store is reached.
pub(super) fn route(table: &Table<'_>) -> Route {
    let local = local_address(table);
    let proxy = table.take("proxy").and_then(|item| match item.text()?.value.parse::<Proxy>() {
        Ok(proxy) => Some(proxy),
        Err(error) => {
            let hint = "write it like \"http://proxy.example.com:3128\"; its login goes to proxy_login";
            item.refuse(error.to_string(), Some(hint))
        }
    });
    let login = table.take("proxy_login");
    if let (Some(login), None) = (&login, &proxy) {
        login.refuse::<()>("is given without proxy", Some("a proxy of the environment has its login there"));
    }
    let ca = table.path("ca").map(|at| at.value);
    Route { local, proxy, proxy_login: login.and_then(|login| login.secret()), ca }
}

/// A URL of a container, without what may be secret.
fn container(item: &Item<'_>) -> Option<String> {
    const HINT: &str = "write it like \"https://account.blob.core.windows.net/audit\"";
    let text = item.text()?.value;
    if text.contains('?') {
        let hint = "the signature is a secret: give it as sas = { file = \"path\" }";
        return item.refuse("must be the container's URL alone, without a signature", Some(hint));
    }
    let url: Option<http::Uri> = text.parse().ok();
    let Some(url) = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https"))) else {
        return item.refuse("is not a URL", Some(HINT));
    };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) || text.contains('#') {
        return item.refuse("must be scheme, host and path, and nothing more", Some(HINT));
    }
    let container = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '$');
    let has_path = !matches!(url.path(), "" | "/");
    if !has_path || !(3..=63).contains(&container.len()) || !container.chars().all(fits) {
        return item.refuse("names no container", Some(HINT));
    }
    Some(text.trim_end_matches('/').to_owned())
}
