//! A credential is written nowhere (contract 2.5), looked for where `secrets.rs` does not look: in
//! every format, in the traces of every library, in every answer of the admin listener, in what
//! the commands print; and the operator's own secrets with those of clients.

use crate::control::Tokens;
use crate::harness::client::{Connection, Request, get, request};
use crate::harness::gateway::{Builder, Gateway, Source, all_files, onrecord, read_lossy};
use crate::harness::issuer::{KeyServer, NAME, SigningKey, key_set};
use crate::harness::origin::Origin;
use crate::harness::services::Services;
use crate::harness::{PATIENCE, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde_json::json;
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;

/// Every format, in each form that differs in what it shows: name, TOML, and what objects end with.
const FORMATS: [(&str, &str); 10] = [
    ("flat", "{ type = \"flat\" }"),
    ("api-old", "{ type = \"ocsf\", version = \"1.3.0\", class = \"api_activity\" }"),
    ("api-new", "{ type = \"ocsf\", version = \"1.8.0\", class = \"api_activity\" }"),
    ("web-old", "{ type = \"ocsf\", version = \"1.3.0\", class = \"web_resources_activity\" }"),
    ("web-new", "{ type = \"ocsf\", version = \"1.8.0\", class = \"web_resources_activity\" }"),
    ("ecs", "\"ecs\""),
    (
        "csv",
        "{ type = \"csv\", columns = [\"user_agent.original\", \"http.request.header.referer\", \"actor.name\"] }",
    ),
    ("legacy", "\"contentful-legacy\""),
    ("parquet", "\"parquet\""),
    ("events", "{ type = \"parquet\", rows = \"ocsf\" }"),
];

/// A route with a secret in its path.
const HOOKS: &str = r#"
name = "own"
[[routes]]
method = "POST"
template = "/hooks/:hook/:secret/events"
resource = "Hook"
resource_param = "hook"
action = "Invoke"
secret_params = ["secret"]
"#;

/// The operator's own secrets, by their variables.
const OWN: [(&str, &str); 8] = [
    ("IT_FINGERPRINTS", "canary-key-of-the-fingerprints-0123"),
    ("IT_CLIENT", "canary-client"),
    ("IT_S3", "canary-secret-access-key"),
    ("IT_SESSION", "canary-session-token"),
    ("IT_SAS", "sv=2021-12-02&sr=c&sp=cw&se=2099-01-01T00%3A00%3A00Z&sig=canary-sas"),
    ("IT_ACCOUNT", "Y2FuYXJ5LWFjY291bnQta2V5LTAxMjM0NTY3ODk="),
    ("IT_HOOK", "canary-hook"),
    ("IT_LOGIN", "u:canary-login"),
];

/// Stores that create what is put below `good`, once, and refuse what is put elsewhere.
fn stores() -> Services {
    let there: Mutex<HashSet<String>> = Mutex::default();
    Services::start(move |asked| {
        let error =
            |status, code| (status, format!("<Error><Code>{code}</Code><Message>No</Message></Error>"));
        let key = asked.line.split(['?', ' ']).nth(1).unwrap_or_default().to_owned();
        match asked.line.contains("/good/") {
            true if there.lock().unwrap().insert(key) => (201, String::new()),
            true => error(412, "PreconditionFailed"),
            false => error(403, "AccessDenied"),
        }
    })
}

fn composed(origin: &Origin, store: &Services, keys: &KeyServer, tokens: &Tokens) -> Builder {
    let issuer = format!(
        "endpoint = \"{}/introspect\", client_id = \"gateway\", client_secret = {{ env = \"IT_CLIENT\" }}",
        store.url()
    );
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management", "own.toml"])
        .key("api_host", "\"api.contentful.com\"")
        .key("durability", "{ writes = \"strict\" }")
        .jwt("jwks", &format!("{:?}", keys.url()))
        .jwt("issuer", &format!("{NAME:?}"))
        .actor_table("introspection", &issuer);
    let mut builder = Gateway::builder()
        .source(source)
        .main_destination(&[])
        .file("own.toml", HOOKS)
        .set("log", "level", "\"trace\"")
        .set("server", "flush", "\"1s\"")
        .set("admin", "tokens", &tokens.line)
        .set("actors", "fingerprint_key", "{ env = \"IT_FINGERPRINTS\" }")
        .raw(&format!(
            "[notify]\nafter = \"0s\"\nwebhooks = [{{ name = \"ops\", url = \"{}/hook\", secret = {{ env = \"IT_HOOK\" }} }}]",
            store.url()
        ));
    for (name, toml) in FORMATS {
        builder = builder.destination(name, &[("format", toml)]);
    }
    let (endpoint, proxy) = (format!("{:?}", store.url()), format!("{:?}", store.url()));
    for bucket in ["good", "refused"] {
        let bucket_toml = format!("{bucket:?}");
        let s3 = [
            ("type", "\"s3\""),
            ("bucket", bucket_toml.as_str()),
            ("region", "\"us-east-1\""),
            ("endpoint", endpoint.as_str()),
            ("path_style", "true"),
            ("access_key_id", "\"AKIDEXAMPLE\""),
            ("secret_access_key", "{ env = \"IT_S3\" }"),
            ("session_token", "{ env = \"IT_SESSION\" }"),
        ];
        let container = format!("\"{}/acct/{bucket}\"", store.url());
        let azure = [("type", "\"azure\""), ("container", container.as_str())];
        let sas = [azure[0], azure[1], ("sas", "{ env = \"IT_SAS\" }")];
        let key = [azure[0], azure[1], ("prefix", "\"key/\""), ("account_key", "{ env = \"IT_ACCOUNT\" }")];
        let mut by_proxy = s3.to_vec();
        by_proxy.push(("prefix", "\"proxied/\""));
        by_proxy.extend([("proxy", proxy.as_str()), ("proxy_login", "{ env = \"IT_LOGIN\" }")]);
        builder = builder
            .destination(&format!("s3-{bucket}"), &s3)
            .destination(&format!("proxied-{bucket}"), &by_proxy)
            .destination(&format!("sas-{bucket}"), &sas)
            .destination(&format!("key-{bucket}"), &key);
    }
    OWN.iter().fold(builder, |builder, (name, value)| builder.environment(name, value))
}

/// Sends secrets in every position; how many exchanges that makes.
fn send_everything(to: std::net::SocketAddr, jwt: &str) -> usize {
    let of = |body: &str| body.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let told = |request: Request, body: &str| {
        let script = format!(
            "status=200&h=Set-Cookie:sid%3Dcanary-set&h=Location:%2Fx%3Ftoken%3Dcanary-location&body={}",
            of(body)
        );
        request.header("x-script", script)
    };
    let bearer = |request: Request, token: &str| request.header("Authorization", format!("Bearer {token}"));
    let env = "/spaces/s1/environments/dev";
    let query = "access_token=canary-query&b=1&X-Amz-Signature=canary-query&%74oken=canary-query";
    let requests = [
        bearer(get(format!("/spaces/s1?{query}")), jwt)
            .header("Cookie", "sid=canary-cookie")
            .header("Proxy-Authorization", "Basic Y2FuYXJ5LXByb3h5")
            .header("X-Contentful-Resource-Resolution", "canary-resolution")
            .header("Referer", format!("https://u:canary-user@a.test/?{query}#access_token=canary-fragment")),
        get("/spaces/s1").header("Authorization", "Basic dXNlcjpjYW5hcnktYmFzaWM="),
        bearer(get("/spaces/s1/api_keys"), "canary-opaque"),
        bearer(
            request("POST", format!("{env}/entries")).body(b"{\"p\":\"canary-body\"}".to_vec()),
            "canary-a",
        ),
        bearer(
            request("POST", "/users/me/access_tokens").body(b"{\"name\":\"canary-name\"}".to_vec()),
            "canary-b",
        ),
        bearer(request("PUT", format!("{env}/entries/e1/published")), "canary-c")
            .body(b"{\"remove\":\"canary-broken".to_vec()),
        bearer(request("POST", "/hooks/h1/canary-segment/events"), "canary-d").body(b"{}".to_vec()),
    ];
    let answer = r#"{"items":[{"sys":{"id":"k1"},"name":"K","accessToken":"canary-cda"}],"token":"canary-pat",
        "sys":{"id":"x"},"secret":"canary-response"}"#;
    let count = requests.len();
    for request in requests {
        assert_eq!(told(request, answer).send(to).status, 200);
    }
    // Failed by the upstream in several ways.
    let failures = ["early=reset", "garbage=1", "h=Bad%20Name:canary-bad", "claim=9&size=3&cut=3"];
    for script in failures {
        let mut connection = Connection::open(to);
        connection
            .send(&bearer(get(format!("/x?{query}")), "canary-f").header("x-script", script).head_bytes());
        let _ = connection.response(false);
    }
    count + failures.len() + over_http2(to)
}

