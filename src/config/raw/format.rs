//! `format` of a `[[destination]]`: a name, or a table.

use super::{Document, Item, Table};
use crate::config::nearest::nearest;
use crate::config::reference::{Absent, Key, Kind, Section};
use crate::format::{
    Class, Compression, Dialect, FormatOptions, KeyTemplate, OcsfOptions, Profiles, Rows, Version, maskable,
    maskable_names,
};

const TYPES: Kind = Kind::Choice(&["flat", "ocsf", "ecs", "csv", "contentful-legacy", "parquet"]);

pub(crate) static FORMAT: Section = Section {
    path: "destination.format",
    many: false,
    doc: "What the records of one destination look like. `format = \"ocsf\"` is short for a table with nothing but `type`. Formats are described in [formats.md](formats.md).",
    keys: &[
        Key {
            name: "type",
            kind: TYPES,
            absent: Absent::Required,
            doc: "`flat`, one flat JSON object a line; `ocsf`, events of the Open Cybersecurity Schema Framework; `ecs`, documents of the Elastic Common Schema; `csv`, the columns of Contentful's audit log files; `contentful-legacy`, a JSON array in the shape of its former JSON samples; `parquet`, columns of flat records or of OCSF events.",
        },
        Key {
            name: "rows",
            kind: Kind::Choice(&["flat", "ocsf"]),
            absent: Absent::Value("\"flat\""),
            doc: "`parquet`: what the rows are; with `ocsf`, its keys count here too.",
        },
        Key {
            name: "version",
            kind: Kind::Choice(&["1.3.0", "1.8.0"]),
            absent: Absent::Value("\"1.8.0\""),
            doc: "`ocsf`: the version of the schema.",
        },
        Key {
            name: "class",
            kind: Kind::Choice(&["api_activity", "web_resources_activity"]),
            absent: Absent::Value("\"api_activity\""),
            doc: "`ocsf`: the event class, 6003 or 6001.",
        },
        Key {
            name: "profiles",
            kind: Kind::List("`cloud`, `datetime`, `host`, `security_control`"),
            absent: Absent::Unset("none"),
            doc: "`ocsf`: profiles, which add attributes. 6003 at 1.3.0 has no `host` and no `security_control`.",
        },
        Key {
            name: "columns",
            kind: Kind::List("attribute names of the flat format"),
            absent: Absent::Unset("none"),
            doc: "`csv`: further columns, such as `event.id`. Attributes that begin with the source's namespace can be named without it.",
        },
        Key {
            name: "extra",
            kind: Kind::List("`name=value`"),
            absent: Absent::Unset("none"),
            doc: "Constant attributes that are added to each record, such as `deployment=production`; in `ocsf` below `unmapped`, in `ecs` below `labels`, in `csv` as columns.",
        },
        Key {
            name: "leave_out",
            kind: Kind::List("attribute names of the flat format"),
            absent: Absent::Unset("none"),
            doc: "Attributes that this destination does not get, as if nobody knew them. Those that begin with the source's namespace are named without it: `space.id`.",
        },
        Key {
            name: "key",
            kind: Kind::Text,
            absent: Absent::Unset("the format's own"),
            doc: "Where objects lie, behind the prefix: text with `{source}`, `{organization}`, `{year}`, `{month}`, `{day}`, `{time}`, `{region}`, `{uuid}`, `{n}`. Without `{uuid}`, `-{uuid}-{n}` is added; the extension follows.",
        },
        Key {
            name: "compression",
            kind: Kind::Choice(&["gzip", "none"]),
            absent: Absent::Unset("the format's own"),
            doc: "Whether objects are compressed, and their names end with `.gz`.",
        },
    ],
};

