//! Answers that get lost: each object and each manifest is created, and nobody is told. The
//! process sends it again, or is killed before it can, and its successor sends it again.

use crate::plan::Plan;
use crate::process::DESTINATIONS;
use crate::world::{Summary, World};
use std::time::Duration;

/// So many in one world, then a new one begins: histories stay short.
const IN_A_WORLD: u64 = 500;

/// Lets so many answers get lost, and checks.
///
/// # Errors
/// What is wrong, in words.
pub fn run(losses: u64) -> Result<Summary, String> {
    let mut sum = Summary::default();
    for seed in 0.. {
        let missing = losses.saturating_sub(sum.lost_answers);
        if missing == 0 {
            break;
        }
        let one = world(seed, missing.min(IN_A_WORLD)).map_err(|error| format!("world {seed}: {error}"))?;
        sum += one;
    }
    Ok(sum)
}

fn world(seed: u64, losses: u64) -> Result<Summary, String> {
    let mut world = World::new(Plan::calm(seed), false);
    let lost =
        |world: &World| -> u64 { world.machine.stores.iter().map(|store| store.counts().lost_answers).sum() };
    for life in 0u32.. {
        if lost(&world) >= losses {
            break;
        }
        if !world.start() {
            return Err("the gateway does not start".to_owned());
        }
        for store in &world.machine.stores {
            store.mood(|mood| mood.loses_creations = true);
        }
        // A life ends at another step each time: also between a lost answer and the next attempt.
        for _ in 0..30 + life % 7 {
            let Some((process, plan, random, model)) = world.process() else { break };
            for _ in 0..12 {
                process.work(plan, random, model);
            }
            process.recover(model);
            process.turn(model);
            for destination in 0..DESTINATIONS.len() {
                process.pack(destination);
                for _ in 0..4 {
                    process.ship(destination);
                }
            }
            world.machine.clock.advance(Duration::from_millis(1_000));
        }
        world.crash(false);
    }
    world.finish()
}
