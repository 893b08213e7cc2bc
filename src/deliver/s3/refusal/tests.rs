use super::*;
use crate::deliver::rest::MOST_WORDS;

fn answer(status: u16, code: &'static str, message: &'static str) -> PutError {
    answered(&Said { status, code, message, ..Said::default() })
}

#[test]
fn each_error_of_the_protocol_has_its_cause() {
    for (status, code, message, cause) in [
        (403, "InvalidAccessKeyId", "The key id does not exist.", Cause::Credentials),
        (403, "SignatureDoesNotMatch", "The signature does not match.", Cause::Credentials),
        (403, "AccessDenied", "Access Denied", Cause::Permission),
        (403, "AccessDenied", "… with an explicit deny in a resource-based policy", Cause::Policy),
        (404, "NoSuchBucket", "The specified bucket does not exist", Cause::NotFound),
        (301, "PermanentRedirect", "Use the endpoint that …", Cause::WrongRegion),
        (400, "AuthorizationHeaderMalformed", "the region 'a' is wrong; expecting 'b'", Cause::WrongRegion),
        (400, "ExpiredToken", "The provided token has expired.", Cause::ExpiredToken),
        (403, "RequestTimeTooSkewed", "The difference is too large.", Cause::ClockSkew),
        (503, "SlowDown", "Please reduce your request rate.", Cause::Throttled),
        (500, "InternalError", "We encountered an internal error.", Cause::ServerError),
        (500, "InternalError", "write /data: no space left on device", Cause::Quota),
        (400, "QuotaExceeded", "Your quota", Cause::Quota),
        (501, "NotImplemented", "A header you provided …", Cause::IgnoresConditions),
        (409, "ConditionalRequestConflict", "Try again.", Cause::Throttled),
        (400, "RequestTimeout", "Your socket connection was idle.", Cause::Network),
        (400, "SomethingNew", "?", Cause::ServerError),
    ] {
        let error = answer(status, code, message);
        assert_eq!(error.cause, cause, "{code}");
        assert_eq!(error.words, format!("{code}: {message}"));
    }
}

#[test]
fn an_answer_without_a_code_is_judged_by_its_status() {
    for (status, cause) in [
        (301, Cause::Network),
        (401, Cause::Credentials),
        (403, Cause::Permission),
        (404, Cause::NotFound),
        (407, Cause::Network),
        (429, Cause::Throttled),
        (500, Cause::ServerError),
        (502, Cause::ServerError),
        (503, Cause::Throttled),
        (507, Cause::Quota),
    ] {
        let error = answer(status, "", "");
        assert_eq!(error.cause, cause, "{status}");
        assert_eq!(error.words, format!("status {status} without a word"));
    }
    let elsewhere = Said { status: 301, bucket_region: Some("eu-west-1"), ..Said::default() };
    let error = answered(&elsewhere);
    assert_eq!(error.cause, Cause::WrongRegion);
    assert!(error.words.ends_with("(the bucket is in eu-west-1)"));
}

#[test]
fn a_page_is_told_by_its_title_and_never_repeated() {
    let page = b"<html><head><title>Sign in</title></head><body>Authorization: AWS4 </body>";
    let error = answered(&Said { status: 403, body: page, ..Said::default() });
    assert_eq!(error.words, "status 403 with a page titled `Sign in`");
    let error = answered(&Said { status: 500, body: b"oops, Authorization: AWS4", ..Said::default() });
    assert_eq!(error.words, "status 500 with 25 bytes that are no S3 error");
    let signed = Said { status: 302, location: Some("http://portal/login?sig=x"), ..Said::default() };
    assert!(answered(&signed).words.ends_with("(redirects to http://portal/login)"));
}

#[test]
fn only_the_stores_own_word_makes_a_key_taken() {
    let there = |status, code, body| is_there(&Said { status, code, body, ..Said::default() });
    assert!(there(412, "PreconditionFailed", b"<Error>"));
    assert!(there(412, "", b" \n"));
    assert!(!there(412, "", b"<html>"));
    assert!(!there(409, "ConditionalRequestConflict", b""));
    assert!(!there(200, "", b""));
}

#[test]
fn a_success_needs_a_tag_and_no_error_inside() {
    assert_eq!(accept(Some("\"tag\""), b""), Ok(Created::Created));
    assert!(accept(None, b"").is_err());
    assert!(accept(Some(""), b"").is_err());
    assert!(accept(Some("\"tag\""), b"<html><title>Hello</title>").unwrap_err().words.contains("Hello"));
    let hidden = b"\n<?xml?><Error><Code>SlowDown</Code><Message>Later</Message></Error>";
    let error = accept(Some("\"tag\""), hidden).unwrap_err();
    assert_eq!((error.cause, error.words.as_str()), (Cause::Throttled, "SlowDown: Later"));
}

#[test]
fn a_store_that_says_when_is_heard_and_a_conflict_is_tried_at_once() {
    let later = Said { status: 503, code: "SlowDown", retry_after: Some("7"), ..Said::default() };
    assert_eq!(answered(&later).advice, Advice::After(Duration::from_secs(7)));
    assert_eq!(answer(409, "ConditionalRequestConflict", "").advice, Advice::Now);
    let odd = Said { status: 503, retry_after: Some("tomorrow"), ..Said::default() };
    assert_eq!(answered(&odd).advice, Advice::BackOff);
}

#[test]
fn words_are_one_line_of_bounded_length() {
    let long = "ä\n".repeat(10_000);
    let told = words(&long);
    assert_eq!(told.chars().count(), MOST_WORDS + 1);
    assert!(told.ends_with('…') && !told.contains('\n'));
}
