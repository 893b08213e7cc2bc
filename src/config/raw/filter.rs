//! `filter` of a `[[destination]]`.

use super::{Item, Table};
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::pack::Filter;
use crate::record::Outcome;
use crate::routes::{Action, Category};

pub(crate) static FILTER: Section = Section {
    path: "destination.filter",
    many: false,
    doc: "Which records of its sources one destination takes; each key that is there has to fit. What it does not take is counted as `filtered` and named by sequence in its manifests, so that the accounts still add up. The gateway's own records are not asked.",
    keys: &[
        Key {
            name: "methods",
            kind: Kind::List("request methods"),
            absent: Absent::Unset("all"),
            doc: "The methods, as they are sent: `PUT`.",
        },
        Key {
            name: "actions",
            kind: Kind::List("values of `event.action`"),
            absent: Absent::Unset("all"),
            doc: "What requests do. A request whose body is looked into is judged by what was found.",
        },
        Key {
            name: "categories",
            kind: Kind::List("values of `event.category`"),
            absent: Absent::Unset("all"),
            doc: "What requests concern.",
        },
        Key {
            name: "statuses",
            kind: Kind::List("status codes, or classes such as `4xx`"),
            absent: Absent::Unset("all"),
            doc: "The status that was sent. An exchange without one fits none.",
        },
        Key {
            name: "sensitive",
            kind: Kind::Flag,
            absent: Absent::Unset("both"),
            doc: "Only routes that the catalogue flags as sensitive, or only others.",
        },
        Key {
            name: "outcomes",
            kind: Kind::List("`success`, `failure`, `aborted`, `unknown`"),
            absent: Absent::Unset("all"),
            doc: "How exchanges ended.",
        },
        Key {
            name: "organizations",
            kind: Kind::List("organizations"),
            absent: Absent::Unset("all"),
            doc: "Whose requests.",
        },
        Key {
            name: "one_read_in",
            kind: Kind::Count(1, 1_000_000),
            absent: Absent::Value("1"),
            doc: "Of reads (GET, HEAD, OPTIONS, TRACE) one in so many is taken, by its `event.id`: destinations with the same number take the same reads.",
        },
    ],
};

pub(super) fn read(item: &Item<'_>) -> Option<Filter> {
    let Some(table) = item.inline(&FILTER) else {
        return item.wrong_type("a table like { statuses = [\"4xx\", \"5xx\"] }");
    };
    let texts = |name| elements(&table, name, |element| Some(element.text()?.value));
    let filter = Filter {
        methods: texts("methods"),
        actions: elements(&table, "actions", |element| {
            known(element, Action::ALL.iter().map(|action| action.as_str()))
        }),
        categories: elements(&table, "categories", |element| {
            known(element, Category::ALL.iter().map(|category| category.as_str()))
        }),
        statuses: elements(&table, "statuses", statuses),
        sensitive: table.flag("sensitive"),
        outcomes: elements(&table, "outcomes", |element| {
            let word = known(element, Outcome::ALL.iter().map(|outcome| outcome.as_str()))?;
            Outcome::ALL.iter().copied().find(|outcome| outcome.as_str() == word)
        }),
        organizations: texts("organizations"),
        one_read_in: table.count("one_read_in").filter(|count| *count > 1).unwrap_or(0),
    };
    table.finish();
    Some(filter)
}

fn elements<T>(table: &Table<'_>, name: &'static str, read: impl Fn(&Item<'_>) -> Option<T>) -> Vec<T> {
    let Some(item) = table.take(name) else { return Vec::new() };
    if item.is_empty_list() {
        item.refuse::<()>("names nothing that could fit", Some("leave the key out to take all"));
    }
    item.list().iter().filter_map(read).collect()
}

fn known<'k>(item: &Item<'_>, words: impl Iterator<Item = &'k str> + Clone) -> Option<String> {
    let word = item.text()?.value;
    if words.clone().any(|known| known == word) {
        return Some(word);
    }
    let hint = match nearest(&word, words.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known are {}", words.collect::<Vec<_>>().join(", ")),
    };
    item.refuse("is no value that records have", Some(&hint))
}

fn statuses(item: &Item<'_>) -> Option<(u16, u16)> {
    let text = item.text()?.value;
    let class = text.strip_suffix("xx").and_then(|class| class.parse().ok());
    if let Some(class) = class.filter(|class: &u16| (1..=9).contains(class)) {
        return Some((class * 100, class * 100 + 99));
    }
    match text.parse() {
        Ok(status) if (100..=999).contains(&status) => Some((status, status)),
        _ => item.refuse("is no status and no class of statuses", Some("write \"404\" or \"4xx\"")),
    }
}
