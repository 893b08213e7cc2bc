//! What the rows of each format hold, as columns with types: for Parquet, and for `onrecord
//! schema`, which prints what readers need.

mod flat;
mod ocsf;
mod print;

pub use flat::flat;
pub use ocsf::ocsf;
pub use print::{Dialect as SchemaDialect, print};

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number of 64 signed bits.
    Long,
    /// True or false.
    Flag,
    /// A time, in JSON as RFC 3339 with microseconds.
    Time,
    /// A time, in JSON as milliseconds since 1970.
    Millis,
    /// A list.
    List(Box<Kind>),
    /// An object.
    Object(Vec<Column>),
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

impl Column {
    /// A column.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind }
    }
}

/// Columns of one kind.
fn of<'n>(kind: &Kind, names: &'n [&str]) -> impl Iterator<Item = Column> + use<'n> {
    let kind = kind.clone();
    names.iter().map(move |name| Column::new(name, kind.clone()))
}

fn texts(names: &[&str]) -> Vec<Column> {
    of(&Kind::Text, names).collect()
}

fn object(name: &str, columns: Vec<Column>) -> Column {
    Column::new(name, Kind::Object(columns))
}

fn objects(name: &str, columns: Vec<Column>) -> Column {
    Column::new(name, Kind::List(Box::new(Kind::Object(columns))))
}

fn list_of_text(name: &str) -> Column {
    Column::new(name, Kind::List(Box::new(Kind::Text)))
}

fn long(name: &str) -> Column {
    Column::new(name, Kind::Long)
}

/// The columns of CSV files without further ones.
#[must_use]
pub fn csv() -> Vec<Column> {
    let mut columns = vec![Column::new("request_time", Kind::Time)];
    columns.extend(texts(&["request_method", "request_path", "request_query"]));
    columns.extend(of(&Kind::Long, &["response_status", "content_length"]));
    columns.extend(texts(&["space", "route", "referrer", "actor_id"]));
    columns
}

/// What documents of ECS hold.
#[must_use]
pub fn ecs() -> Vec<Column> {
    let time = |name| Column::new(name, Kind::Time);
    let body = || object("body", vec![long("bytes")]);
    let mut event = texts(&["id", "kind", "action", "outcome", "module", "dataset", "reason"]);
    event.extend([list_of_text("category"), list_of_text("type"), time("start"), time("end")]);
    event.extend([long("duration"), long("sequence")]);
    let mut request = texts(&["id", "method", "referrer"]);
    request.push(body());
    let mut client = texts(&["address", "ip"]);
    client.push(long("port"));
    let mut tls = texts(&["version", "version_protocol"]);
    tls.push(object("client", texts(&["subject"])));
    let mut onrecord = texts(&[
        "boot",
        "schema_version",
        "outcome",
        "category",
        "actor_type",
        "actor_provenance",
        "actor_unverified",
        "actor_issuer",
        "actor_app_id",
        "actor_delegate_id",
        "session_id",
        "origin_type",
        "namespace",
        "space_id",
        "environment_id",
        "cache_detail",
        "method_override",
        "route",
        "user_agent_product",
        "resource_type",
        "resource_id",
        "actor_authentication",
        "credential_key",
        "credential_id",
        "cache_status",
        "inspection_error",
    ]);
    let numbers =
        ["lane", "sequence", "resources_truncated", "upstream_duration_microseconds", "upstream_attempts"];
    onrecord.extend(of(&Kind::Long, &numbers));
    onrecord.extend([list_of_text("origin_evidence"), list_of_text("action_candidates")]);
    onrecord.push(objects("resources", texts(&["type", "id"])));
    vec![
        time("@timestamp"),
        object("ecs", texts(&["version"])),
        object("event", event),
        object(
            "http",
            vec![
                Column::new("version", Kind::Text),
                object("request", request),
                object("response", vec![long("status_code"), body()]),
            ],
        ),
        object("url", texts(&["path", "query"])),
        object("user_agent", texts(&["original"])),
        object("trace", texts(&["id"])),
        object("span", texts(&["id"])),
        object("error", texts(&["type"])),
        object("client", client.clone()),
        object("destination", client),
        object("tls", tls),
        object("user", texts(&["id", "name", "email"])),
        object("organization", texts(&["id"])),
        object("related", vec![list_of_text("ip"), list_of_text("user")]),
        object("observer", texts(&["name", "product", "type", "vendor", "version"])),
        object("onrecord", onrecord),
    ]
}
