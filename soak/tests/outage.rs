//! A destination that takes nothing for hours, on a real disk and a clock that is set.

use onrecord_soak::outage::{Outage, Report, run};
use std::time::Duration;

/// Two hours at five records a second: 17 MB of segments, as they are written.
fn two_hours(spool_bytes: u64) -> Report {
    let folder = std::env::temp_dir().join(format!("onrecord-outage-{}-{spool_bytes}", std::process::id()));
    let outage = Outage { length: Duration::from_secs(7_200), rate: 5, spool_bytes, folder };
    let report = run(&outage);
    std::fs::remove_dir_all(&outage.folder).expect("the folder was made by the run");
    report.expect("the run comes to its end")
}

#[test]
fn an_outage_that_fits_only_when_compressed_loses_nothing() {
    let bound = 11 << 20;
    let report = two_hours(bound);
    assert!(report.plain > bound && report.peak <= bound, "{report:?}");
    assert_eq!((report.waited, report.is_whole()), (36_000, true), "{report:?}");
}

#[test]
fn an_outage_that_does_not_fit_is_told() {
    let report = two_hours(2 << 20);
    assert!(!report.is_whole() && report.arrived < report.waited && report.arrived > 1_000, "{report:?}");
}
