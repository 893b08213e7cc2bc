//! What a changed file changes.

use super::*;

#[test]
fn an_unchanged_file_changes_nothing() {
    assert!(valid(SMALL).reload(&valid(&format!("# a comment\n{SMALL}"))).is_empty());
}

#[test]
fn live_changes_are_made_and_the_rest_waits_for_a_restart() {
    let old = valid(SMALL);
    let new = valid(
        &format!(
            "{SMALL}interval = \"9s\"\nprefix = \"x/\"\n[server]\nworkers = 7\n[log]\nlevel = \"debug\"\n"
        )
        .replace(
            "name = \"cma\"",
            "name = \"cma\"\ncatalogues = [\"microcms\"]\nlimits = { body_bytes = 5 }\npreserve_host = true",
        ),
    );
    let reload = old.reload(&new);
    assert_eq!(
        reload.live,
        [
            "log.level",
            "source[cma].catalogues",
            "source[cma].limits",
            "destination[archive].interval",
            "destination[archive].prefix"
        ]
    );
    assert_eq!(reload.restart, ["server.workers", "source[cma].preserve_host"]);
    assert_eq!(reload.config.log.level, "debug");
    assert_eq!(reload.config.sources[0].options.limits.body_bytes, Some(5));
    assert_eq!(reload.config.server.workers, 0);
    assert_eq!(reload.config.destinations, new.destinations);
    // Told again at the next reload: what waits for a restart is still different.
    assert_eq!(reload.config.reload(&new).restart, reload.restart);
    assert!(reload.config.reload(&new).live.is_empty());
}

#[test]
fn added_and_removed_sources_need_a_restart_and_destinations_do_not() {
    let old = valid(SMALL);
    let new = valid(&SMALL.replace("\"cma\"", "\"cda\"").replace("\"archive\"", "\"vault\""));
    let reload = old.reload(&new);
    assert_eq!(reload.live, ["destination[archive] (removed)", "destination[vault] (added)"]);
    assert_eq!(reload.restart, ["source[cma] (removed)", "source[cda] (added)"]);
    assert_eq!(reload.config, Config { destinations: new.destinations, ..old });
}

#[test]
fn another_store_or_another_way_to_it_needs_no_restart() {
    let dir = valid(&BUCKET.replace("type = \"s3\"\nbucket = \"audit-1\"", "type = \"dir\"\npath = \"p\""));
    let bucket = valid(BUCKET);
    assert_eq!(dir.reload(&bucket).live, ["destination[vault].type"]);
    assert_eq!(dir.reload(&bucket).config, bucket);
    let other = valid(&BUCKET.replace("audit-1", "audit-2"));
    assert_eq!(bucket.reload(&other).live, ["destination[vault].bucket"]);
    assert_eq!(bucket.reload(&other).config, other);
    let keys = "access_key_id = \"AKIA\"\nsecret_access_key = { env = \"S\" }\n";
    let reload = bucket.reload(&valid(&format!("{BUCKET}{keys}")));
    assert_eq!(reload.live, ["destination[vault].access_key_id"]);
    assert!(reload.restart.is_empty());
}
