//! Many clients at once, each of which writes down what it saw.

use super::client::{Connection, request};
use super::origin::Origin;
use super::records::{Record, assert_no_duplicates, list};
use super::{pattern, pattern_at};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What the clients do.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    /// Requests in all; numbered from `first`.
    pub(crate) requests: u64,
    pub(crate) first: u64,
    /// One in so many requests is broken off by the client; 0: none.
    pub(crate) aborts: u64,
    /// One in so many has an upstream that fails; 0: none.
    pub(crate) errors: u64,
    /// The largest body, in bytes.
    pub(crate) largest: u64,
}

impl Load {
    /// Plain requests of small sizes, none of which should fail.
    pub(crate) fn calm(seed: u64, requests: u64) -> Self {
        Self { seed, clients: 50, requests, first: 0, aborts: 0, errors: 0, largest: 4096 }
    }

    /// Everything at once: methods, sizes up to 10 MiB, aborts, errors.
    pub(crate) fn rough(seed: u64, requests: u64) -> Self {
        Self { seed, clients: 50, requests, first: 0, aborts: 12, errors: 15, largest: 10 * 1024 * 1024 }
    }
}

/// What one client saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Saw {
    pub(crate) id: u64,
    pub(crate) method: &'static str,
    /// At least the whole request head went out.
    pub(crate) sent: bool,
    pub(crate) status: Option<u16>,
    /// Response body bytes that were read.
    pub(crate) read: u64,
    /// The response came to its end.
    pub(crate) complete: bool,
    /// The client broke off on purpose.
    pub(crate) left: bool,
    /// The script has the upstream fail.
    pub(crate) scripted_error: bool,
    /// Request body bytes that it wanted to send.
    pub(crate) request_body: u64,
    /// Every body byte was the right one.
    pub(crate) intact: bool,
}

/// A load in motion.
pub(crate) struct Running {
    threads: Vec<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    load: Load,
    next: AtomicU64,
    done: AtomicU64,
    saw: Mutex<Vec<Saw>>,
}

impl Load {
    /// Starts the clients. Those that cannot connect end.
    pub(crate) fn start(self, to: SocketAddr) -> Running {
        let shared = Arc::new(Shared {
            next: AtomicU64::new(self.first),
            done: AtomicU64::new(0),
            saw: Mutex::default(),
            load: self,
        });
        let threads = (0..shared.load.clients)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .stack_size(512 * 1024)
                    .spawn(move || client(number as u64, to, &shared))
                    .unwrap()
            })
            .collect();
        Running { threads, shared }
    }

    /// Runs to its end.
    pub(crate) fn run(self, to: SocketAddr) -> Vec<Saw> {
        self.start(to).join()
    }
}

