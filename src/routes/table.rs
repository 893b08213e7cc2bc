//! The route table of one log source.
//!
//! Rows of several hosts can meet in one table. If the source's API host is
//! named by any row, rows that name another host stand back: they are looked up
//! only where no other row matches the path. If no row names it, hosts are
//! ignored. What is then still a tie goes to the row that names the host, then
//! to the earlier catalogue.

use super::catalogue::{Catalogue, Row, template_segments};
use super::paths;
use super::problem::{CatalogueFault, CatalogueProblem};
use super::route::Route;
use super::trie::{Parameters, Trie};
use http::HeaderName;
use std::collections::HashMap;

/// Which route of a table; below [`RouteTable::len`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(pub u32);

/// A route, and what stood in the place of its placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched<'p> {
    /// The route.
    pub route: RouteIndex,
    /// Parts of the path, as sent, in the order of the template.
    pub parameters: Parameters<'p>,
}

/// All routes of one log source, ready to be matched. Shared by reference; it never changes.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    trie: Trie,
    namespace: Option<String>,
    api_key_headers: Vec<HeaderName>,
    secret_query: Vec<String>,
    secret_headers: Vec<HeaderName>,
    request_id_headers: Vec<HeaderName>,
    user_agent_headers: Vec<HeaderName>,
}

/// Roots of the trie: rows for the source's host or any, and rows for other hosts.
const NEAR: u32 = 0;
const FAR: u32 = 1;

impl RouteTable {
    /// Builds a table from these catalogues, in falling order of precedence.
    /// `api_host` is the host name of the API as its vendor calls it, with or
    /// without port.
    ///
    /// # Errors
    /// Every conflict between rows: two names for one placeholder, or one
    /// method and template twice for one host.
    pub fn build(catalogues: &[Catalogue], api_host: &str) -> Result<Self, Vec<CatalogueProblem>> {
        let rows: Vec<Numbered<'_>> = catalogues
            .iter()
            .flat_map(|catalogue| {
                let number = |(index, row)| Numbered { catalogue: &catalogue.name, number: index + 1, row };
                catalogue.rows.iter().enumerate().map(number)
            })
            .collect();
        let (rows, mut problems) = replaced(rows);
        problems.extend(differing_names(&rows));
        problems.extend(duplicates(&rows));
        if !problems.is_empty() {
            return Err(problems);
        }
        let (routes, trie) = plant(&rows, api_host);
        Ok(Self {
            routes,
            trie,
            namespace: catalogues.iter().find_map(|catalogue| catalogue.namespace.clone()),
            api_key_headers: union(catalogues.iter().flat_map(|catalogue| &catalogue.api_key_headers)),
            secret_query: union(catalogues.iter().flat_map(|catalogue| &catalogue.secret_query)),
            secret_headers: union(catalogues.iter().flat_map(|catalogue| &catalogue.secret_headers)),
            request_id_headers: union(catalogues.iter().filter_map(|c| c.request_id_header.as_ref())),
            user_agent_headers: union(catalogues.iter().filter_map(|c| c.user_agent_header.as_ref())),
        })
    }

    /// The route of a request, if the catalogues have one. A HEAD request takes
    /// the GET row where there is no HEAD row. An odd path ([`paths::is_odd`])
    /// matches nothing. Does not allocate, unless a route has more than eight
    /// placeholders.
    #[must_use]
    pub fn find<'p>(&self, method: &[u8], path: &'p [u8]) -> Option<Matched<'p>> {
        let segments = paths::segments(path, self.trie.depth())?;
        let found = |root: u32| {
            self.trie
                .find(root, method, &segments)
                .or_else(|| if method == b"HEAD" { self.trie.find(root, b"GET", &segments) } else { None })
        };
        let (route, parameters) = found(NEAR).or_else(|| found(FAR))?;
        Some(Matched { route: RouteIndex(route), parameters })
    }

    /// Takes the organization from this placeholder (with its colon) in place of the one
    /// that the catalogues name.
    pub fn take_organization_from(&mut self, placeholder: &str) {
        for route in &mut self.routes {
            let parameters = route.template.split('/').filter(|segment| segment.starts_with(':'));
            let index = parameters.zip(0u8..).find(|(name, _)| *name == placeholder);
            route.organization = index.map(|(_, index)| index);
        }
    }

    /// The route of this index.
    ///
    /// # Panics
    /// If the index comes from another, larger table.
    #[must_use]
    pub fn route(&self, index: RouteIndex) -> &Route {
        &self.routes[index.0 as usize]
    }

    /// All routes, in the order of their index.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether nothing can match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The attribute namespace of the first catalogue that has one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Request headers in which any of the catalogues expects an API key;
    /// `Authorization` can be among them.
    #[must_use]
    pub fn api_key_headers(&self) -> &[HeaderName] {
        &self.api_key_headers
    }

    /// Query parameters whose values any of the catalogues, or a row of it, calls secret.
    #[must_use]
    pub fn secret_query(&self) -> &[String] {
        &self.secret_query
    }

    /// Headers whose values any of the catalogues, or a row of it, calls secret.
    #[must_use]
    pub fn secret_headers(&self) -> &[HeaderName] {
        &self.secret_headers
    }

    /// Response headers with the upstream's request id, for requests without a route.
    #[must_use]
    pub fn request_id_headers(&self) -> &[HeaderName] {
        &self.request_id_headers
    }

    /// Request headers in which software names itself, for requests without a route.
    #[must_use]
    pub fn user_agent_headers(&self) -> &[HeaderName] {
        &self.user_agent_headers
    }
}

/// A row and how problems call it.
#[derive(Clone, Copy)]
struct Numbered<'a> {
    catalogue: &'a str,
    number: usize,
    row: &'a Row,
}

