//! `soak`: runs seeds of the simulation, as many as one wants.

use clap::Parser;
use onrecord_soak::outage::{self, Outage};
use onrecord_soak::{Plan, Summary, losses, matrix, run};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs the gateway's data path against simulated trouble, a seed a run.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Args {
    /// So many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one.
    #[arg(long)]
    seed: Option<u64>,
    /// Tell each step; with `--seed`.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// The crash matrix instead: a death in each call of one story, of the process and of the
    /// machine in turn.
    #[arg(long)]
    matrix: bool,
    /// Lose so many answers of the stores instead, each after the object was created.
    #[arg(long, conflicts_with = "matrix")]
    lost_answers: Option<u64>,
    /// An outage of so many hours instead, on a real disk, and how fast it is caught up with.
    #[arg(long, conflicts_with_all = ["matrix", "lost_answers"], requires = "folder")]
    outage: Option<f64>,
    /// Records a second; with `--outage`.
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// The bound of the spool in GiB; with `--outage`.
    #[arg(long, default_value_t = 10.0)]
    spool: f64,
    /// Where the spool of the outage lies: a folder that is not there yet. It is removed again.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Threads; all cores if not said.
    #[arg(long)]
    threads: Option<usize>,
}

/// Bytes in a GiB.
const GIB: f64 = (1u64 << 30) as f64;
/// The seed of the story that the crash matrix tells.
const MATRIX_SEED: u64 = 3;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        let plan = Plan::of(seed);
        println!("{plan:#?}");
        return match run(&plan, args.trace) {
            Ok(summary) => {
                println!("seed {seed}: {summary:?}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                println!("seed {seed}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if let (Some(hours), Some(folder)) = (args.outage, args.folder) {
        let length = Duration::from_secs_f64(hours * 3600.0);
        let spool_bytes = (args.spool * GIB) as u64;
        return live_through(&Outage { length, rate: args.rate, spool_bytes, folder });
    }
    let begun = Instant::now();
    if let Some(answers) = args.lost_answers {
        return match losses::run(answers) {
            Ok(sum) => {
                report(1, 0, begun, &sum);
                ExitCode::SUCCESS
            }
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let matrix = args.matrix.then(|| [false, true].map(|power| matrix::calls(MATRIX_SEED, power)));
    let job = |number: u64| match matrix {
        None => run(&Plan::of(number), false),
        Some([kill, _]) if number < kill => matrix::crash_at(MATRIX_SEED, number + 1, false),
        Some([kill, _]) => matrix::crash_at(MATRIX_SEED, number - kill + 1, true),
    };
    let (from, runs) = matrix.map_or((args.from, args.seeds), |[kill, power]| (0, kill + power));
    let next = AtomicU64::new(from);
    let end = from + runs;
    let sums = Mutex::new((Summary::default(), 0u64));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..args.threads.unwrap_or(cores) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let result = std::panic::catch_unwind(|| job(seed));
                    let result = result.unwrap_or_else(|_| Err("panicked".to_owned()));
                    let mut sums = sums.lock().expect("nobody panics with it");
                    match result {
                        Ok(summary) => sums.0 += summary,
                        Err(error) => {
                            sums.1 += 1;
                            println!(
                                "seed {seed} failed: {error}\n  again: cargo run --release --bin soak -- --seed {seed} --trace"
                            );
                        }
                    }
                }
            });
        }
    });
    let (sum, failed) = *sums.lock().expect("nobody panics with it");
    report(runs, failed, begun, &sum);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(runs: u64, failed: u64, begun: Instant, sum: &Summary) {
    println!(
        "{} runs in {:.1} s, {failed} failed: {} exchanges, {} records delivered, {} declared lost, {} crashes, \
         {} file-system calls, {} answers lost, {} objects sent again and found there, {} segments compressed",
        runs,
        begun.elapsed().as_secs_f64(),
        sum.exchanges,
        sum.delivered,
        sum.declared,
        sum.crashes,
        sum.calls,
        sum.lost_answers,
        sum.there,
        sum.compressed,
    );
}

fn live_through(outage: &Outage) -> ExitCode {
    if outage.folder.exists() {
        println!("{} is there already", outage.folder.display());
        return ExitCode::FAILURE;
    }
    let result = outage::run(outage);
    let removed = std::fs::remove_dir_all(&outage.folder);
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let each = report.plain as f64 / report.waited.max(1) as f64;
    println!(
        "{:.2} hours at {} a second: {} records in {:.2} GiB of segments, {each:.0} bytes each; at most {:.3} GiB \
         on the disk; played in {:.0} s",
        outage.length.as_secs_f64() / 3600.0,
        outage.rate,
        report.waited,
        report.plain as f64 / GIB,
        report.peak as f64 / GIB,
        report.played.as_secs_f64(),
    );
    println!(
        "caught up in {:.1} s, with {} more that came: {:.0} records a second, {:.0} times as fast as they came; \
         {} objects of {:.2} GiB",
        report.caught_up.as_secs_f64(),
        report.came,
        report.rate(),
        report.rate() / outage.rate.max(1) as f64,
        report.objects,
        report.bytes as f64 / GIB,
    );
    println!("{} arrived, {} of them twice", report.arrived, report.again);
    if let Err(error) = removed {
        println!("{} stays: {error}", outage.folder.display());
    }
    if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
