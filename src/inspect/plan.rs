//! What is wanted of the bodies of each route.

use super::COUNTS_FOR;
use super::select::Selection;
use super::wants::Wants;
use crate::patterns::Patterns;
use crate::routes::{Pointers, Route, RouteIndex, RouteTable, is_safe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is wanted of each route of one table.
#[derive(Debug, Default)]
pub struct BodyPlans {
    wants: Vec<Wants>,
    plans: Vec<Option<Box<RoutePlan>>>,
    patterns: Option<Arc<Patterns>>,
    /// Until when results of an AI feature are awaited, in Unix microseconds; 0: none are, and
    /// the largest number: one is on its way.
    awaited: AtomicU64,
}

/// What is read of the bodies of one route.
#[derive(Debug, Default)]
pub(super) struct RoutePlan {
    pub(super) request: Selection,
    pub(super) response: Selection,
    pub(super) request_entities: Vec<Entity>,
    pub(super) response_entities: Vec<Entity>,
    /// What was done here may change a state that other routes show.
    pub(super) changes_state: bool,
    /// What it acts on is what its container was last seen to hold.
    pub(super) recalls: bool,
    /// It shows or changes what such a container holds.
    pub(super) remembers: bool,
    /// What it names is what it shows, and not what it acts on: nothing for the record.
    pub(super) shows_only: bool,
    /// The catalogue itself wants nothing of the response: what it can't tell, no record lacks.
    pub(super) response_for_others: bool,
    /// The same of the request.
    pub(super) request_for_others: bool,
}

/// Where an entity is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    /// JSON pointer to the object that names it.
    pub(super) object: String,
    /// The name of the id in that object.
    pub(super) id: String,
}

/// Where the type stands beside the id, in falling order of precision.
pub(super) const TYPES: [&str; 3] = ["linkType", "entityType", "type"];

impl BodyPlans {
    /// Plans for the routes of this table. `more` names what others want to see beside what
    /// the catalogue says; unlike the catalogue's, these pointers may go to secrets, which
    /// then must not leave memory.
    #[must_use]
    pub fn new(table: &RouteTable, more: &dyn Fn(&Route) -> Pointers) -> Self {
        let has_states = |route: &Route| route.variants.iter().any(|v| !v.when.prior_status.is_empty());
        let stateful: Vec<&str> = table
            .routes()
            .iter()
            .filter(|route| has_states(route) || route.state_pointer.is_some())
            .map(|route| route.resource_type.as_str())
            .collect();
        let mut plans = Self::default();
        for route in table.routes() {
            let own = plan(route, &Pointers::default());
            let mut plan = plan(route, &more(route));
            containers(table, route, &mut plan);
            plan.response_for_others = own.response.is_empty();
            plan.request_for_others = own.request.is_empty();
            route.ai_result_pointer.iter().for_each(|pointer| plan.response.add(pointer));
            plan.changes_state = !is_safe(&route.method) && stateful.contains(&route.resource_type.as_str());
            let nothing =
                own.request.is_empty() && own.response.is_empty() && !plan.changes_state && !plan.recalls;
            let is_quiet = nothing && !(plan.request.is_empty() && plan.response.is_empty());
            let bits = [
                (!plan.request.is_empty(), Wants::REQUEST),
                (!plan.response.is_empty(), Wants::RESPONSE),
                (plan.changes_state || plan.recalls || plan.remembers && !plan.shows_only, Wants::TOLD),
                (is_quiet, Wants::QUIET),
                (!route.ai_saved_pointers.is_empty(), Wants::AWAITS),
                (route.ai_result_pointer.is_some(), Wants::ARMS),
            ];
            let wants = bits.iter().filter(|(wanted, _)| *wanted).fold(0, |all, (_, bit)| all | bit);
            route.ai_saved_pointers.iter().for_each(|pointer| plan.request.add(pointer));
            plans.wants.push(Wants(wants));
            plans.plans.push((wants != 0).then(|| Box::new(plan)));
        }
        plans
    }

    /// Takes out of what is found what these patterns find.
    #[must_use]
    pub fn with_patterns(self, patterns: Option<Arc<Patterns>>) -> Self {
        Self { patterns, ..self }
    }

    pub(super) fn patterns(&self) -> Option<&Patterns> {
        self.patterns.as_deref()
    }

