//! One traffic in many formats: not only the same ids, but the same values, record by record.

use serde_json::Value;
use std::collections::BTreeMap;

/// Where an attribute of the flat format stands in OCSF (6001 at 1.3.0), in ECS, in the former
/// samples of Contentful, and in which cell of a row of CSV; empty: it has no place of its own.
type Places = (&'static str, &'static str, &'static str, &'static str, Option<usize>);

const PLACES: &[Places] = &[
    ("event.id", "/metadata/uid", "/event/id", "/metadata/uid", Some(10)),
    ("event.start", "/metadata/original_time", "/@timestamp", "", Some(0)),
    ("event.end", "", "/event/end", "", None),
    ("duration.microseconds", "/unmapped/duration.microseconds", "", "", None),
    ("contentful.organization.id", "/metadata/tenant_uid", "/organization/id", "", None),
    ("contentful.space.id", "/unmapped/space.id", "/onrecord/space_id", "", Some(6)),
    ("contentful.environment.id", "/unmapped/environment.id", "/onrecord/environment_id", "", None),
    ("contentful.cache.status", "/unmapped/cache.status", "/onrecord/cache_status", "", None),
    ("contentful.request.id", "/http_request/uid", "/http/request/id", "", None),
    ("http.request.method", "", "/http/request/method", "/http_request/http_method", Some(1)),
    ("http.route", "/unmapped/http.route", "/onrecord/route", "", Some(7)),
    ("url.path", "/http_request/url/path", "/url/path", "/http_request/url/path", Some(2)),
    ("url.query", "/http_request/url/query_string", "/url/query", "", Some(3)),
    (
        "http.response.status_code",
        "/http_response/code",
        "/http/response/status_code",
        "/http_response/code",
        Some(4),
    ),
    ("http.response.body.size", "/http_response/length", "/http/response/body/bytes", "", Some(5)),
    ("http.request.body.size", "/http_request/length", "/http/request/body/bytes", "", None),
    ("user_agent.original", "/http_request/user_agent", "/user_agent/original", "", None),
    ("user_agent.product", "/unmapped/user_agent.product", "/onrecord/user_agent_product", "", None),
    ("event.action", "/metadata/event_code", "/event/action", "", None),
    ("event.outcome", "", "/onrecord/outcome", "", None),
    ("event.category", "/unmapped/event.category", "/onrecord/category", "", None),
    ("origin.type", "", "/onrecord/origin_type", "", None),
    ("origin.evidence", "", "/onrecord/origin_evidence", "", None),
    ("session.id", "/unmapped/session.id", "/onrecord/session_id", "", None),
    ("resource.type", "/web_resources/0/type", "/onrecord/resource_type", "/web_resources/0/type", None),
    ("resource.id", "/web_resources/0/uid", "/onrecord/resource_id", "/web_resources/0/uid", None),
    ("actor.type", "/unmapped/actor.type", "/onrecord/actor_type", "", None),
    ("actor.id", "/unmapped/actor.id", "/user/id", "/actor/id", None),
    ("actor.provenance", "", "/onrecord/actor_provenance", "", None),
    ("actor.authentication", "/unmapped/actor.authentication", "/onrecord/actor_authentication", "", None),
    ("actor.credential.id", "/unmapped/actor.credential.id", "/onrecord/credential_id", "", None),
    ("actor.credential.key", "/unmapped/actor.credential.key", "/onrecord/credential_key", "", None),
    ("client.address", "/src_endpoint/ip", "/client/address", "", None),
    ("client.port", "/src_endpoint/port", "/client/port", "", None),
    ("network.protocol.version", "/http_request/version", "/http/version", "", None),
    ("upstream.address", "", "/destination/address", "", None),
    (
        "upstream.duration.microseconds",
        "/unmapped/upstream.duration.microseconds",
        "/onrecord/upstream_duration_microseconds",
        "",
        None,
    ),
    ("upstream.attempts", "/unmapped/upstream.attempts", "/onrecord/upstream_attempts", "", None),
    ("error.type", "/status_detail", "/error/type", "", None),
    ("onrecord.instance", "/unmapped/onrecord.instance", "/observer/name", "", None),
    ("onrecord.boot", "/unmapped/onrecord.boot", "/onrecord/boot", "", None),
    ("onrecord.lane", "/unmapped/onrecord.lane", "/onrecord/lane", "", None),
    ("onrecord.sequence", "/metadata/sequence", "/onrecord/sequence", "", None),
    ("schema.version", "/metadata/log_version", "/onrecord/schema_version", "", None),
];

/// Rows of a format by the id of their event.
pub(crate) type ById = BTreeMap<String, Value>;

/// By the id that stands at this place.
pub(crate) fn by_id(rows: impl Iterator<Item = Value>, pointer: &str) -> ById {
    let id = |row: &Value| row.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    rows.map(|row| (id(&row), row)).collect()
}

/// The cells of a row without quotes as a list.
pub(crate) fn cells(row: &str) -> Value {
    row.split(',').map(Value::from).collect()
}

/// Holds each attribute of the flat records to what the other formats say of the same event.
pub(crate) fn compare(flat: &ById, ocsf: &ById, ecs: &ById, legacy: &ById, csv: &ById) {
    for (id, record) in flat {
        for (name, value) in record.as_object().unwrap() {
            let Some((_, in_ocsf, in_ecs, in_legacy, cell)) = PLACES.iter().find(|(known, ..)| known == name)
            else {
                panic!("the comparison has no place for {name} = {value}");
            };
            let cell = cell.map(|cell| format!("/{cell}")).unwrap_or_default();
            for (format, rows, place) in [
                ("ocsf", ocsf, *in_ocsf),
                ("ecs", ecs, *in_ecs),
                ("contentful-legacy", legacy, *in_legacy),
                ("csv", csv, &cell),
            ] {
                if place.is_empty() {
                    continue;
                }
                let found = rows[id].pointer(place).unwrap_or(&Value::Null);
                let same = match value {
                    // What is empty in flat records, or 0, is left out where a format allows that.
                    Value::String(text) if text.is_empty() => found.is_null() || found == "",
                    Value::Number(number) if format == "csv" => *found == number.to_string(),
                    _ => found == value,
                };
                assert!(same, "{format} of {id} at {place}: {found}, but {name} is {value}");
            }
        }
    }
}