/// The same over HTTP/2 without TLS, in bytes, so that nothing of it is by a library's grace.
fn over_http2(to: std::net::SocketAddr) -> usize {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push(text.len() as u8);
        bytes.extend_from_slice(text.as_bytes());
    };
    // GET, http, and path, authority and further fields as literals.
    let mut block = vec![0x82, 0x86, 0x04];
    text(&mut block, "/spaces/s1?access_token=canary-http2");
    block.push(0x01);
    text(&mut block, "a.test");
    for (name, value) in [("authorization", "Bearer canary-http2"), ("cookie", "canary-http2")] {
        block.push(0x00);
        text(&mut block, name);
        text(&mut block, value);
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&[block.len() as u8, 0x01, 0x05, 0, 0, 0, 1]);
    bytes.extend_from_slice(&block);
    let mut connection = Connection::open(to);
    connection.send(&bytes);
    // The preface, and a head of stream 1.
    connection.read_at_least(40);
    1
}

/// The text of every file below a folder, unpacked where it is packed.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    all_files(folder, &mut files);
    let text = |path: &std::path::PathBuf| {
        let mut unpacked = Vec::new();
        let packed = std::fs::read(path).unwrap_or_default();
        match MultiGzDecoder::new(&packed[..]).read_to_end(&mut unpacked) {
            Ok(_) => String::from_utf8_lossy(&unpacked).into_owned(),
            Err(_) => read_lossy(path),
        }
    };
    files.iter().map(|path| (path.display().to_string(), text(path))).collect()
}

