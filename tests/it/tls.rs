//! TLS in front: which certificate is shown, what is spoken, what of it is on record.

use crate::harness::client::{Connection, get};
use crate::harness::front_tls::{Authority, Client, Pair, der, shown};
use crate::harness::gateway::{Builder, Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::one;
use crate::harness::{PATIENCE, until};
use rustls::ALL_VERSIONS;
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A gateway with TLS on its first listener and these certificates, in files named by position.
pub(crate) fn with_certificates(origin: &Origin, pairs: &[&Pair], more: &str) -> Builder {
    let list: Vec<String> = (0..pairs.len())
        .map(|at| format!("{{ chain = \"chain{at}.pem\", key = \"key{at}.pem\" }}"))
        .collect();
    let toml = format!("[listener.tls]\ncertificates = [{}]\n{more}", list.join(", "));
    let mut builder = Gateway::builder().source(Source::new("api", &origin.url())).at_listener(0, &toml);
    for (at, pair) in pairs.iter().enumerate() {
        builder =
            builder.file(&format!("chain{at}.pem"), &pair.chain).file(&format!("key{at}.pem"), &pair.key);
    }
    builder
}

#[test]
fn a_request_over_tls_is_forwarded_and_its_version_recorded() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let mut gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], "").start();
    for (version, name) in [(&TLS13, "1.3"), (&TLS12, "1.2")] {
        let client = Client::with(&authority.pem(), None, &[version], |_| {});
        let mut connection = client.connect(gateway.address(), "gateway.test").unwrap();
        let response = connection.exchange(&get(format!("/v{name}?id=1")));
        assert_eq!(response.status, 200);
        let seen = origin.one(&format!("/v{name}"));
        assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
        assert!(seen.all("forwarded")[0].ends_with(";proto=https"), "{seen:?}");
    }
    let records = gateway.finish();
    for version in ["1.3", "1.2"] {
        let record = one(&records, &format!("/v{version}"));
        assert_eq!(record.text("tls.protocol.version"), version);
        assert_eq!(record.text("client.address"), "127.0.0.1");
        assert!(!record.has("tls.client.subject"));
    }
}

#[test]
fn http_2_is_agreed_on_by_alpn() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let mut gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], "").start();
    let client = Client::with(&authority.pem(), None, ALL_VERSIONS, |config| {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    });
    let mut connection = client.connect(gateway.address(), "gateway.test").unwrap();
    assert_eq!(connection.stream().conn.alpn_protocol(), Some(&b"h2"[..]));
    // The preface, empty settings, and a GET whose fields are all of the static table or literal.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let mut block = vec![0x82, 0x87, 0x04, 3];
    block.extend_from_slice(b"/h2");
    block.extend_from_slice(&[0x01, 12]);
    block.extend_from_slice(b"gateway.test");
    bytes.extend_from_slice(&[0, 0, u8::try_from(block.len()).unwrap(), 1, 0x05, 0, 0, 0, 1]);
    bytes.extend_from_slice(&block);
    connection.send(&bytes);
    origin_has(&origin, "/h2");
    drop(connection);
    let records = gateway.finish();
    let record = one(&records, "/h2");
    assert_eq!(record.text("network.protocol.version"), "2");
    assert_eq!(record.text("tls.protocol.version"), "1.3");
}

fn origin_has(origin: &Origin, path: &str) {
    until("the request at the origin", PATIENCE, || (origin.count(path) > 0).then_some(()));
}

#[test]
fn the_host_that_a_client_names_chooses_its_certificate() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let first = authority.server(&["first.test"]);
    let wild = authority.server(&["*.wild.test"]);
    let exact = authority.server(&["exact.wild.test", "other.test"]);
    let gateway = with_certificates(&origin, &[&first, &wild, &exact], "").start();
    let client = Client::trusting(&authority.pem());
    for (host, pair) in
        [("first.test", &first), ("a.wild.test", &wild), ("exact.wild.test", &exact), ("OTHER.test", &exact)]
    {
        let connection = client.connect(gateway.address(), host).unwrap();
        assert_eq!(shown(&connection), der(pair), "{host}");
    }
    for stranger in ["a.b.wild.test", "wild.test", "nobody.test"] {
        let error = client.connect(gateway.address(), stranger).err().unwrap();
        assert!(error.to_string().contains("not valid for name"), "{stranger}: {error}");
    }
}

#[test]
fn a_changed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let (old, new) = (authority.server(&["gateway.test"]), authority.server(&["gateway.test"]));
    let gateway = with_certificates(&origin, &[&old], "").start();
    let client = Client::trusting(&authority.pem());
    let now = || shown(&client.connect(gateway.address(), "gateway.test").unwrap());
    assert_eq!(now(), der(&old));
    // The chain alone: a key that does not belong to it.
    std::fs::write(gateway.root().join("chain0.pem"), &new.chain).unwrap();
    let problem = || {
        let status = gateway.status();
        status["listeners"][0]["tls"]["problem"].as_str().map(str::to_owned)
    };
    let told = until("the problem in the status", PATIENCE, problem);
    assert!(told.contains("does not belong to the certificate chain0.pem"), "{told}");
    assert_eq!(now(), der(&old), "the old one stays");
    assert_eq!(gateway.metric("onrecord_tls_files_broken", ""), 1.0);
    std::fs::write(gateway.root().join("key0.pem"), &new.key).unwrap();
    until("the new certificate", PATIENCE, || (now() == der(&new)).then_some(()));
    assert_eq!(problem(), None);
    assert!(gateway.metric("onrecord_tls_certificate_expiry_timestamp_seconds", "gateway.test") > 1e9);
}

