//! Destinations of type `nats`, limits of speed, and destinations that are switched off.

use super::refused::refused;
use super::{SMALL, valid};
use crate::deliver::{NatsAuth, Store};
use std::time::Duration;

/// A file with this stream.
fn stream(lines: &str) -> String {
    SMALL.replace(
        "type = \"dir\"\npath = \"objects\"\n",
        &format!("type = \"nats\"\nservers = [\"tls://nats.test:4222\"]\n{lines}\n"),
    )
}

#[test]
fn a_stream_has_its_subjects_and_packs_often() {
    let config = valid(&stream("user = \"u\"\npassword = { env = \"P\" }\nsubject = \"a.{event.action}\""));
    let destination = &config.destinations[0];
    let Store::Nats(options) = &destination.store else { panic!("no stream") };
    assert_eq!(
        (options.servers.as_slice(), options.subject.as_str()),
        (&["tls://nats.test:4222".to_owned()][..], "a.{event.action}")
    );
    assert!(matches!(&options.auth, NatsAuth::User(user, _) if user == "u"));
    assert_eq!((destination.interval, destination.object_bytes), (Duration::from_secs(1), 1 << 20));
    assert_eq!(valid(&stream("interval = \"9s\"")).destinations[0].interval, Duration::from_secs(9));
}

#[test]
fn what_is_no_stream_is_refused() {
    refused(&[
        (stream("").replace("tls://", "http://"), "is not a nats:// or tls:// URL"),
        (stream("").replace("tls://", "tls://user:pass@"), "must not hold a user or password"),
        (stream("").replace("servers = [\"tls://nats.test:4222\"]\n", ""), "servers: is missing"),
        (stream("").replace("\"tls://nats.test:4222\"", ""), "names no server"),
        (stream("subject = \"a..b\""), "has an empty token"),
        (stream("evidence_subject = \"a.{source}\""), "a brace"),
        (stream("user = \"u\""), "is given without password"),
        (stream("token = { env = \"T\" }\ncredentials = { env = \"C\" }"), "beside another way"),
        (stream("format = \"csv\""), "has no lines that could be messages"),
        (stream("format = { type = \"flat\", compression = \"none\" }"), "messages have neither"),
        (stream("proxy = \"http://p.test:1\""), "is a key of type"),
        (
            SMALL.replace("path = \"objects\"", "path = \"objects\"\nsubject = \"a\""),
            "is a key of type \"nats\"",
        ),
    ]);
}

#[test]
fn what_is_switched_off_is_judged_and_otherwise_not_there() {
    let off = format!("{SMALL}enabled = false\n");
    assert!(valid(&off).destinations.is_empty());
    assert!(valid(&off).warnings().iter().any(|warning| warning.contains("delivered to no destination")));
    let reload = valid(SMALL).reload(&valid(&off));
    assert_eq!(reload.live, ["destination[archive] (removed)"]);
    refused(&[(format!("{off}interval = \"soon\"\n"), "interval")]);
    let limits =
        valid(&format!("{SMALL}objects_per_second = 5\nbandwidth = \"1MiB\"\n")).destinations[0].limits;
    assert_eq!((limits.objects_per_second, limits.bytes_per_second), (Some(5), Some(1 << 20)));
}
