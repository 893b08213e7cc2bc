//! Whoever was told "it is on disk" finds it there after power was lost.

use super::*;
use proptest::prelude::*;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Intend(usize),
    Close(usize),
    Turn,
    Sync,
    Pass(u64),
    FailSync,
    FailDirSync,
    Fill,
    Room,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Open),
        3 => any::<usize>().prop_map(Step::Intend),
        6 => any::<usize>().prop_map(Step::Close),
        6 => Just(Step::Turn),
        3 => Just(Step::Sync),
        2 => (1u64..2_000).prop_map(Step::Pass),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailDirSync),
        1 => Just(Step::Fill),
        1 => Just(Step::Room),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_was_said_to_be_on_disk_is_in_the_log_after_power_loss_records_and_intents_alike(
        seed: u64, by_hand: bool, steps in proptest::collection::vec(step(), 1..120),
    ) {
        let fs = machine(seed);
        // Within the turn, or some turns later, with all that can happen in between.
        let syncer = if by_hand { Syncer::by_hand() } else { Syncer::inline() };
        let mut process = Process::start_on(Arc::new(fs.clone()), 4096, syncer);
        let mut open = Vec::new();
        let mut waiting: Vec<(u64, u64)> = Vec::new();
        let mut told = Vec::new();
        for step in steps {
            match step {
                Step::Open if open.len() < 30 => open.push(process.open()),
                Step::Open => {}
                Step::Close(_) | Step::Intend(_) if open.is_empty() => {}
                Step::Intend(pick) => {
                    let exchange = open[pick % open.len()];
                    waiting.extend(process.intend(exchange).map(|ticket| (ticket, exchange.0)));
                }
                Step::Close(pick) => {
                    let exchange = open.swap_remove(pick % open.len());
                    waiting.extend(process.close(exchange).map(|ticket| (ticket, exchange.0)));
                }
                Step::Turn => { process.recorder.turn(); }
                Step::Sync => process.recorder.syncer().run(),
                Step::Pass(milliseconds) => process.clock.advance(Duration::from_millis(milliseconds)),
                Step::FailSync => fs.faults(|faults| faults.failing_syncs = 1),
                Step::FailDirSync => fs.faults(|faults| faults.failing_dir_syncs = 1),
                Step::Fill => fs.faults(|faults| faults.room = Some(0)),
                Step::Room => fs.faults(|faults| faults.room = None),
            }
            waiting.retain(|&(ticket, sequence)| match process.commits.fate(ticket) {
                None => true,
                Some(Fate::Durable) => { told.push(sequence); false }
                Some(Fate::Lost) => false,
            });
        }
        drop(process);
        fs.lose_power();
        let found = after_power_loss(&fs);
        for sequence in told {
            prop_assert!(found.records.contains(sequence), "{sequence} was promised: {found:?}");
        }
    }
}
