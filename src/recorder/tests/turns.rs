//! What one turn does, and what it does not wait for.

use super::hanging::HangingFs;
use super::*;

#[test]
fn somebody_who_waits_is_answered_within_the_turn_and_nobody_waits_for_the_interval() {
    let fs = machine(1);
    let mut process = Process::start(&fs, 1 << 20);
    let exchange = process.open();
    let ticket = process.close(exchange).unwrap();
    assert_eq!(process.commits.fate(ticket), None);
    assert!(process.recorder.turn());
    assert_eq!(process.commits.fate(ticket), Some(Fate::Durable));
}

#[test]
fn a_failed_fsync_is_made_good_by_the_copy_in_the_next_segment() {
    let fs = machine(2);
    let mut process = Process::start(&fs, 1 << 20);
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
    let mut process = Process::start(&fs, 1 << 20);
    for _ in 0..3 {
        let exchange = process.open();
        let _ = process.close(exchange);
    }
    assert!(process.recorder.finish());
    fs.kill();
    assert_eq!(after_power_loss(&fs).records.count(), 3);
}

/// Runs turns until the segment has been sealed so often.
fn rotate(process: &mut Process, times: u32) {
    for _ in 0..times {
        // Something to seal, and then its age.
        let exchange = process.open();
        let _ = process.close(exchange);
        process.recorder.turn();
        process.clock.advance(Options::default().segment_age);
        process.recorder.turn();
    }
}

#[test]
fn an_open_exchange_is_known_by_its_intent_however_many_segments_came_since() {
    let fs = machine(4);
    let mut process = Process::start(&fs, 1 << 20);
    let (long, done) = (process.open(), process.open());
    let _ = (process.intend(long), process.intend(done));
    process.recorder.turn();
    let _ = process.close(done);
    rotate(&mut process, 3);
    let segments = fs.files().iter().filter(|path| path.extension().is_some_and(|e| e == "seg")).count();
    assert!(segments >= 3, "{segments}");
    drop(process);
    fs.lose_power();
    let found = after_power_loss(&fs);
    assert_eq!(found.unknown.iter().collect::<Vec<_>>(), [(long.0, long.0)]);
    assert_eq!(found.records.count(), 5);
}

#[test]
fn an_intent_accounts_for_nothing_while_its_exchange_is_open() {
    let fs = machine(5);
    let mut process = Process::start(&fs, 1 << 20);
    let exchange = process.open();
    let _ = process.intend(exchange);
    process.recorder.turn();
    let lane = |process: &Process| {
        let lane = process.recorder.status().lanes[0].clone();
        LaneStatus { reserved: 0, ..lane }
    };
    let open = LaneStatus { taken: 1, open: 1, ..LaneStatus::default() };
    assert_eq!(lane(&process), open);
    let _ = process.close(exchange);
    process.recorder.turn();
    assert_eq!(lane(&process), LaneStatus { taken: 1, recorded: 1, ..LaneStatus::default() });
}

#[test]
fn a_record_that_the_ring_lost_is_unknown_by_its_intent_and_not_a_gap() {
    let fs = machine(6);
    let mut process = Process::start(&fs, 1 << 20);
    let (known, plain) = (process.open(), process.open());
    let _ = process.intend(known);
    process.recorder.turn();
    // Larger than a ring takes.
    for (sequence, slot) in [known, plain] {
        assert_eq!(process.writer.close(sequence, slot, &vec![0; 1 << 15], 0), ring::Pushed::Lost);
    }
    process.recorder.turn();
    let lane = process.recorder.status().lanes[0].clone();
    assert_eq!((lane.recorded, lane.declared), (1, 1));
    assert!(process.recorder.finish());
    fs.kill();
    let found = after_power_loss(&fs);
    assert_eq!(found.unknown.iter().collect::<Vec<_>>(), [(known.0, known.0)]);
}

#[test]
fn while_an_fsync_hangs_the_rings_are_drained_and_whoever_waits_shares_the_next() {
    let fs = HangingFs::new(&machine(7));
    let syncer = Syncer::thread(Arc::default()).unwrap();
    let mut process = Process::start_on(Arc::new(fs.clone()), 1 << 20, syncer);
    let before = fs.syncs();
    let hang = fs.hang();
    let first = process.open();
    let first = process.close(first).unwrap();
    process.recorder.turn();
    let later: Vec<u64> = (0..5)
        .map(|_| {
            let exchange = process.open();
            let ticket = process.close(exchange).unwrap();
            assert!(process.recorder.turn(), "the ring is drained");
            ticket
        })
        .collect();
    assert!(process.recorder.status().syncing.is_some());
    assert!([&[first], &later[..]].concat().iter().all(|&ticket| process.commits.fate(ticket).is_none()));
    drop(hang);
    while process.commits.fate(later[4]).is_none() {
        process.recorder.turn();
        std::thread::yield_now();
    }
    assert_eq!(process.commits.fate(first), Some(Fate::Durable));
    assert_eq!(fs.syncs() - before, 2, "the one that hung, and one for all who came meanwhile");
}

#[test]
fn no_segment_is_sealed_while_an_fsync_hangs() {
    let fs = HangingFs::new(&machine(8));
    let syncer = Syncer::thread(Arc::default()).unwrap();
    let mut process = Process::start_on(Arc::new(fs.clone()), 4096, syncer);
    let segments =
        || fs.inner.files().iter().filter(|path| path.extension().is_some_and(|e| e == "seg")).count();
    let hang = fs.hang();
    let mut last = 0;
    for _ in 0..200 {
        let exchange = process.open();
        last = process.close(exchange).unwrap();
        process.recorder.turn();
    }
    assert_eq!(segments(), 1);
    drop(hang);
    while process.commits.fate(last).is_none() {
        process.recorder.turn();
        std::thread::yield_now();
    }
    assert!(segments() > 1);
}
