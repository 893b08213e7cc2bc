//! `[admin]`: who is let in, and what must not be open.

use super::refused::refused;
use super::*;

#[test]
fn a_token_that_is_typed_for_its_hash_is_not_repeated() {
    let told = problems(&format!(
        "{SMALL}[admin]\ntokens = [{{ name = \"a\", role = \"viewer\", sha256 = \"onrecord_secret\" }}]\n"
    ));
    assert!(!told.is_empty() && !told.join("\n").contains("onrecord_secret"), "{told:?}");
}

fn token(name: &str, digit: &str) -> String {
    format!("{{ name = \"{name}\", role = \"viewer\", sha256 = \"{}\" }}", digit.repeat(64))
}

#[test]
fn what_nobody_guards_stays_on_loopback_and_tokens_are_each_somebodys() {
    let with = |lines: &str| format!("{SMALL}{lines}\n");
    refused(&[
        (with("[admin]\nlisten = \"[::]:9464\""), "no tokens and certificates: anybody could look in"),
        (
            with("[admin]\nlisten = \"[::]:9464\"\ncertificates = [{ chain = \"c.pem\" }]"),
            "this section has no tokens",
        ),
        (
            with(&format!("[admin]\nlisten = \"10.0.0.1:9464\"\ntokens = [{}]", token("a", "1"))),
            "has no certificates",
        ),
        (
            with(&format!("[admin]\ntokens = [{}, {}]", token("a", "1"), token("a", "2"))),
            "tokens[1]: has the name of another token",
        ),
        (
            with(&format!("[admin]\ntokens = [{}, {}]", token("a", "1"), token("b", "1"))),
            "tokens[1]: is another one's token",
        ),
        (
            with("[admin]\ntokens = [\"onrecord_secret\"]"),
            "must be { name = \"…\", role = \"…\", sha256 = \"…\" }",
        ),
        (
            with("[admin]\ntokens = [{ name = \"a\", role = \"admin\", sha256 = \"1\" }]"),
            "role: must be one of viewer, auditor, operator",
        ),
        (
            with("[admin]\ntokens = [{ name = \"a\", role = \"viewer\", sha256 = \"onrecord_secret\" }]"),
            "its sha256 is not a hash of 64 hexadecimal digits",
        ),
    ]);
    let open = format!(
        "[admin]\nlisten = \"0.0.0.0:9464\"\ntokens = [{}]\ncertificates = [{{ chain = \"c.pem\" }}]",
        token("a", "1")
    );
    let admin = valid(&with(&open)).admin;
    assert_eq!((admin.tokens[0].name.as_str(), admin.tokens[0].sha256), ("a", [0x11; 32]));
    assert_eq!(admin.certificates[0].key.display().to_string(), "c.pem");
}

#[test]
fn channels_are_judged_and_no_webhook_is_repeated() {
    let with = |lines: &str| format!("{SMALL}[notify]\n{lines}\n");
    let mail =
        |rest: &str| format!("email = {{ server = \"m\", from = \"a@b.test\", to = [\"c@d.test\"]{rest} }}");
    refused(&[
        (with("email = { server = \"m\", from = \"a@b.test\", to = [] }"), "names nobody in to"),
        (
            with("email = { server = \"m\", from = \"a\", to = [\"c@d.test\"] }"),
            "from: is not an e-mail address",
        ),
        (with(&mail(", user = \"u\"")), "user or password without the other"),
        (
            with(&mail(", user = \"u\", password = { env = \"P\" }, security = \"none\"")),
            "would send the password for everybody to read",
        ),
        (with("webhooks = [{ name = \"a\" }]"), "url: is missing"),
        (with("webhooks = [{ name = \"a\", url = \"ftp://h/\" }]"), "is not a URL"),
        (with("webhooks = [{ name = \"email\", url = \"http://h/\" }]"), "the name of another channel"),
        (
            with("webhooks = [{ name = \"a\", url = \"http://h/\", preset = \"pagerduty\" }]"),
            "belong together",
        ),
    ]);
    let told = problems(&with("webhooks = [{ name = \"a\", url = \"htps://hooks.test/SECRET\" }]"));
    assert!(!told.is_empty() && !told.join("").contains("SECRET"), "{told:?}");
    let config = valid(&with(
        "webhooks = [{ name = \"p\", preset = \"pagerduty\", routing_key = { env = \"K\" } }, { name = \"s\", preset = \"slack\", url = { env = \"U\" } }]",
    ));
    assert_eq!(config.notify.channels(), ["p", "s"]);
}
