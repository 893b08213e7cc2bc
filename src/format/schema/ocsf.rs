//! What OCSF events of the gateway hold; the schema itself allows far more.

use super::{Column, Kind, list_of_text, long, object, objects, of, texts};
use crate::format::ocsf::{Class, OcsfOptions, Version};

/// The columns of events with these options.
#[must_use]
pub fn ocsf(options: &OcsfOptions) -> Vec<Column> {
    let profiles = options.profiles;
    let millis = |names| of(&Kind::Millis, names);
    let mut columns: Vec<Column> = of(
        &Kind::Long,
        &["activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "status_id"],
    )
    .chain(texts(&["activity_name", "category_name", "class_name", "type_name", "severity", "status"]))
    .chain(texts(&["status_code", "status_detail"]))
    .chain(millis(&["time", "start_time", "end_time"]))
    .chain(of(&Kind::Long, &["duration", "count"]))
    .collect();
    if profiles.datetime {
        columns.extend(of(&Kind::Time, &["time_dt", "start_time_dt", "end_time_dt"]));
    }
    if profiles.security_control {
        columns.extend(of(&Kind::Long, &["action_id", "disposition_id"]));
        columns.extend(texts(&["action", "disposition"]));
    }
    columns.push(metadata());
    if profiles.cloud {
        let uid = |name| object(name, texts(&["uid"]));
        columns.push(object("cloud", vec![Column::new("provider", Kind::Text), uid("org"), uid("account")]));
    }
    if options.has_actor() {
        columns.push(actor());
    }
    let mut source = texts(&["ip", "name", "svc_name"]);
    source.push(long("port"));
    columns.push(object("src_endpoint", source));
    let mut upstream = texts(&["ip", "name"]);
    upstream.push(long("port"));
    columns.push(object("dst_endpoint", upstream));
    if options.has_api() {
        let mut response = texts(&["error", "message"]);
        response.push(long("code"));
        columns.push(object(
            "api",
            vec![
                Column::new("operation", Kind::Text),
                object("request", texts(&["uid"])),
                object("response", response),
                object("service", texts(&["name"])),
            ],
        ));
    }
    let length = if options.version == Version::V1_3 { "length" } else { "body_length" };
    let mut request = texts(&["uid", "http_method", "user_agent", "referrer", "version"]);
    request.extend([long(length), object("url", texts(&["path", "query_string"]))]);
    columns.push(object("http_request", request));
    if options.has_response() {
        columns.push(object("http_response", vec![long("code"), long(length), long("latency")]));
    }
    if options.class == Class::WebResourcesActivity {
        columns.push(object("tls", texts(&["version"])));
        columns.push(objects("web_resources", texts(&["type", "uid", "name", "url_string"])));
    } else {
        columns.push(objects("resources", texts(&["type", "uid", "name"])));
    }
    let data = vec![Column::new("actor.unverified", Kind::Text), list_of_text("origin.evidence")];
    let mut enrichment = texts(&["name", "value", "provider"]);
    enrichment.push(object("data", data));
    columns.push(objects("enrichments", enrichment));
    let mut observable = texts(&["name", "type", "value"]);
    observable.push(long("type_id"));
    columns.push(objects("observables", observable));
    columns.push(unmapped());
    columns
}

fn metadata() -> Column {
    let mut columns = texts(&[
        "version",
        "uid",
        "log_name",
        "log_provider",
        "log_version",
        "event_code",
        "tenant_uid",
        "correlation_uid",
        "original_time",
    ]);
    columns.push(list_of_text("profiles"));
    columns.push(object("product", texts(&["name", "vendor_name", "version"])));
    columns.push(long("sequence"));
    object("metadata", columns)
}

fn actor() -> Column {
    let mut user = texts(&["uid", "name", "email_addr", "type", "credential_uid"]);
    user.push(long("type_id"));
    let mut columns = texts(&["app_uid", "app_name", "invoked_by"]);
    columns.push(object("user", user));
    columns.push(object("idp", texts(&["name"])));
    columns.push(object("session", texts(&["uid", "credential_uid"])));
    object("actor", columns)
}

fn unmapped() -> Column {
    let mut columns = texts(&[
        "onrecord.instance",
        "onrecord.boot",
        "namespace",
        "space.id",
        "environment.id",
        "cache.status",
        "cache.detail",
        "http.request.method",
        "http.request.method_override",
        "http.route",
        "http.request.header.referer",
        "url.path",
        "url.query",
        "user_agent.original",
        "user_agent.product",
        "event.category",
        "inspection.error",
        "span.id",
        "tls.protocol.version",
        "tls.client.subject",
        "actor.type",
        "actor.id",
        "actor.name",
        "actor.email",
        "actor.issuer",
        "actor.app.id",
        "actor.delegate.id",
        "actor.authentication",
        "actor.credential.id",
        "actor.credential.key",
        "session.id",
    ]);
    columns.extend(of(
        &Kind::Long,
        &[
            "onrecord.lane",
            "duration.microseconds",
            "http.response.body.size",
            "upstream.duration.microseconds",
            "upstream.attempts",
            "resources_truncated",
        ],
    ));
    columns.push(list_of_text("event.action.candidates"));
    object("unmapped", columns)
}