#[test]
fn plain_http_on_a_tls_port_is_answered_and_recorded_and_silence_is_not() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let mut gateway = with_certificates(
        &origin,
        &[&authority.server(&["gateway.test"])],
        "handshake_timeout = \"500ms\"\n",
    )
    .start();
    let response = get("/plain").send(gateway.address());
    assert_eq!(response.status, 400);
    assert!(String::from_utf8_lossy(&response.body).contains("TLS"), "{response:?}");
    // Junk, a client that leaves, and one that stays silent in its handshake.
    let mut junk = TcpStream::connect(gateway.address()).unwrap();
    junk.write_all(b"\x80\x01junk").unwrap();
    assert_eq!(junk.read(&mut [0; 16]).unwrap_or(0), 0);
    drop(TcpStream::connect(gateway.address()).unwrap());
    let mut silent = TcpStream::connect(gateway.address()).unwrap();
    silent.write_all(b"\x16\x03\x01").unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0, "it is closed after its time");
    for (result, count) in
        [("plain_http", 1.0), ("not_tls", 1.0), ("closed", 1.0), ("timeout", 1.0), ("full", 0.0)]
    {
        let labels = format!("result=\"{result}\"");
        until(result, PATIENCE, || {
            (gateway.metric("onrecord_tls_handshakes_total", &labels) == count).then_some(())
        });
    }
    let records = gateway.finish();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!((records[0].status(), records[0].error()), (400, "malformed"));
}

#[test]
fn a_session_is_resumed_on_any_worker() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], "")
        .set("server", "workers", "4")
        .start();
    let client = Client::trusting(&authority.pem());
    for id in 0..8 {
        let mut connection = client.connect(gateway.address(), "gateway.test").unwrap();
        assert_eq!(connection.exchange(&get(format!("/resume?id={id}"))).status, 200);
    }
    assert_eq!(gateway.metric("onrecord_tls_handshakes_total", "\"full\""), 1.0);
    assert_eq!(gateway.metric("onrecord_tls_handshakes_total", "\"resumed\""), 7.0);
}

#[test]
fn an_old_version_is_refused_where_1_3_is_the_least() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let pair = authority.server(&["gateway.test"]);
    let gateway = with_certificates(&origin, &[&pair], "min_version = \"1.3\"\n").start();
    let client = Client::with(&authority.pem(), None, &[&TLS12], |_| {});
    assert!(client.connect(gateway.address(), "gateway.test").is_err());
    until("the count", PATIENCE, || {
        (gateway.metric("onrecord_tls_handshakes_total", "\"incompatible\"") == 1.0).then_some(())
    });
}

#[test]
fn a_small_response_is_one_tls_record() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], "").start();
    let client = Client::trusting(&authority.pem());
    let mut connection = client.connect(gateway.address(), "gateway.test").unwrap();
    // The first answer comes behind the session tickets.
    assert_eq!(connection.exchange(&get("/warm?id=1")).status, 200);
    connection.send(&get("/one?id=2").header("Connection", "close").head_bytes());
    let mut socket = &connection.stream().sock;
    let mut lengths = Vec::new();
    let mut header = [0; 5];
    while socket.read_exact(&mut header).is_ok() {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        socket.read_exact(&mut vec![0; length]).unwrap();
        lengths.push(length);
    }
    // The whole answer, then the alert that closes.
    assert!(lengths.len() == 2 && lengths[0] > 100 && lengths[1] < 32, "{lengths:?}");
}

#[test]
fn a_gateway_whose_certificate_is_wrong_does_not_start_and_says_why() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let (one, two) = (authority.server(&["a.test"]), authority.server(&["b.test"]));
    let text = |bytes: &str| bytes.to_owned();
    for (chain, key, says) in [
        (one.chain.clone(), two.key.clone(), "does not belong to the certificate"),
        (text("hello"), one.key.clone(), "holds no certificate"),
        (one.chain.clone(), text("hello"), "holds no private key"),
        (
            format!("{}{}", one.chain, two.chain),
            one.key.clone(),
            "certificate 2 did not issue the one before",
        ),
    ] {
        let pair = Pair { chain, key };
        let (_, log) = with_certificates(&origin, &[&pair], "").try_start().err().unwrap();
        assert!(log.contains(says), "{says}: {log}");
    }
}

#[test]
fn connections_beside_the_tls_listener_stay_plain() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], "")
        .source(Source::new("plain", &origin.url()).listener(1))
        .start();
    assert_eq!(Connection::open(gateway.listener(1)).exchange(&get("/plain?id=1")).status, 200);
}
