//! Another reader finds in the objects what was put there.

use crate::harness::client::get;
use crate::harness::gateway::Gateway;
use crate::harness::origin::Origin;
use crate::harness::skip;
use std::process::Command;

/// A Python that can import duckdb: `ONRECORD_DUCKDB_PYTHON`, the virtual
/// environment below `target`, or the machine's own.
fn python() -> Option<String> {
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
         FROM read_json('{}/log_source=*/**/*.jsonl.gz', format = 'newline_delimited',\n\
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
