//! The reference against the types, the documents and `proxy.toml`.

use super::*;
use crate::config::reference::{Absent, Kind, SECTIONS, markdown};

const MANUAL: &str = include_str!("../../../docs/configuration.md");
const SAMPLE: &str = include_str!("../../../proxy.toml");

const AZURE: [&str; 2] = ["type = \"azure\"", "container = \"https://a.blob.core.windows.net/audit\""];
const ROLE: &str = "role_arn = \"arn:aws:iam::111122223333:role/x\"\n";
const NATS: [&str; 2] = ["type = \"nats\"", "servers = [\"nats://127.0.0.1:4222\"]"];
const GCS: [&str; 2] = ["type = \"gcs\"", "bucket = \"audit\""];

/// The type of destination that knows the key, where not every one does.
fn type_of(section: &str, key: &str) -> Option<&'static str> {
    let types = crate::config::raw::cloud::TYPES_OF.iter().find(|(name, _)| *name == key);
    types.map(|(_, types)| types[0]).filter(|kind| section == "destination" && *kind != "dir")
}

/// A small file with such a destination.
fn base(kind: Option<&str>) -> String {
    let other = |lines: [&str; 2]| {
        BUCKET.replace("type = \"s3\"", lines[0]).replace("bucket = \"audit-1\"", lines[1])
    };
    match kind {
        Some("s3") => BUCKET.to_owned(),
        Some("azure") => other(AZURE),
        Some("gcs") => other(GCS),
        Some("nats") => other(NATS),
        _ => SMALL.to_owned(),
    }
}

/// Whether only an upstream over TLS knows the key.
fn of_tls(section: &str, key: &str) -> bool {
    section == "source.forward" && ["ca", "certificate", "private_key", "server_name"].contains(&key)
}

/// Whether only a source whose tokens are checked, or asked about, knows the key.
fn of_jwt(section: &str, key: &str) -> bool {
    match section {
        "source.actor.jwt" => !["jwks", "issuer"].contains(&key),
        "source.actor.introspection" => key != "endpoint",
        "source.actor.ask" => key != "url",
        _ => false,
    }
}

/// `proxy.toml` with tokens checked and asked about.
fn sample_jwt() -> String {
    let jwt = SAMPLE.replace("# jwks = ", "jwks = ").replace("# issuer = ", "issuer = ");
    let introspected = uncommented(&jwt, "source.actor.introspection", "endpoint");
    uncommented(&introspected, "source.actor.ask", "url")
}

/// The same file with an upstream over TLS.
fn with_tls(text: &str) -> String {
    text.replace("upstream = \"http://", "upstream = \"https://")
}

/// A text with what a key needs beside it.
fn with_company(key: &str, line: &str) -> String {
    let (id, secret) = ("access_key_id = \"I\"\n", "secret_access_key = { env = \"S\" }\n");
    match key {
        "certificate" => format!("{line}private_key = {{ env = \"K\" }}\n"),
        "private_key" => format!("{line}certificate = \"own.pem\"\n"),
        "access_key_id" => format!("{line}{secret}"),
        "secret_access_key" => format!("{line}{id}"),
        "jwks" => format!("{line}issuer = \"https://idp.test\"\n"),
        "issuer" => format!("{line}jwks = \"keys.json\"\n"),
        "burst" => format!("{line}requests_per_second = 7\n"),
        "proxy_login" => format!("{line}proxy = \"http://proxy.test:3128\"\n"),
        "session_token" => format!("{line}{id}{secret}"),
        "external_id" | "session_name" | "sts_endpoint" => format!("{line}{ROLE}"),
        "kms_key" => format!("{line}encryption = \"kms\"\n"),
        "user" if line.starts_with("user") => format!("{line}password = {{ env = \"P\" }}\n"),
        "password" if line.starts_with("password") => format!("{line}user = \"u\"\n"),
        _ => line.to_owned(),
    }
}

/// `proxy.toml` with a store of this type for its folder.
fn sample_of(kind: &str) -> String {
    let bucket = SAMPLE.replace("type = \"dir\"", &format!("type = {kind:?}"));
    let place = match kind {
        "azure" => "# container = ",
        "nats" => "# servers = ",
        _ => "# bucket = ",
    };
    bucket.replace("path = \"onrecord-objects\"\n", "").replace(place, &place[2..])
}

/// The section that begins at this line of `proxy.toml`, be it in a comment.
fn header(line: &str) -> Option<String> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let header = line.strip_prefix('[')?.strip_suffix(']')?;
    Some(header.trim_matches(['[', ']']).to_owned())
}

