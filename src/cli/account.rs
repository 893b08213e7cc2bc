//! `onrecord account`: whether every record that was taken is somewhere.

use super::{AccountArgs, AdminArgs, print_error};
use crate::clock::Clock;
use crate::evidence::{Account, account};
use crate::pack::manifest::lane_text;
use serde::Deserialize;
use std::process::ExitCode;
use uuid::Uuid;

/// Adds up what the manifests say, and, where a gateway runs, what its status says.
pub(super) fn run(args: &AccountArgs) -> ExitCode {
    let found = match read(args) {
        Ok(found) => found,
        Err(error) => {
            print_error(&*error);
            return ExitCode::FAILURE;
        }
    };
    print!("{found}");
    let mut whole = found.is_whole();
    if let Some(url) = &args.status {
        match status(&args.admin, url) {
            Ok(status) => whole &= judge(&status, &found),
            Err(error) => {
                print_error(&*error);
                return ExitCode::FAILURE;
            }
        }
    }
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(args: &AccountArgs) -> Result<Account, Box<dyn std::error::Error>> {
    let source = args.place.open()?.source;
    let threads = source.threads(std::thread::available_parallelism().map_or(1, usize::from));
    Ok(account(&*source, Clock::System.unix_microseconds(), threads)?)
}

/// What of `/api/v1/status` is needed here.
#[derive(Debug, Deserialize)]
struct Status {
    destinations: Vec<DestinationLaw>,
}

#[derive(Debug, Deserialize)]
struct DestinationLaw {
    name: String,
    law: Vec<Row>,
    /// The gateway's own records.
    #[serde(default)]
    own_law: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    boot: Uuid,
    lane: u16,
    taken: u64,
    delivered: u64,
    filtered: u64,
    declared: u64,
    open: u64,
    in_spool: u64,
    difference: i64,
}

fn status(admin: &AdminArgs, url: &str) -> Result<Status, Box<dyn std::error::Error>> {
    let url = url.trim_end_matches('/');
    let url = if url.ends_with("/api/v1/status") { url.to_owned() } else { format!("{url}/api/v1/status") };
    Ok(serde_json::from_slice(&admin.get(&url)?)?)
}

/// Prints the law as the running gateway states it, and says whether it holds.
fn judge(status: &Status, found: &Account) -> bool {
    let mut holds = true;
    for destination in &status.destinations {
        for row in destination.law.iter().chain(&destination.own_law) {
            let Row { boot, lane, taken, delivered, filtered, declared, open, in_spool, difference } = row;
            let lane = lane_text(*lane);
            println!(
                "{}: running: {boot} lane {lane}: taken {taken} = delivered {delivered} + filtered {filtered} + \
                 declared {declared} + open {open} + in the spool {in_spool}",
                destination.name
            );
            if *difference != 0 {
                println!("WRONG: {}: {boot} lane {lane}: {difference} are unexplained", destination.name);
                holds = false;
            }
            let stored = found.lanes.iter().find(|known| {
                known.destination == destination.name && known.boot == *boot && known.lane == lane
            });
            if let Some(stored) = stored
                && stored.delivered > *delivered
            {
                println!(
                    "WRONG: {}: {boot} lane {lane}: objects hold {} records, the gateway knows of {delivered}",
                    destination.name, stored.delivered
                );
                holds = false;
            }
        }
    }
    println!("the law {}", if holds { "holds" } else { "does NOT hold" });
    holds
}
