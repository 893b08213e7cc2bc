//! Catalogues: the routes of an API as data.
//!
//! A catalogue is one JSON or TOML document: a head (`name`, `namespace`,
//! `api_host`, `request_id_header`, `user_agent_header`, `validate_only_header`, `organization`,
//! `organization_header`, `organization_response_header`, `space`, `environment`,
//! `default_environment`, `origin_headers`,
//! `api_key_headers`, `secret_query`, `secret_headers`, `categories`, `learn`) and
//! `routes`. Only `name` and `routes` must be there; of a row, `method`,
//! `template`, `resource` and `action`. `categories` gives a category to each
//! named resource type and wins over the rows' own. A row with `replaces` stands
//! in the place of another catalogue's row of the same method and path. An
//! unknown key is refused, and all problems are reported at once.

use super::learn;
use super::meaning::{Action, Category};
use super::paths::MAX_SEGMENTS;
use super::problem::{CatalogueFault, CatalogueProblem};
use super::reader::{Place, Reader};
use super::route::{Pointers, Route, Variant, When};
use http::HeaderName;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The catalogues that come with the gateway: name and text.
pub const PRESETS: &[(&str, &str)] = &[
    ("contentful-management", include_str!("../../catalogues/contentful-management.json")),
    ("contentful-delivery", include_str!("../../catalogues/contentful-delivery.json")),
    ("microcms", include_str!("../../catalogues/microcms.json")),
];

/// How a catalogue is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueFormat {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

/// A catalogue without problems of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) api_host: Option<String>,
    pub(super) request_id_header: Option<HeaderName>,
    pub(super) user_agent_header: Option<HeaderName>,
    pub(super) validate_only_header: Option<HeaderName>,
    pub(super) organization_header: Option<HeaderName>,
    pub(super) organization_response_header: Option<HeaderName>,
    pub(super) origin_headers: Arc<[HeaderName]>,
    pub(super) api_key_headers: Vec<HeaderName>,
    pub(super) secret_query: Vec<String>,
    pub(super) secret_headers: Vec<HeaderName>,
    pub(super) rows: Vec<Row>,
}

/// A row, and what only the building of a table needs of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) route: Route,
    /// Hosts that the row names; labels that begin with `:` stand for any.
    pub(super) hosts: Vec<String>,
    /// The row stands in the place of another catalogue's row of this method and path.
    pub(super) replaces: bool,
}