/// A text with a `[[listener]]` and, in the section of this name, this line.
fn with_listener(section: &str, key: &str, line: &str) -> String {
    let mut text = format!("{SMALL}[[listener]]\naddress = \"127.0.0.1:8080\"\n");
    if section == "listener" {
        return if key == "address" { text } else { text + line };
    }
    text += "[listener.tls]\n";
    for company in ["certificates = [{ chain = \"c.pem\" }]\n", "client_ca = [\"ca.pem\"]\n"] {
        let is_it = !line.is_empty() && company.starts_with(&format!("{key} = "));
        text += if is_it { "" } else { company };
    }
    if key == "client_crl" {
        text += "client_certificates = \"optional\"\n";
    }
    text += line;
    if key == "acme" {
        text += "[acme]\nagree_to_terms = true\n";
    }
    text
}

/// Lines of `proxy.toml` with their section: a commented-out key, or one that is set.
fn sample_keys() -> Vec<(String, String, bool)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in SAMPLE.lines() {
        if let Some(header) = header(line) {
            section = header;
        }
        let (commented, line) = line.strip_prefix("# ").map_or((false, line), |line| (true, line));
        let key = line.split_once(" = ").map(|(key, _)| key);
        if let Some(key) =
            key.filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        {
            keys.push((section.clone(), key.to_owned(), commented));
        }
    }
    keys
}

#[test]
fn the_repositorys_proxy_toml_is_valid_and_without_warnings() {
    assert_eq!(valid(SAMPLE).warnings(), Vec::<String>::new());
}

#[test]
fn proxy_toml_shows_every_key_once_and_no_other() {
    let mut shown: Vec<_> = sample_keys().into_iter().map(|(section, key, _)| (section, key)).collect();
    let keys = |section: &'static crate::config::reference::Section| {
        section.keys.iter().map(|key| (section.path.to_owned(), key.name.to_owned()))
    };
    let mut known: Vec<_> = SECTIONS.iter().copied().flat_map(keys).collect();
    shown.sort();
    known.sort();
    assert_eq!(shown, known);
}

/// `proxy.toml` with one key out of its comment.
fn uncommented(sample: &str, section: &str, key: &str) -> String {
    let mut at = String::new();
    let mut text = String::new();
    for line in sample.lines() {
        let head = header(line);
        let is_header = head.is_some();
        if let Some(header) = head {
            at = header;
        }
        // A section that is in a comment as a whole comes out with what it can't be without.
        let needed = section == "listener.tls" && line.starts_with("# certificates = ");
        let hit = at == section
            && line.starts_with("# ")
            && (is_header || needed || line.starts_with(&format!("# {key} = ")));
        let line = if hit { &line[2..] } else { line };
        if hit && key == "client_crl" && line.starts_with(key) {
            text += "client_certificates = \"optional\"\nclient_ca = [\"ca.pem\"]\n";
        }
        text += &if hit { with_company(key, &format!("{line}\n")) } else { format!("{line}\n") };
    }
    if (section, key) == ("listener.tls", "acme") {
        text = text.replace("# agree_to_terms = false", "agree_to_terms = true");
    }
    text
}

#[test]
fn commented_keys_of_proxy_toml_are_valid_and_those_with_a_default_show_it() {
    let (folder, tls) = (valid(SAMPLE), valid(&with_tls(SAMPLE)));
    let jwt = valid(&sample_jwt());
    for (section, key, commented) in sample_keys() {
        if !commented || key == "bucket" || key == "container" || key == "servers" {
            continue;
        }
        let kind = type_of(&section, &key);
        let stored = kind.map(|kind| valid(&sample_of(kind)));
        let (plain, sample) = match () {
            () if kind.is_some() => (stored.as_ref().unwrap(), sample_of(kind.unwrap())),
            () if of_jwt(&section, &key) => (&jwt, sample_jwt()),
            () if of_tls(&section, &key) => (&tls, with_tls(SAMPLE)),
            () => (&folder, SAMPLE.to_owned()),
        };
        let mut text = uncommented(&sample, &section, &key);
        if section == "source.actor" && key.starts_with("header") && key != "header_id" {
            text = text.replace("# header_id", "header_id");
        }
        let config = valid(&text);
        let described = SECTIONS.iter().find(|known| known.path == section).and_then(|known| known.key(&key));
        match described.unwrap().absent {
            Absent::Value(_) if section == "listener.tls" => {
                let plain = valid(&uncommented(SAMPLE, "listener.tls", "certificates"));
                assert_eq!(config, plain, "{section}.{key} is not shown with its default");
            }
            Absent::Value(_) => assert_eq!(&config, plain, "{section}.{key} is not shown with its default"),
            _ => assert_ne!(&config, plain, "{section}.{key} does nothing"),
        }
    }
}

