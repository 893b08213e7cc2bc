//! One address of an upstream as one worker has it: its connections, and what the worker
//! thinks of it.

use super::balance::Standing;
use super::connect::{Multiplexed, Sender};
use super::http1::{Connection, Readiness};
use super::shared::{EndpointView, Target};
use http::HeaderValue;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;

/// One address.
#[derive(Debug)]
pub(in crate::proxy) struct Endpoint {
    pub(super) configured: usize,
    pub(super) target: Target,
    /// As it goes on record.
    pub(in crate::proxy) address: Rc<str>,
    /// The same, for the status.
    pub(super) told: Arc<str>,
    /// The Host that requests to it have.
    pub(in crate::proxy) host: Option<HeaderValue>,
    /// The name that its certificate must have.
    pub(super) tls_name: String,
    pub(super) standing: Standing,
    /// Whether it is to speak HTTP/2, as far as is known.
    pub(super) speaks_http2: Cell<bool>,
    /// Whether a connection is being made that others may share.
    pub(super) connecting: Cell<bool>,
    pub(super) connected: Notify,
    idle: RefCell<Vec<Idle>>,
    multiplexed: RefCell<Vec<Shared>>,
    gone: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: u64,
}

#[derive(Debug)]
struct Shared {
    connection: Multiplexed,
    last_used: u64,
}

impl Endpoint {
    pub(super) fn new(view: &EndpointView, authority: &str, tls_name: &str, speaks_http2: bool) -> Rc<Self> {
        let address = view.target.to_string();
        Rc::new(Self {
            configured: view.configured,
            target: view.target.clone(),
            told: address.as_str().into(),
            address: address.into(),
            host: HeaderValue::from_str(authority).ok(),
            tls_name: tls_name.to_owned(),
            standing: Standing::default(),
            speaks_http2: Cell::new(speaks_http2),
            connecting: Cell::new(false),
            connected: Notify::new(),
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            gone: Cell::new(false),
        })
    }

    /// Whether it is of another configured address than the first.
    #[inline]
    pub(in crate::proxy) fn is_further(&self) -> bool {
        self.configured > 0
    }

    /// Takes a connection that is ready for a request.
    pub(super) fn take(&self, now: u64) -> Option<Sender> {
        if self.speaks_http2.get() {
            let mut shared = self.multiplexed.borrow_mut();
            let found = shared.iter_mut().find(|shared| shared.connection.has_room())?;
            found.last_used = now;
            found.connection.open.set(found.connection.open.get() + 1);
            return Some(Sender::Http2(found.connection.clone()));
        }
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        loop {
            at = at.checked_sub(1)?;
            match idle[at].connection.readiness() {
                Readiness::Ready => return Some(Sender::Http1(idle.remove(at).connection)),
                Readiness::Busy => {}
                Readiness::Closed => drop(idle.remove(at)),
            }
        }
    }

    /// Keeps a new connection that many requests share; the first of them is counted.
    pub(super) fn share(&self, connection: &Multiplexed, now: u64) {
        connection.open.set(connection.open.get() + 1);
        if !self.gone.get() {
            let shared = Shared { connection: connection.clone(), last_used: now };
            self.multiplexed.borrow_mut().push(shared);
        }
    }

    /// Keeps a connection whose request is over, if there is room.
    pub(super) fn keep(&self, connection: Connection, now: u64, most: usize) {
        let mut idle = self.idle.borrow_mut();
        if !self.gone.get() && idle.len() < most {
            idle.push(Idle { connection, since: now });
        }
    }

    /// Closes what the upstream has closed and what was idle for too long.
    pub(super) fn sweep(&self, now: u64, idle_ticks: u64) {
        self.idle.borrow_mut().retain(|idle| {
            now.saturating_sub(idle.since) < idle_ticks && idle.connection.readiness() != Readiness::Closed
        });
        self.multiplexed.borrow_mut().retain_mut(|shared| {
            if shared.connection.open.get() > 0 {
                shared.last_used = now;
            }
            !shared.connection.sender.is_closed() && now.saturating_sub(shared.last_used) < idle_ticks
        });
    }

    /// The address is not the upstream's any more: its idle connections are closed, those in
    /// use when their requests are over.
    pub(super) fn leave(&self) {
        self.gone.set(true);
        self.idle.borrow_mut().clear();
        self.multiplexed.borrow_mut().clear();
    }
}
