//! `[source.durability]`.

use super::{Item, Table};
use crate::capture::{Durability, DurabilityRules, RouteRule, is_known_method};
use crate::config::reference::{Absent, Key, Kind, Section};
use std::time::Duration;

const CLASSES: Kind = Kind::Choice(&["async", "durable", "strict"]);

pub(crate) static SECTION: Section = Section {
    path: "source.durability",
    many: false,
    doc: "How sure a client can be, once it has its response, that the request is on record. `async`: the record survives the process. `durable`: the response ends once the record is on disk. `strict`: as durable, and the upstream sees the request once it is on disk that it comes; else 503. What says most about a request counts: its route, else the strongest of its catalogue row's flags, else its method, else `reads` or `writes`.",
    keys: &[
        Key {
            name: "reads",
            kind: CLASSES,
            absent: Absent::Value("\"async\""),
            doc: "Requests with a safe method: GET, HEAD, OPTIONS, TRACE.",
        },
        Key {
            name: "writes",
            kind: CLASSES,
            absent: Absent::Value("\"durable\""),
            doc: "Requests with any other method.",
        },
        Key {
            name: "methods",
            kind: Kind::Other("`{ METHOD = \"class\", … }`"),
            absent: Absent::Unset("none"),
            doc: "Single methods.",
        },
        Key {
            name: "sensitive",
            kind: CLASSES,
            absent: Absent::Unset("by method"),
            doc: "Routes that the catalogue flags as sensitive: credentials, rights, or loss of whole parts are at stake.",
        },
        Key {
            name: "bulk",
            kind: CLASSES,
            absent: Absent::Unset("by method"),
            doc: "Routes that the catalogue flags as bulk: one call touches many entities.",
        },
        Key {
            name: "ai",
            kind: CLASSES,
            absent: Absent::Unset("by method"),
            doc: "Routes that the catalogue flags as AI: they call or configure an AI feature.",
        },
        Key {
            name: "routes",
            kind: Kind::List("`{ method = \"METHOD\", template = \"/…\", class = \"class\" }`"),
            absent: Absent::Unset("none"),
            doc: "Single routes, with the template as the catalogue writes it; without `method` all of its methods. The last one that fits counts.",
        },
        Key {
            name: "wait",
            kind: Kind::Time(Duration::from_millis(100), Duration::from_secs(60)),
            absent: Absent::Value("\"2s\""),
            doc: "How long a request waits for the disk at most, each time. Then a strict one that the upstream has not seen is answered 503; any other goes on, which is counted.",
        },
    ],
};

const fn method(name: &'static str) -> Key {
    Key { name, kind: CLASSES, absent: Absent::Unset(""), doc: "" }
}

static METHODS: Section = Section {
    path: "{methods}",
    many: false,
    doc: "",
    keys: &[
        method("GET"),
        method("HEAD"),
        method("POST"),
        method("PUT"),
        method("PATCH"),
        method("DELETE"),
        method("OPTIONS"),
        method("TRACE"),
    ],
};

static ROUTE: Section = Section {
    path: "{route}",
    many: false,
    doc: "",
    keys: &[
        Key { name: "method", kind: Kind::Text, absent: Absent::Unset(""), doc: "" },
        Key { name: "template", kind: Kind::Text, absent: Absent::Required, doc: "" },
        Key { name: "class", kind: CLASSES, absent: Absent::Required, doc: "" },
    ],
};

pub(super) fn read(table: Table<'_>) -> DurabilityRules {
    let standard = DurabilityRules::default();
    let class = |name| table.choice(name).map(class);
    let rules = DurabilityRules {
        reads: class("reads").unwrap_or(standard.reads),
        writes: class("writes").unwrap_or(standard.writes),
        methods: table.take("methods").and_then(|item| methods(&item)).unwrap_or_default(),
        sensitive: class("sensitive"),
        bulk: class("bulk"),
        ai: class("ai"),
        routes: table.list("routes").iter().filter_map(route).collect(),
        wait: table.time("wait").map_or(standard.wait, |at| at.value),
    };
    table.finish();
    rules
}

fn class(word: &str) -> Durability {
    match word {
        "strict" => Durability::Strict,
        "durable" => Durability::Durable,
        _ => Durability::Async,
    }
}

fn methods(item: &Item<'_>) -> Option<Vec<(String, Durability)>> {
    let Some(table) = item.inline(&METHODS) else {
        return item.wrong_type("a table like { DELETE = \"strict\" }");
    };
    let named =
        METHODS.keys.iter().filter_map(|key| Some((key.name.to_owned(), class(table.choice(key.name)?))));
    let named = named.collect();
    table.finish();
    Some(named)
}

fn route(item: &Item<'_>) -> Option<RouteRule> {
    let Some(table) = item.inline(&ROUTE) else {
        return item
            .wrong_type("a table like { method = \"PUT\", template = \"/things/:id\", class = \"strict\" }");
    };
    let method = table.take("method").map(|item| method_name(&item));
    let (template, word) = (table.text("template"), table.choice("class"));
    table.finish();
    let method = match method {
        Some(method) => Some(method?),
        None => None,
    };
    Some(RouteRule { method, template: template?.value, class: class(word?) })
}

fn method_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.value;
    if !is_known_method(&text) {
        return item.refuse("is not a method that catalogues know", Some("write it like \"PUT\""));
    }
    Some(text)
}