    /// What this route wants.
    #[inline]
    #[must_use]
    pub fn wants(&self, route: RouteIndex) -> Wants {
        let wants = self.wants.get(route.0 as usize).copied().unwrap_or_default();
        if wants.0 & (Wants::AWAITS | Wants::ARMS) == 0 { wants } else { self.awaiting(wants) }
    }

    #[cold]
    fn awaiting(&self, wants: Wants) -> Wants {
        let awaited = self.awaited.load(Ordering::Relaxed);
        if wants.0 & Wants::ARMS != 0 && awaited != u64::MAX {
            self.awaited.store(u64::MAX, Ordering::Relaxed);
        }
        match wants.0 & Wants::AWAITS != 0 && awaited != 0 {
            true => Wants(wants.0 & !(Wants::AWAITS | Wants::QUIET) | Wants::REQUEST),
            false => wants,
        }
    }

    /// Follows what was looked into: how long results are awaited behind the last invocation
    /// or result.
    pub(super) fn looked_into(&self, route: RouteIndex, start: u64) {
        let Some(wants) = self.wants.get(route.0 as usize) else { return };
        let awaited = self.awaited.load(Ordering::Relaxed);
        let until = match () {
            () if wants.0 & Wants::ARMS != 0 => start.saturating_add(COUNTS_FOR),
            () if wants.0 & Wants::AWAITS == 0 => return,
            () if awaited == u64::MAX => start.saturating_add(COUNTS_FOR),
            () if awaited < start => 0,
            () => return,
        };
        self.awaited.store(until, Ordering::Relaxed);
    }

    pub(super) fn plan(&self, route: RouteIndex) -> Option<&RoutePlan> {
        self.plans.get(route.0 as usize)?.as_deref()
    }
}

fn plan(route: &Route, more: &Pointers) -> RoutePlan {
    let mut plan = RoutePlan::default();
    let secret = &route.secret_pointers;
    for (affected, secret, entities, selection) in [
        (&route.affected_pointers.request, &secret.request, &mut plan.request_entities, &mut plan.request),
        (
            &route.affected_pointers.response,
            &secret.response,
            &mut plan.response_entities,
            &mut plan.response,
        ),
    ] {
        for entity in affected.iter().filter_map(|pointer| entity(pointer)) {
            let id = format!("{}/{}", entity.object, entity.id);
            if is_secret(&id, secret) {
                continue;
            }
            selection.add(&id);
            TYPES.iter().for_each(|name| selection.add(&format!("{}/{name}", entity.object)));
            entities.push(entity);
        }
    }
    for variant in &route.variants {
        let when = &variant.when;
        let pointers = when.request_body_pointer.iter();
        let pointers =
            pointers.chain(when.request_body_equals.keys()).chain(when.request_body_contains.keys());
        pointers.filter(|pointer| !is_secret(pointer, &secret.request)).for_each(|p| plan.request.add(p));
    }
    route.environment_pointer.iter().for_each(|pointer| plan.request.add(pointer));
    let in_response = [&route.resource_id_pointer, &route.state_pointer];
    for pointer in in_response.into_iter().flatten().filter(|p| !is_secret(p, &secret.response)) {
        plan.response.add(pointer);
    }
    more.request.iter().for_each(|pointer| plan.request.add(pointer));
    more.response.iter().for_each(|pointer| plan.response.add(pointer));
    plan
}

/// Whether a row acts on all that a resource of its type holds, and names none of it.
fn recalls(route: &Route) -> bool {
    let affected = &route.affected_pointers;
    route.flags & Route::BULK != 0
        && route.resource.is_some()
        && affected.request.is_empty()
        && !affected.response.is_empty()
}

/// Rows of a type that some row acts on as a whole tell what it holds.
fn containers(table: &RouteTable, route: &Route, plan: &mut RoutePlan) {
    let of_type = || table.routes().iter().filter(|other| other.resource_type == route.resource_type);
    if !of_type().any(recalls) {
        return;
    }
    plan.recalls = recalls(route);
    let last_is_id = route.template.rsplit('/').next().is_some_and(|last| last.starts_with(':'));
    if plan.recalls
        || !(last_is_id && route.resource.is_some()
            || route.method == "POST" && route.resource_id_pointer.is_some())
    {
        return;
    }
    plan.remembers = true;
    plan.shows_only = is_safe(&route.method);
    if plan.shows_only {
        let pointers = of_type().flat_map(|other| &other.affected_pointers.response);
        for entity in pointers.filter_map(|pointer| entity(pointer)) {
            if !plan.response_entities.contains(&entity) {
                plan.response.add(&format!("{}/{}", entity.object, entity.id));
                TYPES.iter().for_each(|name| plan.response.add(&format!("{}/{name}", entity.object)));
                plan.response_entities.push(entity);
            }
        }
    }
}

