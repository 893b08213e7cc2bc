//! The gateway's own log: set up once, its level changed live.

use crate::config::{LogFormat, LogOptions};
use std::io::IsTerminal as _;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the running log.
#[derive(Clone, Debug)]
pub struct LogHandle(reload::Handle<Targets, Registry>);

/// Why the log can't be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no filter. Configuration that was judged has none such.
    #[error("log.level is not a filter")]
    Level(#[from] ParseError),
    /// There is a log already.
    #[error("can't start the log")]
    Start(#[from] TryInitError),
    /// The log has ended.
    #[error("can't change the log's level")]
    Change(#[from] reload::Error),
}

/// Starts the log on standard error, for the whole process.
///
/// # Errors
/// [`LogError`], if the level is no filter or there is a log already.
pub fn start(options: &LogOptions) -> Result<LogHandle, LogError> {
    let (filter, handle) = reload::Layer::new(filter(&options.level)?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match options.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(LogHandle(handle))
}

/// What is asked for, but for a library that would write down the password it connects with.
fn filter(level: &str) -> Result<Targets, ParseError> {
    Ok(level.parse::<Targets>()?.with_target("async_nats", LevelFilter::OFF))
}

impl LogHandle {
    /// Changes the level or filter.
    ///
    /// # Errors
    /// [`LogError`], if it is no filter, or the log has ended.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        Ok(self.0.reload(filter(level)?)?)
    }
}
