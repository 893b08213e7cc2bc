//! What the wanted parts of bodies say of an exchange.

use super::plan::{Entity, RoutePlan, TYPES};
use super::select::each;
use crate::record::{Field, RecordView, RecordWriter};
use crate::routes::{Action, Route, Settled, When};
use serde_json::Value;

/// Bytes of an id that are taken at most; a longer one is not an id.
const MOST_ID: usize = 512;

/// What a condition comes to.
enum Weighed {
    Holds,
    Fails,
    /// It depends on a state that nobody saw.
    Unknown,
}

/// Writes the action that the bodies and the state before decide, and returns it if it is one.
pub(super) fn action(
    route: &Route,
    settled: Settled,
    request: Option<&Value>,
    before: Option<&[String]>,
    out: &mut RecordWriter<'_>,
) -> Option<Action> {
    let mut candidates: Vec<Action> = Vec::new();
    let mut last = settled.otherwise();
    let mut by_variant = false;
    for variant in settled.open(route) {
        match weigh(&variant.when, request, before) {
            Weighed::Fails => {}
            Weighed::Unknown => candidates.push(variant.action),
            Weighed::Holds => {
                (last, by_variant) = (variant.action, true);
                break;
            }
        }
    }
    if candidates.is_empty() {
        out.text(Field::Action, last.as_str());
        out.bytes(Field::ActionCandidate, b"");
        return Some(last);
    }
    // Beside several readings of the state before, the row's own action is none of them.
    if by_variant || candidates.len() == 1 {
        candidates.push(last);
    }
    out.text(Field::Action, Action::Ambiguous.as_str());
    for (at, candidate) in candidates.iter().enumerate() {
        if !candidates[..at].contains(candidate) {
            out.text(Field::ActionCandidate, candidate.as_str());
        }
    }
    None
}

fn weigh(when: &When, request: Option<&Value>, before: Option<&[String]>) -> Weighed {
    let at = |pointer: &str, test: &dyn Fn(&Value) -> bool| {
        let mut met = false;
        if let Some(request) = request {
            each(request, pointer, &mut |value| met |= test(value));
        }
        met
    };
    let body = when.request_body_pointer.iter().all(|pointer| at(pointer, &|value| !value.is_null()))
        && when.request_body_equals.iter().all(|(pointer, wanted)| at(pointer, &|value| value == wanted))
        && when.request_body_contains.iter().all(|(pointer, wanted)| {
            at(pointer, &|value| value.as_array().is_some_and(|members| members.contains(wanted)))
        });
    match before {
        _ if !body => Weighed::Fails,
        _ if when.prior_status.is_empty() => Weighed::Holds,
        None => Weighed::Unknown,
        Some(before) => {
            let same = before.len() == when.prior_status.len()
                && before.iter().all(|state| when.prior_status.contains(state));
            if same { Weighed::Holds } else { Weighed::Fails }
        }
    }
}

/// The id of what was created, where neither path nor query has it.
pub(super) fn resource_id<'v>(
    route: &Route,
    record: &RecordView<'_>,
    response: Option<&'v Value>,
) -> Option<&'v str> {
    let known = record.bytes(Field::ResourceId).is_some_and(|id| !id.is_empty());
    let (Some(pointer), Some(response), false) = (&route.resource_id_pointer, response, known) else {
        return None;
    };
    let mut first = None;
    each(response, pointer, &mut |value| first = first.or(text(value)));
    first
}

/// The entities that the bodies name, each once, in their order.
pub(super) fn named<'v>(
    plan: &RoutePlan,
    request: Option<&'v Value>,
    response: Option<&'v Value>,
) -> Vec<(&'v str, &'v str)> {
    let mut named: Vec<(&str, &str)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (body, entities) in [(request, &plan.request_entities), (response, &plan.response_entities)] {
        let Some(body) = body else { continue };
        for entity in entities {
            each(body, &entity.object, &mut |object| {
                if let Some(entity) = read_entity(object, entity)
                    && seen.insert(entity)
                {
                    named.push(entity);
                }
            });
        }
    }
    named
}

/// Writes at most so many of these entities, and how many more there are.
pub(super) fn resources(named: &[(&str, &str)], most: usize, out: &mut RecordWriter<'_>) {
    let mut pair = Vec::new();
    for (kind, id) in named.iter().take(most) {
        pair.clear();
        pair.extend_from_slice(kind.as_bytes());
        pair.push(0);
        pair.extend_from_slice(id.as_bytes());
        out.bytes(Field::Resources, &pair);
    }
    if named.len() > most {
        out.integer(Field::ResourcesTruncated, (named.len() - most) as u64);
    }
}

fn read_entity<'v>(object: &'v Value, entity: &Entity) -> Option<(&'v str, &'v str)> {
    let id = text(object.get(&entity.id)?)?;
    let mut kinds = TYPES.iter().filter_map(|name| text(object.get(*name)?));
    // `Link` says how it is named, not what it is; a zero byte parts type and id.
    let kind = kinds.find(|kind| *kind != "Link" && !kind.contains('\0'));
    Some((kind.unwrap_or(""), id))
}

/// A text that may be an id or a name.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= MOST_ID)
}

/// The states that a value names: a text, or a list of texts.
pub(super) fn states(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(state) => Some(vec![state.clone()]),
        Value::Array(states) => {
            let states: Vec<String> =
                states.iter().map(|state| state.as_str().map(str::to_owned)).collect::<Option<_>>()?;
            (!states.is_empty()).then_some(states)
        }
        _ => None,
    }
}
