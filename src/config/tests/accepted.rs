//! What is accepted, and what it becomes.

use super::*;
use crate::capture::RingOptions;
use crate::config::*;
use crate::deliver::{Store, Timestamps};
use crate::egress::Route;
use crate::proxy::{
    Durability, DurabilityRules, ForwardOptions, HealthOptions, Http2, Limits, OddPaths, Organization,
    RouteRule,
};
use std::time::Duration;

#[test]
fn the_smallest_file_is_all_defaults() {
    let config = valid(SMALL);
    assert_eq!(config.instance, None);
    assert_eq!(config.server, crate::server::Options::default());
    assert_eq!(config.ring, RingOptions::default());
    assert_eq!(config.spool, crate::spool::Options::default());
    assert_eq!(config.admin, AdminOptions::default());
    assert_eq!(config.log, LogOptions::default());
    assert_eq!(config.actors, ActorsOptions::default());
    assert_eq!(config.evidence, EvidenceOptions::default());
    assert_eq!(config.redact, RedactOptions::default());
    assert_eq!(config.sources[0].options.limits, Limits::default());
    assert_eq!(config.sources[0].options.organization, Organization::Catalogue);
    let store = Store::Dir(crate::deliver::DirOptions::new(Path::new("objects")));
    assert_eq!(config.destinations, [DestinationOptions::new("archive", store)]);
}

