//! To which organization a request belongs, where its path does not say.

use super::options::Organization;
use super::source::{Described, Source, percent_decoded};
use crate::identity::Home;
use crate::record::{Field, RecordView, RecordWriter};
use crate::routes::Matched;
use http::{HeaderMap, StatusCode};
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

/// An organization, as it was found.
pub(super) enum Found<'a> {
    Said(Cow<'a, [u8]>),
    Learned(Arc<Home>),
}

impl Deref for Found<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Said(id) => id,
            Self::Learned(home) => &home.organization,
        }
    }
}

impl Source {
    /// What path, configuration and request head say, and else what was learned of the space.
    pub(super) fn organization<'a>(
        &'a self,
        headers: &'a HeaderMap,
        matched: Option<&Matched<'a>>,
    ) -> Option<Found<'a>> {
        let plan = self.plan();
        let route = matched.map(|matched| plan.routes.route(matched.route));
        let parameter =
            |index: Option<u8>| matched?.parameters.get(usize::from(index?)).map(|raw| percent_decoded(raw));
        if let Some(id) = route.and_then(|route| parameter(route.organization)) {
            return Some(Found::Said(id));
        }
        let header = |value: &'a http::HeaderValue| Found::Said(Cow::Borrowed(value.as_bytes()));
        match &plan.organization {
            Organization::Fixed(id) => Some(Found::Said(Cow::Borrowed(id.as_bytes()))),
            Organization::Header(name) => headers.get(name.as_str()).map(header),
            Organization::Catalogue => {
                let route = route?;
                match parameter(route.space) {
                    Some(space) => plan.organizations.of(&space).map(Found::Learned),
                    // Where the path names a space, a client's word could put it elsewhere.
                    None => route.organization_header.as_ref().and_then(|name| headers.get(name)).map(header),
                }
            }
        }
    }

    /// Takes the organization from the response, where nothing else told it, and learns it for
    /// the space.
    #[cold]
    pub(super) fn learn_organization(
        &self,
        described: Described,
        (status, headers): (StatusCode, &HeaderMap),
        record: &mut Vec<u8>,
    ) {
        let plan = self.plan();
        let Some(route) = described.route.map(|route| plan.routes.route(route)) else { return };
        let Some(id) = route.organization_response_header.as_ref().and_then(|name| headers.get(name)) else {
            return;
        };
        // Only what succeeded is surely about the space that the path names.
        if status.is_success()
            && let Ok(view) = RecordView::parse(record)
            && let Some(space) = view.bytes(Field::Space)
        {
            plan.organizations.learn(space, id.as_bytes(), view.start());
        }
        RecordWriter::new(record).bytes(Field::Organization, &self.clean(id.as_bytes()));
    }
}