impl Catalogue {
    /// The preset of this name, if there is one.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        let (name, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        let parsed = Self::parse(name, text, CatalogueFormat::Json);
        Some(parsed.expect("the presets are part of the program, and a test reads each of them"))
    }

    /// Reads a catalogue. `file` names it in problems until its own name is known.
    ///
    /// # Errors
    /// Every problem of the text, each with its row and key.
    pub fn parse(file: &str, text: &str, format: CatalogueFormat) -> Result<Self, Vec<CatalogueProblem>> {
        let place = Place { catalogue: file.to_owned(), row: None, route: None, prefix: String::new() };
        let parsed: Result<Value, String> = match format {
            CatalogueFormat::Json => serde_json::from_str(text).map_err(|error| error.to_string()),
            CatalogueFormat::Toml => {
                toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
            }
        };
        let value = match parsed {
            Ok(value) => value,
            Err(words) => return Err(vec![place.problem(None, CatalogueFault::Syntax(words))]),
        };
        let mut problems = Vec::new();
        let catalogue = read_catalogue(value, place, &mut problems);
        if problems.is_empty() { Ok(catalogue) } else { Err(problems) }
    }

    /// The catalogue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The attribute namespace of its API (`NS`).
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The public host name of its API.
    #[must_use]
    pub fn api_host(&self) -> Option<&str> {
        self.api_host.as_deref()
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What rows take from the head of their catalogue.
struct Head {
    organization: Option<String>,
    space: Option<String>,
    environment: Option<String>,
    default_environment: Option<String>,
    categories: BTreeMap<String, Category>,
}

fn read_catalogue(value: Value, place: Place, problems: &mut Vec<CatalogueProblem>) -> Catalogue {
    let mut head = Reader::new(value, place, problems);
    let name: String = head.require("name").unwrap_or_default();
    if !name.is_empty() {
        head.place.catalogue.clone_from(&name);
    }
    let mut catalogue = Catalogue {
        name,
        namespace: head.take("namespace"),
        api_host: head.take("api_host"),
        request_id_header: head.header("request_id_header"),
        user_agent_header: head.header("user_agent_header"),
        validate_only_header: head.header("validate_only_header"),
        organization_header: head.header("organization_header"),
        organization_response_header: head.header("organization_response_header"),
        origin_headers: head.headers("origin_headers").into(),
        api_key_headers: head.headers("api_key_headers"),
        secret_query: head.take("secret_query").unwrap_or_default(),
        secret_headers: head.headers("secret_headers"),
        rows: Vec::new(),
    };
    if catalogue.namespace.as_deref().is_some_and(|namespace| !is_namespace(namespace)) {
        head.report("namespace", CatalogueFault::Form("wants small letters, digits and `_`".to_owned()));
    }
    let inherited = Head {
        organization: head.placeholder("organization"),
        space: head.placeholder("space"),
        environment: head.placeholder("environment"),
        default_environment: head.take("default_environment"),
        categories: read_categories(&mut head),
    };
    let rules = learn::read(&mut head);
    let routes: Vec<Value> = head.require("routes").unwrap_or_default();
    let place = head.place.clone();
    head.finish();
    for (index, value) in routes.into_iter().enumerate() {
        let place = Place { row: Some(index + 1), ..place.clone() };
        let row = read_row(value, place, &inherited, &mut catalogue, problems);
        catalogue.rows.extend(row);
    }
    learn::spread(rules, catalogue.rows.iter_mut().map(|row| &mut row.route), problems);
    catalogue
}

fn read_categories(head: &mut Reader<'_>) -> BTreeMap<String, Category> {
    let named: BTreeMap<String, String> = head.take("categories").unwrap_or_default();
    let mut categories = BTreeMap::new();
    for (resource, name) in named {
        match Category::from_catalogue(&name) {
            Some(category) => drop(categories.insert(resource, category)),
            None => head.report(&format!("categories.{resource}"), CatalogueFault::UnknownCategory(name)),
        }
    }
    categories
}

fn read_row(
    value: Value,
    place: Place,
    head: &Head,
    catalogue: &mut Catalogue,
    problems: &mut Vec<CatalogueProblem>,
) -> Option<Row> {
    let mut row = Reader::new(value, place, problems);
    let method: Option<String> = row.require("method");
    let template: Option<String> = row.require("template");
    row.place.route = match (&method, &template) {
        (Some(method), Some(template)) => Some(format!("{method} {template}")),
        (method, template) => method.clone().or_else(|| template.clone()),
    };
    let resource_type: Option<String> = row.require("resource");
    let action = read_action(&mut row);
    let category = read_category(&mut row);
    let resource_param: Option<String> = row.take("resource_param");
    let mut flags = 0;
    for (key, bit) in [("sensitive", Route::SENSITIVE), ("bulk", Route::BULK), ("ai", Route::AI)] {
        if row.take(key).unwrap_or(false) {
            flags |= bit;
        }
    }
    let legacy_alias_of: Option<String> = row.take("legacy_alias_of");
    let resource_id_query = row.take("resource_id_query");
    let resource_id_pointer = row.pointer("resource_id_pointer");
    let state_pointer = row.pointer("state_pointer");
    let environment_query = row.take("environment_query");
    let environment_pointer = row.pointer("environment_pointer");
    let ai_result_pointer = row.pointer("ai_result_pointer");
    let ai_saved_pointers = row.pointers("ai_saved_pointers");
    let replaces = row.take("replaces").unwrap_or(false);
    let affected_pointers: Pointers = row.take("affected_pointers").unwrap_or_default();
    let secret_pointers: Pointers = row.take("secret_pointers").unwrap_or_default();
    let mut hosts: Vec<String> = row.take("hosts").unwrap_or_default();
    hosts.extend(row.take::<String>("host"));
    let secret_query: Vec<String> = row.take("secret_query").unwrap_or_default();
    let secret_headers = row.headers("secret_headers");
    let secret_params: Vec<String> = row.take("secret_params").unwrap_or_default();
    let shown = [&resource_param, &head.organization, &head.space, &head.environment];
    for name in &secret_params {
        if shown.iter().any(|shown| shown.as_ref() == Some(name)) {
            row.report("secret_params", CatalogueFault::Form(format!("`{name}` is an id that records show")));
        } else if template.as_deref().is_some_and(|template| parameter_index(template, name).is_none()) {
            row.report("secret_params", CatalogueFault::NotInTemplate(name.clone()));
        }
    }
    let variants = read_variants(&mut row);
    take_remarks(&mut row);
    let checked = check_place(&mut row, method.as_deref(), template.as_deref(), resource_param.as_deref());
    row.finish();

    catalogue.secret_query.extend(secret_query);
    catalogue.secret_headers.extend(secret_headers);
    let (method, template, resource_type, action) = (method?, template?, resource_type?, action?);
    checked?;
    let index = |name: &Option<String>| name.as_deref().and_then(|name| parameter_index(&template, name));
    let environment = index(&head.environment);
    let means_default = environment.is_none() && legacy_alias_of.is_some();
    let route = Route {
        catalogue: catalogue.name.clone(),
        method,
        action,
        category: head.categories.get(&resource_type).copied().or(category),
        flags,
        organization: index(&head.organization),
        space: index(&head.space),
        environment,
        default_environment: head.default_environment.clone().filter(|_| means_default),
        resource: index(&resource_param),
        resource_type,
        template,
        resource_id_query,
        resource_id_pointer,
        state_pointer,
        affected_pointers,
        secret_pointers,
        request_id_header: catalogue.request_id_header.clone(),
        user_agent_header: catalogue.user_agent_header.clone(),
        validate_only_header: catalogue.validate_only_header.clone(),
        organization_header: catalogue.organization_header.clone(),
        organization_response_header: catalogue.organization_response_header.clone(),
        environment_query,
        environment_pointer,
        ai_result_pointer,
        ai_saved_pointers,
        origin_headers: Arc::clone(&catalogue.origin_headers),
        variants,
        secret_params,
        learn: Vec::new(),
    };
    if hosts.is_empty() {
        hosts.extend(catalogue.api_host.clone());
    }
    Some(Row { route, hosts, replaces })
}

fn read_action(table: &mut Reader<'_>) -> Option<Action> {
    let name: String = table.require("action")?;
    let action = Action::from_catalogue(&name);
    if action.is_none() {
        table.report("action", CatalogueFault::UnknownAction(name));
    }
    action
}

fn read_category(row: &mut Reader<'_>) -> Option<Category> {
    let name: String = row.take("category")?;
    let category = Category::from_catalogue(&name);
    if category.is_none() {
        row.report("category", CatalogueFault::UnknownCategory(name));
    }
    category
}

fn read_variants(row: &mut Reader<'_>) -> Vec<Variant> {
    let values: Vec<Value> = row.take("variants").unwrap_or_default();
    if values.len() > 32 {
        row.report("variants", CatalogueFault::Form("more than 32 variants".to_owned()));
        return Vec::new();
    }
    let mut variants = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let prefix = format!("variants.{}.", index + 1);
        let mut variant =
            Reader::new(value, Place { prefix: prefix.clone(), ..row.place.clone() }, row.problems);
        let action = read_action(&mut variant);
        // How the vendor's own screens and logs call it: remarks.
        let _: Option<String> = variant.take("screen_operation");
        let _: Option<String> = variant.take("audited_as");
        let condition: Option<Value> = variant.require("when");
        let place = Place { prefix: format!("{prefix}when."), ..variant.place.clone() };
        let when = condition.map(|condition| read_when(condition, place, variant.problems));
        if when.as_ref().is_some_and(When::is_empty) {
            variant.report("when", CatalogueFault::Form("no condition".to_owned()));
        }
        variant.finish();
        variants.extend(action.zip(when).map(|(action, when)| Variant { when, action }));
    }
    variants
}

