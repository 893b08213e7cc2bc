//! Other ways in than a plain port: Unix sockets, IPv6, and behind a proxy that speaks the
//! PROXY protocol.

use crate::harness::client::{Connection, get};
use crate::harness::front_tls::{Authority, Client};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::one;
use crate::harness::{PATIENCE, until};
use crate::tls::with_certificates;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

const FROM_HERE: &str = "proxy_protocol = [\"127.0.0.1\"]\n";

fn v2(command: u8, address: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend_from_slice(&[0x20 | command, 0x11, 0, 12 + 4]);
    header.extend_from_slice(&address);
    header.extend_from_slice(&[127, 0, 0, 1]);
    header.extend_from_slice(&port.to_be_bytes());
    header.extend_from_slice(&[0, 80]);
    header.extend_from_slice(&[0x04, 0, 1, 0]);
    header
}

#[test]
fn a_proxy_tells_the_clients_address_by_the_proxy_protocol() {
    let origin = Origin::start();
    let mut gateway =
        Gateway::builder().source(Source::new("api", &origin.url())).at_listener(0, FROM_HERE).start();
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n".to_vec();
    for (path, header) in
        [("/v1", v1.clone()), ("/v2", v2(1, [192, 0, 2, 9], 4712)), ("/local", v2(0, [192, 0, 2, 9], 4712))]
    {
        let mut connection = Connection::open(gateway.address());
        connection.send(&[header, get(path).head_bytes()].concat());
        assert_eq!(connection.response(false).unwrap().status, 200, "{path}");
    }
    // Byte by byte, as the network may bring it.
    let mut connection = Connection::open(gateway.address());
    for byte in v1.iter().chain(&get("/slow").head_bytes()) {
        connection.send(&[*byte]);
    }
    assert_eq!(connection.response(false).unwrap().status, 200);
    // Without a header, or with a broken one.
    for bytes in [get("/without").head_bytes(), b"PROXY TCP4 1.2.3.4\r\n".to_vec(), vec![b'P'; 200]] {
        let mut connection = Connection::open(gateway.address());
        let _ = connection.try_send(&bytes);
        assert!(connection.is_closed_by_peer());
    }
    until("the count", PATIENCE, || {
        (gateway.metric("onrecord_connections_refused_total", "proxy_protocol") == 3.0).then_some(())
    });
    assert_eq!(origin.one("/v1").all("x-forwarded-for"), ["192.0.2.7"]);
    let records = gateway.finish();
    for (path, address, port) in
        [("/v1", "192.0.2.7", 4711), ("/slow", "192.0.2.7", 4711), ("/v2", "192.0.2.9", 4712)]
    {
        let record = one(&records, path);
        assert_eq!((record.text("client.address"), record.int("client.port")), (address, Some(port)));
    }
    assert_eq!(one(&records, "/local").text("client.address"), "127.0.0.1");
    assert_eq!(records.len(), 4, "{records:?}");
}

#[test]
fn a_stranger_cannot_claim_an_address_by_the_proxy_protocol() {
    let origin = Origin::start();
    let toml = "proxy_protocol = [\"192.0.2.1\"]\n";
    let mut gateway =
        Gateway::builder().source(Source::new("api", &origin.url())).at_listener(0, toml).start();
    let mut connection = Connection::open(gateway.address());
    connection.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\nGET /claimed HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.response(false).unwrap().status, 400);
    assert_eq!(origin.count("/claimed"), 0);
    let records = gateway.finish();
    assert_eq!((records[0].error(), records[0].text("client.address")), ("malformed", "127.0.0.1"));
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let pair = authority.server(&["gateway.test"]);
    let mut builder = with_certificates(&origin, &[&pair], "");
    builder = builder.before_listener(0, FROM_HERE);
    let mut gateway = builder.start();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(b"PROXY TCP6 2001:db8::7 2001:db8::8 4711 443\r\n").unwrap();
    let client = Client::trusting(&authority.pem());
    let mut connection = client.connect_over(stream, "gateway.test").unwrap();
    assert_eq!(connection.exchange(&get("/both")).status, 200);
    let records = gateway.finish();
    let record = one(&records, "/both");
    assert_eq!(record.text("client.address"), "2001:db8::7");
    assert_eq!(record.text("tls.protocol.version"), "1.3");
}

#[test]
fn a_unix_socket_is_a_way_in_and_its_successor_takes_its_place() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let address = format!("unix:{}", path.display());
    let source = Source::new("api", &origin.url()).key("trusted_proxies", "[\"unix\"]").also_listen(&address);
    let mut gateway = Gateway::builder()
        .source(source)
        .raw(&format!("[[listener]]\naddress = {address:?}\nmode = \"0600\"\n"))
        .start();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let ask = |target: &str| {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection::over(stream).exchange(&get(target).header("X-Forwarded-For", "192.0.2.7")).status
    };
    assert_eq!(ask("/first"), 200);
    let mut predecessor = gateway.start_successor();
    gateway.wait();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(predecessor.id() as i32).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    until("the predecessor's end", PATIENCE, || predecessor.try_wait().unwrap());
    assert_eq!(ask("/second"), 200);
    let records = gateway.finish();
    assert!(!path.exists(), "the socket goes with the gateway");
    for target in ["/first", "/second"] {
        let record = one(&records, target);
        assert_eq!(record.text("client.address"), "192.0.2.7");
        assert!(!record.has("client.port"));
    }
}

#[test]
fn both_families_can_have_one_port() {
    let origin = Origin::start();
    let builder = Gateway::builder().source(Source::new("api", &origin.url()).both_families());
    let mut gateway = builder.start();
    let port = gateway.address().port();
    for (address, path) in [(format!("[::1]:{port}"), "/six"), (format!("127.0.0.1:{port}"), "/four")] {
        assert_eq!(get(path).send(address.parse().unwrap()).status, 200);
    }
    let records = gateway.finish();
    assert_eq!(one(&records, "/six").text("client.address"), "::1");
    assert_eq!(one(&records, "/four").text("client.address"), "127.0.0.1");
    assert_eq!(origin.one("/six").all("x-forwarded-for"), ["::1"]);
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_the_system_allows() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let own = getrlimit(Resource::Nofile);
    let Some(hard) = own.maximum else { return };
    // What a gateway inherits is one below what it may have.
    setrlimit(Resource::Nofile, Rlimit { current: Some(hard - 1), maximum: own.maximum }).unwrap();
    let gateway = Gateway::before(&Origin::start().url());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line["Max open files".len()..].split_whitespace().take(2).collect();
    assert_eq!(numbers, [hard.to_string(), hard.to_string()]);
}
