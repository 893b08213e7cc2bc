//! The fixed seeds that every change has to pass, and those that once failed.

use onrecord_soak::{Plan, losses, matrix, run};

/// CI runs 240 of them with `soak --seeds 240`; here as many as fit a debug build.
#[test]
fn runs_of_random_trouble_end_without_a_difference() {
    let failed: Vec<String> = (0..24)
        .filter_map(|seed| run(&Plan::of(seed), false).err().map(|error| format!("seed {seed}: {error}")))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Each call's turn comes with `soak --matrix`; here every 170th, so that it fits a debug build.
#[test]
fn after_a_death_in_any_call_of_the_story_everything_comes_out_right() {
    for power in [false, true] {
        let calls = matrix::calls(3, power);
        assert!(calls > 500, "{calls}");
        let failed: Vec<String> = (1..=calls)
            .step_by(170)
            .filter_map(|call| {
                let error = matrix::crash_at(3, call, power).err()?;
                Some(format!("call {call}, power lost: {power}: {error}"))
            })
            .collect();
        assert!(failed.is_empty(), "{} of {calls}:\n{}", failed.len(), failed.join("\n"));
    }
}

/// 10,000 come with `soak --lost-answers 10000`.
#[test]
fn an_object_whose_creation_nobody_heard_of_is_sent_again_and_stays_one() {
    let sum = losses::run(300).map_err(|error| panic!("{error}")).unwrap();
    assert!(sum.lost_answers >= 300 && sum.there >= 250, "{sum:?}");
}

/// A process took the outbox over from its predecessor before it had adopted the
/// predecessor's boots; their accounts were dropped, and their records sent twice.
#[test]
fn a_successor_that_packs_before_it_adopts_sends_nothing_twice() {
    for seed in [1, 34] {
        run(&Plan::of(seed).without_compressing(), false)
            .map_err(|error| format!("seed {seed}: {error}"))
            .unwrap();
    }
}

/// A chain that began behind released segments stated more sequences as accounted for than taken.
#[test]
fn a_chain_that_begins_late_has_sums_that_fit() {
    run(&Plan::of(109).without_compressing(), false).unwrap();
}

/// What a killed process had written and not synced was in the page cache; recovery read it
/// there, said that it is in the log, let go of the rings, and power loss took it.
#[test]
fn what_recovery_says_is_in_the_log_outlives_a_loss_of_power() {
    for seed in [174, 277, 317] {
        run(&Plan::of(seed).without_compressing(), false)
            .map_err(|error| format!("seed {seed}: {error}"))
            .unwrap();
    }
}

/// A boot whose segments had all lost their headers gave records of a nameless instance.
#[test]
fn records_keep_their_instance_though_the_headers_of_their_boot_are_damaged() {
    for seed in [216, 222, 327, 577] {
        run(&Plan::of(seed).without_compressing(), false)
            .map_err(|error| format!("seed {seed}: {error}"))
            .unwrap();
    }
}

/// A bit of the signer's name in one copy of a manifest made it look like a stranger's.
#[test]
fn a_manifest_whose_signers_name_is_damaged_is_sent_from_its_copy() {
    run(&Plan::of(613).without_compressing(), false).unwrap();
}
