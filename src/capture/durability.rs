//! Durability classes: how sure a client can be that its request is on record.
//!
//! What an operator says ([`DurabilityRules`]) becomes one byte for each row of a source's
//! counters ([`Durabilities`]) when the source is built; a request has found its row anyway.

use crate::metrics::{METHODS, SourceLabels};
use crate::routes::{Route, RouteTable};
use std::time::Duration;
use thiserror::Error;

/// What a client's complete response says about its record, from weak to strong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Durability {
    /// It is in the ring: the process's death does not take it.
    #[default]
    Async,
    /// It is on disk: power loss does not take it.
    Durable,
    /// As durable; and that there would be a request was on disk before the upstream saw it.
    Strict,
}

impl Durability {
    /// Its word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Durable => "durable",
            Self::Strict => "strict",
        }
    }
}

/// The classes of one source (`[source.durability]`). What says most about a request counts:
/// its route, else the strongest of its catalogue row's flags, else its method, else whether
/// its method is safe (RFC 9110 §9.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurabilityRules {
    /// Of safe methods.
    pub reads: Durability,
    /// Of all other methods.
    pub writes: Durability,
    /// Of single methods, in upper case.
    pub methods: Vec<(String, Durability)>,
    /// Of routes where credentials, rights or whole parts are at stake.
    pub sensitive: Option<Durability>,
    /// Of routes where one call touches many entities.
    pub bulk: Option<Durability>,
    /// Of routes that call or configure an AI feature.
    pub ai: Option<Durability>,
    /// Of single routes.
    pub routes: Vec<RouteRule>,
    /// How long a request may wait for the disk, each time.
    pub wait: Duration,
}

/// The class of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The row's method; `None`: every row of this template.
    pub method: Option<String>,
    /// The template as the catalogue writes it.
    pub template: String,
    /// The class.
    pub class: Durability,
}

impl Default for DurabilityRules {
    fn default() -> Self {
        Self {
            reads: Durability::Async,
            writes: Durability::Durable,
            methods: Vec::new(),
            sensitive: None,
            bulk: None,
            ai: None,
            routes: Vec::new(),
            wait: Duration::from_secs(2),
        }
    }
}

/// A rule names a route that no catalogue of the source has.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no catalogue of the source has the route {route}")]
pub struct UnknownRoute {
    /// Method and template as typed.
    pub route: String,
}

/// A source's classes, one a row of its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durabilities {
    rows: Box<[Durability]>,
    wait: Duration,
}

impl DurabilityRules {
    /// The class of every row.
    ///
    /// # Errors
    /// Every rule for a route that is not there.
    pub fn resolve(
        &self,
        labels: &SourceLabels,
        routes: &RouteTable,
    ) -> Result<Durabilities, Vec<UnknownRoute>> {
        let mut rows: Vec<Durability> =
            (0..labels.rows()).map(|row| self.by_method(labels.labels(row).1)).collect();
        let heads_of =
            |index: u32| [labels.row(Some(index), "HEAD"), labels.row(Some(index), labels.method(index))];
        for (index, route) in (0u32..).zip(routes.routes()) {
            if let Some(class) = self.by_flags(route.flags) {
                heads_of(index).into_iter().for_each(|row| rows[row] = class);
            }
        }
        let mut unknown = Vec::new();
        for rule in &self.routes {
            let meant = |route: &Route| {
                route.template == rule.template
                    && rule.method.as_ref().is_none_or(|method| *method == route.method)
            };
            let mut found = false;
            for (index, _) in (0u32..).zip(routes.routes()).filter(|(_, route)| meant(route)) {
                found = true;
                heads_of(index).into_iter().for_each(|row| rows[row] = rule.class);
            }
            if !found {
                let method = rule.method.as_ref().map(|method| format!("{method} ")).unwrap_or_default();
                unknown.push(UnknownRoute { route: format!("{method}{}", rule.template) });
            }
        }
        if unknown.is_empty() {
            Ok(Durabilities { rows: rows.into(), wait: self.wait })
        } else {
            Err(unknown)
        }
    }

    /// Whether the rules make any class strict.
    #[must_use]
    pub fn has_strict(&self) -> bool {
        let classes = [Some(self.reads), Some(self.writes), self.sensitive, self.bulk, self.ai];
        let classes = classes.into_iter().flatten().chain(self.methods.iter().map(|(_, class)| *class));
        classes.chain(self.routes.iter().map(|rule| rule.class)).any(|class| class == Durability::Strict)
    }

    fn by_flags(&self, flags: u8) -> Option<Durability> {
        let rules = [(Route::SENSITIVE, self.sensitive), (Route::BULK, self.bulk), (Route::AI, self.ai)];
        rules.into_iter().filter(|(flag, _)| flags & flag != 0).filter_map(|(_, class)| class).max()
    }

