//! One route and what it means.

use super::learn::Learn;
use super::meaning::{Action, Category};
use super::paths::query_value;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// JSON pointer to `resource.id` in the response body, where neither path nor query has it.
    pub resource_id_pointer: Option<String>,
    /// JSON pointer in the response body to the state of the resource, as [`When::prior_status`]
    /// names it.
    pub state_pointer: Option<String>,
    /// What a bulk request touched.
    pub affected_pointers: Pointers,
    /// Where bodies carry live credentials: never read, even where another pointer goes there.
    pub secret_pointers: Pointers,
    /// The response header that carries the upstream's own request id.
    pub request_id_header: Option<HeaderName>,
    /// The request header in which the API's own software names itself.
    pub user_agent_header: Option<HeaderName>,
    /// Request headers that hint at who is behind a request (`origin.evidence`).
    pub origin_headers: Arc<[HeaderName]>,
    /// When the row means another action; the first that applies wins. At most 32.
    pub variants: Vec<Variant>,
    /// Placeholders in whose place a secret stands.
    pub secret_params: Vec<String>,
    /// A request with this header changes nothing, whatever its method: it is validated.
    pub validate_only_header: Option<HeaderName>,
    /// The request header that is `NS.organization.id` where the path names neither it nor a space.
    pub organization_header: Option<HeaderName>,
    /// The response header that is `NS.organization.id` where nothing before told it.
    pub organization_response_header: Option<HeaderName>,
    /// The query parameter that is `NS.environment.id` where the path has none.
    pub environment_query: Option<String>,
    /// JSON pointer to `NS.environment.id` in the request body, where neither path nor query has it.
    pub environment_pointer: Option<String>,
    /// JSON pointer in the response body to what an AI feature made.
    pub ai_result_pointer: Option<String>,
    /// JSON pointers in the request body to what may be such a result, saved.
    pub ai_saved_pointers: Vec<String>,
    /// What its responses tell of who acts.
    pub learn: Vec<Arc<Learn>>,
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
    /// The resource had exactly these states before (published and draft are two at once); this
    /// exchange does not show it.
    pub prior_status: Vec<String>,
}

/// The variants of a route that the request's head leaves possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestVariants {
    possible: u32,
    /// The request is only to be validated.
    validates: bool,
}

impl Route {
    /// A bit of [`Route::flags`]: credentials, rights, or loss of whole parts are at stake.
    pub const SENSITIVE: u8 = 1;
    /// A bit of [`Route::flags`]: one call touches many entities.
    pub const BULK: u8 = 2;
    /// A bit of [`Route::flags`]: an AI feature is called or configured.
    pub const AI: u8 = 4;

    /// Weighs the variants against the request's head; two loads for a route without.
    #[must_use]
    pub fn weigh(&self, request: &HeaderMap) -> RequestVariants {
        let mut possible = 0;
        for (bit, variant) in self.variants.iter().enumerate() {
            let when = &variant.when;
            let absent = when.request_header_absent.as_ref().is_none_or(|name| !request.contains_key(name));
            possible |= u32::from(absent) << bit;
        }
        let value = self.validate_only_header.as_ref().and_then(|name| request.get(name));
        let validates = value.is_some_and(|value| !matches!(value.as_bytes(), b"false" | b"0"));
        RequestVariants { possible, validates: validates && !is_safe(&self.method) }
    }

    /// The path of a request of this route, its secrets redacted; one load for a route without.
    #[must_use]
    pub fn redacted<'p>(&self, path: &'p [u8], redacted: &[u8]) -> Cow<'p, [u8]> {
        if self.secret_params.is_empty() {
            return Cow::Borrowed(path);
        }
        let is_secret = |segment: &str| {
            segment.strip_prefix(':').is_some_and(|name| self.secret_params.iter().any(|one| one == name))
        };
        let mut template = self.template.split('/');
        let segments = path
            .split(|byte| *byte == b'/')
            .map(|segment| if template.next().is_some_and(is_secret) { redacted } else { segment });
        Cow::Owned(segments.collect::<Vec<_>>().join(&b'/'))
    }

    /// What the heads of request and response decide; `None` where no response came.
    #[must_use]
    pub fn settle(&self, possible: RequestVariants, status: Option<u16>) -> Settled {
        if possible.validates {
            return Settled { open: 0, otherwise: Action::Validate };
        }
        let mut open = 0;
        for (bit, variant) in self.variants.iter().enumerate() {
            let by_status = variant.when.response_status.is_none_or(|wanted| Some(wanted) == status);
            if possible.possible >> bit & 1 == 0 || !by_status {
                continue;
            }
            if variant.when.needs_more_than_heads() {
                open |= 1 << bit;
            } else {
                return Settled { open, otherwise: variant.action };
            }
        }
        Settled { open, otherwise: self.action }
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
}

/// Methods that change nothing (RFC 9110 §9.2.1).
pub(crate) fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// What the heads of an exchange decide of its action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Bits of the variants that need a body or the state before, and come before `otherwise`.
    open: u32,
    /// The action if none of them applies.
    otherwise: Action,
}

impl Settled {
    /// The action, where the heads alone decide it.
    #[must_use]
    pub fn decided(self) -> Option<Action> {
        (self.open == 0).then_some(self.otherwise)
    }

    /// The action if no open variant applies.
    #[must_use]
    pub fn otherwise(self) -> Action {
        self.otherwise
    }

    /// What is left when it is known that the request had no body.
    #[must_use]
    pub fn without_request_body(self, route: &Route) -> Self {
        let needs_one =
            |(bit, variant): (usize, &Variant)| u32::from(variant.when.needs_request_body()) << bit;
        let closed = route.variants.iter().enumerate().map(needs_one).fold(0, |all, bit| all | bit);
        Self { open: self.open & !closed, ..self }
    }

    /// The variants that are still open, in their order.
    pub fn open(self, route: &Route) -> impl Iterator<Item = &Variant> {
        route.variants.iter().enumerate().filter(move |(bit, _)| self.open >> bit & 1 == 1).map(|(_, v)| v)
    }

    /// Every action that is still possible, each once.
    pub fn candidates(self, route: &Route) -> impl Iterator<Item = Action> {
        let mut seen = 0u64;
        self.open(route).map(|variant| variant.action).chain([self.otherwise]).filter(move |action| {
            let bit = 1 << *action as u64;
            let is_new = seen & bit == 0;
            seen |= bit;
            is_new
        })
    }
}

impl When {
    fn needs_more_than_heads(&self) -> bool {
        self.needs_request_body() || !self.prior_status.is_empty()
    }

    /// Whether the request body has a say.
    #[must_use]
    pub fn needs_request_body(&self) -> bool {
        self.request_body_pointer.is_some()
            || !self.request_body_equals.is_empty()
            || !self.request_body_contains.is_empty()
    }

    /// A condition that holds always would make the row's own action unreachable.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
