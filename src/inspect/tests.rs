//! From job to supplement, on the real thread.

use super::*;
use crate::metrics::Families;
use crate::record::supplement::merge;
use crate::record::{Field, RecordView, RecordWriter};
use crate::routes::{Catalogue, Pointers, RouteTable};
use crate::spool::frame::Header;
use std::sync::Arc;

/// One exchange as a test tells it.
#[derive(Clone, Copy)]
struct Told<'a> {
    request: (&'a str, &'a str),
    status: u16,
    body: &'a str,
    response: &'a str,
    start: u64,
    source: &'a str,
}

const NOTHING: Told<'_> =
    Told { request: ("", ""), status: 200, body: "", response: "", start: 1_000_000, source: "cma" };

struct Bench {
    inspector: Inspector,
    routes: Arc<RouteTable>,
    plans: Arc<BodyPlans>,
    records: Vec<Vec<u8>>,
}

impl Bench {
    fn new(preset: &str, host: &str, options: Options) -> Self {
        let routes = RouteTable::build(&[Catalogue::preset(preset).unwrap()], host).unwrap();
        let plans = BodyPlans::new(&routes, &|_| Pointers::default());
        let inspector = Inspector::start(options, Vec::new(), &Families::new().unwrap()).unwrap();
        Self { inspector, routes: Arc::new(routes), plans: Arc::new(plans), records: Vec::new() }
    }

    fn tell(&mut self, told: Told<'_>) {
        let (method, path) = told.request;
        let matched = self.routes.find(method.as_bytes(), path.as_bytes()).unwrap();
        let route = self.routes.route(matched.route);
        let mut record = Vec::new();
        let mut writer = RecordWriter::new(&mut record);
        writer.text(Field::Source, told.source);
        writer.text(Field::Namespace, "ns");
        writer.text(Field::Path, path);
        writer.integer(Field::Start, told.start);
        writer.integer(Field::Duration, 10);
        writer.integer(Field::Status, u64::from(told.status));
        if let Some(index) = route.resource {
            writer.bytes(Field::ResourceId, matched.parameters[usize::from(index)]);
        }
        let queue = self.inspector.queue();
        let take = |text: &str| {
            let mut taken = queue.bounds().take(Coding::Identity, None);
            taken.push(text.as_bytes());
            taken.complete();
            Some(taken).filter(|_| !text.is_empty())
        };
        let settled = route.settle(route.weigh(&http::HeaderMap::new()), Some(told.status));
        queue.send(Job {
            lane: 3,
            sequence: self.records.len() as u64,
            record: record.clone(),
            routes: Arc::clone(&self.routes),
            plans: Arc::clone(&self.plans),
            route: matched.route,
            settled,
            quiet: self.plans.wants(matched.route).quiet(),
            request: take(told.body),
            response: take(told.response),
            reservation: queue.reserve().unwrap(),
        });
        self.records.push(record);
    }

    /// The records with their supplements, in the order told.
    fn finish(self) -> Vec<Vec<u8>> {
        let outbox = self.inspector.outbox();
        let bounds = self.inspector.queue().bounds().clone();
        self.inspector.finish();
        assert_eq!(bounds.used(), 0, "all memory came back");
        let frames = outbox.take();
        let (mut rest, mut merged) = (&frames[..], Vec::new());
        for (sequence, record) in self.records.iter().enumerate() {
            let (header, supplement, size) = Header::decode(rest).unwrap();
            assert_eq!((header.lane, header.sequence), (3, sequence as u64));
            let mut out = Vec::new();
            merge(supplement, record, &mut out).unwrap();
            merged.push(out);
            rest = &rest[size..];
        }
        assert!(rest.is_empty());
        merged
    }
}

fn one(told: Told<'_>) -> Vec<u8> {
    let options = Options { resources: 2, ..Options::default() };
    let mut bench = Bench::new("contentful-management", "api.contentful.com", options);
    bench.tell(told);
    bench.finish().remove(0)
}

