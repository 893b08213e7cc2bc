//! What power loss takes is bounded by what was reserved; what a kill takes is exact.

use super::*;
use crate::record::{Gap, GapCause};
use crate::spool::frame::Kind;
use proptest::prelude::*;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Close(usize),
    /// So many exchanges at once: most find no room in the ring.
    Burst(u64),
    Turn,
    Pass(u64),
    FailSync,
    FailDirSync,
    Fill,
    Room,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Open),
        4 => any::<usize>().prop_map(Step::Close),
        3 => (1u64..30_000).prop_map(Step::Burst),
        8 => Just(Step::Turn),
        2 => (1u64..2_000).prop_map(Step::Pass),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailDirSync),
        1 => Just(Step::Fill),
        2 => Just(Step::Room),
    ]
}

/// Plays the steps; returns the number of sequences that were taken.
fn play(fs: &SimFs, process: &mut Process, steps: Vec<Step>) -> u64 {
    let mut open = Vec::new();
    let (mut full, mut since_disk) = (false, 0);
    for step in steps {
        match step {
            Step::Open if open.len() < 30 => open.push(process.open()),
            Step::Open => {}
            Step::Close(_) if open.is_empty() => {}
            Step::Close(pick) => {
                let (sequence, slot) = open.swap_remove(pick % open.len());
                let _ = process.writer.close(sequence, slot, &bytes_of(b"record"), 0);
            }
            // The promise is for a disk that takes a mark before a block is used up.
            Step::Burst(count) if since_disk + count < 60_000 => {
                since_disk += count;
                for _ in 0..count {
                    let _ = process.writer.record_closed(&bytes_of(b"burst"), 0);
                }
            }
            Step::Burst(_) => {}
            Step::Turn => {
                // A sync that is still to fail may be that of the mark.
                let mut takes = !full;
                fs.faults(|faults| takes &= faults.failing_syncs + faults.failing_dir_syncs == 0);
                process.recorder.turn();
                process.recorder.turn();
                since_disk = if takes { 0 } else { since_disk };
            }
            Step::Pass(milliseconds) => process.clock.advance(Duration::from_millis(milliseconds)),
            Step::FailSync => fs.faults(|faults| faults.failing_syncs = 1),
            Step::FailDirSync => fs.faults(|faults| faults.failing_dir_syncs = 1),
            Step::Fill => {
                full = true;
                fs.faults(|faults| faults.room = Some(0));
            }
            Step::Room => {
                full = false;
                fs.faults(|faults| faults.room = None);
            }
        }
    }
    process.writer.next_sequence()
}

/// What the log of the dead process accounts for after its recovery.
fn accounted(fs: &SimFs, rings: &Path) -> (SequenceSet, Vec<Gap>) {
    let spool = spool(Arc::new(fs.clone()), 2, 1 << 20);
    for boot in spool.leftovers() {
        recover(&spool, boot, rings, &Clock::manual(2_000_000)).unwrap();
    }
    let (mut records, mut gaps) = (SequenceSet::new(), Vec::new());
    let mut marked = SequenceSet::new();
    let mut reader = spool.reader([Cursor::start(Uuid::from_u128(1))]);
    loop {
        match reader.next().unwrap() {
            Item::Data { header, payload, .. } => match header.kind {
                Kind::Record => {
                    records.insert(header.sequence);
                }
                Kind::Gap => gaps.push(Gap::from_bytes(payload).unwrap()),
                Kind::Mark => {
                    let mark = crate::record::Mark::from_bytes(payload).unwrap();
                    mark.lanes.iter().for_each(|lane| marked.union(&lane.accounted));
                }
                Kind::Intent | Kind::Supplement | Kind::Pad => {}
            },
            Item::Missing { .. } | Item::Lost { .. } => {}
            Item::EndOfLog => break,
        }
    }
    // What a mark names and nobody finds is declared by who reads it.
    let mut known = records.clone();
    gaps.iter().for_each(|gap| known.union(&gap.sequences));
    let sequences = marked.difference(&known);
    if !sequences.is_empty() {
        gaps.push(Gap { lane: 0, sequences, cause: GapCause::Corruption, exact: true, noticed: 0 });
    }
    (records, gaps)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn after_power_loss_the_bound_is_never_too_small(
        seed: u64, steps in proptest::collection::vec(step(), 1..80),
    ) {
        let fs = machine(seed);
        let mut process = Process::start(&fs, 1 << 16);
        let taken = play(&fs, &mut process, steps);
        drop(process);
        fs.faults(|faults| *faults = Default::default());
        fs.lose_power();
        let (mut all, gaps) = accounted(&fs, Path::new("/nowhere"));
        gaps.iter().for_each(|gap| all.union(&gap.sequences));
        prop_assert!(all.missing_below(taken).is_empty(), "{taken} were taken: {:?}", all.missing_below(taken));
        // What goes beyond the truth says that it is a bound.
        for gap in gaps.iter().filter(|gap| gap.exact) {
            prop_assert!(gap.sequences.last() < Some(taken), "{gap:?} of {taken}");
        }
    }

    #[test]
    fn after_a_kill_the_number_is_exact(seed: u64, steps in proptest::collection::vec(step(), 1..60)) {
        let fs = machine(seed);
        let rings = tempfile::tempdir().unwrap();
        let dir = rings.path().join(Uuid::from_u128(1).to_string());
        std::fs::create_dir(&dir).unwrap();
        let mut process = Process::start_with(Arc::new(fs.clone()), 1 << 16, Syncer::inline(), Some(&dir));
        let taken = play(&fs, &mut process, steps);
        drop(process);
        fs.faults(|faults| *faults = Default::default());
        let (mut all, gaps) = accounted(&fs, rings.path());
        for gap in &gaps {
            prop_assert!(gap.exact, "{gap:?}");
            all.union(&gap.sequences);
        }
        prop_assert_eq!(all.iter().collect::<Vec<_>>(), if taken == 0 { vec![] } else { vec![(0, taken - 1)] });
    }
}
