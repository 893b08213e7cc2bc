//! What RFC 9113 and RFC 7541 say of frames, streams and fields, case by case, over plain TCP
//! with prior knowledge and over TLS with ALPN. A case says the section it is of.

mod frames;
mod messages;
mod streams;

use crate::harness::client::{Connection, get};
use crate::harness::front_tls::{Authority, Client};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::h2_frames::{Peer, Told, Wire};
use crate::harness::origin::Origin;
use crate::harness::records::assert_gapless;
use rustls::ALL_VERSIONS;
use std::time::Duration;

/// Codes of RFC 9113 §7.
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;
/// What the stack says instead of a code that would tell more. The connection ends all the same.
const UNSPECIFIC: u32 = PROTOCOL;

/// Settings of RFC 9113 §6.5.2.
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW: u16 = 4;
const MAX_FRAME: u16 = 5;

/// Section and promise, and how it is tried on a connection on which nothing was sent yet.
type Case = (&'static str, fn(&mut Peer) -> Told);

/// How long a case waits for what does not come.
const SILENCE: Duration = Duration::from_secs(5);

fn run(cases: &[Case]) {
    let (origin, authority) = (Origin::start(), Authority::new("test"));
    let pair = authority.server(&["gateway.test"]);
    let mut gateway = Gateway::builder()
        .source(Source::new("plain", &origin.url()))
        .source(Source::new("tls", &origin.url()).listener(1))
        .at_listener(1, "[listener.tls]\ncertificates = [{ chain = \"chain.pem\", key = \"key.pem\" }]\n")
        .file("chain.pem", &pair.chain)
        .file("key.pem", &pair.key)
        .start();
    let client = Client::with(&authority.pem(), None, ALL_VERSIONS, |config| {
        config.alpn_protocols = vec![b"h2".to_vec()];
    });
    let only = std::env::var("ONRECORD_CASE").unwrap_or_default();
    let mut failures = Vec::new();
    for (name, case) in cases.iter().filter(|(name, _)| name.contains(&only)) {
        for is_tls in [false, true] {
            let wire: Box<dyn Wire> = if is_tls {
                let stream = client.connect(gateway.listener(1), "gateway.test").unwrap().into_stream();
                stream.sock.set_read_timeout(Some(SILENCE)).unwrap();
                Box::new(stream)
            } else {
                let stream = Connection::open(gateway.listener(0)).into_stream();
                stream.set_read_timeout(Some(SILENCE)).unwrap();
                Box::new(stream)
            };
            if let Err(instead) = case(&mut Peer::new(wire, is_tls)) {
                failures.push(format!("{name} ({}): {instead}", if is_tls { "TLS" } else { "plain" }));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), 2 * cases.len(), failures.join("\n"));
    assert_eq!(get("/after").send(gateway.address()).status, 200);
    assert_gapless(&gateway.finish());
}

#[test]
fn frames_are_taken_and_refused_as_their_definitions_say() {
    run(frames::CASES);
}

#[test]
fn streams_flow_control_and_settings_go_by_their_states() {
    run(streams::CASES);
}

#[test]
fn messages_and_compressed_fields_are_taken_and_refused_as_their_definitions_say() {
    run(messages::CASES);
}
