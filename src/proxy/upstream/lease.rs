//! A connection in the hands of one request.

use super::connect::{Sender, TunnelParts};
use super::endpoint::Endpoint;
use super::http1::Connection;
use super::pool::Pool;
use http_body::SizeHint;
use std::cell::Cell;
use std::rc::Rc;

/// A connection that is in use by one request and goes back when its response has been read
/// to the end. Dropped before that, it is closed; a shared one only loses the request.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    endpoint: Rc<Endpoint>,
    sender: Option<Sender>,
    reused: bool,
}

impl Lease {
    pub(super) fn new(pool: &Rc<Pool>, endpoint: Rc<Endpoint>, sender: Sender, reused: bool) -> Self {
        endpoint.standing.begin();
        Self { pool: Rc::clone(pool), endpoint, sender: Some(sender), reused }
    }

    /// Sends requests on it.
    pub(in crate::proxy) fn sender(&mut self) -> &mut Sender {
        self.sender.as_mut().expect("the sender leaves only with the lease")
    }

    pub(in crate::proxy) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it speaks HTTP/2.
    pub(in crate::proxy) fn is_http2(&self) -> bool {
        matches!(self.sender, Some(Sender::Http2(_)))
    }

    /// Whether it has carried a request before.
    pub(in crate::proxy) fn is_reused(&self) -> bool {
        self.reused
    }

    /// What is set once anything of the request has left for the upstream. `None` with HTTP/2,
    /// where nobody can tell whose bytes have left: a request there counts as sent.
    pub(in crate::proxy) fn reached(&self) -> Option<&Rc<Cell<bool>>> {
        match &self.sender {
            Some(Sender::Http1(sender)) => Some(sender.reached()),
            _ => None,
        }
    }

    /// Its connection, if it speaks HTTP/1.1.
    pub(in crate::proxy) fn http1(&mut self) -> Option<&mut Connection> {
        match &mut self.sender {
            Some(Sender::Http1(connection)) => Some(connection),
            _ => None,
        }
    }

    /// Whether the answer over HTTP/1.1 has been handed on to its end.
    pub(in crate::proxy) fn http1_is_over(&self) -> bool {
        matches!(&self.sender, Some(Sender::Http1(connection)) if connection.is_over())
    }

    /// How much is still to come of the answer over HTTP/1.1.
    pub(in crate::proxy) fn http1_size_hint(&self) -> SizeHint {
        match &self.sender {
            Some(Sender::Http1(connection)) => connection.size_hint(),
            _ => SizeHint::default(),
        }
    }

    /// What the connection leaves that has switched protocols; the request stays counted.
    pub(in crate::proxy) fn leave_http(&mut self) -> Option<TunnelParts> {
        match self.sender.take() {
            Some(Sender::Http1(connection)) => connection.into_tunnel(),
            _ => None,
        }
    }

    /// The connection goes back to the pool.
    pub(in crate::proxy) fn give_back(mut self) {
        if let Some(Sender::Http1(connection)) = self.sender.take()
            && connection.is_kept()
        {
            let pool = &self.pool;
            self.endpoint.keep(connection, pool.timers.now(), pool.limits.upstream_idle_connections);
        }
    }

    /// The upstream answered as one that is well.
    #[inline]
    pub(in crate::proxy) fn succeeded(&self) {
        self.endpoint.standing.succeeded(self.pool.timers.now());
    }

    /// The upstream broke off, did not answer, or said that it can't serve.
    pub(in crate::proxy) fn failed(&self) {
        self.pool.note_failure(&self.endpoint, "it failed several times in a row");
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.standing.end();
        if let Some(Sender::Http2(connection)) = &self.sender {
            connection.open.set(connection.open.get().saturating_sub(1));
        }
    }
}