fn read_when(value: Value, place: Place, problems: &mut Vec<CatalogueProblem>) -> When {
    let mut when = Reader::new(value, place, problems);
    let read = When {
        request_header_absent: when.header("request_header_absent"),
        response_status: when.take("response_status"),
        request_body_pointer: when.take("request_body_pointer"),
        request_body_equals: when.take("request_body_equals").unwrap_or_default(),
        request_body_contains: when.take("request_body_contains").unwrap_or_default(),
        prior_status: when.take("prior_status").unwrap_or_default(),
    };
    when.finish();
    read
}

/// Keys that tell people where a row comes from; nothing is decided by them.
fn take_remarks(row: &mut Reader<'_>) {
    for key in [
        "source",
        "notes",
        "sdk",
        "api",
        "route_header",
        "sys_type",
        "confidence",
        "audited_by_microcms",
        "trailing_slash_seen",
    ] {
        let _: Option<IgnoredAny> = row.take(key);
    }
}

/// Method, template and resource placeholder; `None` if any is wrong.
fn check_place(
    row: &mut Reader<'_>,
    method: Option<&str>,
    template: Option<&str>,
    resource_param: Option<&str>,
) -> Option<()> {
    let (method, template) = (method?, template?);
    let standard_form =
        !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !standard_form {
        row.report("method", CatalogueFault::Form(format!("`{method}` is not a method in capital letters")));
    }
    let template_fault = template_fault(template);
    if let Some(why) = template_fault {
        row.report("template", CatalogueFault::Template { template: template.to_owned(), why });
    }
    let missing = resource_param.filter(|name| parameter_index(template, name).is_none());
    if let Some(name) = missing {
        row.report("resource_param", CatalogueFault::NotInTemplate(name.to_owned()));
    }
    (standard_form && template_fault.is_none() && missing.is_none()).then_some(())
}

