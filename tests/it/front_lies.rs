//! Generated answers, most of them broken, from an upstream whose every answer is followed by an
//! ordinary exchange: whatever it said, the next client gets its own answer and nothing else.
//!
//! 200 by default; `ONRECORD_FULL=1` makes 10,000.

use crate::harness::client::{Connection, get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::records::assert_gapless;
use crate::harness::{PATIENCE, full, seed};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

const STATUS: [&str; 12] = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 404 No",
    "HTTP/1.1 204 Nothing",
    "HTTP/1.1 304 Same",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 103 Early",
    "HTTP/1.1 101 Other",
    "HTTP/1.1 200",
    "HTTP/1.1 20x No",
    "HTTP/2 200 OK",
    "ICY 200 OK",
];
const FIELDS: [&str; 16] = [
    "Content-Length: 5",
    "Content-Length: 5",
    "Content-Length: 0",
    "Content-Length: 500",
    "Content-Length: -1",
    "Content-Length: 5, 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding : chunked",
    " folded",
    "Connection: close",
    "Connection: Content-Length",
    "Upgrade: websocket",
    "X: \0",
    "X: y\r z",
];
const BODIES: [&str; 9] = [
    "",
    "hello",
    "hell",
    "5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "helloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen",
    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen",
];

/// An answer, and whether the connection is closed behind it.
fn generate(random: &mut fastrand::Rng) -> (Vec<u8>, bool) {
    let pick = |random: &mut fastrand::Rng, from: &[&str]| from[random.usize(..from.len())].to_owned();
    let end = |random: &mut fastrand::Rng| if random.u8(..25) == 0 { "\n" } else { "\r\n" };
    let kinds = if random.bool() { 2 } else { STATUS.len() };
    let mut text = pick(random, &STATUS[..kinds]);
    text.push_str(end(random));
    for _ in 0..random.usize(..3) {
        text.push_str(&pick(random, &FIELDS));
        text.push_str(end(random));
    }
    text.push_str(end(random));
    text.push_str(&pick(random, &BODIES));
    let mut bytes = text.into_bytes();
    if random.u8(..4) == 0 {
        let at = random.usize(..bytes.len());
        bytes[at] = random.u8(..);
    }
    (bytes, random.u8(..4) > 0)
}

fn start(lies: Arc<Vec<(Vec<u8>, bool)>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lies = Arc::clone(&lies);
            std::thread::spawn(move || answer(stream, &lies));
        }
    });
    address
}

fn answer(mut stream: TcpStream, lies: &[(Vec<u8>, bool)]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        let target = text.split(' ').nth(1).unwrap_or_default();
        let lie = target.strip_prefix("/lie/").and_then(|number| lies.get(number.parse::<usize>().ok()?));
        let own = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
        let (bytes, closes) = lie.map_or((own.as_bytes(), false), |(bytes, closes)| (bytes, *closes));
        if stream.write_all(bytes).is_err() || closes {
            return;
        }
    }
}

#[test]
fn whatever_an_upstream_answers_the_next_client_gets_its_own_answer() {
    let mut random = fastrand::Rng::with_seed(seed("lies"));
    let count = if full() { 10_000 } else { 200 };
    let lies: Arc<Vec<_>> = Arc::new((0..count).map(|_| generate(&mut random)).collect());
    let upstream = start(Arc::clone(&lies));
    let source = Source::new("api", &format!("http://{upstream}"))
        .limit("body_timeout", "\"200ms\"")
        .limit("response_timeout", "\"200ms\"");
    let mut gateway = Gateway::builder().set("server", "workers", "1").source(source).start();
    let mut cut = 0;
    for (number, (lie, closes)) in lies.iter().enumerate() {
        let method = if number % 8 == 0 { "HEAD" } else { "GET" };
        let mut connection = Connection::open(gateway.address());
        connection.send(&request(method, format!("/lie/{number}")).head_bytes());
        // Any answer or none: what matters is that nothing of it is left for another.
        let answer = connection.response(method == "HEAD");
        let shown = String::from_utf8_lossy(lie);
        if let Ok(answer) = &answer {
            assert_ne!(answer.status, 101, "nobody asked for an upgrade: {shown:?}");
        }
        for turn in 0..2 {
            let path = format!("/next/{number}/{turn}");
            let next = get(&path).send(gateway.address());
            // The upstream closed a connection on which it had the request: nobody can know what
            // it did with it, so that it is not sent again, and nobody gets another's answer.
            if turn == 0 && *closes && next.status == 502 {
                assert!(String::from_utf8_lossy(&next.body).contains("upstream_reset"), "{next:?}");
                cut += 1;
                continue;
            }
            assert!(
                next.status == 200 && next.complete && next.body == path.as_bytes(),
                "behind {shown:?}: {next:?}"
            );
        }
    }
    assert!(cut * 100 <= count, "{cut} of {count} answers were cut off");
    let records = gateway.finish();
    assert_gapless(&records);
    assert_eq!(records.len(), 3 * count);
    assert!(records.iter().all(|record| record.has("upstream.address")));
}
