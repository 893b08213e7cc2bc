//! A catalogue from an OpenAPI 3.0 or 3.1 document.
//!
//! Each path and method becomes a row. What OpenAPI does not say is proposed by rules that a
//! reader can follow, and is to be looked over: the resource is the last fixed segment of the
//! path in the singular, the action follows from the method, or from a last segment that is a
//! verb (`…/publish`). `$ref` is followed within the document. Where paths name one position
//! differently, the first name stands; where a segment mixes text and placeholder, the whole
//! segment becomes one; what then falls together with an earlier row is left out. Each such
//! choice is told.

use super::catalogue::template_segments;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// A path item's `$ref` is followed so often at most.
const MOST_REFERENCES: usize = 8;

/// The last segments that are actions by themselves.
const VERBS: [(&str, &str); 16] = [
    ("publish", "Publish"),
    ("published", "Publish"),
    ("unpublish", "Unpublish"),
    ("archive", "Archive"),
    ("archived", "Archive"),
    ("unarchive", "Unarchive"),
    ("validate", "Validate"),
    ("search", "Search"),
    ("query", "Search"),
    ("export", "Export"),
    ("revoke", "Revoke"),
    ("invoke", "Invoke"),
    ("execute", "Invoke"),
    ("resume", "Resume"),
    ("install", "Install"),
    ("process", "Process"),
];

/// A catalogue made of a document.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The catalogue, as JSON.
    pub catalogue: Value,
    /// Its rows.
    pub rows: usize,
    /// What was chosen or left out.
    pub remarks: Vec<String>,
}

/// Why a document makes no catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Another kind of document, or another version.
    #[error("not an OpenAPI 3.0 or 3.1 document: `openapi` is {0}")]
    Version(String),
    /// It has no paths.
    #[error("the document has no paths")]
    NoPaths,
}

/// Makes a catalogue of this name.
///
/// # Errors
/// When the document is none of OpenAPI 3.0 or 3.1, or has no paths.
pub fn import(document: &Value, name: &str) -> Result<Imported, ImportError> {
    match &document["openapi"] {
        Value::String(version) if version.starts_with("3.0") || version.starts_with("3.1") => {}
        other => return Err(ImportError::Version(other.to_string())),
    }
    let paths =
        document["paths"].as_object().filter(|paths| !paths.is_empty()).ok_or(ImportError::NoPaths)?;
    let mut import =
        Import { remarks: Vec::new(), names: HashMap::new(), shapes: HashSet::new(), rows: Vec::new() };
    for (path, item) in paths {
        let item = import.follow(document, path, item);
        let Some(item) = item.as_object() else { continue };
        for base in bases(document, item) {
            for method in METHODS {
                if let Some(operation) = item.get(method) {
                    import.row(method, &format!("{base}{path}"), operation);
                }
            }
        }
    }
    let Import { remarks, rows, .. } = import;
    let mut catalogue = Map::new();
    catalogue.insert("name".into(), name.into());
    if let Some(host) = host(document) {
        catalogue.insert("api_host".into(), host.into());
    }
    let count = rows.len();
    catalogue.insert("routes".into(), rows.into());
    Ok(Imported { catalogue: catalogue.into(), rows: count, remarks })
}

struct Import {
    remarks: Vec<String>,
    /// The name of the placeholder behind each position.
    names: HashMap<String, String>,
    shapes: HashSet<String>,
    rows: Vec<Value>,
}