#[test]
fn defaults_in_the_reference_are_those_of_the_types() {
    for section in SECTIONS {
        for key in section.keys {
            let base = base(type_of(section.path, key.name));
            let is_listener = section.path.starts_with("listener");
            let plain = valid(&match key.name {
                _ if is_listener => with_listener(section.path, key.name, ""),
                "burst" => format!("{SMALL}[client_limits]\n{}", with_company(key.name, "")),
                _ => base.to_owned(),
            });
            let Absent::Value(value) = key.absent else { continue };
            let line = format!("{} = {value}\n", key.name);
            let text = match section.path {
                "" => format!("{line}{SMALL}"),
                below if is_listener => with_listener(below, key.name, &line),
                "source" => SMALL.replace("[[destination]]", &format!("{line}[[destination]]")),
                "destination" => format!("{base}{line}"),
                below if below.starts_with("source.") => {
                    SMALL.replace("[[destination]]", &format!("[{below}]\n{line}[[destination]]"))
                }
                other => format!("{SMALL}[{other}]\n{line}"),
            };
            assert_eq!(valid(&text), plain, "{}.{}", section.path, key.name);
        }
    }
}

/// Another valid value for a key.
fn another(section: &str, key: &crate::config::reference::Key) -> String {
    match (key.kind, key.name) {
        (Kind::Count(_, max), _) => max.to_string(),
        (Kind::Size(_, max), _) => max.to_string(),
        (Kind::Time(_, max), _) if section == "source.health" => {
            format!("\"{}\"\npath = \"/\"", crate::config::units::show_duration(max))
        }
        (Kind::Time(_, max), _) => format!("\"{}\"", crate::config::units::show_duration(max)),
        (Kind::Choice(words), _) => format!("\"{}\"", words.last().unwrap()),
        (Kind::Flag, _) => match key.absent {
            Absent::Value("true") => "false".into(),
            _ => "true".into(),
        },
        (Kind::Address, _) => "\"127.0.0.1:7777\"".into(),
        (Kind::Secret, _) => "{ env = \"OTHER\" }".into(),
        (Kind::List(_), "servers") => "[\"nats://other.test:4222\"]".into(),
        (Kind::List(_), "routes") => "[{ template = \"/things/:id\", class = \"strict\" }]".into(),
        (Kind::List(_), "sources") => "[\"cma\"]".into(),
        (Kind::List(_), "tokens") => {
            format!("[{{ name = \"a\", role = \"viewer\", sha256 = \"{}\" }}]", "ab".repeat(32))
        }
        (Kind::List(_), "webhooks") => "[{ name = \"w\", url = \"https://hook.test/\" }]".into(),
        (_, "email") => "{ server = \"mail.test\", from = \"a@b.test\", to = [\"c@d.test\"] }".into(),
        (Kind::List(_), "contact" | "owners") => "[\"a@b.test\"]".into(),
        (Kind::List(_), "certificates") => "[{ chain = \"other.pem\" }]".into(),
        (Kind::List(_), "trusted_proxies" | "proxy_protocol" | "exempt") => "[\"10.0.0.0/8\"]".into(),
        (Kind::List(_), "catalogues") => "[\"microcms\"]".into(),
        (Kind::List(_), "identify") => "[\"jwt\"]".into(),
        (Kind::List(_), "hash") => "[\"client.address\"]".into(),
        (Kind::List(_), _) => "[\"other\"]".into(),
        (_, "format") if section == "destination" => "\"ocsf\"".into(),
        (_, "filter") => "{ sensitive = true }".into(),
        (_, "methods") => "{ DELETE = \"strict\" }".into(),
        (_, "directory") if section == "acme" => "\"https://other.test/\"".into(),
        (_, "mode" | "file_mode") => "\"0600\"".into(),
        (_, "folder_mode") => "\"0700\"".into(),
        (_, "role_arn") => "\"arn:aws:iam::111122223333:role/y\"".into(),
        (_, "tags") => "{ a = \"b\" }".into(),
        (_, "sts_endpoint") => "\"https://sts.test\"".into(),
        (_, "listen") => "\"127.0.0.1:7777\"".into(),
        (_, "url") if section == "source.actor.ask" => "\"https://other.test/me\"".into(),
        (_, "endpoint") if section == "source.actor.introspection" => "\"https://other.test/ask\"".into(),
        (_, "upstream") => "\"http://127.0.0.1:7778\"".into(),
        (_, "path") if section == "source.health" => "\"/other\"".into(),
        (_, "status") => "\"204\"\npath = \"/\"".into(),
        (_, "path_prefix") => "\"/other\"".into(),
        (_, "level") => "\"debug\"".into(),
        (_, "prefix") => "\"other/\"".into(),
        (_, "directory") => "\"other.csv\"".into(),
        (_, "object_lock") => "{ mode = \"compliance\", days = 1 }".into(),
        (_, "container") => "\"https://a.blob.core.windows.net/other\"".into(),
        (_, "local_address") => "\"10.0.0.9\"".into(),
        (_, "proxy") => "\"http://proxy.test:3128\"".into(),
        (_, "endpoint") => "\"http://127.0.0.1:7779\"".into(),
        _ if of_jwt(section, key.name) => "\"x\"".into(),
        _ if section == "source.actor" && key.name != "header_id" => "\"x\"\nheader_id = \"y\"".into(),
        _ => "\"other\"".into(),
    }
}