#[test]
fn every_key_reaches_its_option() {
    let config = valid(
        r#"
instance = "gw-1"
[server]
workers = 3
grace = "1s"
flush = "2s"
max_connections = 4
max_in_flight = 5
[[source]]
name = "cma"
namespace = "contentful"
listen = ["127.0.0.1:8080", "[::1]:8080"]
hosts = ["CMA.example"]
path_prefix = "/cma"
upstream = "http://api.internal:81/base/"
preserve_host = true
catalogues = ["contentful-management", "own.json"]
api_host = "API.contentful.com"
organization = { header = "X-Org" }
trusted_proxies = ["10.0.0.0/8", "::1"]
odd_paths = "refuse"
api_key_headers = ["X-Key"]
[source.actor]
header_id = "X-User"
header_name = "X-Name"
header_email = "X-Mail"
[source.limits]
head_bytes = "16KiB"
head_fields = 50
body_bytes = 1000
head_timeout = "1s"
idle_timeout = "2s"
connect_timeout = "3s"
response_timeout = "4s"
body_timeout = "5s"
request_timeout = "6s"
upstream_idle_timeout = "7s"
upstream_idle_connections = 8
[ring]
dir = "/dev/shm/rings"
bytes = "2MiB"
[spool]
dir = "/var/spool/onrecord"
bytes = "1GiB"
when_full = "refuse_new"
segment_bytes = "1MiB"
segment_age = "1m"
sync_interval = "10ms"
compress_after = "1h"
[[destination]]
name = "archive"
type = "dir"
path = "/srv/objects"
sources = ["cma", "onrecord"]
prefix = "audit/"
timestamps = "seconds"
format = "flat"
interval = "1s"
object_bytes = "1MiB"
heartbeat = "5s"
retention = "1h"
retention_days = 30
[redact]
query = ["Session"]
[actors]
directory = "actors.csv"
fingerprint_key = { env = "KEY" }
fingerprint_key_name = "k2"
[admin]
listen = "[::1]:9465"
[evidence]
key = { file = "/etc/key" }
previous_key = { file = "/etc/old-key" }
anchor = "/mnt/elsewhere/anchor"
name = "audit.example"
[log]
level = "warn,onrecord::deliver=debug"
format = "json"
"#,
    );
    assert_eq!(config.instance.as_deref(), Some("gw-1"));
    let second = Duration::from_secs(1);
    let server = &config.server;
    assert_eq!((server.workers, server.max_connections, server.max_in_flight), (3, 4, 5));
    assert_eq!((server.grace, server.flush), (second, 2 * second));
    let source = &config.sources[0];
    let options = &source.options;
    assert_eq!((options.name.as_str(), options.namespace.as_str()), ("cma", "contentful"));
    assert_eq!(options.listen.len(), 2);
    assert_eq!(options.hosts, ["cma.example"]);
    assert_eq!(options.path_prefix, "/cma");
    assert_eq!(
        (options.upstream.addresses[0].authority.as_str(), options.upstream.base_path.as_str()),
        ("api.internal:81", "/base")
    );
    assert!(options.preserve_host);
    assert_eq!(options.organization, Organization::Header("x-org".into()));
    assert_eq!(options.trusted_proxies.networks.len(), 2);
    assert_eq!(options.odd_paths, Some(OddPaths::Refuse));
    assert_eq!(options.api_key_headers, ["x-key"]);
    assert_eq!(options.actor_headers.email.as_deref(), Some("x-mail"));
    let limits = &options.limits;
    assert_eq!((limits.head_bytes, limits.head_fields, limits.body_bytes), (16 << 10, 50, Some(1000)));
    assert_eq!(
        (limits.head_timeout, limits.idle_timeout, limits.connect_timeout),
        (second, 2 * second, 3 * second)
    );
    assert_eq!((limits.response_timeout, limits.body_timeout), (4 * second, 5 * second));
    assert_eq!((limits.request_timeout, limits.upstream_idle_timeout), (Some(6 * second), 7 * second));
    assert_eq!(limits.upstream_idle_connections, 8);
    let catalogues =
        [CatalogueRef::Preset("contentful-management".into()), CatalogueRef::File("own.json".into())];
    assert_eq!(source.catalogues, catalogues);
    assert_eq!(source.api_host.as_deref(), Some("api.contentful.com"));
    assert_eq!(config.ring, RingOptions { dir: Some("/dev/shm/rings".into()), bytes: 2 << 20 });
    assert_eq!((config.spool.bytes, config.spool.segment_bytes), (Some(1 << 30), 1 << 20));
    assert_eq!(config.spool.when_full, crate::spool::WhenFull::RefuseNew);
    assert_eq!((config.spool.segment_age, config.spool.sync_interval), (60 * second, second / 100));
    assert_eq!(config.spool.compress_after, 3600 * second);
    let archive = &config.destinations[0];
    assert_eq!(archive.sources, ["cma", "onrecord"]);
    assert_eq!((archive.prefix.as_str(), archive.format.timestamps), ("audit/", Timestamps::Seconds));
    assert_eq!((archive.interval, archive.heartbeat, archive.retention), (second, 5 * second, 3600 * second));
    assert_eq!((archive.object_bytes, archive.retention_days), (1 << 20, Some(30)));
    assert_eq!(config.redact.query, ["session"]);
    assert_eq!(config.actors.fingerprint_key, Some(SecretRef::Env("KEY".into())));
    assert_eq!(config.evidence.key, Some(SecretRef::File("/etc/key".into())));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_bucket_has_its_defaults_and_every_key_reaches_its_option() {
    use crate::bucket::{AccessKey, Bucket, KeyId, Role};
    use crate::deliver::{Encryption, LockMode, ObjectLock, S3Options};
    let store = |text: &str| valid(text).destinations.remove(0).store;
    assert_eq!(store(BUCKET), Store::S3(Box::new(S3Options::new("audit-1"))));
    let keys = r#"
region = "eu-central-1"
endpoint = "http://127.0.0.1:8333/"
path_style = true
access_key_id = "AKIA"
secret_access_key = { env = "SECRET" }
session_token = { file = "token" }
role_arn = "arn:aws:iam::111122223333:role/path/onrecord"
external_id = "org-1"
storage_class = "STANDARD_IA"
encryption = "kms"
kms_key = "alias/audit"
tags = { team = "audit", empty = "" }
object_lock = { mode = "compliance", days = 30 }
multipart_bytes = "5MiB"
put_timeout = "1s"
concurrency = 9
local_address = "10.0.0.5"
proxy = "socks5://proxy.test:1080"
proxy_login = { env = "LOGIN" }
ca = "ca.pem"
"#;
    let options = S3Options {
        bucket: Bucket {
            name: "audit-1".into(),
            region: Some("eu-central-1".into()),
            endpoint: Some("http://127.0.0.1:8333".into()),
            path_style: true,
            profile: None,
            keys: Some(AccessKey {
                id: KeyId::Plain("AKIA".into()),
                secret: SecretRef::Env("SECRET".into()),
                session_token: Some(SecretRef::File("token".into())),
            }),
            role: Some(Role {
                arn: "arn:aws:iam::111122223333:role/path/onrecord".into(),
                external_id: Some("org-1".into()),
                session_name: "onrecord".into(),
                // Most stores but Amazon's give roles themselves.
                endpoint: Some("http://127.0.0.1:8333".into()),
            }),
            route: Route {
                local: Some("10.0.0.5".parse().unwrap()),
                proxy: Some("socks5://proxy.test".parse().unwrap()),
                proxy_login: Some(SecretRef::Env("LOGIN".into())),
                ca: Some("ca.pem".into()),
            },
        },
        storage_class: Some("STANDARD_IA".into()),
        encryption: Some(Encryption::Kms { key: Some("alias/audit".into()) }),
        tags: vec![("team".into(), "audit".into()), ("empty".into(), String::new())],
        object_lock: Some(ObjectLock { mode: LockMode::Compliance, days: 30 }),
        multipart_bytes: 5 << 20,
        put_timeout: Duration::from_secs(1),
    };
    let text = format!("{BUCKET}{keys}");
    assert_eq!(store(&text), Store::S3(Box::new(options)));
    assert_eq!(valid(&text).destinations[0].concurrency, 9);
    let Store::S3(profile) = store(&format!("{BUCKET}profile = \"audit\"\n")) else { panic!("no bucket") };
    assert_eq!(profile.bucket.profile.as_deref(), Some("audit"));
    let found = store(&text.replace("\"AKIA\"", "{ file = \"id\" }"));
    let Store::S3(found) = found else { panic!("no bucket") };
    assert_eq!(found.bucket.keys.unwrap().id, KeyId::At(SecretRef::File("id".into())));
}

#[test]
fn an_organization_is_an_id_a_placeholder_or_a_header() {
    let with = |value: &str| {
        let text = SMALL.replace("[[destination]]", &format!("organization = {value}\n[[destination]]"));
        let source = valid(&text).sources.remove(0);
        (source.options.organization, source.organization_placeholder)
    };
    assert_eq!(with("\"org-1\""), (Organization::Fixed("org-1".into()), None));
    assert_eq!(with("\":tenant\""), (Organization::Catalogue, Some(":tenant".into())));
    assert_eq!(with("{ header = \"X-Org\" }"), (Organization::Header("x-org".into()), None));
}

#[test]
fn classes_of_durability_are_given_by_method_flag_and_route() {
    let with = |text: &str| {
        let text = SMALL.replace("[[destination]]", &format!("{text}\n[[destination]]"));
        valid(&text).sources.remove(0).options.durability
    };
    assert_eq!(with(""), DurabilityRules::default());
    let rules = with(
        r#"[source.durability]
reads = "durable"
writes = "async"
methods = { DELETE = "strict", GET = "async" }
sensitive = "strict"
ai = "durable"
routes = [{ method = "PUT", template = "/things/:id", class = "strict" }, { template = "/", class = "async" }]
wait = "500ms""#,
    );
    let route = |method: Option<&str>, template: &str, class| RouteRule {
        method: method.map(str::to_owned),
        template: template.into(),
        class,
    };
    assert_eq!(
        rules,
        DurabilityRules {
            reads: Durability::Durable,
            writes: Durability::Async,
            methods: vec![("GET".into(), Durability::Async), ("DELETE".into(), Durability::Strict)],
            sensitive: Some(Durability::Strict),
            bulk: None,
            ai: Some(Durability::Durable),
            routes: vec![
                route(Some("PUT"), "/things/:id", Durability::Strict),
                route(None, "/", Durability::Async)
            ],
            wait: Duration::from_millis(500),
        }
    );
}

#[test]
fn several_sources_may_let_the_system_choose_their_port() {
    let text = SMALL
        .replace(":8080", ":0")
        .replace("[[destination]]", "[admin]\nlisten = \"127.0.0.1:0\"\n[[destination]]");
    valid(&text);
}

#[test]
fn what_is_seldom_meant_is_warned_of() {
    let text = SMALL.replace(
        "[[destination]]",
        "trusted_proxies = [\"0.0.0.0/0\"]\n[[destination]]\ninterval = \"500ms\"\nsources = [\"onrecord\"]",
    );
    let warnings = valid(&text).warnings().join("\n");
    for wanted in
        ["cma is delivered to no destination", "no catalogue", "trusts every peer", "many and small"]
    {
        assert!(warnings.contains(wanted), "{wanted}: {warnings}");
    }
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    assert_eq!(valid(&SMALL.replace('\n', "\r\n")), valid(SMALL));
    assert_eq!(valid(&format!("\u{FEFF}{SMALL}")), valid(SMALL));
}

#[test]
fn a_file_that_cannot_be_a_configuration_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("proxy.toml");
    let told = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        load(&file).unwrap_err()
    };
    assert!(matches!(told(b"a = \"\xff\""), LoadError::NotText { at: 5, .. }));
    assert!(matches!(told(&vec![b'#'; 2 << 20]), LoadError::Large { .. }));
    assert!(matches!(told(b""), LoadError::Problems(_)));
    assert!(matches!(load(dir.path()), Err(LoadError::Read { .. })));
    assert!(load(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    std::fs::write(&file, SMALL).unwrap();
    assert_eq!(load(&file).unwrap(), valid(SMALL));
}

#[test]
fn an_upstream_can_have_several_addresses_and_be_reached_over_tls() {
    let text = SMALL.replace(
        "upstream = \"http://127.0.0.1:9000\"",
        r#"upstream = ["https://a.internal/v1", "https://B.internal:8443/v1/"]
[source.forward]
ca = "ca.pem"
certificate = "own.pem"
private_key = { file = "own.key" }
server_name = "api.internal"
http2 = "auto"
upgrades = ["WebSocket", "chat"]
tunnel_timeout = "1m"
resolve_interval = "5s"
eject_after = 0
eject_time = "1s"
slow_start = "2s"
[source.health]
path = "/health?deep=1"
interval = "3s"
timeout = "4s"
status = "200-399""#,
    );
    let config = valid(&text);
    let options = &config.sources[0].options;
    assert_eq!(options.upstream.listed(), "https://a.internal/v1, https://b.internal:8443/v1");
    let second = Duration::from_secs(1);
    let expected = ForwardOptions {
        ca: Some("ca.pem".into()),
        certificate: Some("own.pem".into()),
        private_key: Some(SecretRef::File("own.key".into())),
        server_name: Some("api.internal".into()),
        http2: Http2::Auto,
        upgrades: vec!["websocket".into(), "chat".into()],
        tunnel_timeout: 60 * second,
        resolve_interval: 5 * second,
        eject_after: 0,
        eject_time: second,
        slow_start: 2 * second,
    };
    assert_eq!(options.forward, expected);
    let health = HealthOptions {
        path: "/health?deep=1".into(),
        interval: 3 * second,
        timeout: 4 * second,
        status: 200..=399,
    };
    assert_eq!(options.health, Some(health));
    assert_eq!(valid(SMALL).sources[0].options.forward, ForwardOptions::default());
}
