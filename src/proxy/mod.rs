//! The stack: what a request passes on its way to the upstream and back.
//!
//! One chain, outermost first, made once a connection. Layers are services over a request
//! with its account ([`crate::capture::Call`]); none of them boxes a future, gathers a
//! body, or allocates for the sake of being a layer.

mod admit;
mod attempts;
mod body;
mod error;
mod expect;
mod forward;
mod gate;
mod headers;
mod hop;
mod meaning;
mod options;
mod rescue;
mod upgrade;
mod upstream;

pub use admit::Policy;
pub use error::{ForwardError, ResponseBodyError};
pub use forward::Target;
pub use options::{
    ActorHeaders, Durability, DurabilityRules, ForwardOptions, HealthOptions, Http2, Limits, OddPaths,
    Organization, Place, RouteRule, SourceOptions, Upstream, UpstreamAddress,
};
pub use upgrade::Tunnel;
pub use upstream::{
    AddressStatus, AddressTotals, Http1Error, UpstreamError, UpstreamShared, UpstreamTlsError, watch,
};

use crate::capture::{Call, Capture, FindSource, Lane, Peer, RecordedBody};
use admit::Admit;
pub use body::ResponseBody;
use gate::Gate;
use headers::ForwardedFields;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use rescue::Rescue;
use std::convert::Infallible;
use std::rc::Rc;
use tower::ServiceBuilder;
use tower::layer::layer_fn;

/// The whole path of a request on one connection.
pub fn stack<F: FindSource + Clone>(
    lane: &Rc<Lane>,
    peer: &Rc<Peer>,
    sources: F,
    forwarding: &Rc<[(Policy, Rc<Target>)]>,
) -> impl Service<Request<Incoming>, Response = Response<RecordedBody<ResponseBody>>, Error = Infallible> + use<F>
{
    let fields = Rc::new(ForwardedFields::new(peer));
    let targets = Rc::clone(forwarding);
    ServiceBuilder::new()
        // Outermost: it must see what the client sees, refusals included.
        .layer(layer_fn(|inner| Capture::new(Rc::clone(lane), Rc::clone(peer), sources.clone(), inner)))
        // An error becomes a response inside capture, so that it is on record as sent.
        .layer(layer_fn(|inner| Rescue::new(Rc::clone(lane), inner)))
        // Refusals before anything is opened towards the upstream.
        .layer(layer_fn(|inner| Admit::new(Rc::clone(lane), Rc::clone(forwarding), inner)))
        // A strict request waits until it is on disk that it comes: behind the refusals, so
        // that nothing is waited for in vain. (A durable one waits in capture, at its end.)
        .layer(layer_fn(|inner| Gate::new(Rc::clone(lane), inner)))
        // Innermost: headers, pool, upstream.
        .service(CallFn(move |call: Call| {
            let found = call.index.and_then(|index| targets.get(index));
            let (_, target) = found.expect("requests without a source are refused before");
            send_on(target, &fields, call)
        }))
}

#[cfg(not(test))]
use forward::forward as send_on;

/// Where a test of the whole gateway lets the stack panic.
#[cfg(test)]
fn send_on(target: &Rc<Target>, fields: &ForwardedFields, call: Call) -> forward::Forwarding {
    match call.request.uri().path() {
        "/panics/at/once" => panic!("told to by a test"),
        "/panics" => forward::Forwarding::Attempts(Box::pin(async { panic!("told to by a test") })),
        _ => forward::forward(target, fields, call),
    }
}

/// A service made of a function.
#[derive(Clone, Copy, Debug)]
struct CallFn<F>(F);

impl<F, R> Service<Call> for CallFn<F>
where
    F: Fn(Call) -> R,
    R: Future<Output = Result<Response<ResponseBody>, ForwardError>>,
{
    type Response = Response<ResponseBody>;
    type Error = ForwardError;
    type Future = R;

    fn call(&self, call: Call) -> R {
        (self.0)(call)
    }
}
