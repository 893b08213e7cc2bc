//! `onrecord routes`.

use super::{EXIT_CONFIG, OutputFormat, print_error, run};
use crate::app::{self, StartError};
use crate::capture::redact::REDACTED;
use crate::config::{CatalogueRef, PRESETS};
use crate::inspect::BodyPlans;
use crate::routes::explain::{Standing, explain};
use crate::routes::{Matched, Pointers, Route, RouteTable, openapi, paths};
use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Templates that are shown where none fits.
const NEAREST: usize = 5;
/// Remarks of an import that are printed one by one.
const MOST_REMARKS: usize = 20;

/// What `onrecord routes` does.
#[derive(Debug, Subcommand)]
pub enum Routes {
    /// List the routes of a source or of catalogues
    List {
        /// Where the routes come from
        #[command(flatten)]
        from: Selected,
        /// How to tell them
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: OutputFormat,
    },
    /// Explain which route a request takes, what it means, and which gave way
    Test {
        /// The method
        #[arg(value_name = "METHOD")]
        method: String,
        /// The path, with its query if it has one
        #[arg(value_name = "PATH")]
        path: String,
        /// A request header, as NAME:VALUE; can be given several times
        #[arg(long, value_name = "HEADER", value_parser = header)]
        header: Vec<(HeaderName, HeaderValue)>,
        /// The status of the response
        #[arg(long, value_name = "STATUS", default_value_t = 200)]
        status: u16,
        /// Where the routes come from
        #[command(flatten)]
        from: Selected,
    },
    /// Make a catalogue from an OpenAPI 3.0 or 3.1 document, in YAML or JSON
    ///
    /// Resources and actions are proposals, made from paths and methods: look them over. What
    /// was chosen or left out is told on standard error.
    Import {
        /// The document
        #[arg(value_name = "FILE")]
        document: PathBuf,
        /// The catalogue's name [default: the file's]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Where the catalogue goes; must not be there yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Where routes come from.
#[derive(Debug, Args)]
pub struct Selected {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml", env = "ONRECORD_CONFIG")]
    config: PathBuf,
    /// The source of the configuration [default: each]
    #[arg(long, value_name = "NAME", conflicts_with = "catalogue")]
    source: Option<String>,
    /// A preset or a catalogue file, in place of a configuration; can be given several times
    #[arg(long, value_name = "NAME|FILE")]
    catalogue: Vec<String>,
    /// With --catalogue: the API's public host name
    #[arg(long, value_name = "HOST", requires = "catalogue", default_value = "")]
    api_host: String,
}

pub(super) fn run(command: &Routes) -> ExitCode {
    match command {
        Routes::List { from, format } => match tables(from) {
            Ok(tables) => list(&tables, *format),
            Err(code) => return code,
        },
        Routes::Test { method, path, header, status, from } => match tables(from) {
            Ok(tables) => {
                let headers = header.iter().cloned().collect();
                let mut found = false;
                for (name, table) in &tables {
                    found |= test(name, table, method, path, &headers, *status);
                }
                return if found { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
            Err(code) => return code,
        },
        Routes::Import { document, name, out } => {
            if let Err(error) = import(document, name.as_deref(), out.as_deref()) {
                eprintln!("onrecord: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written NAME:VALUE")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|error| error.to_string())?;
    Ok((name, HeaderValue::from_str(value.trim()).map_err(|error| error.to_string())?))
}

/// The route tables that are meant, each with its source's name.
fn tables(from: &Selected) -> Result<Vec<(String, RouteTable)>, ExitCode> {
    let refused = |error: StartError| {
        print_error(&error);
        ExitCode::from(EXIT_CONFIG)
    };
    if !from.catalogue.is_empty() {
        let reference = |text: &String| match PRESETS.contains(&text.as_str()) {
            true => CatalogueRef::Preset(text.clone()),
            false => CatalogueRef::File(text.into()),
        };
        let references: Vec<_> = from.catalogue.iter().map(reference).collect();
        let table = app::table("(command line)", &references, &from.api_host).map_err(refused)?;
        return Ok(vec![(from.catalogue.join(" + "), table)]);
    }
    let config = run::load(&from.config)?;
    let wanted = |name: &str| from.source.as_deref().is_none_or(|source| source == name);
    let sources: Vec<_> = config.sources.iter().filter(|source| wanted(&source.options.name)).collect();
    if sources.is_empty() {
        eprintln!(
            "onrecord: {} has no source {}",
            from.config.display(),
            from.source.as_deref().unwrap_or("")
        );
        return Err(ExitCode::FAILURE);
    }
    let table =
        |source: &&crate::config::SourceConfig| Ok((source.options.name.clone(), app::routes(source)?));
    sources.iter().map(table).collect::<Result<_, _>>().map_err(refused)
}

fn list(tables: &[(String, RouteTable)], format: OutputFormat) {
    for (name, table) in tables {
        for route in table.routes() {
            match format {
                OutputFormat::Json => {
                    let mut line = meaning(route);
                    line["source"] = name.as_str().into();
                    println!("{line}");
                }
                OutputFormat::Text => println!(
                    "{:<7} {} → {} {}{}{}",
                    route.method,
                    route.template,
                    route.resource_type,
                    route.action.as_str(),
                    route.category.map_or(String::new(), |category| format!(", {}", category.as_str())),
                    flags(route),
                ),
            }
        }
    }
}

fn meaning(route: &Route) -> Value {
    json!({
        "catalogue": route.catalogue,
        "method": route.method,
        "template": route.template,
        "resource": route.resource_type,
        "action": route.action.as_str(),
        "category": route.category.map(|category| category.as_str()),
        "sensitive": route.flags & Route::SENSITIVE != 0,
        "bulk": route.flags & Route::BULK != 0,
        "ai": route.flags & Route::AI != 0,
        "variants": route.variants.iter().map(|variant| variant.action.as_str()).collect::<Vec<_>>(),
    })
}

fn flags(route: &Route) -> String {
    let names = [(Route::SENSITIVE, "sensitive"), (Route::BULK, "bulk"), (Route::AI, "AI")];
    names.iter().filter(|(bit, _)| route.flags & bit != 0).map(|(_, name)| format!(", {name}")).collect()
}

/// Whether a route was found.
fn test(
    name: &str,
    table: &RouteTable,
    method: &str,
    target: &str,
    headers: &HeaderMap,
    status: u16,
) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let matched = table.find(method.as_bytes(), path.as_bytes());
    let route = matched.as_ref().map(|matched| table.route(matched.route));
    // What is asked about may be a real request's.
    let shown = route.map_or(path.as_bytes().into(), |route| route.redacted(path.as_bytes(), REDACTED));
    println!("{method} {} at {name} ({} routes):", String::from_utf8_lossy(&shown), table.len());
    if paths::is_odd(path.as_bytes()) {
        println!("  no route: the path has a form that two servers may read differently");
        return false;
    }
    if let Some(matched) = &matched {
        print_match(table, matched, query, headers, status);
    } else {
        println!("  no route");
    }
    let others = explain(table, method, path, NEAREST);
    for (index, standing) in others.iter().filter(|(_, standing)| *standing != Standing::Taken) {
        let route = table.route(*index);
        let why = match standing {
            Standing::LessPrecise { segment } => {
                format!("gave way: at segment {segment} a fixed one wins over a placeholder")
            }
            Standing::OtherHost => "gave way: it is for another host".to_owned(),
            Standing::OtherMethod => "another method".to_owned(),
            Standing::LeavesAt { segment } => format!("the path leaves it at segment {segment}"),
            Standing::Taken => continue,
        };
        println!("  not {} {} ({why})", route.method, route.template);
    }
    matched.is_some()
}

fn print_match(table: &RouteTable, matched: &Matched<'_>, query: &str, headers: &HeaderMap, status: u16) {
    let route = table.route(matched.route);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("  takes {} {} of catalogue {}", route.method, route.template, route.catalogue);
    let id = route.resource_id(&matched.parameters, query.as_bytes());
    println!(
        "  resource: {} {}",
        route.resource_type,
        id.map_or("(no id in path or query)".into(), |id| text(&id))
    );
    for (what, index) in
        [("organization", route.organization), ("space", route.space), ("environment", route.environment)]
    {
        if let Some(value) = index.and_then(|index| matched.parameters.get(usize::from(index))) {
            println!("  {what}: {}", text(value));
        }
    }
    if let Some(environment) = &route.default_environment {
        println!("  environment: {environment} (the path names none)");
    }
    let settled = route.settle(route.weigh(headers), Some(status));
    match settled.decided() {
        Some(action) => println!("  action: {} (with status {status})", action.as_str()),
        None => {
            let candidates: Vec<&str> = settled.candidates(route).map(|action| action.as_str()).collect();
            println!("  action: {}, by the body or the state before", candidates.join(" or "));
        }
    }
    if let Some(category) = route.category {
        println!("  category: {}{}", category.as_str(), flags(route));
    }
    let wants = BodyPlans::new(table, &|_| Pointers::default()).wants(matched.route);
    let bodies: Vec<&str> = [(wants.request(), "request"), (wants.response(), "response")]
        .iter()
        .filter_map(|(wanted, name)| wanted.then_some(*name))
        .collect();
    println!("  bodies looked into: {}", if bodies.is_empty() { "none".into() } else { bodies.join(", ") });
}

fn import(document: &Path, name: Option<&str>, out: Option<&Path>) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let text =
        std::fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let value: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", document.display()))?
    } else {
        let yaml: serde_yaml_ng::Value =
            serde_yaml_ng::from_str(&text).with_context(|| format!("{} is not YAML", document.display()))?;
        json_of(yaml)
    };
    let stem = document.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let imported = openapi::import(&value, name.unwrap_or(&stem))?;
    let mut catalogue = String::from("{");
    let members = imported.catalogue.as_object().into_iter().flatten();
    for (key, value) in members.clone().filter(|(key, _)| *key != "routes") {
        catalogue.push_str(&format!("\"{key}\": {value},\n"));
    }
    let rows = imported.catalogue["routes"].as_array().into_iter().flatten().map(Value::to_string);
    catalogue.push_str(&format!("\"routes\": [\n{}\n]}}\n", rows.collect::<Vec<_>>().join(",\n")));
    // What is handed out is held to the same rules as what is written by hand.
    let parsed = crate::routes::Catalogue::parse(&stem, &catalogue, crate::routes::CatalogueFormat::Json);
    let problems = parsed.and_then(|parsed| RouteTable::build(&[parsed], "")).err().unwrap_or_default();
    anyhow::ensure!(problems.is_empty(), "the catalogue would have problems: {}", problems[0]);
    match out {
        None => print!("{catalogue}"),
        Some(path) => {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
            let mut file = file.with_context(|| format!("cannot make {}", path.display()))?;
            std::io::Write::write_all(&mut file, catalogue.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    for remark in imported.remarks.iter().take(MOST_REMARKS) {
        eprintln!("{remark}");
    }
    if imported.remarks.len() > MOST_REMARKS {
        eprintln!("and {} more remarks", imported.remarks.len() - MOST_REMARKS);
    }
    eprintln!("{} routes; resources and actions are proposals: look them over", imported.rows);
    Ok(())
}

/// YAML with the keys of its maps as texts, which JSON wants: status codes are numbers in YAML.
fn json_of(yaml: serde_yaml_ng::Value) -> Value {
    use serde_yaml_ng::Value as Yaml;
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => value.into(),
            (None, Some(value), _) => value.into(),
            (None, None, value) => value.into(),
        },
        Yaml::String(text) => text.into(),
        Yaml::Sequence(items) => items.into_iter().map(json_of).collect(),
        Yaml::Mapping(members) => {
            let name = |key: Yaml| match json_of(key) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Value::Object(members.into_iter().map(|(key, value)| (name(key), json_of(value))).collect())
        }
        Yaml::Tagged(tagged) => json_of(tagged.value),
    }
}
