//! A worker's connections to one upstream: last in, first out, so that the busy ones stay
//! warm and the rest age out.

use super::body::RequestBody;
use super::error::ForwardError;
use super::options::{Limits, Upstream};
use crate::metrics::LaneStats;
use crate::timer::{TICK, Timers};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Idle connections to one upstream, and how to make new ones.
#[derive(Debug)]
pub struct Pool {
    upstream: Upstream,
    limits: Rc<Limits>,
    timers: Rc<Timers>,
    stats: Arc<LaneStats>,
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: u64,
}

/// A connection to an upstream.
#[derive(Debug)]
pub struct Connection {
    /// Sends requests on it.
    pub sender: SendRequest<RequestBody>,
    /// Its far end.
    pub address: Rc<str>,
    /// Whether it has carried a request before.
    pub reused: bool,
}

/// A connection that is in use and goes back when its response has been read to the end.
/// Dropped before that, it is closed.
#[derive(Debug)]
pub struct Lease {
    pool: Rc<Pool>,
    connection: Connection,
}

impl Lease {
    /// A lease of this connection.
    #[must_use]
    pub fn new(pool: Rc<Pool>, connection: Connection) -> Self {
        Self { pool, connection }
    }

    /// The connection goes back to the pool.
    pub fn give_back(self) {
        let Self { pool, mut connection } = self;
        if connection.sender.is_closed() {
            return;
        }
        connection.reused = true;
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < pool.limits.upstream_idle_connections {
            idle.push(Idle { connection, since: pool.timers.now() });
        }
    }
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(
        upstream: Upstream,
        limits: Rc<Limits>,
        timers: Rc<Timers>,
        stats: Arc<LaneStats>,
    ) -> Rc<Self> {
        Rc::new(Self { upstream, limits, timers, stats, idle: RefCell::default() })
    }

    /// Takes an idle connection that is ready for a request.
    pub fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        // One whose task has not yet seen the end of the last response stays for the next turn.
        let ready = idle.iter().rposition(|idle| idle.connection.sender.is_ready())?;
        Some(idle.remove(ready).connection)
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// When the name has no address, nobody answers, or not in time. Cancel safe.
    pub async fn connect(&self) -> Result<Connection, ForwardError> {
        let authority = || self.upstream.authority.clone();
        let connecting = TcpStream::connect((self.upstream.host.as_str(), self.upstream.port));
        let stream = match timeout(self.limits.connect_timeout, connecting).await {
            Err(_) => return Err(ForwardError::ConnectTimeout { authority: authority() }),
            Ok(Err(source)) => return Err(ForwardError::Connect { authority: authority(), source }),
            Ok(Ok(stream)) => stream,
        };
        let failed = |source| ForwardError::Connect { authority: authority(), source };
        stream.set_nodelay(true).map_err(failed)?;
        let address = stream.peer_addr().map_err(failed)?.to_string();
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(io::Error::other(error)))?;
        tokio::task::spawn_local(async move {
            // Whoever waits for a response on it is told; there is nobody else to tell.
            let _ = connection.await;
        });
        self.stats.upstream_connections.add(1);
        Ok(Connection { sender, address: address.into(), reused: false })
    }

    /// Closes connections that the upstream has closed or that were idle for too long.
    pub fn sweep(&self) {
        let now = self.timers.now();
        let limit = self.limits.upstream_idle_timeout.as_millis().div_ceil(TICK.as_millis()) as u64;
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.connection.sender.is_closed() && now.saturating_sub(idle.since) < limit);
    }

    /// Counts a request that is sent a second time.
    pub(super) fn count_retry(&self) {
        self.stats.upstream_retries.add(1);
    }

    /// The upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}
