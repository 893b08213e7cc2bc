//! What must not be accepted, with the line and the hint that are told.

use super::*;
use proptest::prelude::*;

/// A file with one more line in its `[[source]]`, and the line's number.
fn source(line: &str) -> String {
    SMALL.replace("[[destination]]", &format!("{line}\n[[destination]]"))
}

/// As [`source`], with one source key replaced.
fn source_with(key: &str, value: &str) -> String {
    let old = SMALL.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
    SMALL.replacen(old, &format!("{key} = {value}"), 1)
}

/// The smallest file with an upstream over TLS, and these lines in its source.
fn https(lines: &str) -> String {
    source(lines).replace("upstream = \"http:", "upstream = \"https:")
}

pub(super) fn destination(line: &str) -> String {
    format!("{SMALL}{line}\n")
}

/// Asserts that each text has exactly one problem, and that it holds these words.
pub(super) fn refused(cases: &[(String, &str)]) {
    for (text, wanted) in cases {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{found:#?}\nin {text}");
        assert!(found[0].contains(wanted), "wanted {wanted:?} in {:?}", found[0]);
    }
}

#[test]
fn ten_mistakes_are_ten_problems_each_with_its_line_key_and_hint() {
    let text = r#"instence = "gw"

[server]
workers = "four"
grace = "30"

[[source]]
name = "onrecord"
listen = "localhost:8080"
upstream = "https://api.contentful.com?x"
catalogues = ["contentful-managment"]

[spool]
bytes = "10GB"

[[destination]]
name = "archive"
type = "s4"
path = "onrecord-spool/objects"

[admin]
listen = "0.0.0.0:9464"
"#;
    let lines: Vec<usize> = read(text).unwrap_err().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 4, 5, 8, 9, 10, 11, 14, 18, 19, 22]);
    let told = problems(text).join("\n");
    for wanted in [
        "1: instence: unknown key (hint: did you mean instance?)",
        "4: server.workers: must be a whole number, not a string",
        "5: server.grace: has no known unit; units are ms, s, m, h, d (hint: write it like",
        "8: source[0].name: `onrecord` is reserved",
        "9: source[0].listen: is not an IP address and port (hint: ",
        "10: source[0].upstream: must not hold a query or fragment (hint: leave out what follows ? or #)",
        "11: source[0].catalogues[0]: is neither a preset nor a catalogue file (hint: did you mean contentful-management?",
        "14: spool.bytes: has no known unit; units are B, KiB, MiB, GiB, TiB",
        "18: destination[0].type: must be one of dir, s3, azure, gcs, nats (hint: did you mean \"s3\"?)",
        "19: destination[0].path: overlaps with spool.dir",
        "22: admin.listen: must be a loopback address",
    ] {
        assert!(told.contains(wanted), "{wanted}\nnot in\n{told}");
    }
}

