use super::*;
use proptest::prelude::*;

fn query(text: &str) -> String {
    let mut out = Vec::new();
    Redactor::new(["myOwn"]).redact_query(text.as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
}

fn url(text: &str) -> String {
    let mut out = b"kept:".to_vec();
    Redactor::default().redact_url(text.as_bytes(), &mut out);
    String::from_utf8(out).unwrap().strip_prefix("kept:").unwrap().to_owned()
}

#[test]
fn values_of_secret_names_become_redacted_and_all_else_stays() {
    for (sent, recorded) in [
        ("", ""),
        ("a=b&c=d", "a=b&c=d"),
        ("&&a&=&;", "&&a&=&;"),
        ("access_token=S", "access_token=REDACTED"),
        ("a=1&access_token=S&b=%20", "a=1&access_token=REDACTED&b=%20"),
        ("ACCESS_token=S&DraftKey=S", "ACCESS_token=REDACTED&DraftKey=REDACTED"),
        ("access%5Ftoken=S", "access%5Ftoken=REDACTED"),
        ("%61ccess%5ftoke%6E=S", "%61ccess%5ftoke%6E=REDACTED"),
        ("access%255Ftoken=S", "access%255Ftoken=REDACTED"),
        ("+token+=S", "+token+=REDACTED"),
        ("token%00=S", "token%00=REDACTED"),
        (
            "token[]=S&token[0]=S&user[password]=S",
            "token[]=REDACTED&token[0]=REDACTED&user[password]=REDACTED",
        ),
        ("token%5B%5D=S", "token%5B%5D=REDACTED"),
        ("a=1;token=S;b=2", "a=1;token=REDACTED;b=2"),
        ("next=/x?token=S", "next=/x?token=REDACTED"),
        ("next=%2Fx%3Ftoken%3DS%26a%3Db&c=d", "next=REDACTED&c=d"),
        ("next=%252Fx%253Ftoken%253DS", "next=REDACTED"),
        ("next=%2Fx%3Fpage%3D2", "next=%2Fx%3Fpage%3D2"),
        ("token=a=b==", "token=REDACTED"),
        ("token&token=&token", "token&token=&token"),
        ("myown=S&MYOWN=S", "myown=REDACTED&MYOWN=REDACTED"),
        (
            "sync_token=c&tokens=t&keys=k&fields.code=DE&mykey=1",
            "sync_token=c&tokens=t&keys=k&fields.code=DE&mykey=1",
        ),
        ("X-Amz-Signature=S&x-goog-CREDENTIAL=S", "X-Amz-Signature=REDACTED&x-goog-CREDENTIAL=REDACTED"),
        ("%zz=1&%=2&token=%zz", "%zz=1&%=2&token=REDACTED"),
    ] {
        assert_eq!(query(sent), recorded, "{sent}");
    }
}

#[test]
fn a_referer_loses_user_information_and_the_secrets_of_query_and_fragment() {
    for (sent, recorded) in [
        ("https://a.example/p?x=1", "https://a.example/p?x=1"),
        ("https://a.example/p?x=1&token=S#y", "https://a.example/p?x=1&token=REDACTED#y"),
        ("https://me:pw@a.example/p@q", "https://REDACTED@a.example/p@q"),
        ("//me:p@w@a.example", "//REDACTED@a.example"),
        ("https://a.example/#access_token=S&state=1", "https://a.example/#access_token=REDACTED&state=1"),
        ("https://a.example/#/cb?code=S", "https://a.example/#/cb?code=REDACTED"),
        ("https://a.example?to=//me@b", "https://a.example?to=//me@b"),
        ("/relative?key=S", "/relative?key=REDACTED"),
        ("", ""),
    ] {
        assert_eq!(url(sent), recorded, "{sent}");
    }
}

/// A secret name, each letter in either case and possibly percent-encoded.
fn disguised_name() -> impl Strategy<Value = String> {
    (prop::sample::select(NAMES), any::<u64>()).prop_map(|(name, choice)| {
        let mut out = String::new();
        for (index, byte) in name.bytes().enumerate() {
            match choice >> (2 * index % 64) & 3 {
                0 => out.push(char::from(byte)),
                1 => out.push(char::from(byte.to_ascii_uppercase())),
                2 => out.push_str(&format!("%{byte:02x}")),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    })
}

fn harmless_pair() -> impl Strategy<Value = String> {
    "(q[a-z.]{0,6}|order|limit|[é%]{1,2})(=[a-zA-Z0-9%+./]{0,8})?"
}

proptest! {
    #[test]
    fn no_secret_survives_in_any_place_and_the_rest_is_unchanged(
        parts in prop::collection::vec((harmless_pair(), "[&;]", prop::option::of(disguised_name())), 0..8),
        canary in "CANARY[a-zA-Z0-9=%/+.]{0,20}",
    ) {
        let (mut sent, mut expected) = (String::new(), String::new());
        for (harmless, separator, secret) in &parts {
            for text in [&mut sent, &mut expected] {
                text.push_str(harmless);
                text.push_str(separator);
            }
            if let Some(name) = secret {
                sent.push_str(&format!("{name}={canary}{separator}"));
                expected.push_str(&format!("{name}=REDACTED{separator}"));
            }
        }
        prop_assert_eq!(query(&sent), expected.clone());
        prop_assert_eq!(url(&format!("https://h/p?{sent}")), format!("https://h/p?{expected}"));
    }

    #[test]
    fn a_secret_in_an_encoded_inner_query_does_not_survive(
        name in disguised_name(), canary in "CANARY[a-z]{4}", rounds in 0usize..3,
    ) {
        let mut inner = format!("/cb?a=b&{name}={canary}");
        for _ in 0..rounds {
            inner = percent_encoding::utf8_percent_encode(&inner, percent_encoding::NON_ALPHANUMERIC).to_string();
        }
        let recorded = query(&format!("q=1&next={inner}&z=2"));
        prop_assert!(!recorded.contains("CANARY"), "{recorded}");
        prop_assert!(recorded.starts_with("q=1&next=") && recorded.ends_with("&z=2"));
    }

    #[test]
    fn any_bytes_pass_and_what_is_redacted_stays_so(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let redactor = Redactor::default();
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        redactor.redact_query(&bytes, &mut once);
        redactor.redact_query(&once, &mut twice);
        prop_assert_eq!(once, twice);
        redactor.redact_url(&bytes, &mut Vec::new());
    }
}
