//! Another reader finds in the objects what was put there.

use crate::harness::client::{get, request};
use crate::harness::gateway::{Gateway, Source};
use crate::harness::origin::Origin;
use crate::harness::skip;
use std::process::Command;

/// A Python that can import duckdb: `ONRECORD_DUCKDB_PYTHON`, the virtual
/// environment below `target`, or the machine's own.
pub(crate) fn python() -> Option<String> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python").to_owned();
    std::env::var("ONRECORD_DUCKDB_PYTHON").into_iter().chain([own, "python3".to_owned()]).find(|python| {
        Command::new(python).args(["-c", "import duckdb"]).output().is_ok_and(|out| out.status.success())
    })
}

#[test]
fn duckdb_counts_the_records_by_their_partitions() {
    let Some(python) = python() else {
        return skip("duckdb", "no Python with duckdb (pip install duckdb, or set ONRECORD_DUCKDB_PYTHON)");
    };
    let origin = Origin::start();
    let mut gateway = Gateway::before(&origin.url());
    for number in 0..25 {
        get(format!("/thing/{number}?size={number}&status={}", if number < 5 { 404 } else { 200 }))
            .send(gateway.address());
    }
    let records = gateway.finish();
    let script = format!(
        "import duckdb\n\
         rows = duckdb.sql(\"\"\"\n\
         SELECT log_source, organization_id, count(*) AS n, count(DISTINCT \"event.id\") AS ids,\n\
                sum(\"http.response.body.size\") AS bytes,\n\
                count(*) FILTER (\"event.outcome\" = 'failure') AS failures\n\
         FROM read_json('{}/log_source=api/**/*.jsonl.gz', format = 'newline_delimited',\n\
                        hive_partitioning = true, union_by_name = true)\n\
         GROUP BY ALL\"\"\").fetchall()\n\
         print(rows)",
        gateway.destination("main").display()
    );
    let output = Command::new(python).args(["-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let bytes: i64 = records.iter().map(|record| record.size()).sum();
    assert_eq!(records.len(), 25);
    assert_eq!(
        text.trim(),
        format!("[('api', 'unknown', 25, 25, {bytes}, 5)]"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The SQL of docs/queries.md, block by block, for these objects and this fingerprint.
fn queries(objects: &str, fingerprint: &str) -> Vec<String> {
    const TEXT: &str = include_str!("../../docs/queries.md");
    let blocks = TEXT.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|sql| sql.replace("OBJECTS", objects).replace("FINGERPRINT", fingerprint)).collect()
}

#[test]
fn duckdb_answers_the_questions_of_the_manual() {
    let Some(python) = python() else {
        return skip("duckdb", "no Python with duckdb (pip install duckdb, or set ONRECORD_DUCKDB_PYTHON)");
    };
    let origin = Origin::start();
    let source = Source::new("cma", &origin.url())
        .catalogues(&["contentful-management"])
        .key("api_host", "\"api.contentful.com\"")
        .key("trusted_proxies", "[\"127.0.0.1/32\"]")
        .actor("header_id", "X-User")
        .actor("header_name", "X-User-Name");
    let mut gateway = Gateway::builder().source(source).start();
    let send = |method: &str, path: &str, token: &str, agent: &str, body: &str| {
        request(method, format!("/spaces/s1/environments/dev{path}"))
            .header("X-User", "u1")
            .header("X-User-Name", "Ursula")
            .header("Authorization", format!("Bearer {token}"))
            .header("User-Agent", agent)
            .body(body.as_bytes().to_vec())
            .send(gateway.address());
    };
    send("PUT", "/entries/e1/published", "one", "Mozilla/5.0 Chrome/130", "");
    send("PATCH", "/entries/e2", "two", "Claude-User/1.0", "[]");
    let invoke = r#"{"variables":[{"id":"x","value":{"sys":{"type":"Link","linkType":"Entry","id":"e3"}}}]}"#;
    send("POST", "/ai/actions/a1/invoke", "two", "axios/1", invoke);
    let records = gateway.finish();
    let token = records.iter().find(|record| record.text("resource.id") == "e2").unwrap();
    let invoked = records.iter().find(|record| record.text("event.action") == "invoke").unwrap();
    assert_eq!(invoked.text("origin.type"), "ai_action");
    assert!(invoked.attributes["resources"].to_string().contains(r#"{"id":"e3","type":"Entry"}"#));
    let objects = gateway.destination("main").display().to_string();
    let [view, published, touched, from_ai] = &queries(&objects, token.text("actor.credential.id"))[..]
    else {
        panic!("docs/queries.md holds a view and three questions")
    };
    let ask = |question: &str| {
        let script = format!(
            "import duckdb\nduckdb.sql('''{view}''')\nfor row in duckdb.sql('''{question}''').fetchall():\n  print(*row)"
        );
        let output = Command::new(&python).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{question}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let published = ask(published);
    assert!(published.contains("Ursula Entry e1") && published.lines().count() == 1, "{published}");
    let touched = ask(touched);
    assert!(touched.contains("update Entry e2 1") && touched.contains("invoke AiAction a1 1"), "{touched}");
    assert_eq!(touched.lines().count(), 2, "{touched}");
    let from_ai = ask(from_ai);
    assert!(from_ai.contains("ai_agent") && from_ai.contains("ai_action"), "{from_ai}");
    assert_eq!(from_ai.lines().count(), 2, "{from_ai}");
}
