//! `[redact]`.

use super::refused::refused;
use super::*;
use crate::enrich::privacy::Hashed;

fn with(lines: &str) -> String {
    format!("{SMALL}\n[redact]\n{lines}\n")
}

#[test]
fn patterns_and_hashed_attributes_are_taken_as_they_are_written() {
    let text = with(
        "query = [\"Session\"]\nquery_patterns = ['(?i)ticket$']\npatterns = ['a|b', 'c+']\n\
         hash = [\"client.address\", \"actor.id\", \"client.address\"]",
    );
    let redact = read(&text).unwrap().redact;
    assert_eq!(redact.query, ["session"]);
    assert_eq!(redact.query_patterns, ["(?i)ticket$"]);
    assert_eq!(redact.patterns, ["a|b", "c+"]);
    assert_eq!(redact.hash, [Hashed::ClientAddress, Hashed::ActorId]);
}

#[test]
fn a_pattern_that_cannot_be_used_and_an_attribute_that_cannot_be_hashed_are_refused() {
    let many = format!("patterns = [{}]", "'x', ".repeat(65));
    refused(&[
        (with("patterns = ['(']"), "redact.patterns[0]: is no usable pattern: unclosed group"),
        (with("patterns = ['a', '(?=b)']"), "redact.patterns[1]: is no usable pattern: look-around"),
        (with("patterns = ['a*']"), "redact.patterns[0]: is no usable pattern: is found in the empty text"),
        (with("query_patterns = ['[a-z]{999}{999}']"), "redact.query_patterns[0]: is no usable pattern"),
        (with(&many), "redact.patterns[64]: is one too many: at most 64"),
        (with("hash = [\"client.adress\"]"), "did you mean client.address?"),
        (with("hash = [\"event.id\"]"), "redact.hash[0]: is no attribute that can be hashed"),
    ]);
}
