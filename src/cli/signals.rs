//! Signals: what they ask of a running gateway, and the order in which it obeys.

use crate::app::Gateway;
use crate::journal::Actor;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Between two looks at whether a worker has died by itself.
const LOOK: Duration = Duration::from_secs(1);
/// Signals that come together are one: `timeout` and shells send theirs to the process and to
/// its group.
const TOGETHER: Duration = Duration::from_millis(500);
/// The exit code of a second signal: stopped, but not in order.
const STOPPED_AT_ONCE: u8 = 1;

/// Signal handlers. To be installed before the gateway starts, so that no signal finds it
/// running and unprepared.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes SIGTERM, SIGINT and SIGHUP over.
    ///
    /// # Errors
    /// When the system gives no handlers.
    pub(super) fn install() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }
}

/// Runs the gateway until SIGTERM or SIGINT, then stops it in order. A second signal, half a
/// second later or more, ends the process at once; what was captured is in the rings and the spool. `reload`
/// is called at SIGHUP.
pub(super) fn run_until_stopped(signals: Signals, gateway: Gateway, reload: impl Fn(&Gateway)) -> ExitCode {
    let Signals { runtime, mut terminate, mut interrupt, mut hangup } = signals;
    runtime.block_on(async {
        let mut look = tokio::time::interval(LOOK);
        let mut code = ExitCode::SUCCESS;
        let mut by = Actor::GATEWAY;
        loop {
            tokio::select! {
                signal = either(&mut terminate, &mut interrupt) => {
                    by = Actor::signal(signal);
                    break;
                }
                _ = hangup.recv() => reload(&gateway),
                _ = look.tick() => {
                    if gateway.has_failed() {
                        tracing::error!("a worker has ended by itself: the gateway stops, so that it is started anew");
                        code = ExitCode::FAILURE;
                        break;
                    }
                }
            }
        }
        tracing::info!("stopping: requests end, then the last records are delivered");
        let (done, ended) = oneshot::channel();
        let stopping = std::thread::spawn(move || {
            gateway.stop(by);
            // Nobody listens any more when a second signal came.
            let _ = done.send(());
        });
        let begun = Instant::now();
        let mut ended = pin!(ended);
        loop {
            tokio::select! {
                _ = &mut ended => break,
                _ = either(&mut terminate, &mut interrupt) => {
                    if begun.elapsed() >= TOGETHER {
                        tracing::warn!("stopped at once by a second signal; the next start takes up what is left");
                        std::process::exit(i32::from(STOPPED_AT_ONCE));
                    }
                }
            }
        }
        if stopping.join().is_err() {
            tracing::error!("stopping failed; the next start takes up what is left");
            code = ExitCode::FAILURE;
        }
        code
    })
}

/// The name of the one that came.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