impl Import {
    fn follow<'d>(&mut self, document: &'d Value, path: &str, item: &'d Value) -> &'d Value {
        let mut item = item;
        for _ in 0..MOST_REFERENCES {
            let Some(reference) = item.get("$ref").and_then(Value::as_str) else { return item };
            match reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)) {
                Some(found) => item = found,
                None => {
                    self.remarks.push(format!("{path}: left out; {reference} is not in this document"));
                    return &Value::Null;
                }
            }
        }
        self.remarks.push(format!("{path}: left out; its references never end"));
        &Value::Null
    }

    fn row(&mut self, method: &str, path: &str, operation: &Value) {
        let method = method.to_ascii_uppercase();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if path.contains("//") {
            self.remarks.push(format!("{method} {path}: left out; the path has empty segments"));
            return;
        }
        let (template, shape) = self.template(path);
        if let Some(why) = super::catalogue::template_fault(&template) {
            self.remarks.push(format!("{method} {path}: left out; the path {why}"));
            return;
        }
        if !self.shapes.insert(format!("{method} {shape}")) {
            self.remarks.push(format!("{method} {path}: left out; another path has the same form"));
            return;
        }
        let segments = template_segments(&template);
        let verb = segments.last().and_then(|last| VERBS.iter().find(|(verb, _)| verb == last));
        let verb = verb.filter(|_| method == "POST" || method == "PUT");
        let fixed = |segments: &[&str]| {
            segments.iter().rev().find(|segment| !segment.starts_with(':')).map(|s| (*s).to_owned())
        };
        let named = &segments[..segments.len() - usize::from(verb.is_some())];
        let resource = fixed(named).map_or_else(|| "Resource".to_owned(), |segment| singular(&segment));
        let action = match (verb, method.as_str()) {
            (Some((_, action)), _) => action,
            (None, "POST") => "Create",
            (None, "PUT" | "PATCH") => "Update",
            (None, "DELETE") => "Delete",
            _ => "Read",
        };
        let parameter = named.last().and_then(|last| last.strip_prefix(':'));
        let mut row = json!({
            "method": method, "template": template, "resource": resource,
            "resource_param": parameter, "action": action,
        });
        if let Some(id) = operation.get("operationId").and_then(Value::as_str) {
            row["source"] = id.into();
        }
        self.rows.push(row);
    }

    /// The template of a path, and the same without the names of placeholders.
    fn template(&mut self, path: &str) -> (String, String) {
        let (mut template, mut shape) = (String::new(), String::new());
        let inner = path.strip_prefix('/').unwrap_or(path);
        for segment in inner.strip_suffix('/').unwrap_or(inner).split('/') {
            template.push('/');
            shape.push('/');
            if !segment.contains('{') && !segment.starts_with(':') {
                template.push_str(segment);
                shape.push_str(segment);
                continue;
            }
            let plain = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
            let own = placeholder(segment);
            if plain.is_none_or(|name| name.contains(['{', '}'])) {
                self.remarks.push(format!("{path}: `{segment}` became `:{own}`, the whole segment"));
            }
            let mut name = self.names.entry(shape.clone()).or_insert_with(|| own.clone()).clone();
            if name != own {
                self.remarks.push(format!("{path}: `{segment}` is called `:{name}`, as in earlier paths"));
            }
            // One template has each name once; the position's name is settled by who came first.
            while template_segments(&template).contains(&format!(":{name}").as_str()) {
                name.push('_');
                self.names.insert(shape.clone(), name.clone());
            }
            template.push(':');
            template.push_str(&name);
            shape.push(':');
        }
        (template, shape)
    }
}

fn placeholder(segment: &str) -> String {
    let name: String =
        segment.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let name = name.trim_matches('_');
    if name.is_empty() { "value".to_owned() } else { name.to_owned() }
}

