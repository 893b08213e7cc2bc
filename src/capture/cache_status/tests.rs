use super::*;
use proptest::prelude::*;

fn said(headers: &[(&str, &str)]) -> Option<(&'static str, String)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    cache_status(&map).map(|(status, detail)| (status.as_str(), String::from_utf8(detail.to_vec()).unwrap()))
}

#[test]
fn every_vendors_word_is_hit_or_miss() {
    for (word, status) in [
        ("HIT", "HIT"),
        ("hit", "HIT"),
        ("MISS", "MISS"),
        ("Hit from cloudfront", "HIT"),
        ("Miss from cloudfront", "MISS"),
        ("RefreshHit from cloudfront", "HIT"),
        ("OriginShieldHit from cloudfront", "MISS"),
        ("Error from cloudfront", "MISS"),
        ("LambdaGeneratedResponse from cloudfront", "MISS"),
        ("TCP_HIT from a23-4.deploy.akamaitechnologies.com (AkamaiGHost/9.9) (-)", "HIT"),
        ("TCP_MEM_HIT", "HIT"),
        ("TCP_IMS_HIT", "HIT"),
        ("TCP_REFRESH_HIT", "HIT"),
        ("TCP_REMOTE_HIT", "HIT"),
        ("TCP_MISS", "MISS"),
        ("TCP_REFRESH_MISS", "MISS"),
        ("TCP_EXPIRED_MISS", "MISS"),
        ("TCP_DENIED", "MISS"),
        ("EXPIRED", "MISS"),
        ("STALE", "HIT"),
        ("BYPASS", "MISS"),
        ("REVALIDATED", "HIT"),
        ("UPDATING", "HIT"),
        ("DYNAMIC", "MISS"),
        ("NONE", "MISS"),
        ("NONE/UNKNOWN", "MISS"),
        ("PRIVATE_NOSTORE", "MISS"),
        ("hitherto", "MISS"),
        ("\"\"", "MISS"),
    ] {
        for header in ["X-Cache", "CF-Cache-Status", "X-Cache-Status"] {
            assert_eq!(said(&[(header, word)]), Some((status, word.to_owned())), "{header}: {word}");
        }
    }
}

#[test]
fn of_a_list_the_last_element_counts() {
    for (value, status, detail) in [
        ("MISS, HIT", "HIT", "HIT"),
        ("HIT, MISS", "MISS", "MISS"),
        ("HIT,, ", "HIT", "HIT"),
        ("TCP_HIT, Miss from cloudfront", "MISS", "Miss from cloudfront"),
    ] {
        assert_eq!(said(&[("X-Cache", value)]), Some((status, detail.to_owned())), "{value}");
    }
    assert_eq!(said(&[("X-Cache", "HIT"), ("X-Cache", "MISS")]), Some(("MISS", "MISS".to_owned())));
}

#[test]
fn cache_status_is_read_as_its_rfc_wants() {
    for (value, status, detail) in [
        ("ExampleCache; hit", "HIT", "ExampleCache; hit"),
        ("ExampleCache;hit;ttl=-412", "HIT", "ExampleCache;hit;ttl=-412"),
        ("ExampleCache; hit=?0", "MISS", "ExampleCache; hit=?0"),
        ("ExampleCache; fwd=uri-miss; stored", "MISS", "ExampleCache; fwd=uri-miss; stored"),
        ("ExampleCache; fwd=stale; fwd-status=304", "HIT", "ExampleCache; fwd=stale; fwd-status=304"),
        ("ExampleCache; fwd=stale; fwd-status=200", "MISS", "ExampleCache; fwd=stale; fwd-status=200"),
        ("ExampleCache; fwd=miss; fwd-status=304", "MISS", "ExampleCache; fwd=miss; fwd-status=304"),
        ("ExampleCache", "MISS", "ExampleCache"),
        ("Origin; hit, \"CDN, Inc; hit\"; fwd=uri-miss", "MISS", "\"CDN, Inc; hit\"; fwd=uri-miss"),
        ("Origin; fwd=miss, \"C \\\" , D\"; hit", "HIT", "\"C \\\" , D\"; hit"),
        ("a; detail=\"x; hit\"; fwd=bypass", "MISS", "a; detail=\"x; hit\"; fwd=bypass"),
        ("a; hit, \"never closed; hit", "MISS", "\"never closed; hit"),
    ] {
        assert_eq!(said(&[("Cache-Status", value)]), Some((status, detail.to_owned())), "{value}");
    }
}

#[test]
fn headers_are_believed_in_order_and_blank_ones_not_at_all() {
    assert_eq!(said(&[]), None);
    assert_eq!(said(&[("X-Cache", " "), ("CF-Cache-Status", ","), ("Age", "x")]), None);
    assert_eq!(said(&[("Age", "0")]), None);
    assert_eq!(said(&[("Age", "00")]), None);
    assert_eq!(said(&[("Age", "-1")]), None);
    assert_eq!(said(&[("Age", "99999999999999999999999")]), Some(("HIT", "age".to_owned())));
    assert_eq!(said(&[("Age", "7"), ("X-Cache-Status", "MISS")]).unwrap().0, "MISS");
    assert_eq!(said(&[("X-Cache", "MISS"), ("Cache-Status", "a; hit")]).unwrap().0, "HIT");
    assert_eq!(said(&[("X-Cache", "HIT"), ("Cache-Status", "")]).unwrap().0, "HIT");
    assert_eq!(said(&[("X-Cache", "HIT"), ("CF-Cache-Status", "MISS")]).unwrap().0, "HIT");
}

proptest! {
    #[test]
    fn any_value_is_read_without_a_panic(value in "[\\x20-\\x7e]{0,60}") {
        for header in ["Cache-Status", "X-Cache", "Age"] {
            said(&[(header, &value)]);
        }
    }
}
