//! What one turn does, and what it does not wait for.

use super::*;

#[test]
fn somebody_who_waits_is_answered_within_the_turn_and_nobody_waits_for_the_interval() {
    let fs = machine(1);
    let mut process = Process::start(&fs, 1 << 20, Syncer::inline());
    let exchange = process.open();
    let ticket = process.close(exchange).unwrap();
    assert_eq!(process.commits.fate(ticket), None);
    assert!(process.recorder.turn());
    assert_eq!(process.commits.fate(ticket), Some(Fate::Durable));
}

#[test]
fn a_failed_fsync_is_made_good_by_the_copy_in_the_next_segment() {
    let fs = machine(2);
    let mut process = Process::start(&fs, 1 << 20, Syncer::inline());
    let exchange = process.open();
    let ticket = process.close(exchange).unwrap();
    fs.faults(|faults| faults.failing_syncs = 1);
    process.recorder.turn();
    assert_eq!(process.commits.fate(ticket), Some(Fate::Durable));
    drop(process);
    fs.lose_power();
    assert_eq!(after_power_loss(&fs).records.count(), 1);
}

#[test]
fn a_clean_end_leaves_nothing_to_recover() {
    let fs = machine(3);
    let mut process = Process::start(&fs, 1 << 20, Syncer::inline());
    for _ in 0..3 {
        let exchange = process.open();
        let _ = process.close(exchange);
    }
    assert!(process.recorder.finish());
    fs.kill();
    assert_eq!(after_power_loss(&fs).records.count(), 3);
}
