//! `onrecord notify`.

use super::{EXIT_CONFIG, NotifyCommand, NotifyTestArgs, run};
use crate::app;
use crate::clock::Clock;
use crate::notify::try_once;
use std::process::ExitCode;

/// Does what is asked.
pub(super) fn run(command: &NotifyCommand) -> ExitCode {
    match command {
        NotifyCommand::Test(args) => test(args),
    }
}

/// Sends a test to each channel, once.
fn test(args: &NotifyTestArgs) -> ExitCode {
    let config = match run::load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if config.notify.channels().is_empty() {
        eprintln!("onrecord: {} has neither [notify] email nor webhooks", args.config.display());
        return ExitCode::from(EXIT_CONFIG);
    }
    let instance = app::instance(&config);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::print_error(&error);
            return ExitCode::FAILURE;
        }
    };
    let told = runtime.block_on(try_once(&config.notify, &instance, Clock::System.unix_microseconds()));
    let mut all = true;
    for (channel, failed) in told {
        match failed {
            None => println!("{channel}: sent"),
            Some(why) => {
                println!("{channel}: not sent: {why}");
                all = false;
            }
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