fn text(record: &[u8], field: Field) -> String {
    let record = RecordView::parse(record).unwrap();
    record.bytes(field).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn all(record: &[u8], field: Field) -> Vec<String> {
    let record = RecordView::parse(record).unwrap();
    record.all(field).map(|bytes| String::from_utf8_lossy(bytes).replace('\0', ":")).collect()
}

#[test]
fn the_id_of_what_was_created_comes_from_the_response() {
    let request = ("POST", "/spaces/s/environments/e/entries");
    let response = r#"{"fields":{"a":{"en":"canary"}},"sys":{"id":"new1","type":"Entry"}}"#;
    let record = one(Told { request, response, ..NOTHING });
    assert_eq!(text(&record, Field::ResourceId), "new1");
    assert!(!record.windows(6).any(|window| window == b"canary"), "a body left memory");
}

#[test]
fn what_a_bulk_call_touched_is_named_in_order_up_to_the_limit() {
    let request = ("POST", "/spaces/s/environments/e/bulk_actions/publish");
    let body = r#"{"entities":{"items":[
        {"sys":{"type":"Link","linkType":"Entry","id":"e1","version":3}},
        {"sys":{"type":"Link","linkType":"Asset","id":"a1","version":1}},
        {"sys":{"type":"Link","linkType":"Entry","id":"e1","version":3}},
        {"sys":{"type":"Link","linkType":"Entry","id":"e2","version":3}},
        {"sys":{"type":"Link","linkType":"Entry","id":"e3"}}]}}"#;
    let response =
        r#"{"sys":{"id":"bulk1"},"payload":{"entities":{"items":[{"sys":{"id":"e1","linkType":"Entry"}}]}}}"#;
    let record = one(Told { request, body, response, ..NOTHING });
    assert_eq!(all(&record, Field::Resources), ["Entry:e1", "Asset:a1"]);
    assert_eq!(RecordView::parse(&record).unwrap().integer(Field::ResourcesTruncated), Some(2));
    assert_eq!(text(&record, Field::ResourceId), "bulk1");
}