    fn by_method(&self, method: &str) -> Durability {
        let named = self.methods.iter().find(|(name, _)| name == method).map(|(_, class)| *class);
        let safe = matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
        named.unwrap_or(if safe { self.reads } else { self.writes })
    }
}

/// Whether a class can be given to this method by its name.
#[must_use]
pub fn is_known_method(method: &str) -> bool {
    METHODS.contains(&method) && method != "_OTHER"
}

impl Durabilities {
    /// The class of a row. One that is not there is taken for the strongest.
    #[must_use]
    pub fn of(&self, row: usize) -> Durability {
        self.rows.get(row).copied().unwrap_or(Durability::Strict)
    }

    /// How long a request may wait for the disk, each time.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourcePlan;
    use super::*;
    use crate::routes::{Catalogue, CatalogueFormat};
    use Durability::{Async, Durable, Strict};

    fn table() -> RouteTable {
        let text = r#"{"name": "t", "routes": [
            {"method": "GET", "template": "/things/:id", "resource": "Thing", "action": "Read"},
            {"method": "DELETE", "template": "/things/:id", "resource": "Thing", "action": "Delete"},
            {"method": "GET", "template": "/keys", "resource": "Key", "action": "Read", "sensitive": true, "bulk": true}
        ]}"#;
        let catalogue = Catalogue::parse("t.json", text, CatalogueFormat::Json).unwrap();
        RouteTable::build(&[catalogue], "api").unwrap()
    }

    fn class(rules: &DurabilityRules, method: &str, path: &str) -> Durability {
        let table = table();
        let labels = SourcePlan::labels("api", &table);
        let classes = rules.resolve(&labels, &table).unwrap();
        let matched = table.find(method.as_bytes(), path.as_bytes());
        classes.of(labels.row(matched.map(|matched| matched.route.0), method))
    }

    #[test]
    fn with_nothing_said_reads_are_async_and_writes_durable() {
        let rules = DurabilityRules::default();
        for (method, path, wanted) in [
            ("GET", "/things/1", Async),
            ("HEAD", "/things/1", Async),
            ("OPTIONS", "/other", Async),
            ("DELETE", "/things/1", Durable),
            ("POST", "/other", Durable),
            ("BREW", "/other", Durable),
        ] {
            assert_eq!(class(&rules, method, path), wanted, "{method} {path}");
        }
    }

    #[test]
    fn a_route_wins_over_flags_which_win_over_methods_which_win_over_the_source() {
        let rules = DurabilityRules {
            reads: Durable,
            methods: vec![("GET".into(), Async), ("DELETE".into(), Strict)],
            sensitive: Some(Durable),
            bulk: Some(Strict),
            routes: vec![RouteRule { method: None, template: "/things/:id".into(), class: Durable }],
            ..DurabilityRules::default()
        };
        for (method, path, wanted) in [
            ("GET", "/other", Async),
            ("HEAD", "/other", Durable),
            ("GET", "/keys", Strict),
            ("HEAD", "/keys", Strict),
            ("GET", "/things/1", Durable),
            ("DELETE", "/things/1", Durable),
            ("DELETE", "/other", Strict),
        ] {
            assert_eq!(class(&rules, method, path), wanted, "{method} {path}");
        }
        assert!(rules.has_strict() && !DurabilityRules::default().has_strict());
    }

    #[test]
    fn a_preflight_is_a_read_whatever_it_asks_for() {
        let table = table();
        let labels = SourcePlan::labels("api", &table);
        let rules = DurabilityRules { writes: Strict, ..DurabilityRules::default() };
        let index = table.find(b"DELETE", b"/things/1").unwrap().route.0;
        assert_eq!(rules.resolve(&labels, &table).unwrap().of(labels.row(Some(index), "OPTIONS")), Async);
    }

    #[test]
    fn a_rule_for_a_route_that_is_not_there_is_told() {
        let table = table();
        let route = |method: Option<&str>, template: &str| RouteRule {
            method: method.map(str::to_owned),
            template: template.into(),
            class: Strict,
        };
        let rules = DurabilityRules {
            routes: vec![route(Some("PUT"), "/things/:id"), route(None, "/nothing"), route(None, "/keys")],
            ..DurabilityRules::default()
        };
        let unknown = rules.resolve(&SourcePlan::labels("api", &table), &table).unwrap_err();
        let told: Vec<&str> = unknown.iter().map(|unknown| unknown.route.as_str()).collect();
        assert_eq!(told, ["PUT /things/:id", "/nothing"]);
    }
}
