//! `[notify]`.

use super::{Item, Table};
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::notify::{EmailOptions, NotifyOptions, Place, Preset, Security, WebhookOptions};
use std::time::Duration;

/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

pub(crate) static SECTION: Section = Section {
    path: "notify",
    many: false,
    doc: "Notices by e-mail and webhook, when a destination fails, still fails a day later, delivers again, is about to lose records, or its credentials end ([control.md](control.md)).",
    keys: &[
        Key {
            name: "after",
            kind: Kind::Time(Duration::ZERO, Duration::from_secs(86_400)),
            absent: Absent::Value("\"1m\""),
            doc: "A destination has to fail for this long before somebody is told.",
        },
        Key {
            name: "email",
            kind: Kind::Other("`{ server, port, security, user, password, from, to, ca }`"),
            absent: Absent::Unset("no e-mail"),
            doc: "How e-mail leaves. `security` is `starttls` (as without it), `tls` or `none`; `password` as any secret; `to` a list of addresses; `ca` a file (PEM) of the authority of the server's certificate. Can be written as `[notify.email]`.",
        },
        Key {
            name: "webhooks",
            kind: Kind::List("`{ name, url, preset, secret, routing_key, ca }`"),
            absent: Absent::Unset("none"),
            doc: "Addresses that notices are posted to. `url` is text, or as a secret; `preset` is `generic` (as without it), `slack` or `pagerduty`, which needs `routing_key`; with `secret` each is signed. Can be written as `[[notify.webhooks]]`.",
        },
    ],
};

static EMAIL: Section = Section {
    path: "notify.email",
    many: false,
    doc: "",
    keys: &[
        Key { name: "server", kind: Kind::Text, absent: Absent::Required, doc: "" },
        Key { name: "port", kind: Kind::Count(1, 65_535), absent: Absent::Unset(""), doc: "" },
        Key {
            name: "security",
            kind: Kind::Choice(&["starttls", "tls", "none"]),
            absent: Absent::Unset(""),
            doc: "",
        },
        Key { name: "user", kind: Kind::Text, absent: Absent::Unset(""), doc: "" },
        Key { name: "password", kind: Kind::Secret, absent: Absent::Unset(""), doc: "" },
        Key { name: "from", kind: Kind::Text, absent: Absent::Required, doc: "" },
        Key { name: "to", kind: Kind::List("e-mail addresses"), absent: Absent::Required, doc: "" },
        Key { name: "ca", kind: Kind::Path, absent: Absent::Unset(""), doc: "" },
    ],
};

static WEBHOOK: Section = Section {
    path: "notify.webhooks",
    many: true,
    doc: "",
    keys: &[
        Key { name: "name", kind: Kind::Name, absent: Absent::Required, doc: "" },
        Key { name: "url", kind: Kind::Text, absent: Absent::Unset(""), doc: "" },
        Key {
            name: "preset",
            kind: Kind::Choice(&["generic", "slack", "pagerduty"]),
            absent: Absent::Unset(""),
            doc: "",
        },
        Key { name: "secret", kind: Kind::Secret, absent: Absent::Unset(""), doc: "" },
        Key { name: "routing_key", kind: Kind::Secret, absent: Absent::Unset(""), doc: "" },
        Key { name: "ca", kind: Kind::Path, absent: Absent::Unset(""), doc: "" },
    ],
};

pub(super) fn read(table: Table<'_>) -> NotifyOptions {
    let standard = NotifyOptions::default();
    let email = table.take("email");
    let mut webhooks: Vec<WebhookOptions> = Vec::new();
    for item in table.list("webhooks") {
        let Some(webhook) = webhook(&item) else { continue };
        let taken = webhook.name == EmailOptions::CHANNEL || webhooks.iter().any(|w| w.name == webhook.name);
        if taken {
            item.refuse::<()>("has the name of another channel", Some("give it a name of its own"));
        }
        webhooks.push(webhook);
    }
    let options = NotifyOptions {
        after: table.time("after").map_or(standard.after, |at| at.value),
        email: email.and_then(|item| read_email(&item)),
        webhooks,
    };
    table.finish();
    options
}

fn read_email(item: &Item<'_>) -> Option<EmailOptions> {
    let Some(table) = item.inline(&EMAIL) else {
        return item.wrong_type("{ server = \"…\", from = \"…\", to = [\"…\"] }");
    };
    let server = table.text("server");
    let port = table.count("port").and_then(|port| u16::try_from(port).ok());
    let security = match table.choice("security") {
        Some("tls") => Security::Tls,
        Some("none") => Security::None,
        _ => Security::StartTls,
    };
    let (user, password) = (table.text("user"), table.secret("password"));
    let from = table.take("from").and_then(|item| address(&item));
    let to = table.list("to");
    let recipients: Vec<String> = to.iter().filter_map(address).collect();
    let ca = table.path("ca").map(|at| at.value);
    table.finish();
    let login = match (user, password) {
        (Some(user), Some(password)) => Some((user.value, password)),
        (None, None) => None,
        _ => return item.refuse("has user or password without the other", Some("give both, or none")),
    };
    if login.is_some() && security == Security::None {
        return item.refuse(
            "would send the password for everybody to read",
            Some("set security to starttls or tls, or leave user and password out"),
        );
    }
    if to.is_empty() {
        return item.refuse("names nobody in to", Some("write to = [\"ops@example.com\"]"));
    }
    Some(EmailOptions { server: server?.value, port, security, login, from: from?, to: recipients, ca })
}

/// An e-mail address, alone.
pub(super) fn address(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    match text.parse::<lettre::Address>() {
        Ok(_) => Some(text),
        Err(_) => {
            item.refuse("is not an e-mail address", Some("write the address alone, like ops@example.com"))
        }
    }
}

fn webhook(item: &Item<'_>) -> Option<WebhookOptions> {
    let Some(table) = item.inline(&WEBHOOK) else {
        return item.wrong_type("{ name = \"…\", url = \"https://…\" }");
    };
    let name = table.name("name");
    let preset = match table.choice("preset") {
        Some("slack") => Preset::Slack,
        Some("pagerduty") => Preset::PagerDuty,
        _ => Preset::Generic,
    };
    let typed = table.take("url");
    let url = match &typed {
        Some(typed) if typed.is_text() => place(typed).map(Place::Plain),
        Some(typed) => typed.secret().map(Place::At),
        None if preset == Preset::PagerDuty => Some(Place::Plain(PAGERDUTY.to_owned())),
        None => {
            table.missing("url", None);
            None
        }
    };
    let (secret, routing_key) = (table.secret("secret"), table.secret("routing_key"));
    let ca = table.path("ca").map(|at| at.value);
    table.finish();
    if (preset == Preset::PagerDuty) != routing_key.is_some() {
        let message = "routing_key and preset = \"pagerduty\" belong together";
        return item.refuse(message, Some("give both, or none"));
    }
    Some(WebhookOptions { name: name?.value, url: url?, preset, secret, routing_key, ca })
}

/// What was typed is not repeated in a problem: a webhook's URL can be a secret.
fn place(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    let url: Option<http::Uri> = text.parse().ok();
    let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    match url.and_then(|url| url.host().map(|host| !host.is_empty())) {
        Some(true) => Some(text),
        _ => item.refuse("is not a URL", Some("write it like \"https://example.com/hook\"")),
    }
}
