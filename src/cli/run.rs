//! `onrecord run`.

use super::log::{self, LogHandle};
use super::signals::{Signals, run_until_stopped};
use super::{EXIT_CONFIG, RunArgs, print_error};
use crate::app::Gateway;
use crate::config::{self, Config, LoadError};
use crate::error_chain::Chain;
use crate::journal::Actor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `run` begins with.
#[derive(Debug)]
pub struct Prepared {
    /// The configuration file, for reloads.
    pub file: PathBuf,
    /// What it says.
    pub config: Config,
    /// The log that was started.
    pub log: LogHandle,
}

/// Runs the gateway until a signal ends it.
pub(super) fn run(args: &RunArgs) -> ExitCode {
    let Prepared { file, config, log } = match prepare(args) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            print_error(&error);
            return ExitCode::FAILURE;
        }
    };
    for source in &config.sources {
        for address in &source.options.listen {
            tracing::info!(source = source.options.name, %address, upstream = source.options.upstream.listed(), "listening");
        }
    }
    tracing::info!(address = %config.admin.listen, "admin listener: /metrics /healthz /readyz /api/v1/status");
    let gateway = match Gateway::start(config) {
        Ok(gateway) => gateway,
        Err(error) => {
            print_error(&error);
            return ExitCode::FAILURE;
        }
    };
    run_until_stopped(signals, gateway, |gateway| reload(gateway, &file, &log))
}

/// Reads the file again. A bad one changes nothing and shows in the status.
fn reload(gateway: &Gateway, file: &Path, log: &LogHandle) {
    // The system does not say who sent it.
    const BY: Actor<'_> = Actor::signal("SIGHUP");
    let config = match config::load(file) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the configuration is not reloaded; the old one stays");
            gateway.note_reload(Some(Chain(&error).to_string()), BY);
            return;
        }
    };
    let level = config.log.level.clone();
    match gateway.reload(config, BY) {
        Ok(reload) => {
            if let Err(error) = log.set_level(&level) {
                tracing::error!(error = %Chain(&error), "the log level stays as it was");
            }
            tracing::info!(changed = ?reload.live, needs_restart = ?reload.restart, "the configuration was reloaded");
            gateway.note_reload(None, BY);
        }
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the configuration is not reloaded; the old one stays");
            gateway.note_reload(Some(Chain(&error).to_string()), BY);
        }
    }
}

/// Reads the configuration and starts the log.
///
/// # Errors
/// The exit code; the reason has been printed.
pub fn prepare(args: &RunArgs) -> Result<Prepared, ExitCode> {
    let config = load(&args.config)?;
    let log = log::start(&config.log).map_err(|error| {
        print_error(&error);
        ExitCode::FAILURE
    })?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Prepared { file: args.config.clone(), config, log })
}

/// Reads a configuration file, or prints why that can't be done.
pub(super) fn load(file: &Path) -> Result<Config, ExitCode> {
    config::load(file).map_err(|error| {
        match &error {
            LoadError::Problems(problems) => {
                let noun = if problems.len() == 1 { "problem" } else { "problems" };
                eprintln!("{problems}\n{} has {} {noun}", file.display(), problems.len());
            }
            _ => print_error(&error),
        }
        ExitCode::from(EXIT_CONFIG)
    })
}