/// The rows of Parquet files as text, where there is a reader.
fn rows(folder: &Path) -> Option<String> {
    let python = crate::duckdb::python()?;
    let script = format!(
        "import duckdb\nfor row in duckdb.sql(\"SELECT to_json(r) FROM read_parquet('{}/**/*.parquet', union_by_name = true) AS r\").fetchall(): print(row[0])",
        folder.display()
    );
    let output = std::process::Command::new(python).args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn no_format_trace_answer_or_command_shows_a_secret_of_a_client_or_of_the_operator() {
    let key = SigningKey::new("k1");
    let (keys, origin, tokens) = (KeyServer::start(Some(key_set(&[&key]))), Origin::start(), Tokens::make());
    let store = stores();
    let mut gateway = composed(&origin, &store, &keys, &tokens).start();
    let jwt = key.token("ann", &json!({"jti": "canary-jwt"}));
    let exchanges = send_everything(gateway.address(), &jwt);
    gateway.wait_for_records(exchanges, PATIENCE);
    until("each store was asked and the webhook told", PATIENCE, || {
        let seen = store.seen();
        let all = ["/refused/", "/good/", "canary-sas", "sharedkey", "/introspect", "/hook"];
        let was = |part: &&str| seen.iter().any(|a| a.line.contains(*part) || a.head.contains(*part));
        all.iter().all(was).then_some(())
    });

    let mut places: Vec<(String, String)> = Vec::new();
    let ask = |path: &str, token: &str| {
        let asked = get(path).host("localhost").header("Authorization", format!("Bearer {token}"));
        let answer = asked.send(gateway.admin_address());
        let head = format!("{:?}", answer.headers);
        (format!("{path}: {}", answer.status), head + &String::from_utf8_lossy(&answer.body))
    };
    let mut paths = vec!["/".to_owned()];
    paths.extend(
        ["metrics", "healthz", "readyz", "nowhere?token=canary-admin"].map(|path| format!("/{path}")),
    );
    paths.extend(
        ["status", "keys", "destinations", "config", "destinations/canary-none"]
            .map(|path| format!("/api/v1/{path}")),
    );
    let stores = ["s3", "proxied", "sas", "key"]
        .iter()
        .flat_map(|kind| ["good", "refused"].map(|b| format!("{kind}-{b}")));
    for name in stores.chain(FORMATS.map(|(name, _)| name.to_owned())) {
        paths.extend(["", "/history"].map(|part| format!("/api/v1/destinations/{name}{part}")));
    }
    for path in &paths {
        places.push(ask(path, &tokens.operator));
    }
    // What was asked for by this name is said back, and nothing else of it.
    places.iter_mut().for_each(|(_, text)| *text = text.replace("canary-none", ""));

    let token = gateway.root().join("token");
    std::fs::write(&token, &tokens.operator).unwrap();
    let (config, token) = (gateway.config_path().display().to_string(), token.display().to_string());
    let (url, main) = (gateway.admin_url(), gateway.destination("main").display().to_string());
    let status = format!("{url}/api/v1/status");
    let commands: [&[&str]; 14] = [
        &["check", "--config", &config],
        &["egress", "--config", &config],
        &["routes", "list", "--config", &config],
        &["routes", "test", "--config", &config, "POST", "/hooks/h1/canary-cli/events"],
        &["routes", "test", "--config", &config, "GET", "/spaces/s1?access_token=canary-cli"],
        &["account", &main, "--status", &status, "--token-file", &token],
        &["verify", &main],
        &["convert", &main, "--to", "ocsf"],
        &["destinations", "list", "--url", &url, "--token-file", &token],
        &["destinations", "show", "sas-refused", "--url", &url, "--token-file", &token],
        &["destinations", "history", "s3-refused", "--url", &url, "--token-file", &token],
        &["destinations", "probe", "key-refused", "--url", &url, "--token-file", &token],
        &["notify", "test", "--config", &config],
        &["setup", "azure", "--config", &config, "--destination", "sas-good"],
    ];
    for command in commands {
        let (code, output) = gateway.command(command);
        assert!(code.is_some() && !output.contains("panicked"), "{command:?}: {code:?} {output}");
        assert!(!output.contains("Usage:"), "{command:?} is not understood: {output}");
        places.push((command.join(" "), output));
    }

    // Guessing is braked: last.
    places.extend(["/metrics", "/api/v1/status"].map(|path| ask(path, "canary-wrong-token")));
    gateway.stop();
    let log = gateway.log();
    for part in ["aws_", "hyper", "rustls", "h2::", "onrecord"] {
        let is_there = |line: &str| line.contains("TRACE") || line.contains("DEBUG");
        let heard = log.lines().any(|line| is_there(line) && line.contains(part));
        assert!(heard || part == "rustls", "nothing of {part} is in the log: this test would find nothing");
    }
    places.push(("the log".to_owned(), log));
    for (name, _) in FORMATS {
        let folder = gateway.destination(name);
        let found = texts(&folder);
        let is_shown = found.iter().any(|(_, text)| text.contains("/hooks/h1/REDACTED/events"));
        assert!(is_shown || ["parquet", "events"].contains(&name), "nothing in {name}");
        places.extend(found);
        if ["parquet", "events"].contains(&name) {
            match rows(&folder) {
                Some(rows) => {
                    assert!(rows.contains("/hooks/h1/REDACTED/events"), "{name}: {rows}");
                    places.push((format!("the rows of {name}"), rows));
                }
                None => crate::harness::skip("canaries", "no Python with duckdb to read Parquet with"),
            }
        }
    }
    for folder in [gateway.spool(), gateway.ring().to_owned()] {
        places.extend(texts(&folder));
    }

    let pieces: Vec<&str> = jwt.split('.').collect();
    let mut canaries = vec!["canary", "Y2FuYXJ5", "dXNlcjpjYW5hcnk", pieces[1], pieces[2]];
    let encoded: Vec<String> = OWN.iter().map(|(_, value)| STANDARD.encode(value)).collect();
    canaries.extend(encoded.iter().map(String::as_str));
    canaries.extend([&tokens.viewer, &tokens.auditor, &tokens.operator].map(String::as_str));
    let found = places.iter().flat_map(|(place, text)| {
        canaries.iter().filter_map(move |canary| {
            let at = text.find(canary)?;
            let (from, to) =
                (text.floor_char_boundary(at.saturating_sub(200)), text.ceil_char_boundary(at + 60));
            Some(format!("{place}: {:?}", &text[from..to]))
        })
    });
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Secrets where they must not stand; each is refused.
const MISPLACED: &str = r#"
[[source]]
name = "a"
listen = "127.0.0.1:18080"
upstream = "http://u:canary-upstream@127.0.0.1:9"

[actors]
fingerprint_key = "canary-fingerprints"

[[destination]]
name = "s3"
type = "s3"
bucket = "b"
access_key_id = "AKID"
secret_access_key = "canary-secret"

[[destination]]
name = "azure"
type = "azure"
container = "https://a.blob.core.windows.net/c?sv=1&sig=canary-container"

[[destination]]
name = "other"
type = "azure"
container = "https://a.blob.core.windows.net/c"
sas = "sv=1&sig=canary-sas"

[[notify.webhooks]]
name = "ops"
url = "ftp://u:canary-webhook@hooks.test/canary-path"
secret = "canary-hook"
"#;

#[test]
fn a_secret_that_stands_where_it_must_not_is_refused_without_being_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.toml");
    let path = file.display().to_string();
    let broken = format!("{MISPLACED}\n[log]\nlevel = \"info\n");
    let open = MISPLACED.replace("\"canary-secret\"", "\"canary-secret");
    for text in [MISPLACED, &broken, &open] {
        std::fs::write(&file, text).unwrap();
        for command in ["check", "run", "egress"] {
            let (code, output) = onrecord(&[command, "--config", &path], &[]);
            assert!(code.is_some_and(|code| code != 0), "{command}: {code:?} {output}");
            assert!(output.contains("proxy.toml:"), "{command}: {output}");
            assert!(!output.contains("canary"), "{command}: {output}");
        }
    }
}
