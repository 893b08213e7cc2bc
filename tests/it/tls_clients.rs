//! Client certificates: who is let in, who is put on record as the actor.

use crate::harness::client::get;
use crate::harness::front_tls::{Authority, Client, email, named};
use crate::harness::gateway::Gateway;
use crate::harness::origin::Origin;
use crate::harness::records::one;
use crate::harness::{PATIENCE, until};
use crate::tls::with_certificates;
use rcgen::SerialNumber;

const REQUIRED: &str = "client_certificates = \"required\"\nclient_ca = [\"ca.pem\"]\n";

#[test]
fn the_subject_of_a_client_certificate_is_a_verified_actor() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let clients = Authority::new("clients");
    let mut gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], REQUIRED)
        .file("ca.pem", &clients.pem())
        .start();
    let pair = clients.client(|params| named(params, "billing, main"));
    let client = Client::showing(&authority.pem(), &pair);
    // The session is resumed the second time: the certificate comes with it.
    for id in 1..=2 {
        let mut connection = client.connect(gateway.address(), "gateway.test").unwrap();
        let request = get(format!("/mine?id={id}")).header("Authorization", "Bearer abc");
        assert_eq!(connection.exchange(&request).status, 200);
    }
    let stranger = Authority::new("clients").client(|params| named(params, "billing"));
    for (client, cause) in [
        (Client::trusting(&authority.pem()), "client_certificate_missing"),
        (Client::showing(&authority.pem(), &stranger), "client_certificate_invalid"),
    ] {
        // With TLS 1.3 the client learns of it when it reads.
        let connection = client.connect(gateway.address(), "gateway.test");
        let refused = connection.map_or(true, |mut connection| {
            let _ = connection.try_send(&get("/refused").head_bytes());
            connection.response(false).is_err()
        });
        assert!(refused, "{cause}");
        until(cause, PATIENCE, || {
            (gateway.metric("onrecord_tls_handshakes_total", cause) == 1.0).then_some(())
        });
    }
    let records = gateway.finish();
    assert_eq!(records.len(), 2, "who was not let in made no record");
    for id in 1..=2 {
        let record = records.iter().find(|record| record.id() == Some(id)).unwrap();
        assert_eq!(record.text("tls.client.subject"), "CN=billing\\, main,O=Acme\\, Inc.");
        assert_eq!(record.text("actor.id"), "billing, main");
        assert_eq!(record.text("actor.type"), "service");
        assert_eq!(record.text("actor.provenance"), "verified");
        assert_eq!(record.text("actor.authentication"), "mtls");
        assert_eq!(record.text("actor.credential.id").len(), 32);
    }
    assert_eq!(records[0].text("actor.credential.id"), records[1].text("actor.credential.id"));
}

#[test]
fn where_certificates_are_optional_clients_without_one_are_anonymous() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let more = "client_certificates = \"optional\"\nclient_ca = [\"ca.pem\"]\nclient_actor = \"email\"\n";
    let mut gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], more)
        .file("ca.pem", &authority.pem())
        .start();
    let with = authority.client(|params| {
        named(params, "Ann");
        email(params, "ann@acme.test");
    });
    let ann = Client::showing(&authority.pem(), &with);
    let nobody = Client::trusting(&authority.pem());
    for (client, path) in [(&ann, "/ann?id=1"), (&nobody, "/nobody?id=2")] {
        let mut connection = client.connect(gateway.address(), "gateway.test").unwrap();
        assert_eq!(connection.exchange(&get(path)).status, 200);
    }
    let records = gateway.finish();
    let record = one(&records, "/ann");
    assert_eq!((record.text("actor.type"), record.text("actor.id")), ("user", "ann@acme.test"));
    assert_eq!(record.text("actor.email"), "ann@acme.test");
    let record = one(&records, "/nobody");
    assert_eq!((record.text("actor.type"), record.text("actor.authentication")), ("anonymous", "none"));
}

#[test]
fn a_revoked_certificate_is_refused_as_soon_as_the_list_says_so_even_in_a_resumed_session() {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let more = format!("{REQUIRED}client_crl = [\"crl.pem\"]\n");
    let gateway = with_certificates(&origin, &[&authority.server(&["gateway.test"])], &more)
        .file("ca.pem", &authority.pem())
        .file("crl.pem", &authority.revoke(&[1]))
        .start();
    let pair = authority.client(|params| params.serial_number = Some(SerialNumber::from(7)));
    let client = Client::showing(&authority.pem(), &pair);
    let works = |gateway: &Gateway| {
        client.connect(gateway.address(), "gateway.test").is_ok_and(|mut connection| {
            connection.try_send(&get("/in?id=1").head_bytes()).is_ok() && connection.response(false).is_ok()
        })
    };
    assert!(works(&gateway) && works(&gateway));
    std::fs::write(gateway.root().join("crl.pem"), authority.revoke(&[1, 7])).unwrap();
    until("the refusal", PATIENCE, || (!works(&gateway)).then_some(()));
    until("its cause", PATIENCE, || {
        (gateway.metric("onrecord_tls_handshakes_total", "client_certificate_revoked") >= 1.0).then_some(())
    });
}