#[test]
fn a_change_of_any_key_is_noticed_by_a_reload_and_the_manual_says_when_it_counts() {
    let (_, table) = MANUAL.split_once("| section | live |").unwrap();
    for section in SECTIONS {
        for key in section.keys {
            // A new type has other keys, and a new name is another section.
            if matches!(key.name, "type" if section.path == "destination")
                || matches!(key.name, "name" | "address") && section.many
            {
                continue;
            }
            let base = base(type_of(section.path, key.name));
            let is_listener = section.path.starts_with("listener");
            let tls = with_tls(SMALL);
            let base = if of_tls(section.path, key.name) { tls.as_str() } else { base.as_str() };
            let plain = valid(&match key.name {
                _ if is_listener => with_listener(section.path, key.name, ""),
                "burst" => format!("{SMALL}[client_limits]\n{}", with_company(key.name, "")),
                _ => base.to_owned(),
            });
            let mut line =
                with_company(key.name, &format!("{} = {}\n", key.name, another(section.path, key)));
            if of_jwt(section.path, key.name) {
                line += match section.path {
                    "source.actor.introspection" => "endpoint = \"https://idp.test/ask\"\n",
                    "source.actor.ask" => "url = \"https://api.test/me\"\n",
                    _ => "jwks = \"keys.json\"\nissuer = \"i\"\n",
                };
            }
            let typed = format!("\n{} = ", key.name);
            let text = match section.path {
                "" => format!("{line}{SMALL}"),
                below if is_listener => with_listener(below, key.name, &line),
                "source" | "destination" => {
                    let (mut source, mut destination) = base.split_once("[[destination]]").unwrap();
                    let part: &mut &str =
                        if section.path == "source" { &mut source } else { &mut destination };
                    let kept: Vec<&str> =
                        part.lines().filter(|line| !format!("\n{line}").starts_with(&typed)).collect();
                    let changed = format!("{}\n{line}", kept.join("\n"));
                    *part = &changed;
                    format!("{source}[[destination]]{destination}")
                }
                below if below.starts_with("source.") => {
                    base.replace("[[destination]]", &format!("[{below}]\n{line}[[destination]]"))
                }
                other => format!("{SMALL}[{other}]\n{line}"),
            };
            let reload = plain.reload(&valid(&text));
            let name = format!("{}.{}", section.path, key.name);
            assert_eq!(reload.live.len() + reload.restart.len(), 1, "{name} is noticed once: {reload:?}");
            let row = match section.path {
                below if below.starts_with("source.") => "| `[[source]]`".to_owned(),
                "listener.tls" => "| `[[listener]]`".to_owned(),
                "" | "server" | "acme" | "client_limits" | "ring" | "spool" | "meaning" | "evidence" => {
                    "| top".to_owned()
                }
                _ => format!("| `{}`", section.header()),
            };
            let row = table.lines().find(|line| line.starts_with(&row)).unwrap();
            let live = row.split('|').nth(2).unwrap();
            let written = if section.path.contains('.') { section.header() } else { key.name.to_owned() };
            let says_live = live.contains(&format!("`{written}`"));
            let but = live.contains(&format!("`{written}` but `{}`", key.name));
            assert_eq!(says_live && !but, !reload.live.is_empty(), "{name}");
        }
    }
}

#[test]
fn the_manual_holds_the_reference_word_for_word() {
    let tables = markdown();
    let (before, rest) = MANUAL.split_once("<!-- reference -->\n\n").unwrap();
    let (held, after) = rest.split_once("<!-- /reference -->").unwrap();
    if held != tables && std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}<!-- reference -->\n\n{tables}<!-- /reference -->{after}");
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md"), text).unwrap();
        return;
    }
    assert!(held == tables, "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test described");
}

#[test]
fn every_key_is_described_in_a_sentence() {
    for section in SECTIONS {
        assert!(section.doc.ends_with('.'), "{}", section.path);
        for key in section.keys {
            assert!(key.doc.ends_with(['.', '…']), "{}.{}", section.path, key.name);
            assert!(
                !key.doc.contains('|') && !key.kind.words().contains('|'),
                "{}.{}",
                section.path,
                key.name
            );
            if let (Kind::Choice(words), Absent::Value(value)) = (key.kind, key.absent) {
                assert!(words.contains(&value.trim_matches('"')), "{}.{}", section.path, key.name);
            }
        }
    }
}