/// Where the paths of an item begin: the paths of the servers, each once.
fn bases(document: &Value, item: &Map<String, Value>) -> Vec<String> {
    let servers = item.get("servers").or_else(|| document.get("servers")).and_then(Value::as_array);
    let mut bases: Vec<String> = Vec::new();
    for server in servers.into_iter().flatten() {
        let base = server_path(server);
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    if bases.is_empty() { vec![String::new()] } else { bases }
}

fn resolved(server: &Value) -> String {
    let mut url = server["url"].as_str().unwrap_or_default().to_owned();
    for (name, variable) in server["variables"].as_object().into_iter().flatten() {
        url = url.replace(&format!("{{{name}}}"), variable["default"].as_str().unwrap_or_default());
    }
    url
}

fn server_path(server: &Value) -> String {
    let url = resolved(server);
    let path = match behind_scheme(&url) {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url.trim_start_matches("./").trim_start_matches('.'),
    };
    match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// What stands behind `https://`, or behind `//` alone.
fn behind_scheme(url: &str) -> Option<&str> {
    url.strip_prefix("//").or_else(|| Some(url.split_once("://")?.1))
}

fn host(document: &Value) -> Option<String> {
    let url = resolved(document["servers"].as_array()?.first()?);
    let rest = behind_scheme(&url)?;
    let host = rest.split(['/', ':']).next().filter(|host| !host.is_empty() && !host.contains('{'))?;
    Some(host.to_owned())
}

/// `content_types` → `ContentType`.
fn singular(segment: &str) -> String {
    let one = match segment {
        s if s.len() > 4 && s.ends_with("ies") => format!("{}y", &s[..s.len() - 3]),
        s if ["sses", "xes", "ches", "shes"].iter().any(|end| s.ends_with(end)) => {
            s[..s.len() - 2].to_owned()
        }
        s if s.len() > 2 && s.ends_with('s') && !["ss", "us", "is"].iter().any(|end| s.ends_with(end)) => {
            s[..s.len() - 1].to_owned()
        }
        s => s.to_owned(),
    };
    let mut out = String::new();
    for word in one.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        out.push_str(&first.to_ascii_uppercase());
        out.push_str(rest);
    }
    if out.is_empty() { "Resource".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{Catalogue, CatalogueFormat, RouteTable};

    #[test]
    fn a_document_becomes_a_catalogue_that_is_accepted() {
        let document = json!({
            "openapi": "3.1.0",
            "servers": [{"url": "https://{region}.api.test:8443/v1/", "variables": {"region": {"default": "eu"}}}],
            "paths": {
                "/pets": {"get": {"operationId": "listPets"}, "post": {}},
                "/pets/{petId}": {"get": {}, "delete": {}, "parameters": []},
                "/pets/{id}/publish": {"post": {}},
                "/pets/{pet}/photos/{id}.{ext}": {"get": {}},
                "/stores/{id}": {"$ref": "#/components/pathItems/store"},
                "/gone": {"$ref": "other.yaml#/x"},
                "/categories/{a}/boxes/{a}": {"put": {}}
            },
            "components": {"pathItems": {"store": {"patch": {}}}}
        });
        let imported = import(&document, "pets").unwrap();
        let text = imported.catalogue.to_string();
        let catalogue = Catalogue::parse("pets.json", &text, CatalogueFormat::Json).unwrap();
        assert_eq!((catalogue.len(), imported.rows), (8, 8));
        assert_eq!(catalogue.api_host(), Some("eu.api.test"));
        let table = RouteTable::build(&[catalogue], "eu.api.test").unwrap();
        let route = |method: &str, path: &str| {
            let found = table.find(method.as_bytes(), path.as_bytes()).unwrap();
            let route = table.route(found.route);
            (route.template.clone(), route.resource_type.clone(), route.action.as_str())
        };
        assert_eq!(route("GET", "/v1/pets"), ("/v1/pets".into(), "Pet".into(), "read"));
        assert_eq!(
            route("POST", "/v1/pets/7/publish"),
            ("/v1/pets/:id/publish".into(), "Pet".into(), "publish")
        );
        assert_eq!(route("GET", "/v1/pets/7/photos/a.png").1, "Photo");
        assert_eq!(route("PATCH", "/v1/stores/7").2, "update");
        assert_eq!(route("PUT", "/v1/categories/1/boxes/2").0, "/v1/categories/:a/boxes/:a_");
        assert!(
            imported.remarks.iter().any(|remark| remark.contains("other.yaml")),
            "{:?}",
            imported.remarks
        );
    }

    #[test]
    fn servers_without_a_scheme_and_paths_with_empty_segments_are_understood() {
        let of = |server: &str, path: &str| {
            let document =
                json!({"openapi": "3.0.0", "servers": [{"url": server}], "paths": {path: {"get": {}}}});
            let imported = import(&document, "x").unwrap();
            let template = imported.catalogue["routes"][0]["template"].as_str().map(str::to_owned);
            (template, imported.catalogue["api_host"].as_str().map(str::to_owned))
        };
        let is = |template: &str, host: Option<&str>| (Some(template.to_owned()), host.map(str::to_owned));
        assert_eq!(of("//kubernetes.local", "/api/v1"), is("/api/v1", Some("kubernetes.local")));
        assert_eq!(of("//h.test/base/", "/a"), is("/base/a", Some("h.test")));
        assert_eq!(of("api/v2", "/a"), is("/api/v2/a", None));
        assert_eq!(of("./v2", "/a"), is("/v2/a", None));
        assert_eq!(of("/", "/a/"), is("/a", None));
        assert_eq!(of("/", "/a//").0, None);
    }

    #[test]
    fn other_documents_are_refused_in_words() {
        assert_eq!(
            import(&json!({"swagger": "2.0"}), "x").unwrap_err().to_string(),
            "not an OpenAPI 3.0 or 3.1 document: `openapi` is null"
        );
        assert_eq!(import(&json!({"openapi": "3.0.3", "paths": {}}), "x").unwrap_err(), ImportError::NoPaths);
        let endless = json!({"openapi": "3.0.3", "paths": {"/a": {"$ref": "#/paths/~1a"}}});
        assert!(import(&endless, "x").unwrap().remarks[0].ends_with("never end"));
    }
}
