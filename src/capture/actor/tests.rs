use super::*;
use http::HeaderMap;
use http::HeaderValue;
use proptest::prelude::*;

const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhcHAifQ.c2ln";

fn rules() -> ActorRules {
    let identity = ActorHeaders {
        id: Some("x-user".to_owned()),
        name: Some("x-name".to_owned()),
        email: Some("x-mail".to_owned()),
    };
    let catalogue = [AUTHORIZATION, HeaderName::from_static("x-microcms-api-key")];
    ActorRules::new(&catalogue, &["X-Own-Key".to_owned()], &identity).unwrap()
}

fn headers(fields: &[(&str, &[u8])]) -> HeaderMap {
    let field = |(name, value): &(&str, &[u8])| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap())
    };
    fields.iter().map(field).collect()
}

/// Authentication, credential, user.
fn said(fields: &[(&str, &[u8])], query: &str) -> (&'static str, Option<String>, Option<String>) {
    let headers = headers(fields);
    let claims = rules().read(&Fields::of(&headers), query.as_bytes(), false);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (claims.authentication.as_str(), claims.credential.as_deref().map(text), claims.user.as_deref().map(text))
}

/// A value of `Authorization`, and the authentication, credential and user read from it.
type Case<'c> = (&'c [u8], &'c str, Option<&'c str>, Option<&'c str>);

#[test]
fn each_way_to_send_a_credential_is_told_apart() {
    let jwt = format!("Bearer {JWT}");
    let cases: &[Case<'_>] = &[
        (b"Bearer CFPAT-abc", "bearer", Some("CFPAT-abc"), None),
        (b"bEARER   abc  ", "bearer", Some("abc"), None),
        (jwt.as_bytes(), "jwt", Some(JWT), None),
        (b"Bearer eyJhbGciOiJub25lIn0.e30.", "jwt", Some("eyJhbGciOiJub25lIn0.e30."), None),
        (b"Bearer a.b.c", "bearer", Some("a.b.c"), None),
        (b"Bearer eyJh.b.c.d", "bearer", Some("eyJh.b.c.d"), None),
        (b"Bearer eyJh.b.c/d", "bearer", Some("eyJh.b.c/d"), None),
        (b"Basic YW5uOnNlY3JldA==", "basic", Some("ann:secret"), Some("ann")),
        (b"basic YW5uOnNlY3JldA", "basic", Some("ann:secret"), Some("ann")),
        (b"Basic YTpiOmM=", "basic", Some("a:b:c"), Some("a")),
        (b"Basic c2tfbGl2ZV8xOg==", "basic", Some("sk_live_1:"), None),
        (b"Basic dG9rOngtb2F1dGgtYmFzaWM=", "basic", Some("tok:x-oauth-basic"), None),
        (b"Basic bm9jb2xvbg==", "basic", Some("nocolon"), None),
        (b"Basic !!", "basic", Some("!!"), None),
        (b"Token abc", "api_key", Some("abc"), None),
        (b"abc", "api_key", Some("abc"), None),
        (b"AWS4-HMAC-SHA256 Credential=x, Signature=y", "header", None, None),
        (b"Digest username=\"a\"", "header", None, None),
        (b"Bearer", "none", None, None),
        (b"Bearer ", "none", None, None),
        (b"", "none", None, None),
    ];
    for (value, authentication, credential, user) in cases {
        let expected = (*authentication, credential.map(str::to_owned), user.map(str::to_owned));
        assert_eq!(said(&[("authorization", value)], ""), expected, "{}", String::from_utf8_lossy(value));
    }
}

#[test]
fn api_key_headers_and_the_query_come_after_authorization() {
    let key: (&str, &[u8]) = ("x-microcms-api-key", b"k1");
    let own: (&str, &[u8]) = ("x-own-key", b"k2");
    let bearer: (&str, &[u8]) = ("authorization", b"Bearer b");
    assert_eq!(said(&[own, key], "access_token=q"), ("api_key", Some("k1".to_owned()), None));
    assert_eq!(said(&[own], ""), ("api_key", Some("k2".to_owned()), None));
    assert_eq!(said(&[own, key, bearer], "key=q"), ("bearer", Some("b".to_owned()), None));
    assert_eq!(said(&[], "a=b&access%5FToken=q%2Bq+q&key=z"), ("query", Some("q+q+q".to_owned()), None));
    assert_eq!(said(&[], "draftKey=d&token=t&sync_token=s&access_token="), ("none", None, None));
}

#[test]
fn one_token_has_one_fingerprint_however_it_is_sent() {
    let fingerprinter = Fingerprinter::new(&Secret::new(b"key".to_vec()), "k1");
    let fingerprint = |fields: &[(&str, &[u8])], query: &str| {
        fingerprinter.fingerprint(said(fields, query).1.unwrap().as_bytes())
    };
    let header = fingerprint(&[("authorization", b"Bearer abc-1")], "");
    assert_eq!(header, fingerprint(&[], "access_token=abc%2D1"));
    assert_eq!(header, fingerprint(&[("x-own-key", b"abc-1")], ""));
    assert_ne!(header, fingerprint(&[("x-own-key", b"abc-2")], ""));
    let other = Fingerprinter::new(&Secret::new(b"other".to_vec()), "k2");
    assert_ne!(header, other.fingerprint(b"abc-1"));
    // RFC 4231, test case 2.
    let jefe = Fingerprinter::new(&Secret::new(b"Jefe".to_vec()), "k");
    let expected =
        [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7];
    assert_eq!(jefe.fingerprint(b"what do ya want for nothing?"), expected);
    assert_eq!(jefe.key_name(), "k");
}

#[test]
fn identity_headers_count_only_from_a_trusted_peer_and_only_with_an_id() {
    let rules = rules();
    let named = headers(&[("x-user", b" u1 "), ("x-mail", b"a@b"), ("authorization", b"Bearer b")]);
    assert_eq!(rules.read(&Fields::of(&named), b"", false).identity, None);
    let claims = rules.read(&Fields::of(&named), b"", true);
    assert_eq!(claims.identity, Some(Identity { id: b"u1", name: b"", email: b"a@b" }));
    assert_eq!(claims.authentication, Authentication::Header);
    assert_eq!(claims.credential.as_deref(), Some(&b"b"[..]));
    let nameless = headers(&[("x-name", b"Ann"), ("x-user", b"")]);
    assert_eq!(rules.read(&Fields::of(&nameless), b"", true).identity, None);
}

#[test]
fn claims_and_fingerprinters_show_no_credential_when_debugged() {
    let headers = headers(&[("authorization", b"Basic YW5uOnNlY3JldA==")]);
    let shown = format!("{:?}", rules().read(&Fields::of(&headers), b"", true));
    assert!(shown.contains("ann") && !shown.contains("secret"), "{shown}");
    let fingerprinter = Fingerprinter::new(&Secret::new(b"hush".to_vec()), "k1");
    assert!(!format!("{fingerprinter:?}").contains("hush"));
}

#[test]
fn names_that_are_no_header_names_are_refused() {
    assert!(ActorRules::new(&[], &["no header".to_owned()], &ActorHeaders::default()).is_err());
}

proptest! {
    #[test]
    fn any_head_is_read_without_a_panic(
        authorization in "((?i:basic|bearer|token|digest)?[ \t]{0,2}[\\x21-\\x7e]{0,40})?", query in "[\\x21-\\x7e]{0,60}",
    ) {
        said(&[("authorization", authorization.as_bytes())], &query);
    }
}