impl Numbered<'_> {
    fn problem(&self, fault: CatalogueFault) -> CatalogueProblem {
        CatalogueProblem {
            catalogue: self.catalogue.to_owned(),
            row: Some(self.number),
            route: Some(format!("{} {}", self.row.route.method, self.row.route.template)),
            key: Some("template".to_owned()),
            fault,
        }
    }

    fn label(&self) -> String {
        let Route { method, template, .. } = &self.row.route;
        format!("route {} of `{}` ({method} {template})", self.number, self.catalogue)
    }

    fn names(&self, host: &str) -> bool {
        self.row.hosts.iter().any(|pattern| host_matches(pattern, host))
    }
}

/// Takes out the rows that a row of another catalogue replaces.
fn replaced(rows: Vec<Numbered<'_>>) -> (Vec<Numbered<'_>>, Vec<CatalogueProblem>) {
    let mut by_shape: HashMap<String, Vec<Numbered<'_>>> = HashMap::new();
    for row in rows.iter().filter(|row| row.row.replaces) {
        by_shape.entry(shape(&row.row.route)).or_default().push(*row);
    }
    if by_shape.is_empty() {
        return (rows, Vec::new());
    }
    let mut used: Vec<(&str, usize)> = Vec::new();
    let mut kept = Vec::with_capacity(rows.len());
    for row in &rows {
        let by = by_shape.get(&shape(&row.row.route)).into_iter().flatten();
        match by.clone().find(|by| !row.row.replaces && by.catalogue != row.catalogue) {
            Some(by) => used.push((by.catalogue, by.number)),
            None => kept.push(*row),
        }
    }
    let idle = |row: &&Numbered<'_>| row.row.replaces && !used.contains(&(row.catalogue, row.number));
    let problems = rows.iter().filter(idle).map(|row| CatalogueProblem {
        key: Some("replaces".to_owned()),
        ..row.problem(CatalogueFault::ReplacesNothing)
    });
    let problems = problems.collect();
    (kept, problems)
}

/// One position (everything before it, names left out) has one placeholder name.
fn differing_names(rows: &[Numbered<'_>]) -> Vec<CatalogueProblem> {
    let mut names: HashMap<String, (&str, Numbered<'_>)> = HashMap::new();
    let mut problems = Vec::new();
    for row in rows {
        let mut position = String::new();
        for segment in template_segments(&row.row.route.template) {
            position.push('/');
            let Some(name) = segment.strip_prefix(':') else {
                position.push_str(segment);
                continue;
            };
            let (other_name, other) = *names.entry(position.clone()).or_insert((name, *row));
            if other_name != name {
                problems.push(row.problem(CatalogueFault::NamesDiffer {
                    name: name.to_owned(),
                    other: other.label(),
                    other_name: other_name.to_owned(),
                }));
            }
            position.push(':');
        }
    }
    problems
}

/// One method and template comes once a host.
fn duplicates(rows: &[Numbered<'_>]) -> Vec<CatalogueProblem> {
    let mut places: HashMap<String, Vec<Numbered<'_>>> = HashMap::new();
    let mut problems = Vec::new();
    for row in rows {
        let others = places.entry(shape(&row.row.route)).or_default();
        if let Some(other) = others.iter().find(|other| share_a_host(&other.row.hosts, &row.row.hosts)) {
            problems.push(row.problem(CatalogueFault::Duplicate(other.label())));
        }
        others.push(*row);
    }
    problems
}

/// Method and template with the names of placeholders left out.
fn shape(route: &Route) -> String {
    let segments = template_segments(&route.template);
    let mut shape = route.method.clone();
    for segment in segments {
        shape.push('/');
        shape.push_str(if segment.starts_with(':') { ":" } else { segment });
    }
    shape
}

fn plant(rows: &[Numbered<'_>], api_host: &str) -> (Vec<Route>, Trie) {
    let host = api_host.rsplit_once(':').map_or(api_host, |(name, _port)| name);
    let named = rows.iter().any(|row| row.names(host));
    let is_far = |row: &Numbered<'_>| named && !row.row.hosts.is_empty() && !row.names(host);
    let mut order: Vec<&Numbered<'_>> = rows.iter().collect();
    // Stable: rows of one rank keep the order of the catalogues.
    order.sort_by_key(|row| (is_far(row), named && !row.names(host)));
    let mut routes = Vec::with_capacity(rows.len());
    let mut trie = Trie::new(2);
    for row in order {
        let route = &row.row.route;
        let root = if is_far(row) { FAR } else { NEAR };
        let index = u32::try_from(routes.len()).unwrap_or(u32::MAX);
        if trie.insert(root, &route.method, &template_segments(&route.template), index) {
            routes.push(route.clone());
        }
    }
    (routes, trie)
}

/// Whether a host is meant by a pattern: label by label, letter case aside; a
/// label that begins with `:` stands for any one label.
fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut labels = host.split('.');
    let every = pattern.split('.').all(|wanted| {
        labels.next().is_some_and(|label| wanted.starts_with(':') || wanted.eq_ignore_ascii_case(label))
    });
    every && labels.next().is_none()
}

/// Rows without hosts are for any host, but yield to one that names it.
fn share_a_host(one: &[String], other: &[String]) -> bool {
    (one.is_empty() && other.is_empty())
        || one.iter().any(|a| other.iter().any(|b| host_matches(a, b) || host_matches(b, a)))
}

fn union<'a, T: Clone + PartialEq + 'a>(values: impl Iterator<Item = &'a T>) -> Vec<T> {
    let mut all = Vec::new();
    for value in values {
        if !all.contains(value) {
            all.push(value.clone());
        }
    }
    all
}

#[cfg(test)]
mod entities;
#[cfg(test)]
mod tests;