/// The segments of a template; one final slash makes none.
pub(super) fn template_segments(template: &str) -> Vec<&str> {
    let inner = template.strip_prefix('/').unwrap_or(template);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() { Vec::new() } else { inner.split('/').collect() }
}

fn parameters(template: &str) -> impl Iterator<Item = &str> {
    template_segments(template).into_iter().filter_map(|segment| segment.strip_prefix(':'))
}

fn parameter_index(template: &str, name: &str) -> Option<u8> {
    parameters(template).position(|parameter| parameter == name).and_then(|index| u8::try_from(index).ok())
}

pub(super) fn template_fault(template: &str) -> Option<&'static str> {
    if !template.starts_with('/') {
        return Some("must begin with a slash");
    }
    if template.contains(['?', '#']) {
        return Some("is a path, without query or fragment");
    }
    if template.contains(['{', '}', '*', '<', '>']) {
        return Some("placeholders are written `:name`, one a segment");
    }
    if super::paths::is_odd(template.as_bytes()) {
        return Some("has a form that is never matched (dot segments, empty segments, encoded slashes, `;`)");
    }
    if template_segments(template).len() > MAX_SEGMENTS {
        return Some("has more than 64 segments");
    }
    let names: Vec<&str> = parameters(template).collect();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    if !names.iter().all(|name| is_name(name)) {
        return Some("the name of a placeholder has letters, digits, `_` and `-`");
    }
    if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
        return Some("has two placeholders of one name");
    }
    None
}

fn is_namespace(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests;
