//! The crash matrix: one story, told once for each call of the file system in it, each time
//! with a death in that call.

use crate::plan::Plan;
use crate::process::{DESTINATIONS, Process};
use crate::world::{Summary, World};
use std::time::Duration;

/// The story up to its end, or to the death: start, record, commit, rotate, pack, deliver,
/// retire; a death; start, recover, pack, deliver; a stop in order.
fn tell(world: &mut World, power: bool) {
    for life in 0..2 {
        if world.machine.fs.is_dead() || !world.start() {
            return;
        }
        for round in 0..12 {
            let Some((process, plan, random, model)) = world.process() else { return };
            for _ in 0..6 {
                process.work(plan, random, model);
            }
            process.recover(model);
            process.turn(model);
            // Twice, so that there is one which is read compressed, and one in the making.
            process.compress();
            process.compress();
            if round % 2 == 1 {
                deliver(process);
            }
            if world.machine.fs.is_dead() {
                return;
            }
            world.machine.clock.advance(Duration::from_millis(700));
        }
        if life == 0 {
            world.crash(power);
        }
    }
    let Some((process, plan, random, model)) = world.process() else { return };
    process.stop(plan, random, model);
    deliver(process);
}

fn deliver(process: &mut Process) {
    for destination in 0..DESTINATIONS.len() {
        for _ in 0..2 {
            process.pack(destination);
        }
        for _ in 0..4 {
            process.ship(destination);
        }
    }
}

/// How many calls the story makes.
#[must_use]
pub fn calls(seed: u64, power: bool) -> u64 {
    let mut world = World::new(Plan::calm(seed), false);
    tell(&mut world, power);
    world.machine.fs.calls()
}

/// Tells the story with a death in this call, mends everything, and checks.
///
/// # Errors
/// What is wrong, in words.
pub fn crash_at(seed: u64, call: u64, power: bool) -> Result<Summary, String> {
    let mut world = World::new(Plan::calm(seed), false);
    world.crash_in(call);
    tell(&mut world, power);
    world.crash(power);
    world.finish()
}