impl Running {
    /// Requests that are over.
    pub(crate) fn done(&self) -> u64 {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// Waits for the clients: what they saw, by id.
    pub(crate) fn join(self) -> Vec<Saw> {
        for thread in self.threads {
            thread.join().expect("a client does not panic");
        }
        let mut saw = std::mem::take(&mut *self.shared.saw.lock().unwrap());
        saw.sort_by_key(|saw| saw.id);
        saw
    }
}

fn client(number: u64, to: SocketAddr, shared: &Shared) {
    let load = &shared.load;
    let mut random = fastrand::Rng::with_seed(load.seed.wrapping_mul(1_000_003).wrapping_add(number));
    let mut connection = None;
    loop {
        let id = shared.next.fetch_add(1, Ordering::SeqCst);
        if id >= load.first + load.requests {
            return;
        }
        let (saw, kept) = one(id, to, connection.take(), load, &mut random);
        connection = kept;
        let refused = !saw.sent && connection.is_none();
        shared.saw.lock().unwrap().push(saw);
        shared.done.fetch_add(1, Ordering::SeqCst);
        if refused {
            return;
        }
    }
}

/// One request. The connection comes back if it can go on.
fn one(
    id: u64,
    to: SocketAddr,
    connection: Option<Connection>,
    load: &Load,
    random: &mut fastrand::Rng,
) -> (Saw, Option<Connection>) {
    let method = ["GET", "GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"][random.usize(..9)];
    let chance = |random: &mut fastrand::Rng, one_in: u64| one_in > 0 && random.u64(..one_in) == 0;
    let size = size(random, load.largest);
    let status = *random.choice(&[200, 200, 200, 200, 201, 204, 304, 404, 422, 500]).unwrap_or(&200);
    let mut script = format!("id={id}&status={status}&size={size}");
    if random.u8(..3) == 0 {
        script.push_str("&framing=chunked");
    }
    let scripted_error = chance(random, load.errors);
    if scripted_error {
        let cut = random.u64(..=size);
        script.push_str(&match random.u8(..5) {
            0 => "&early=close".to_owned(),
            1 => "&early=reset".to_owned(),
            2 => format!("&cut={cut}"),
            3 => format!("&cut={cut}&cut_how=reset"),
            _ => "&garbage=1".to_owned(),
        });
    }
    let left = !scripted_error && chance(random, load.aborts);
    let body = matches!(method, "POST" | "PUT" | "PATCH")
        .then(|| pattern(self::size(random, load.largest) as usize));
    let mut saw = Saw {
        id,
        method,
        sent: false,
        status: None,
        read: 0,
        complete: false,
        left,
        scripted_error,
        request_body: body.as_ref().map_or(0, |body| body.len() as u64),
        intact: true,
    };
    let Some(mut connection) = connection.or_else(|| Connection::try_open(to).ok()) else {
        return (saw, None);
    };

    let mut request = request(method, format!("/load/{id}?{script}")).header("user-agent", "load/1");
    if let Some(body) = body {
        request = request.body(body);
        if random.bool() {
            request = request.chunked();
        }
    }
    if connection.try_send(&request.head_bytes()).is_err() {
        return (saw, None);
    }
    saw.sent = true;
    let body = request.body_bytes();
    if left && random.u8(..3) == 0 {
        // Somewhere in the request's body, or straight after the head.
        let _ = connection.try_send(&body[..body.len() / 2]);
        leave(connection, random);
        return (saw, None);
    }
    // An answer may come before the body is through; its error shows in the reading.
    let _ = connection.try_send(&body);
    let Ok(head) = connection.head() else { return (saw, None) };
    saw.status = Some(head.status);
    let stop_at = if left { random.u64(..=size) } else { u64::MAX };
    let (read, intact) = (&mut saw.read, &mut saw.intact);
    let trailers = connection.body_until(&head, method == "HEAD", |piece| {
        for byte in piece {
            *intact &= *byte == pattern_at(*read as usize);
            *read += 1;
        }
        *read < stop_at
    });
    saw.complete = trailers.is_ok();
    if left && !saw.complete {
        leave(connection, random);
        return (saw, None);
    }
    // The gateway's own answers are text, not the pattern.
    saw.intact |= head.status >= 500 && scripted_error;
    let close = super::client::find(&head.headers, "connection").is_some_and(|value| value.contains("close"));
    let goes_on = saw.complete && !close;
    (saw, goes_on.then_some(connection))
}

fn leave(connection: Connection, random: &mut fastrand::Rng) {
    if random.bool() {
        connection.reset();
    } else {
        connection.close();
    }
}

/// Mostly small; now and then up to the largest.
fn size(random: &mut fastrand::Rng, largest: u64) -> u64 {
    match random.u8(..100) {
        0..20 => 0,
        20..70 => random.u64(..2048.min(largest + 1)),
        70..96 => random.u64(..(64 * 1024).min(largest + 1)),
        96..99 => random.u64(..(1024 * 1024).min(largest + 1)),
        _ => random.u64(..=largest),
    }
}

/// Holds every record to what its client saw. `uncertain` is true for a gateway
/// that was killed: then only a request whose whole response a client has seen
/// must be there as it was.
pub(crate) fn assert_records_match(saw: &[Saw], records: &[Record], origin: &Origin, uncertain: bool) {
    assert_no_duplicates(records);
    let sent = origin.sent_by_id();
    let mut by_id: HashMap<u64, Vec<&Record>> = HashMap::new();
    for record in records {
        if let Some(id) = record.id() {
            by_id.entry(id).or_default().push(record);
        } else {
            assert!(uncertain && record.outcome() == "unknown", "a record of no request: {record:#?}");
        }
    }
    let mut faults = Vec::new();
    for saw in saw {
        let found = by_id.remove(&saw.id).unwrap_or_default();
        if let Err(fault) = check(saw, &found, sent.get(&saw.id).map_or(0, |sent| sent.1), uncertain) {
            faults.push(format!("{fault}\n  saw {saw:?}\n  {found:?}"));
        }
    }
    for (id, found) in by_id {
        faults.push(format!("nobody sent request {id}: {found:?}"));
    }
    assert!(
        faults.is_empty(),
        "{} of {} requests are not as their clients saw them; the first:\n{}\nrecords: {}",
        faults.len(),
        saw.len(),
        faults[..faults.len().min(8)].join("\n"),
        list(records)
    );
}

fn check(saw: &Saw, found: &[&Record], sent: u64, uncertain: bool) -> Result<(), String> {
    if !saw.sent {
        // A head that was cut off by a death may have arrived all the same.
        return if found.len() <= 1 { Ok(()) } else { Err("more than one record".to_owned()) };
    }
    if found.is_empty() && uncertain && !saw.complete {
        return Ok(());
    }
    let [record] = found else { return Err(format!("{} records, not one", found.len())) };
    if record.outcome() == "unknown" {
        return if uncertain && !saw.complete { Ok(()) } else { Err("unknown".to_owned()) };
    }
    let want = |what: &str, is: bool| if is { Ok(()) } else { Err(what.to_owned()) };
    want("another method", record.text("http.request.method") == saw.method)?;
    want("body bytes are wrong", saw.intact)?;
    let size = record.size() as u64;
    if saw.complete {
        want("another status", Some(record.status() as u16) == saw.status)?;
        want("another size", size == saw.read)?;
        let outcome = if record.status() < 400 { "success" } else { "failure" };
        want("another outcome", record.outcome() == outcome)?;
        if !saw.scripted_error {
            want("another request size", record.request_size() as u64 == saw.request_body)?;
        }
        return Ok(());
    }
    if let Some(status) = saw.status {
        want("another status", record.status() == i64::from(status))?;
    }
    want("less than the client read", size >= saw.read)?;
    // The gateway's own error text is not the origin's.
    want("more than the upstream sent", size <= sent || record.has("error.type") && record.status() >= 500)?;
    if saw.left || uncertain {
        // It may have been over before the gateway could notice.
        return Ok(());
    }
    want("not aborted", record.outcome() == "aborted")
}
