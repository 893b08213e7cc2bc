//! The attributes of the flat format.

use super::{Column, Kind, list_of_text, objects, of, texts};

/// The columns of flat records of sources with these namespaces.
#[must_use]
pub fn flat(namespaces: &[String]) -> Vec<Column> {
    let mut columns = texts(&["event.id"]);
    for namespace in namespaces {
        for name in ["organization.id", "space.id", "environment.id", "cache.status", "request.id"] {
            columns.push(Column::new(&format!("{namespace}.{name}"), Kind::Text));
        }
    }
    columns.extend(texts(&["cache.detail"]));
    columns.extend(of(&Kind::Time, &["event.start", "event.end"]));
    columns.extend(of(&Kind::Long, &["duration.microseconds"]));
    columns.extend(texts(&[
        "http.request.method",
        "http.request.method_override",
        "http.route",
        "url.path",
        "url.query",
    ]));
    columns.extend(of(
        &Kind::Long,
        &["http.response.status_code", "http.response.body.size", "http.request.body.size"],
    ));
    columns.extend(texts(&[
        "user_agent.original",
        "user_agent.product",
        "http.request.header.referer",
        "event.action",
    ]));
    columns.push(list_of_text("event.action.candidates"));
    columns.extend(texts(&["event.outcome", "event.category", "origin.type"]));
    columns.push(list_of_text("origin.evidence"));
    columns.extend(texts(&["session.id", "resource.type", "resource.id"]));
    columns.push(objects("resources", texts(&["type", "id"])));
    columns.extend(of(&Kind::Long, &["resources_truncated"]));
    columns.extend(texts(&[
        "inspection.error",
        "actor.type",
        "actor.id",
        "actor.name",
        "actor.email",
        "actor.provenance",
        "actor.unverified",
        "actor.issuer",
        "actor.app.id",
        "actor.delegate.id",
        "actor.authentication",
        "actor.credential.id",
        "actor.credential.key",
        "client.address",
    ]));
    columns.extend(of(&Kind::Long, &["client.port"]));
    columns.extend(texts(&[
        "network.protocol.version",
        "tls.protocol.version",
        "tls.client.subject",
        "trace.id",
        "span.id",
        "upstream.address",
    ]));
    columns.extend(of(&Kind::Long, &["upstream.duration.microseconds", "upstream.attempts"]));
    columns.extend(texts(&["error.type", "onrecord.instance", "onrecord.boot"]));
    columns.extend(of(&Kind::Long, &["onrecord.lane", "onrecord.sequence"]));
    columns.extend(texts(&["schema.version"]));
    columns
}