#[test]
fn the_request_body_decides_between_publish_and_unpublish() {
    let request = ("PUT", "/spaces/s/environments/e/entries/x/published");
    for (body, action) in [
        (r#"{"add":{"fields":{"*":["en"]}}}"#, "publish"),
        (r#"{"remove":{"fields":{"*":["en"]}}}"#, "unpublish"),
        (r#"{"remove":null}"#, "publish"),
    ] {
        let record = one(Told { request, body, ..NOTHING });
        assert_eq!(text(&record, Field::Action), action, "{body}");
        assert!(all(&record, Field::ActionCandidate).is_empty());
    }
    let request = ("POST", "/spaces/s/environments/e/bulk_actions");
    for action in ["publish", "unpublish", "validate"] {
        let body = format!(r#"{{"action":"{action}","entities":[{{"entity":{{"sys":{{"id":"q"}}}}}}]}}"#);
        let record = one(Told { request, body: &body, ..NOTHING });
        assert_eq!(text(&record, Field::Action), action);
        assert_eq!(all(&record, Field::Resources), [":q"]);
    }
}

#[test]
fn a_body_that_cannot_be_read_is_told_and_decides_nothing() {
    let request = ("PUT", "/spaces/s/environments/e/entries/x/published");
    let deep = format!(r#"{{"remove":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let large = format!("\"{}\"", "x".repeat(70_000));
    for (body, error) in [
        ("{", "not_json"),
        (r#"{"remove":1,"remove":null}"#, "duplicate_key"),
        (deep.as_str(), "too_deep"),
        (large.as_str(), "too_large"),
    ] {
        let record = one(Told { request, body, ..NOTHING });
        let view = RecordView::parse(&record).unwrap();
        assert_eq!(view.inspection_error().map(|error| error.as_str()), Some(error));
        assert_eq!(text(&record, Field::Action), "", "the record's own `ambiguous` stands");
    }
}

const STATUS: (&str, &str) = ("PATCH", "/api/v1/contents/news/a1/status");

fn microcms(before: &[Told<'_>], body: &str) -> (String, Vec<String>) {
    let mut bench = Bench::new("microcms", "blog.microcms-management.io", Options::default());
    before.iter().for_each(|told| bench.tell(*told));
    bench.tell(Told { request: STATUS, body, start: 9_000_000, ..NOTHING });
    let records = bench.finish();
    let last = records.last().unwrap();
    (text(last, Field::Action), all(last, Field::ActionCandidate))
}

#[test]
fn note_1_of_microcms_publish_revert_and_discard_are_told_apart_by_the_state_before() {
    let seen = |response| Told { request: ("GET", "/api/v1/contents/news/a1"), response, ..NOTHING };
    let publish = r#"{"status":["PUBLISH"]}"#;
    let draft = r#"{"status":["DRAFT"]}"#;
    let is = |action: &str| (action.to_owned(), Vec::<String>::new());
    let ambiguous = |candidates: [&str; 2]| ("ambiguous".to_owned(), candidates.map(str::to_owned).to_vec());
    assert_eq!(microcms(&[seen(r#"{"id":"a1","status":["DRAFT"]}"#)], publish), is("publish"));
    assert_eq!(microcms(&[seen(r#"{"id":"a1","status":["PUBLISH"]}"#)], draft), is("unpublish"));
    assert_eq!(microcms(&[seen(r#"{"id":"a1","status":["PUBLISH","DRAFT"]}"#)], publish), is("delete_draft"));
    assert_eq!(microcms(&[seen(r#"{"id":"a1","status":["PUBLISH"]}"#)], publish), is("update"));
    // Nobody saw the state before.
    assert_eq!(microcms(&[], publish), ambiguous(["publish", "delete_draft"]));
    assert_eq!(microcms(&[], draft), ambiguous(["unpublish", "update"]));
    // Somebody wrote in between, through another source; or the response had no state.
    let write =
        Told { request: ("PATCH", "/api/v1/news/a1"), start: 5_000_000, source: "content", ..NOTHING };
    let shown = seen(r#"{"id":"a1","status":["DRAFT"]}"#);
    assert_eq!(microcms(&[shown, write], publish), ambiguous(["publish", "delete_draft"]));
    assert_eq!(microcms(&[seen(r#"{"id":"a1"}"#)], publish), ambiguous(["publish", "delete_draft"]));
    // What a change set is the state before the next, unless it failed.
    let set = Told { request: STATUS, body: draft, ..NOTHING };
    assert_eq!(microcms(&[set], publish), is("publish"));
    let failed = Told { request: STATUS, body: draft, status: 400, ..NOTHING };
    assert_eq!(microcms(&[failed], publish), ambiguous(["publish", "delete_draft"]));
}

#[test]
fn what_a_release_action_affects_is_what_the_release_was_last_seen_to_hold() {
    const RELEASE: &str = "/spaces/s/environments/e/releases/r1";
    let entities = |ids: &[&str]| {
        let items: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"sys":{{"type":"Link","linkType":"Entry","id":"{id}"}}}}"#))
            .collect();
        format!(r#"{{"sys":{{"id":"r1"}},"entities":{{"items":[{}]}}}}"#, items.join(","))
    };
    let publish = Told {
        request: ("PUT", "/spaces/s/environments/e/releases/r1/published"),
        start: 9_000_000,
        ..NOTHING
    };
    let after = |before: &[Told<'_>]| {
        let mut bench = Bench::new("contentful-management", "api.contentful.com", Options::default());
        before.iter().for_each(|told| bench.tell(*told));
        bench.tell(publish);
        let outbox = bench.finish();
        all(outbox.last().unwrap(), Field::Resources)
    };
    let (one, two) = (entities(&["a"]), entities(&["a", "b"]));
    let made = Told { request: ("POST", "/spaces/s/environments/e/releases"), response: &one, ..NOTHING };
    let changed = Told { request: ("PUT", RELEASE), body: &two, ..NOTHING };
    assert_eq!(after(&[made]), ["Entry:a"]);
    assert_eq!(after(&[made, changed]), ["Entry:a", "Entry:b"]);
    assert_eq!(after(&[]), [""; 0]);
    // Another release, a change that failed, one that can't be read, and a release that is gone.
    let other = Told { request: ("PUT", "/spaces/s/environments/e/releases/r2"), ..changed };
    assert_eq!(after(&[other]), [""; 0]);
    assert_eq!(after(&[made, Told { status: 409, ..changed }]), ["Entry:a"]);
    assert_eq!(after(&[made, Told { body: "{", ..changed }]), [""; 0]);
    assert_eq!(after(&[made, Told { request: ("DELETE", RELEASE), status: 204, ..NOTHING }]), [""; 0]);
}
