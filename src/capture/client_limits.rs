//! Limits by client address: connections, requests in flight, rate.
//!
//! One table for the whole gateway, since a client's few connections land on whichever
//! workers the kernel chooses: a share of the limit for each worker would be wrong. A look
//! into it takes a lock of one of 64 parts for some tens of nanoseconds; without a
//! configured limit there is no table and nothing is looked up.
//!
//! An IPv6 client is its /64, which is what one customer gets at least. The table is
//! bounded: a client that has nothing open and whose rate has recovered is forgotten first,
//! then any that has nothing open; those that have are bounded by the limits on connections
//! and requests themselves.

use super::peer::PeerSet;
use prometheus::IntCounter;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Parts of the table, each with its own lock.
const PARTS: usize = 64;
const NANOSECONDS: u64 = 1_000_000_000;

/// What an operator can set about clients (`[client_limits]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimitOptions {
    /// Open connections of one client.
    pub connections: Option<u32>,
    /// Requests in flight of one client.
    pub in_flight: Option<u32>,
    /// Requests a second of one client, in the long run; at least 1.
    pub requests_per_second: Option<u32>,
    /// Requests that may come at once before the rate counts; at least 1. `None`: as many as a second's.
    pub burst: Option<u32>,
    /// Clients that are remembered.
    pub clients: usize,
    /// Clients without limits.
    pub exempt: PeerSet,
}

impl Default for ClientLimitOptions {
    fn default() -> Self {
        Self {
            connections: None,
            in_flight: None,
            requests_per_second: None,
            burst: None,
            clients: 65_536,
            exempt: PeerSet::default(),
        }
    }
}

/// Which limit a client is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLimit {
    /// Open connections.
    Connections,
    /// Requests in flight.
    InFlight,
    /// Requests a second.
    Rate,
}

impl ClientLimit {
    /// Every limit.
    pub const ALL: [Self; 3] = [Self::Connections, Self::InFlight, Self::Rate];

    /// Its name as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
        }
    }
}

/// What all clients have open.
#[derive(Debug)]
pub struct ClientTable {
    options: ClientLimitOptions,
    start: Instant,
    hasher: RandomState,
    parts: Vec<Mutex<HashMap<IpAddr, Arc<Client>>>>,
    refused: [IntCounter; ClientLimit::ALL.len()],
}

/// What one client has open.
#[derive(Debug, Default)]
struct Client {
    connections: AtomicU32,
    in_flight: AtomicU32,
    /// When the next request would come at an even rate, in nanoseconds since the table's start (GCRA).
    next: AtomicU64,
}

/// An open connection; given back when dropped.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<Client>);

/// A request in flight; given back when dropped.
#[derive(Debug)]
pub struct RequestPermit(Arc<Client>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ClientTable {
    /// A table, unless no limit is set. `counter` gives the count of each limit's refusals.
    pub fn new(
        options: &ClientLimitOptions,
        start: Instant,
        counter: impl FnMut(ClientLimit) -> IntCounter,
    ) -> Option<Arc<Self>> {
        let refused = ClientLimit::ALL.map(counter);
        if options.connections.is_none()
            && options.in_flight.is_none()
            && options.requests_per_second.is_none()
        {
            return None;
        }
        Some(Arc::new(Self {
            options: options.clone(),
            start,
            hasher: RandomState::new(),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            refused,
        }))
    }

    /// Opens a connection for this client. `None`: it has no limits.
    ///
    /// # Errors
    /// [`ClientLimit::Connections`].
    pub fn connect(
        &self,
        client: Option<IpAddr>,
        now: Instant,
    ) -> Result<Option<ConnectionPermit>, ClientLimit> {
        let (Some(limit), Some(client)) = (self.options.connections, self.limited(client)) else {
            return Ok(None);
        };
        let client = self.client(client, self.nanoseconds(now));
        if take(&client.connections, limit) {
            Ok(Some(ConnectionPermit(client)))
        } else {
            Err(self.refuse(ClientLimit::Connections))
        }
    }

    /// Begins a request of this client. `None`: it has no limits.
    ///
    /// # Errors
    /// [`ClientLimit::InFlight`] or [`ClientLimit::Rate`]; a request that is refused does not
    /// count, so that a second later there is room whatever came meanwhile.
    pub fn begin(&self, client: Option<IpAddr>, now: Instant) -> Result<Option<RequestPermit>, ClientLimit> {
        let Some(client) = self.limited(client) else { return Ok(None) };
        if self.options.in_flight.is_none() && self.options.requests_per_second.is_none() {
            return Ok(None);
        }
        let now = self.nanoseconds(now);
        let client = self.client(client, now);
        if !take(&client.in_flight, self.options.in_flight.unwrap_or(u32::MAX)) {
            return Err(self.refuse(ClientLimit::InFlight));
        }
        let permit = RequestPermit(client);
        if let Some(rate) = self.options.requests_per_second {
            let between = NANOSECONDS / u64::from(rate.max(1));
            let burst = u64::from(self.options.burst.unwrap_or(rate).max(1));
            let latest = now + between * (burst - 1);
            let taken = permit.0.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (next <= latest).then(|| next.max(now) + between)
            });
            if taken.is_err() {
                return Err(self.refuse(ClientLimit::Rate));
            }
        }
        Ok(Some(permit))
    }

    fn refuse(&self, limit: ClientLimit) -> ClientLimit {
        self.refused[limit as usize].inc();
        limit
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX / 2)
    }

    /// The client as it is counted, if it has limits.
    fn limited(&self, client: Option<IpAddr>) -> Option<IpAddr> {
        if self.options.exempt.contains(client) {
            return None;
        }
        Some(match client?.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }

    fn client(&self, client: IpAddr, now: u64) -> Arc<Client> {
        let part = self.hasher.hash_one(client) as usize % PARTS;
        let mut part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = part.get(&client) {
            return Arc::clone(known);
        }
        let room = self.options.clients.div_ceil(PARTS);
        if part.len() >= room {
            forget(&mut part, now, room);
        }
        Arc::clone(part.entry(client).or_default())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap().len()).sum()
    }
}

