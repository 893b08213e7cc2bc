//! https upstreams: who is trusted, who we are, and what is said when it does not fit.

use crate::harness::client::{get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::records::{assert_gapless, one};
use crate::harness::tls::{Authority, TlsFront};
use crate::harness::{PATIENCE, pattern, until};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

#[test]
fn an_https_upstream_is_reached_by_its_name_and_sessions_are_resumed() {
    let origin = Origin::start();
    let authority = Authority::new("upstreams");
    let front = TlsFront::before(origin.address(), authority.server(&["localhost"], &["http/1.1"], None));
    let url = format!("https://localhost:{}", front.address.port());
    let source = Source::new("api", &url).forward("ca", "\"ca.pem\"");
    let mut gateway = Gateway::builder()
        .set("server", "workers", "1")
        .file("ca.pem", &authority.pem())
        .source(source)
        .start();
    for number in 0..3 {
        // The connection ends with the response, so that the next one is new.
        let response = request("POST", format!("/tls-{number}?size=50000&close=1"))
            .body(pattern(20_000))
            .send(gateway.address());
        assert_eq!((response.status, response.body.len(), response.is_pattern()), (200, 50_000, true));
    }
    let seen = origin.one("/tls-0");
    assert_eq!(seen.header("host"), Some(format!("localhost:{}", front.address.port()).as_str()));
    assert!(seen.body_is_pattern && seen.body_bytes == 20_000);
    let handshakes = front.handshakes();
    assert!(handshakes.iter().all(|handshake| handshake.name.as_deref() == Some("localhost")));
    assert!(handshakes.iter().any(|handshake| handshake.resumed), "{handshakes:?}");
    let records = gateway.finish();
    assert_gapless(&records);
    let record = one(&records, "/tls-1");
    assert_eq!((record.status(), record.outcome()), (200, "success"));
    assert_eq!(record.text("upstream.address"), front.address.to_string());
}

#[test]
fn a_certificate_that_does_not_fit_is_502_upstream_tls_and_the_request_is_not_sent() {
    let origin = Origin::start();
    let authority = Authority::new("upstreams");
    let front = TlsFront::before(origin.address(), authority.server(&["other.test"], &[], None));
    let url = format!("https://localhost:{}", front.address.port());
    let ca = "\"ca.pem\"";
    let mut gateway = Gateway::builder()
        .file("ca.pem", &authority.pem())
        .source(Source::new("name", &url).hosts(&["name.test"]).forward("ca", ca))
        .source(Source::new("root", &url).hosts(&["root.test"]))
        .source(
            Source::new("pinned", &url)
                .hosts(&["pinned.test"])
                .forward("ca", ca)
                .forward("server_name", "\"other.test\""),
        )
        .start();
    for (host, status) in [("name.test", 502), ("root.test", 502), ("pinned.test", 200)] {
        let response = get(format!("/at-{host}")).host(host).send(gateway.address());
        assert_eq!(response.status, status, "{host}");
    }
    assert_eq!(origin.seen().len(), 1);
    let records = gateway.finish();
    for host in ["name.test", "root.test"] {
        let record = one(&records, &format!("/at-{host}"));
        assert_eq!((record.outcome(), record.error()), ("failure", "upstream_tls"));
        assert!(!record.has("upstream.address"), "the upstream saw nothing: {record:?}");
    }
    assert_eq!(one(&records, "/at-pinned.test").outcome(), "success");
}

#[test]
fn the_clients_certificate_is_shown_and_read_again_when_it_changes() {
    let origin = Origin::start();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let front = TlsFront::before(origin.address(), servers.server(&["localhost"], &[], Some(&clients)));
    let url = format!("https://localhost:{}", front.address.port());
    let (first, second) = (clients.identity(&["gateway-1"]), clients.identity(&["gateway-2"]));
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    let source = Source::new("api", &url)
        .forward("ca", "\"ca.pem\"")
        .forward("certificate", "\"own.pem\"")
        .forward("private_key", "{ file = \"own.key\" }")
        .forward("resolve_interval", "\"1s\"");
    let gateway = Gateway::builder()
        .file("ca.pem", &servers.pem())
        .file("own.pem", &first.certificate)
        .file("own.key", &first.key)
        .source(source)
        .start();
    assert_eq!(get("/first?close=1").send(gateway.address()).status, 200);
    assert_eq!(front.handshakes()[0].client.as_ref(), Some(&der(&first.certificate)));
    std::fs::write(gateway.root().join("own.key"), &second.key).unwrap();
    std::fs::write(gateway.root().join("own.pem"), &second.certificate).unwrap();
    until("a handshake with the new certificate", PATIENCE, || {
        assert_eq!(get("/again?close=1").send(gateway.address()).status, 200);
        let last = front.handshakes().last().unwrap().client.clone();
        (last.as_ref() == Some(&der(&second.certificate))).then_some(())
    });
}

#[test]
fn a_trust_file_that_is_not_there_ends_the_start_with_its_name() {
    let source = Source::new("api", "https://localhost:1").forward("ca", "\"no-such.pem\"");
    let log = Gateway::builder().source(source).try_start().map(|_| ()).unwrap_err().1;
    assert!(log.contains("no-such.pem") && log.contains("[source.forward]"), "{log}");
}
