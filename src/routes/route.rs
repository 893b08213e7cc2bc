//! One route and what it means.

use super::meaning::{Action, Category};
use super::paths::query_value;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One row of a catalogue, ready for use by the request path.
///
/// Placeholders are told by their index among the template's parameters, in the
/// order of [`super::Matched::parameters`].
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Name of the catalogue that the row comes from.
    pub catalogue: String,
    /// The method of the row. A HEAD request takes the GET row.
    pub method: String,
    /// `http.route`: the template as written, with `:placeholders`.
    pub template: String,
    /// `resource.type`.
    pub resource_type: String,
    /// `event.action`, unless a variant applies: see [`Route::action`].
    pub action: Action,
    /// `event.category`, where the catalogue gives one.
    pub category: Option<Category>,
    /// Bits: [`Route::SENSITIVE`], [`Route::BULK`], [`Route::AI`].
    pub flags: u8,
    /// The parameter that is `NS.organization.id`.
    pub organization: Option<u8>,
    /// The parameter that is `NS.space.id`.
    pub space: Option<u8>,
    /// The parameter that is `NS.environment.id`.
    pub environment: Option<u8>,
    /// `NS.environment.id` where the path has none and the catalogue says what
    /// that means: the head's `default_environment`, on rows that are an alias
    /// of a path with an environment (`legacy_alias_of`). Other rows without an
    /// environment concern the whole space and have none.
    pub default_environment: Option<String>,
    /// The parameter that is `resource.id`.
    pub resource: Option<u8>,
    /// The query parameter that is `resource.id` where the path has none.
    pub resource_id_query: Option<String>,
    /// JSON pointer to `resource.id` in the response body. Not used yet.
    pub resource_id_pointer: Option<String>,
    /// What a bulk request touched. Not used yet.
    pub affected_pointers: Pointers,
    /// Where bodies carry live credentials. Not used yet.
    pub secret_pointers: Pointers,
    /// The response header that carries the upstream's own request id.
    pub request_id_header: Option<HeaderName>,
    /// The request header in which the API's own software names itself.
    pub user_agent_header: Option<HeaderName>,
    /// When the row means another action; the first that applies wins. At most 32.
    pub variants: Vec<Variant>,
}

/// JSON pointers (`*`: every element) into the two bodies of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointers {
    /// Into the request body.
    #[serde(default)]
    pub request: Vec<String>,
    /// Into the response body.
    #[serde(default)]
    pub response: Vec<String>,
    /// Request headers, in a remark's words; what is secret there is listed in the head.
    #[serde(default)]
    pub request_header: Vec<String>,
}

/// Another action of a row, and when it applies.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// All of this must hold.
    pub when: When,
    /// Then the action is this.
    pub action: Action,
}

/// The condition of a variant: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// The request does not have this header.
    pub request_header_absent: Option<HeaderName>,
    /// The response has this status.
    pub response_status: Option<u16>,
    /// The request body has something at this JSON pointer.
    pub request_body_pointer: Option<String>,
    /// The request body has this value at this pointer.
    pub request_body_equals: BTreeMap<String, Value>,
    /// The array at this pointer of the request body has this member.
    pub request_body_contains: BTreeMap<String, Value>,
    /// The resource had one of these states before; no exchange shows it.
    pub prior_status: Vec<String>,
}

/// The variants of a route that the request's head leaves possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestVariants(u32);

impl Route {
    /// A bit of [`Route::flags`]: credentials, rights, or loss of whole parts are at stake.
    pub const SENSITIVE: u8 = 1;
    /// A bit of [`Route::flags`]: one call touches many entities.
    pub const BULK: u8 = 2;
    /// A bit of [`Route::flags`]: an AI feature is called or configured.
    pub const AI: u8 = 4;

    /// Weighs the variants against the request's head; two loads for a route without.
    ///
    /// A variant that needs a body or the state before never applies so far;
    /// the row's own action stands for it.
    #[must_use]
    pub fn weigh(&self, request: &HeaderMap) -> RequestVariants {
        let mut possible = 0;
        for (bit, variant) in self.variants.iter().enumerate() {
            let when = &variant.when;
            let absent = when.request_header_absent.as_ref().is_none_or(|name| !request.contains_key(name));
            possible |= u32::from(absent && !when.needs_more_than_heads()) << bit;
        }
        RequestVariants(possible)
    }

    /// The action, once the status is known; `None` where no response came.
    #[must_use]
    pub fn action(&self, possible: RequestVariants, status: Option<u16>) -> Action {
        if possible.0 == 0 {
            return self.action;
        }
        self.variants
            .iter()
            .enumerate()
            .filter(|(bit, _)| possible.0 >> bit & 1 == 1)
            .find(|(_, variant)| variant.when.response_status.is_none_or(|wanted| Some(wanted) == status))
            .map_or(self.action, |(_, variant)| variant.action)
    }

    /// `resource.id`: the parameter that the row names, else the query parameter
    /// (decoded); `None` where neither is there, as for a list.
    #[must_use]
    pub fn resource_id<'r>(&self, parameters: &[&'r [u8]], query: &'r [u8]) -> Option<Cow<'r, [u8]>> {
        match (self.resource, &self.resource_id_query) {
            (Some(index), _) => parameters.get(usize::from(index)).map(|id| Cow::Borrowed(*id)),
            (None, Some(name)) => query_value(query, name).filter(|id| !id.is_empty()),
            (None, None) => None,
        }
    }

    /// Both steps at once, where request and response are at hand together.
    #[must_use]
    pub fn resolve(&self, request: &HeaderMap, status: Option<u16>) -> Action {
        self.action(self.weigh(request), status)
    }
}

impl When {
    fn needs_more_than_heads(&self) -> bool {
        self.request_body_pointer.is_some()
            || !self.request_body_equals.is_empty()
            || !self.request_body_contains.is_empty()
            || !self.prior_status.is_empty()
    }

    /// A condition that holds always would make the row's own action unreachable.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
