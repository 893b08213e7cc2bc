//! `onrecord egress`: where the gateway connects to, for the allow-lists of firewalls.

use super::{OutputFormat, run};
use crate::config::Config;
use crate::deliver::{AzureAuth, DestinationOptions, Store, token_services};
use crate::egress::{Route, proxy_to};
use crate::identity::KeysFrom;
use crate::notify::{Place as HookPlace, Security};
use crate::proxy::Place;
use crate::secret::SecretRef;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// What `onrecord egress` takes.
#[derive(Debug, Args)]
pub struct EgressArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    pub config: PathBuf,
    /// Look the names up, and list the addresses that they have now
    #[arg(long)]
    pub resolve: bool,
    /// How to tell it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
}

/// One way out.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Way {
    /// Whose it is, such as `destination archive`.
    of: String,
    /// What is reached.
    what: &'static str,
    host: String,
    port: u16,
    protocol: &'static str,
    /// The proxy between.
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    /// This machine's address; left out: as the system chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// Addresses of the host, or of the proxy, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
}

/// Prints it.
pub(super) fn list(args: &EgressArgs) -> ExitCode {
    let config = match run::load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut ways = ways(&config, &env);
    if args.resolve {
        ways.iter_mut().for_each(resolve);
    }
    match args.format {
        OutputFormat::Text => ways.iter().for_each(|way| println!("{}", line(way))),
        OutputFormat::Json => match serde_json::to_string_pretty(&ways) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                super::print_error(&error);
                return ExitCode::FAILURE;
            }
        },
    }
    ExitCode::SUCCESS
}

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Every way out that the configuration, and the environment as it is now, lead to.
fn ways(config: &Config, env: Env<'_>) -> Vec<Way> {
    let mut ways = Vec::new();
    for destination in &config.destinations {
        destination_ways(&mut ways, destination, env);
    }
    for source in &config.sources {
        let of = format!("source {}", source.options.name);
        for address in &source.options.upstream.addresses {
            if let Place::Tcp { host, port } = &address.place {
                let protocol = if source.options.upstream.tls { "https" } else { "http" };
                ways.push(Way { protocol, ..plain(&of, "upstream", host, *port) });
            }
        }
        if let Some(KeysFrom::Url(url)) = source.jwt.as_ref().map(|jwt| &jwt.jwks) {
            ways.extend(unproxied(&of, "key set", url));
        }
        if let Some(introspection) = &source.introspection {
            ways.extend(unproxied(&of, "introspection", &introspection.endpoint));
        }
        if let Some(ask) = &source.ask {
            ways.extend(unproxied(&of, "who a credential is", &ask.url));
        }
    }
    if config.acme.agreed {
        ways.extend(unproxied("acme", "certificates", &config.acme.options.directory));
    }
    if let Some(email) = &config.notify.email {
        let (protocol, port) = match email.security {
            Security::StartTls => ("smtp with starttls", 587),
            Security::Tls => ("smtps", 465),
            Security::None => ("smtp", 25),
        };
        ways.push(Way {
            protocol,
            ..plain("notify email", "mail", &email.server, email.port.unwrap_or(port))
        });
    }
    for hook in &config.notify.webhooks {
        let of = format!("notify {}", hook.name);
        let url = match &hook.url {
            HookPlace::Plain(url) => Some(url.clone()),
            // Its host is shown alone: the rest may be what makes it a secret.
            HookPlace::At(place) => text(place),
        };
        match url.and_then(|url| unproxied(&of, "webhook", &url)) {
            Some(way) => ways.push(way),
            None => ways.push(plain(&of, "webhook (its URL cannot be read from here)", "?", 443)),
        }
    }
    ways
}