/// Reads a name or a table.
pub(super) fn read(document: &Document<'_>, item: &Item<'_>) -> Option<FormatOptions> {
    let mut options = FormatOptions::default();
    if item.is_text() {
        let key = FORMAT.key("type")?;
        options.dialect = dialect(item.with_key(key).choice()?);
        return Some(options);
    }
    let Some(table) = item.inline(&FORMAT) else {
        return item.wrong_type("a format's name, or a table with a `type`");
    };
    let kind = table.choice("type");
    options.dialect = kind.map(dialect).unwrap_or_default();
    let rows = table.take("rows").and_then(|item| match kind {
        Some("parquet") | None => item.choice(),
        Some(_) => item.refuse("is a key of format \"parquet\"", None),
    });
    let columns_of_ocsf = kind == Some("parquet") && rows == Some("ocsf");
    let ocsf = ocsf(document, &table, kind.filter(|_| !columns_of_ocsf));
    match &mut options.dialect {
        Dialect::Ocsf(options) => *options = ocsf,
        Dialect::Parquet(rows) if columns_of_ocsf => *rows = Rows::Ocsf(ocsf),
        _ => {}
    }
    if let Some(item) = table.take("columns") {
        let columns = item.list().iter().filter_map(column).collect();
        match &mut options.dialect {
            Dialect::Csv(named) => *named = columns,
            _ => drop(item.refuse::<()>("is a key of format \"csv\"", None)),
        }
    }
    options.extra = table.list("extra").iter().filter_map(extra).collect();
    options.leave_out = table.list("leave_out").iter().filter_map(left_out).collect();
    if let Some(item) = table.take("key")
        && let Some(text) = item.text()
    {
        match KeyTemplate::parse(&text.value) {
            Ok(template) => options.key = Some(template),
            Err(error) => drop(item.refuse::<()>(error.to_string(), None)),
        }
    }
    if options.dialect.is_columns()
        && let Some(item) = table.take("compression")
    {
        item.refuse::<()>("has no meaning for parquet, which compresses its columns", None);
    }
    options.compression = table.choice("compression").map(|word| match word {
        "gzip" => Compression::Gzip,
        _ => Compression::None,
    });
    table.finish();
    Some(options)
}

fn dialect(word: &str) -> Dialect {
    match word {
        "ocsf" => Dialect::Ocsf(OcsfOptions::default()),
        "ecs" => Dialect::Ecs,
        "parquet" => Dialect::Parquet(Rows::Flat),
        "csv" => Dialect::Csv(Vec::new()),
        "contentful-legacy" => Dialect::ContentfulLegacy,
        _ => Dialect::Flat,
    }
}

fn ocsf(document: &Document<'_>, table: &Table<'_>, kind: Option<&str>) -> OcsfOptions {
    let mut options = OcsfOptions::default();
    for name in ["version", "class", "profiles"] {
        let Some(item) = table.take(name) else { continue };
        if let Some(kind) = kind.filter(|kind| *kind != "ocsf") {
            item.refuse::<()>(format!("is a key of format \"ocsf\", and this is \"{kind}\""), None);
            continue;
        }
        match name {
            "profiles" => options.profiles = profiles(&item),
            _ => match item.choice() {
                Some("1.3.0") => options.version = Version::V1_3,
                Some("web_resources_activity") => options.class = Class::WebResourcesActivity,
                _ => {}
            },
        }
    }
    if let Some(name) = options.foreign_profile() {
        let message = format!("has the profile {name}, which API Activity does not have at 1.3.0");
        table.at(()).problem(document, message, Some("leave it out, or take version 1.8.0"));
    }
    options
}

fn profiles(item: &Item<'_>) -> Profiles {
    let mut profiles = Profiles::default();
    for element in item.list() {
        let Some(name) = element.text() else { continue };
        match name.value.as_str() {
            "cloud" => profiles.cloud = true,
            "datetime" => profiles.datetime = true,
            "host" => profiles.host = true,
            "security_control" => profiles.security_control = true,
            _ => {
                let hint = "known are cloud, datetime, host, security_control";
                element.refuse::<()>("is not a profile that is known here", Some(hint));
            }
        }
    }
    profiles
}

fn column(item: &Item<'_>) -> Option<String> {
    let name = item.text()?.value;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(is_name) {
        return item.refuse("is not the name of an attribute", Some("docs/records.md lists them"));
    }
    Some(name)
}

fn extra(item: &Item<'_>) -> Option<(String, String)> {
    let text = item.text()?.value;
    let form = "write it like \"deployment=production\", the name in letters, digits, `.`, `_`, `-`";
    let Some((name, value)) = text.split_once('=') else {
        return item.refuse("has no `=`", Some(form));
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        return item.refuse("has no name that an attribute can have", Some(form));
    }
    let ours = ["event", "http", "url", "actor", "onrecord", "schema", "client", "upstream", "metadata"];
    if ours.contains(&name.split('.').next().unwrap_or_default()) || maskable(name).is_some() {
        return item.refuse("has a name that the gateway's own attributes use", None);
    }
    Some((name.to_owned(), value.to_owned()))
}

fn left_out(item: &Item<'_>) -> Option<crate::record::Field> {
    let name = item.text()?.value;
    let field = maskable(&name);
    if field.is_none() {
        let near = nearest(&name, maskable_names()).map(|near| format!("did you mean {near}?"));
        let hint = near.unwrap_or_else(|| "docs/formats.md lists those that can".to_owned());
        return item.refuse("is not an attribute that can be left out", Some(&hint));
    }
    field
}