/// Makes room for a quarter of them, so that this is not done for each newcomer.
fn forget(part: &mut HashMap<IpAddr, Arc<Client>>, now: u64, room: usize) {
    let idle = |client: &Arc<Client>| Arc::strong_count(client) == 1;
    part.retain(|_, client| !idle(client) || client.next.load(Ordering::Relaxed) > now);
    let mut over = (part.len() + room / 4 + 1).saturating_sub(room);
    part.retain(|_, client| {
        let goes = over > 0 && idle(client);
        over -= usize::from(goes);
        !goes
    });
}

/// Adds one unless that is more than the limit.
fn take(count: &AtomicU32, limit: u32) -> bool {
    let add = |now: u32| (now < limit).then_some(now + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}

impl super::source::Source {
    /// The client's address, as it is recorded.
    #[must_use]
    pub fn client(&self, peer: &super::Peer, headers: &http::HeaderMap) -> Option<IpAddr> {
        let believed = self.trusts(peer).then(|| super::fields::Fields::of(headers));
        self.find_client(peer, believed.as_ref()).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn table(options: ClientLimitOptions) -> (Arc<ClientTable>, Instant) {
        let start = Instant::now();
        let counter = |limit: ClientLimit| IntCounter::new(limit.as_str(), "x").unwrap();
        (ClientTable::new(&options, start, counter).unwrap(), start)
    }

    fn client(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn connections_are_counted_by_client_and_given_back() {
        let (table, now) = table(ClientLimitOptions { connections: Some(2), ..Default::default() });
        let first = table.connect(client("192.0.2.1"), now).unwrap();
        let _second = table.connect(client("::ffff:192.0.2.1"), now).unwrap();
        assert_eq!(table.connect(client("192.0.2.1"), now).unwrap_err(), ClientLimit::Connections);
        assert!(table.connect(client("192.0.2.2"), now).unwrap().is_some());
        drop(first);
        assert!(table.connect(client("192.0.2.1"), now).unwrap().is_some());
        assert!(table.connect(None, now).unwrap().is_none(), "no address, no limit");
        assert!(table.begin(client("192.0.2.1"), now).unwrap().is_none(), "requests have none");
        assert_eq!(table.refused[0].get(), 1);
    }

    #[test]
    fn an_ipv6_client_is_its_network_of_64_bits() {
        let (table, now) = table(ClientLimitOptions { in_flight: Some(1), ..Default::default() });
        let _one = table.begin(client("2001:db8:1:2::1"), now).unwrap();
        assert_eq!(table.begin(client("2001:db8:1:2:ffff::9"), now).unwrap_err(), ClientLimit::InFlight);
        assert!(table.begin(client("2001:db8:1:3::1"), now).is_ok());
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_counts() {
        let (table, start) = table(ClientLimitOptions {
            requests_per_second: Some(10),
            burst: Some(3),
            exempt: PeerSet { networks: vec!["10.0.0.0/8".parse().unwrap()], unix: false },
            ..Default::default()
        });
        let passed = |at: u64, tries: usize| {
            let at = start + Duration::from_millis(at);
            (0..tries).filter(|_| table.begin(client("192.0.2.1"), at).is_ok()).count()
        };
        assert_eq!(passed(0, 10), 3);
        assert_eq!(passed(99, 10), 0, "what was refused is not owed");
        assert_eq!(passed(100, 10), 1);
        assert_eq!(passed(1_100, 100), 3, "no more than a burst is saved up");
        // In the long run ten a second.
        assert_eq!((0..100).map(|tenth| passed(2_000 + tenth * 100, 5)).sum::<usize>(), 102);
        assert!(table.begin(client("10.1.1.1"), start).unwrap().is_none());
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_has_something_open() {
        let (table, now) =
            table(ClientLimitOptions { connections: Some(1), clients: 640, ..Default::default() });
        let _open = table.connect(client("192.0.2.1"), now).unwrap();
        for number in 0..100_000_u32 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            drop(table.connect(Some(address), now).unwrap());
        }
        assert!(table.len() <= 640 + PARTS, "{}", table.len());
        assert!(table.connect(client("192.0.2.1"), now).is_err(), "it is still known");
    }
}