fn destination_ways(ways: &mut Vec<Way>, destination: &DestinationOptions, env: Env<'_>) {
    let of = format!("destination {}", destination.name);
    let mut add = |what: &'static str, url: &str, route: &Route, region: Option<&str>| {
        ways.extend(way(&of, what, url, route).map(|way| Way { region: region.map(str::to_owned), ..way }));
    };
    let region = destination.region.as_deref();
    match &destination.store {
        Store::Dir(_) => {}
        Store::S3(options) => {
            let bucket = &options.bucket;
            let by_environment = env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION"));
            let found = region.map(str::to_owned).or(by_environment);
            let region = found.as_deref().unwrap_or("REGION");
            let (store, roles) = bucket.urls(region);
            add("store", &store, &bucket.route, found.as_deref());
            let by_chain = bucket.keys.is_none() && bucket.profile.is_none();
            let web_identity = by_chain && env("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
            let sts = roles.or_else(|| {
                let amazons = || format!("https://sts.{region}.amazonaws.com");
                web_identity.then(|| env("AWS_ENDPOINT_URL_STS").unwrap_or_else(amazons))
            });
            if let Some(url) = sts {
                add("token service", &url, &bucket.route, found.as_deref());
            }
        }
        Store::Azure(options) => {
            add("store", &options.container, &options.route, region);
            if matches!(options.auth, AzureAuth::Identity { .. }) {
                let authority = || env("AZURE_AUTHORITY_HOST");
                let url = match (env("AZURE_FEDERATED_TOKEN_FILE"), env("IDENTITY_ENDPOINT")) {
                    (Some(_), _) => {
                        authority().unwrap_or_else(|| "https://login.microsoftonline.com".to_owned())
                    }
                    (None, Some(endpoint)) => endpoint,
                    (None, None) => "http://169.254.169.254".to_owned(),
                };
                add("token service", &url, &options.route, None);
            }
        }
        Store::Nats(options) => ways.extend(options.servers.iter().filter_map(|server| {
            let uri: http::Uri = server.parse().ok()?;
            let protocol = if uri.scheme_str() == Some("tls") { "nats over tls" } else { "nats" };
            let plain = plain(&of, "stream", uri.host()?, uri.port_u16().unwrap_or(4222));
            Some(Way { protocol, from: options.local, region: region.map(str::to_owned), ..plain })
        })),
        Store::Gcs(options) => {
            let google = "https://storage.googleapis.com";
            let url = options.endpoint.as_deref().unwrap_or(google);
            add("store", url, &options.route, region);
            let by_environment =
                || env("GOOGLE_APPLICATION_CREDENTIALS").map(|file| SecretRef::File(file.into()));
            let emulator = options.credentials.is_none() && url.starts_with("http://");
            let place = options.credentials.clone().or_else(by_environment).filter(|_| !emulator);
            match place {
                Some(place) => {
                    let services = place.resolve().map(|text| token_services(&text)).unwrap_or_default();
                    if services.is_empty() {
                        add(
                            "token service (the credentials cannot be read from here)",
                            "https://oauth2.googleapis.com",
                            &options.route,
                            None,
                        );
                    }
                    for url in services {
                        add("token service", &url, &options.route, None);
                    }
                }
                None if emulator => {}
                None => {
                    let host =
                        env("GCE_METADATA_HOST").unwrap_or_else(|| "metadata.google.internal".to_owned());
                    add("token service", &format!("http://{host}"), &options.route, None);
                }
            }
        }
    }
}

fn text(place: &SecretRef) -> Option<String> {
    String::from_utf8(place.resolve().ok()?.expose().trim_ascii().to_vec()).ok()
}

fn plain(of: &str, what: &'static str, host: &str, port: u16) -> Way {
    Way {
        of: of.to_owned(),
        what,
        host: host.to_owned(),
        port,
        protocol: "https",
        via: None,
        from: None,
        region: None,
        addresses: Vec::new(),
    }
}

/// The way to a URL that no proxy leads to.
fn unproxied(of: &str, what: &'static str, url: &str) -> Option<Way> {
    let uri: http::Uri = url.parse().ok()?;
    let (protocol, port) = match uri.scheme_str()? {
        "http" => ("http", 80),
        _ => ("https", 443),
    };
    let host = uri.host()?.trim_matches(['[', ']']);
    Some(Way { protocol, ..plain(of, what, host, uri.port_u16().unwrap_or(port)) })
}

