//! What responses tell of who acts: rules of a catalogue's head (`learn`).
//!
//! A rule says in which responses, and where in them, an API names the one who sent the
//! request (`sender`: `GET /users/me`, `sys.updatedBy` of writes), to whom a credential
//! belongs (`holder`: a response that hands one out), what somebody is called (`person`), or
//! to which organization a space belongs (`space`).

use super::meaning::Action;
use super::problem::{CatalogueFault, CatalogueProblem};
use super::reader::{Place, Reader};
use super::route::{Pointers, Route};
use serde_json::Value;
use std::sync::Arc;

/// Of whom a response tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// The one who sent the request.
    #[default]
    Sender,
    /// The one whom a credential in the response belongs to.
    Holder,
    /// Anyone, by id.
    Person,
    /// A space, by id: its organization.
    Space,
}

/// One rule. All pointers go into the response body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learn {
    /// Of whom.
    pub about: About,
    /// The exchange must have done one of these; empty: any.
    pub actions: Vec<Action>,
    /// Pointer to the elements of a list, each of which tells; empty: the body itself does.
    pub each: String,
    /// The credential. Never leaves memory.
    pub credential: Option<String>,
    /// An object with `id`, and `linkType` (`User`, `AppDefinition`).
    pub link: Option<String>,
    /// `actor.id`.
    pub id: Option<String>,
    /// The placeholder of the path that is `actor.id`.
    pub id_param: Option<String>,
    /// `actor.type`, where no link says it.
    pub kind: &'static str,
    /// Parts of `actor.name`.
    pub name: Vec<String>,
    /// `actor.email`.
    pub email: Option<String>,
    /// `NS.organization.id` of a space.
    pub organization: Option<String>,
}

/// Types of actors that a rule can name.
const KINDS: [&str; 4] = ["user", "app", "api_key", "service"];

impl Learn {
    /// Whether it is the API's word on the credential itself, and not on what it did.
    #[must_use]
    pub fn is_own_word(&self) -> bool {
        self.link.is_none()
    }

    /// Where it looks in the response.
    pub fn pointers(&self) -> impl Iterator<Item = String> {
        let link = self.link.iter().flat_map(|link| ["/id", "/linkType"].map(|name| format!("{link}{name}")));
        let plain = [&self.credential, &self.id, &self.email, &self.organization]
            .into_iter()
            .flatten()
            .chain(&self.name);
        plain.cloned().chain(link).map(|pointer| format!("{}{pointer}", self.each))
    }
}

impl Route {
    /// Where the rules that concern it look.
    #[must_use]
    pub fn learn_pointers(&self) -> Pointers {
        let response = self.learn.iter().flat_map(|learn| learn.pointers()).collect();
        Pointers { response, ..Pointers::default() }
    }
}

/// A rule with the rows that it concerns.
pub(super) struct Rule {
    learn: Arc<Learn>,
    routes: Vec<String>,
    place: Place,
}

/// Reads the rules of a head.
pub(super) fn read(head: &mut Reader<'_>) -> Vec<Rule> {
    let values: Vec<Value> = head.take("learn").unwrap_or_default();
    let mut rules = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let place = Place { prefix: format!("learn.{}.", index + 1), ..head.place.clone() };
        rules.extend(read_rule(Reader::new(value, place, head.problems)));
    }
    rules
}

fn read_rule(mut rule: Reader<'_>) -> Option<Rule> {
    let routes: Vec<String> = rule.take("routes").unwrap_or_default();
    let names: Vec<String> = rule.take("actions").unwrap_or_default();
    let mut actions = Vec::new();
    for name in names {
        match Action::from_catalogue(&name) {
            Some(action) => actions.push(action),
            None => rule.report("actions", CatalogueFault::UnknownAction(name)),
        }
    }
    if routes.is_empty() == actions.is_empty() {
        let why = "wants either `routes` (as \"GET /users/me\") or `actions`";
        rule.report("routes", CatalogueFault::Form(why.to_owned()));
    }
    let about = match rule.take::<String>("about").as_deref() {
        None | Some("sender") => About::Sender,
        Some("holder") => About::Holder,
        Some("person") => About::Person,
        Some("space") => About::Space,
        Some(other) => {
            let why = format!("`{other}` is not one of sender, holder, person, space");
            rule.report("about", CatalogueFault::Form(why));
            About::Sender
        }
    };
    let kind = rule.take::<String>("type").unwrap_or_else(|| "user".to_owned());
    let known = KINDS.into_iter().find(|known| *known == kind);
    if known.is_none() {
        let why = format!("`{kind}` is not one of {}", KINDS.join(", "));
        rule.report("type", CatalogueFault::Form(why));
    }
    let names: Vec<String> = rule.take("name").unwrap_or_default();
    if names.iter().any(|pointer| !pointer.starts_with('/')) {
        rule.report("name", CatalogueFault::Form("wants a list of JSON pointers".to_owned()));
    }
    let learn = Learn {
        about,
        actions,
        each: rule.pointer("each").unwrap_or_default(),
        credential: rule.pointer("credential"),
        link: rule.pointer("link"),
        id: rule.pointer("id"),
        id_param: rule.take("id_param"),
        kind: known?,
        name: names,
        email: rule.pointer("email"),
        organization: rule.pointer("organization"),
    };
    let missing = match about {
        About::Sender => {
            (learn.id.is_none() && learn.link.is_none() && learn.id_param.is_none()).then_some("id")
        }
        About::Holder => learn.credential.is_none().then_some("credential"),
        About::Person => learn.id.is_none().then_some("id"),
        About::Space if learn.organization.is_none() => Some("organization"),
        About::Space => (learn.id.is_none() && learn.id_param.is_none()).then_some("id"),
    };
    if let Some(key) = missing {
        rule.report(key, CatalogueFault::Missing);
    }
    let place = rule.place.clone();
    rule.finish();
    Some(Rule { learn: Arc::new(learn), routes, place })
}

/// Gives each row the rules that concern it.
pub(super) fn spread<'r>(
    rules: Vec<Rule>,
    rows: impl Iterator<Item = &'r mut Route>,
    problems: &mut Vec<CatalogueProblem>,
) {
    let mut found: Vec<Vec<bool>> = rules.iter().map(|rule| vec![false; rule.routes.len()]).collect();
    for route in rows {
        let row = format!("{} {}", route.method, route.template);
        for (rule, found) in rules.iter().zip(&mut found) {
            let named = rule.routes.iter().position(|name| *name == row);
            if let Some(named) = named {
                found[named] = true;
            }
            let changes = !matches!(route.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
            let mut means = route.variants.iter().map(|variant| variant.action).chain([route.action]);
            if named.is_some() || changes && means.any(|action| rule.learn.actions.contains(&action)) {
                route.learn.push(Arc::clone(&rule.learn));
            }
        }
    }
    for (rule, found) in rules.iter().zip(found) {
        for (name, _) in rule.routes.iter().zip(found).filter(|(_, found)| !found) {
            let fault = CatalogueFault::Form(format!("there is no row `{name}`"));
            problems.push(rule.place.problem(Some("routes"), fault));
        }
    }
}
