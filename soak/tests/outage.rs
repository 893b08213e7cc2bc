//! What waits while no destination takes anything arrives when one does.

use onrecord_soak::outage::{Outage, run};
use std::time::Duration;

#[test]
fn after_an_outage_all_arrives_once_and_faster_than_it_came() {
    let folder = std::env::temp_dir().join(format!("onrecord-outage-{}", std::process::id()));
    let outage = Outage {
        length: Duration::from_secs(1_800),
        rate: 10,
        spool_bytes: 256 << 20,
        folder: folder.clone(),
    };
    let report = run(&outage).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.waited, 18_000);
    // By the clock of the gateway, which counts the work done.
    assert!(report.rate() > 100.0, "{report:?}");
    assert!(report.peak < report.plain, "what waits was compressed: {report:?}");
}