fn way(of: &str, what: &'static str, url: &str, route: &Route) -> Option<Way> {
    let way = unproxied(of, what, url)?;
    Some(Way { via: proxy_to(url, route).map(|proxy| proxy.to_string()), from: route.local, ..way })
}

/// What a firewall sees is the proxy, where there is one.
fn resolve(way: &mut Way) {
    let proxy = way.via.as_deref().and_then(|via| via.parse::<crate::egress::Proxy>().ok());
    let target = proxy.map_or_else(|| (way.host.clone(), way.port), |proxy| (proxy.host, proxy.port));
    let found: BTreeSet<IpAddr> = target.to_socket_addrs().into_iter().flatten().map(|at| at.ip()).collect();
    way.addresses = found.into_iter().collect();
}

fn line(way: &Way) -> String {
    let host = if way.host.contains(':') { format!("[{}]", way.host) } else { way.host.clone() };
    let mut out = format!("{}: {} {host}:{} ({})", way.of, way.what, way.port, way.protocol);
    for (word, value) in
        [("via", way.via.clone()), ("from", way.from.map(|ip| ip.to_string())), ("in", way.region.clone())]
    {
        if let Some(value) = value {
            out.push_str(&format!(" {word} {value}"));
        }
    }
    if !way.addresses.is_empty() {
        let all: Vec<String> = way.addresses.iter().map(ToString::to_string).collect();
        out.push_str(&format!(" = {}", all.join(" ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::path::Path;

    const TEXT: &str = r#"
[[source]]
name = "cma"
listen = "127.0.0.1:8080"
upstream = ["https://api.example.com", "https://10.0.0.1:8443"]
[source.actor]
identify = ["jwt"]
[source.actor.jwt]
jwks = "https://idp.example.com/keys"
issuer = "https://idp.example.com"
[[destination]]
name = "folder"
type = "dir"
path = "objects"
[[destination]]
name = "bucket"
type = "s3"
bucket = "audit"
region = "eu-central-1"
role_arn = "arn:aws:iam::111122223333:role/x"
proxy = "http://proxy.example.com:3128"
local_address = "10.0.0.5"
[[destination]]
name = "container"
type = "azure"
container = "https://a.blob.core.windows.net/audit"
region = "westeurope"
[[destination]]
name = "google"
type = "gcs"
bucket = "audit"
[notify]
email = { server = "mail.example.com", from = "a@b.test", to = ["c@d.test"] }
webhooks = [{ name = "slack", preset = "slack", url = "https://hooks.example.com/secret" }]
"#;

    #[test]
    fn each_way_out_is_listed_with_host_port_protocol_proxy_address_and_region() {
        let config = parse(Path::new("proxy.toml"), TEXT).unwrap();
        let env = |name: &str| (name == "AZURE_FEDERATED_TOKEN_FILE").then(|| "token".to_owned());
        let lines: Vec<String> = ways(&config, &env).iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "destination bucket: store audit.s3.eu-central-1.amazonaws.com:443 (https) via http://proxy.example.com:3128 from 10.0.0.5 in eu-central-1",
                "destination bucket: token service sts.eu-central-1.amazonaws.com:443 (https) via http://proxy.example.com:3128 from 10.0.0.5 in eu-central-1",
                "destination container: store a.blob.core.windows.net:443 (https) in westeurope",
                "destination container: token service login.microsoftonline.com:443 (https)",
                "destination google: store storage.googleapis.com:443 (https)",
                "destination google: token service metadata.google.internal:80 (http)",
                "source cma: upstream api.example.com:443 (https)",
                "source cma: upstream 10.0.0.1:8443 (https)",
                "source cma: key set idp.example.com:443 (https)",
                "notify email: mail mail.example.com:587 (smtp with starttls)",
                "notify slack: webhook hooks.example.com:443 (https)",
            ]
        );
    }
}