/// The entity that an affected pointer names: one that ends with an id, or with elements that
/// are entities themselves. Others are remarks about it (versions, dates).
fn entity(pointer: &str) -> Option<Entity> {
    let (object, last) = pointer.rsplit_once('/')?;
    match last {
        "id" | "entityId" => Some(Entity { object: object.to_owned(), id: last.to_owned() }),
        "*" => Some(Entity { object: format!("{pointer}/sys"), id: "id".to_owned() }),
        _ => None,
    }
}

/// Whether a pointer goes to a secret, into one, or to something that holds one.
fn is_secret(pointer: &str, secrets: &[String]) -> bool {
    let below = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'));
    secrets.iter().any(|secret| pointer == secret || below(pointer, secret) || below(secret, pointer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Catalogue;

    fn of(method: &str, template: &str) -> (Wants, Option<RoutePlan>) {
        let catalogue = Catalogue::preset("contentful-management").unwrap();
        let table = RouteTable::build(&[catalogue], "api.contentful.com").unwrap();
        let route = table.routes().iter().find(|r| r.method == method && r.template == template).unwrap();
        let plans = BodyPlans::new(&table, &|_| Pointers::default());
        let index = table.routes().iter().position(|other| std::ptr::eq(other, route)).unwrap() as u32;
        let plan = plans.plan(RouteIndex(index)).map(|_| plan(route, &Pointers::default()));
        (plans.wants(RouteIndex(index)), plan)
    }

    #[test]
    fn only_routes_that_need_a_body_want_one() {
        let (wants, plan) = of("PUT", "/spaces/:space/environments/:environment/entries/:entry");
        assert!(!wants.any() && !wants.quiet() && plan.is_some(), "only while results are awaited");
        let (wants, plan) = of("PUT", "/spaces/:space/environments/:environment/locales/:locale");
        assert!(!wants.any() && plan.is_none());
        let (wants, _) = of("POST", "/spaces/:space/environments/:environment/entries");
        assert!(wants.response() && !wants.request() && !wants.told());
        let (wants, plan) = of("POST", "/spaces/:space/environments/:environment/bulk_actions/publish");
        assert!(wants.response() && wants.request());
        let object = "/entities/items/*/sys".to_owned();
        assert_eq!(plan.unwrap().request_entities, [Entity { object, id: "id".to_owned() }]);
    }

    #[test]
    fn bodies_of_entries_are_wanted_for_an_hour_from_an_invocation_on() {
        let catalogue = Catalogue::preset("contentful-management").unwrap();
        let table = RouteTable::build(&[catalogue], "api.contentful.com").unwrap();
        let plans = BodyPlans::new(&table, &|_| Pointers::default());
        let find = |method: &str, path: &str| table.find(method.as_bytes(), path.as_bytes()).unwrap().route;
        let entry = find("PATCH", "/spaces/s/environments/e/entries/x");
        let invoke = find("POST", "/spaces/s/environments/e/ai/actions/a/invoke");
        assert!(!plans.wants(entry).any());
        assert!(plans.wants(invoke).request());
        assert!(plans.wants(entry).request() && !plans.wants(entry).quiet());
        plans.looked_into(invoke, 10);
        plans.looked_into(entry, 10 + COUNTS_FOR);
        assert!(plans.wants(entry).request());
        plans.looked_into(entry, 11 + COUNTS_FOR);
        assert!(!plans.wants(entry).any());
    }

    #[test]
    fn what_a_catalogue_calls_secret_is_never_selected() {
        let (_, plan) = of("GET", "/spaces/:space/environments/:environment/bulk_operations/:bulk_operation");
        // The signed download stands among the affected pointers too.
        assert_eq!(
            plan.unwrap()
                .response
                .read(br#"{"result":{"files":[{"url":"canary"}],"items":[{"sys":{"id":"a"}}]}}"#)
                .unwrap()
                .to_string(),
            r#"{"result":{"items":[{"sys":{"id":"a"}}]}}"#
        );
        let secrets = ["/a/*/b".to_owned()];
        for pointer in ["/a/*/b", "/a/*/b/c", "/a/*", "/a"] {
            assert!(is_secret(pointer, &secrets), "{pointer}");
        }
        assert!(!is_secret("/a/*/bc", &secrets));
    }
}