#[test]
fn errors_of_syntax_are_told_with_their_line_beside_what_else_is_wrong() {
    let text = format!("instance = \nworkers = 4\n{SMALL}interval = \"3x\"\n[server]\ngrace = = 3\n");
    let found = problems(&text);
    assert!(found.iter().any(|problem| problem.starts_with("1: not valid TOML")), "{found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("2: workers: unknown key")), "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains("destination[0].interval")), "{found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("14: not valid TOML")), "{found:#?}");
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn an_empty_file_lacks_a_source_and_a_destination() {
    assert_eq!(problems("").len(), 2);
    assert!(problems("")[0].starts_with("1: source: is missing (hint: add a [[source]]"));
}

#[test]
fn missing_keys_are_told_at_their_section() {
    let found = problems("\n[[source]]\n\n[[destination]]\n");
    for key in ["name", "listen", "upstream"] {
        assert!(found.contains(&format!("2: source[0].{key}: is missing")), "{key}: {found:?}");
    }
    for key in ["name", "type"] {
        assert!(found.contains(&format!("4: destination[0].{key}: is missing")), "{key}: {found:?}");
    }
    assert_eq!(found.len(), 5);
}

#[test]
fn a_mistyped_key_is_one_problem_not_two() {
    refused(&[
        (SMALL.replace("listen", "lisen"), "4: source[0].lisen: unknown key (hint: did you mean listen?)"),
        (
            SMALL.replace("[[destination]]", "[[destinaton]]"),
            "6: destinaton: unknown key (hint: did you mean destination?)",
        ),
    ]);
}

#[test]
fn files_that_are_hostile_rather_than_mistaken_are_refused_in_good_time() {
    for text in [
        "a = ".to_owned() + &"[".repeat(200_000),
        "=\n".repeat(50_000),
        "x.".repeat(200_000),
        "\0".repeat(500_000),
    ] {
        assert!(!problems(&text).is_empty());
    }
    let many: String = (0..2_000).map(|n| format!("k{n} = {n}\n")).collect();
    assert_eq!(problems(&many).len(), 2_002);
}

#[test]
fn keys_in_the_wrong_place_are_sent_to_the_right_one() {
    refused(&[
        (source("workers = 2"), "workers belongs in [server]"),
        (source("durability = \"strict\""), "begin it with [source.durability]"),
        (source("[source.tls]\ncert = \"x\""), "TLS belongs to the address"),
        (source("[source.limits]\nhead_byte = 1"), "did you mean head_bytes?"),
        (destination("bucket = \"b\""), "destination[0].bucket: is a key of type \"s3\" or \"gcs\""),
        (destination("container = \"b\""), "destination[0].container: is a key of type \"azure\""),
        (destination("colour = \"b\""), "known here are name, type, path"),
    ]);
}

#[test]
fn tables_must_be_tables() {
    refused(&[
        (
            format!("server = 3\n{SMALL}"),
            "server: must be a table, not an integer (hint: begin it with [server])",
        ),
        (format!("{SMALL}[[spool]]\n"), "spool: must be a table, not an array"),
        (source("limits = true"), "limits: must be a table, not a boolean"),
    ]);
    let single = SMALL.replace("[[source]]", "[source]");
    assert!(
        problems(&single)[0]
            .contains("must be a list of tables, not a table (hint: begin each with [[source]])")
    );
    assert!(
        problems("source = [1]")
            .iter()
            .any(|problem| problem.contains("source[0]: must be a list of tables"))
    );
}

#[test]
fn the_servers_numbers_have_bounds() {
    let server = |line: &str| format!("{SMALL}[server]\n{line}\n");
    refused(&[
        (server("workers = -1"), "must be from 0 to 1024"),
        (server("workers = 1025"), "must be from 0 to 1024"),
        (server("workers = 2.0"), "must be a whole number, not a float"),
        (server("grace = 30"), "must be a duration with its unit"),
        (server("grace = \"2h\""), "must be from 0s to 1h"),
        (server("max_connections = 0"), "must be from 1 to"),
        (server("max_in_flight = 65537"), "must be from 1 to 65536"),
        (server("flush = \"99999999999999999999s\""), "is too large"),
    ]);
}

#[test]
fn a_source_is_judged_key_by_key() {
    refused(&[
        (source_with("name", "\"../x\""), "is not a name"),
        (source_with("name", "\"a..b\""), "is not a name"),
        (source_with("name", "\"\""), "must not be empty"),
        (source_with("name", "\"a\\nb\""), "control characters"),
        (source_with("name", "7"), "must be a string in quotes, not an integer"),
        (source_with("name", "\"OnRecord\""), "reserved"),
        (source_with("listen", "[]"), "listens nowhere"),
        (source_with("listen", "\":8080\""), "is not an IP address and port"),
        (source_with("listen", "[\"127.0.0.1:1\", \"127.0.0.1:1\"]"), "is listed twice"),
        (source_with("upstream", "\"127.0.0.1:9000\""), "must begin with http://"),
        (source_with("upstream", "\"unix:app.sock\""), "must name an absolute path"),
        (source_with("upstream", "[\"http://a\", \"https://b\"]"), "differs from the first"),
        (source_with("upstream", "[\"http://a/x\", \"http://b/y\"]"), "differs from the first"),
        (source_with("upstream", "[\"http://a\", \"http://A:80\"]"), "is listed twice"),
        (source_with("upstream", "[\"http://a\", \"http://127.0.0.1:8080\"]"), "is the gateway itself"),
        (source_with("upstream", "[]"), "names no address"),
        (source("[source.forward]\nca = \"ca.pem\""), "is for https upstreams"),
        (source("[source.forward]\nhttp2 = \"auto\""), "needs TLS"),
        (https("[source.forward]\ncertificate = \"a.pem\""), "is of no use without its key"),
        (https("[source.forward]\nprivate_key = { env = \"K\" }"), "is of no use without its certificate"),
        (https("[source.forward]\nserver_name = \"a b\""), "is not a host name or IP address"),
        (source("[source.forward]\nupgrades = [\"h2c\"]"), "requests that nobody records"),
        (source("[source.forward]\nupgrades = [\"web socket\"]"), "is not the name of a protocol"),
        (source("[source.health]\npath = \"health\""), "is not a path"),
        (source("[source.health]\nstatus = \"299-200\""), "is no status"),
        (source_with("upstream", "\"http://127.0.0.1:8080\""), "is the gateway itself"),
        (source_with("upstream", "\"http://localhost:8080/x\""), "is the gateway itself"),
        (source("namespace = \"http\""), "taken by the record's own attributes"),
        (source("namespace = \"My API\""), "must be lower-case"),
        (source("hosts = \"a.example\""), "must be a list"),
        (source("hosts = [\"a.example:80\"]"), "without scheme, port or path"),
        (source("hosts = [\"*.example\"]"), "wildcard"),
        (source("hosts = [\"ünïcode.example\"]"), "xn--"),
        (source("hosts = [\"a.example\", \"A.example\"]"), "is taken by source[0].hosts[0]"),
        (source("path_prefix = \"/\""), "leave the key out"),
        (source("path_prefix = \"cma\""), "must begin with a slash"),
        (source("path_prefix = \"/cma/\""), "must not end with a slash (hint: /cma)"),
        (source("path_prefix = \"/a/../b\""), "segments"),
        (source("preserve_host = \"yes\""), "must be true or false, without quotes, not a string"),
        (
            source("catalogues = [\"none\"]"),
            "presets are contentful-management, contentful-delivery, microcms",
        ),
        (source("api_host = \"https://api.contentful.com\""), "is not a host name"),
        (source("organization = 7"), "must be an id"),
        (source("organization = \":\""), "is not a placeholder"),
        (source("organization = { header = \"bad header\" }"), "is not the name of an HTTP header"),
        (source("organization = { header = \"Authorization\" }"), "credentials are never written"),
        (source("organization = { heeder = \"X\", header = \"Y\" }"), "did you mean header?"),
        (source("organization = { }"), "organization.header: is missing"),
        (source("trusted_proxies = [\"10.0.0.0/33\"]"), "is not an address or network"),
        (source("odd_paths = \"refus\""), "did you mean \"refuse\"?"),
        (source("api_key_headers = [\"X Key\"]"), "is not the name of an HTTP header"),
        (source("actor = { header_id = \"Cookie\" }"), "credentials are never written"),
        (
            source("api_key_headers = [\"X-Key\"]\nactor = { header_id = \"x-key\" }"),
            "credentials are never written",
        ),
        (source("actor = { header_name = \"X-Name\" }"), "is not looked at without header_id"),
        (source("limits = { head_bytes = \"1KiB\" }"), "must be from 8KiB to 16MiB"),
        (source("limits = { body_timeout = \"1ms\" }"), "must be from 100ms to 1d"),
        (source("limits = { head_fields = 1 }"), "must be from 16 to 10000"),
        (source("durability = { reads = \"sync\" }"), "must be one of async, durable, strict"),
        (source("durability = { wait = \"0s\" }"), "must be from 100ms to 1m"),
        (source("durability = { methods = \"DELETE\" }"), "must be a table like { DELETE"),
        (source("durability = { methods = { DELET = \"strict\" } }"), "did you mean DELETE?"),
        (source("durability = { routes = [{ class = \"strict\" }] }"), "template: is missing"),
        (
            source("durability = { routes = [{ method = \"put\", template = \"/\", class = \"strict\" }] }"),
            "is not a method that catalogues know",
        ),
    ]);
}

#[test]
fn a_password_in_an_upstream_is_refused_and_not_repeated() {
    let found = problems(&source_with("upstream", "\"http://user:hunter2@host\""));
    assert_eq!(found.len(), 1);
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn a_secret_is_named_by_its_place_and_a_typed_one_is_not_repeated() {
    let key = |value: &str| format!("{SMALL}[actors]\nfingerprint_key = {value}\n");
    for value in
        ["\"hunter2\"", "{ env = \"HUNTER2=hunter2\" }", "{ value = \"hunter2\" }", "[\"hunter2\"]", "{ }"]
    {
        let found = problems(&key(value));
        assert!(!found.is_empty(), "{value}");
        assert!(!found.join("").contains("hunter2"), "{found:?}");
    }
    refused(&[(key("{ env = \"A\", file = \"b\" }"), "has both env and file")]);
}

#[test]
fn names_of_sources_and_destinations_are_distinct_in_more_than_letter_case() {
    let second =
        "[[source]]\nname = \"CMA\"\nlisten = \"127.0.0.1:8081\"\nupstream = \"http://127.0.0.1:9000\"\n";
    let third = "[[destination]]\nname = \"Archive\"\ntype = \"dir\"\npath = \"other\"\n";
    refused(&[
        (format!("{SMALL}{second}"), "11: source[1].name: CMA is taken by source[0].name"),
        (format!("{SMALL}{third}"), "11: destination[1].name: Archive is taken by destination[0].name"),
    ]);
}

#[test]
fn sources_on_one_address_differ_in_hosts_and_at_most_one_takes_the_rest() {
    let second = |listen: &str, hosts: &str| {
        format!(
            "{SMALL}[[source]]\nname = \"b\"\nlisten = \"{listen}\"\nupstream = \"http://127.0.0.1:9000\"\n{hosts}\n"
        )
    };
    refused(&[
        (
            second("127.0.0.1:8080", ""),
            "10: source[1]: takes any host on 127.0.0.1:8080, and so does source[0]",
        ),
        (second("0.0.0.0:8080", ""), "overlaps with 127.0.0.1:8080 of source[0].listen"),
        (
            second("127.0.0.1:8080", "hosts = [\"x\"]")
                .replace("name = \"cma\"", "name = \"cma\"\nhosts = [\"x\"]"),
            "source[1].hosts[0]: x on 127.0.0.1:8080 is taken by source[0].hosts[0]",
        ),
        (format!("{SMALL}[admin]\nlisten = \"127.0.0.1:8080\"\n"), "is taken by source[0].listen"),
    ]);
    valid(&second("127.0.0.1:8080", "hosts = [\"x\"]"));
}

#[test]
fn a_destination_is_judged_key_by_key() {
    refused(&[
        (destination("sources = [\"cda\"]"), "there is no source cda (hint: did you mean cma?)"),
        (destination("sources = [\"cma\", \"cma\"]"), "is taken by"),
        (destination("sources = []"), "names no source (hint: leave the key out"),
        (destination("prefix = \"audit\""), "must end with a slash (hint: write \"audit/\")"),
        (destination("prefix = \"/audit/\""), "must not begin with a slash"),
        (destination("prefix = \"../\""), "segments"),
        (
            SMALL.replace("\"dir\"", "\"kafka\""),
            "must be one of dir, s3, azure, gcs, nats (hint: not in this build yet)",
        ),
        (SMALL.replace("path = \"objects\"", ""), "destination[0].path: is missing"),
        (destination("concurrency = 0"), "must be from 1 to 64"),
        (destination("timestamps = \"second\""), "did you mean \"seconds\"?"),
        (destination("interval = \"0s\""), "must be from 100ms to 1d"),
        (destination("interval = \"2h\"\nretention = \"1h\""), "is shorter than interval"),
        (destination("object_bytes = 10"), "must be from 1KiB to 1GiB"),
        (destination("retention_days = 0"), "must be from 1 to 36500"),
    ]);
}

#[test]
fn a_bucket_is_judged_key_by_key() {
    let bucket = |keys: &str| format!("{BUCKET}{keys}\n");
    let named = |name: &str| BUCKET.replace("\"audit-1\"", &format!("{name:?}"));
    let rule = "is not the name of a bucket (hint: 3 to 63";
    refused(&[
        (BUCKET.replace("bucket = \"audit-1\"", ""), "destination[0].bucket: is missing"),
        (named("AB"), rule),
        (named("Audit"), rule),
        (named("audit_1"), rule),
        (named("-audit"), rule),
        (named("a..b"), rule),
        (named("192.168.0.1"), rule),
        (named("s3://audit"), "must be the bucket's name alone (hint: write \"audit\")"),
        (bucket("path = \"objects\""), "destination[0].path: is a key of type \"dir\""),
        (bucket("endpoint = \"s3.example.com\""), "is not a URL"),
        (bucket("endpoint = \"ftp://s3.example.com\""), "is not a URL"),
        (bucket("endpoint = \"https://a:b@s3.example.com\""), "must not hold a user"),
        (bucket("endpoint = \"https://s3.example.com/?x\""), "scheme, host, port and nothing more"),
        (bucket("region = \"eu central\""), "is not a region"),
        (bucket("storage_class = \"COLD;\""), "is not a storage class"),
        (bucket("object_lock = 30"), "object_lock: must say mode and days"),
        (bucket("object_lock = { mode = \"governance\" }"), "object_lock.days: is missing"),
        (bucket("object_lock = { days = 1, mode = \"strict\" }"), "must be one of governance, compliance"),
        (bucket("object_lock = { days = 0, mode = \"governance\" }"), "must be from 1 to 36500"),
        (bucket("access_key_id = \"AKIA\""), "is given without secret_access_key"),
        (bucket("secret_access_key = { env = \"S\" }"), "is given without access_key_id"),
        (bucket("session_token = { env = \"S\" }"), "is given without an access key"),
        (
            bucket("profile = \"a\"\naccess_key_id = \"AKIA\"\nsecret_access_key = { env = \"S\" }"),
            "profile: is given beside an access key",
        ),
        (bucket("access_key_id = \"AKIA\"\nsecret_access_key = \"abc\""), "must say where the secret is"),
        (bucket("access_key_id = \"a/b\"\nsecret_access_key = { env = \"S\" }"), "is not the id of"),
        (bucket("multipart_bytes = \"1MiB\""), "must be from 5MiB to 5GiB"),
        (bucket("put_timeout = \"1ms\""), "must be from 100ms to 1h"),
        (
            format!("{BUCKET}{}", BUCKET[BUCKET.find("[[destination]]").unwrap()..].replace("vault", "b")),
            "is the same place as destination[0]",
        ),
    ]);
    let told = problems(&bucket("access_key_id = \"A\"\nsecret_access_key = \"hunter2\"")).join("\n");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn spool_rings_and_destinations_have_folders_of_their_own() {
    let same = "[[destination]]\nname = \"b\"\ntype = \"dir\"\npath = \"./objects/\"\n";
    refused(&[
        (
            format!("{SMALL}[spool]\ndir = \"objects/spool\"\n"),
            "destination[0].path: overlaps with spool.dir",
        ),
        (format!("{SMALL}[spool]\ndir = \"a/../objects\"\n"), "overlaps with spool.dir"),
        (format!("{SMALL}[ring]\ndir = \"objects\"\n"), "overlaps with ring.dir"),
        (format!("{SMALL}[ring]\ndir = \"onrecord-spool/ring\"\n"), "overlaps with ring.dir"),
        (format!("{SMALL}{same}"), "is the same place as destination[0].path"),
        (format!("{SMALL}[spool]\nbytes = \"100MiB\"\n"), "must hold two segments"),
        (format!("{SMALL}[ring]\nbytes = \"64KiB\"\n"), "must be from 1MiB to 4GiB"),
        (format!("{SMALL}[spool]\nwhen_full = \"block\"\n"), "must be one of release_oldest, refuse_new"),
    ]);
    valid(&format!("{SMALL}{same}prefix = \"b/\"\n"));
}

#[test]
fn the_small_sections_are_judged_too() {
    let with = |lines: &str| format!("{SMALL}{lines}\n");
    refused(&[
        (
            with("[redact]\nquery = \"token\""),
            "must be a list in [ ] (list of parameter names), not a string",
        ),
        (with("[redact]\nquery = [1]"), "redact.query[0]: must be a string"),
        (with("[actors]\ndirectory = \"actors.xlsx\""), "must be a .csv or .json file"),
        (with("[actors]\nfingerprint_key_name = \"a b\""), "is not a name"),
        (with("[evidence]\nname = \"a b\""), "must not hold spaces"),
        (with("[log]\nlevel = \"inof\""), "did you mean info?"),
        (with("[log]\nlevel = \"onrecord=loud\""), "is not a level or filter"),
        (with("[log]\nformat = \"xml\""), "must be one of text, json"),
    ]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = read(&text);
    }

    #[test]
    fn no_shuffled_piece_of_a_real_file_panics(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("[[source]]\n"), Just("[source]\n"), Just("[source.limits]\n"), Just("[server]\n"),
                Just("[[destination]]\n"), Just("[spool]\n"), Just("listen = "), Just("name = "), Just("\"a\"\n"),
                Just("\"127.0.0.1:8080\"\n"), Just("upstream = "), Just("\"http://127.0.0.1:9000\"\n"), Just("path = "),
                Just("["), Just("]"), Just("{"), Just("}"), Just(" = "), Just("\n"), Just("organization = "),
                Just("header"), Just("7"), Just("\u{1F600}"), Just("\""), Just("'''"), Just("#"), Just("."), Just(","),
            ],
            0..40,
        )
    ) {
        let text = pieces.concat();
        if let Err(problems) = read(&text) {
            for problem in problems.iter() {
                prop_assert!(problem.line >= 1 && problem.line <= text.lines().count() + 1);
                prop_assert!(problem.column >= 1);
            }
        }
    }
}

#[test]
fn a_listener_that_can_not_be_meant_is_refused() {
    let listener = |keys: &str| format!("{SMALL}[[listener]]\n{keys}");
    let here = |keys: &str| listener(&format!("address = \"127.0.0.1:8080\"\n{keys}"));
    refused(&[
        (
            listener("address = \"127.0.0.1:1\"\n"),
            "no source listens there (hint: sources listen on 127.0.0.1:8080)",
        ),
        (here("[[listener]]\naddress = \"127.0.0.1:8080\"\n"), "has a section already: listener[0].address"),
        (here("mode = \"rw-\"\n"), "is not a file's permissions in octal"),
        (here("proxy_protocol = [\"lb.example\"]\n"), "is not an address or network"),
        (here("[listener.tls]\n"), "has no certificate to show"),
        (
            here("[listener.tls]\ncertificates = [\"x.pem\"]\n"),
            "must be { chain = \"path\", key = \"path\" }",
        ),
        (
            here("[listener.tls]\ncertificates = [{ chain = \"x\" }]\nclient_certificates = \"required\"\n"),
            "asks for client certificates of nobody",
        ),
        (
            here("[listener.tls]\ncertificates = [{ chain = \"x\" }]\nclient_crl = [\"x\"]\n"),
            "has revocation lists, but asks for no client certificates",
        ),
        (SMALL.replace("127.0.0.1:8080", "unix:"), "is not the path of a Unix socket"),
    ]);
}

#[test]
fn ways_to_know_actors_are_judged() {
    let jwt = |lines: &str| source(&format!("[source.actor.jwt]\n{lines}"));
    refused(&[
        (source("[source.actor]\nidentify = [\"jtw\"]"), "did you mean \"jwt\"?"),
        (source("[source.actor]\nidentify = [\"jwt\", \"jwt\"]"), "stands twice"),
        (jwt("jwks = \"keys.json\""), "issuer: is missing"),
        (jwt("issuer = \"i\""), "jwks: is missing"),
        (jwt("jwks = \"http://idp.test/keys\"\nissuer = \"i\""), "would fetch keys unprotected"),
        (jwt("jwks = \"https://u:p@idp.test/keys\"\nissuer = \"i\""), "holds a user or password"),
        (jwt("jwks = \"ftp://idp.test/keys\"\nissuer = \"i\""), "is neither https nor a file"),
        (format!("{SMALL}[actors]\nnames = \"hide\""), "must be one of keep, omit, pseudonym"),
    ]);
    for jwks in
        ["http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost/k", "https://idp.test/k", "k.json"]
    {
        valid(&jwt(&format!("jwks = \"{jwks}\"\nissuer = \"i\"")));
    }
}
