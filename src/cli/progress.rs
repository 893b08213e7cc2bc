//! A progress bar of one line, on a terminal only.

use crate::evidence::verify::Progress;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So often the line is drawn anew.
const PAUSE: Duration = Duration::from_millis(100);
const WIDTH: u64 = 30;

/// The bar.
#[derive(Debug)]
pub(super) struct Bar {
    begun: Instant,
    drawn: Option<Mutex<Instant>>,
}

impl Bar {
    /// Shows nothing yet; and never anything where standard error is no terminal.
    pub(super) fn new() -> Self {
        let begun = Instant::now();
        Self { begun, drawn: std::io::stderr().is_terminal().then(|| Mutex::new(begun)) }
    }

    /// Draws, if it is time.
    pub(super) fn show(&self, progress: &Progress) {
        let Some(drawn) = &self.drawn else { return };
        // Another thread is drawing: it draws for this one too.
        let Ok(mut drawn) = drawn.try_lock() else { return };
        if drawn.elapsed() < PAUSE {
            return;
        }
        *drawn = Instant::now();
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r{}\x1b[K", line(progress, self.begun.elapsed()));
        let _ = stderr.flush();
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn line(progress: &Progress, time: Duration) -> String {
    let Progress { objects, of, bytes } = *progress;
    let filled = (objects * WIDTH).checked_div(of).unwrap_or(0).min(WIDTH) as usize;
    let rate = bytes as f64 / time.as_secs_f64().max(0.001) / 1e6;
    let (done, left) = ("#".repeat(filled), "-".repeat(WIDTH as usize - filled));
    format!("[{done}{left}] {objects} of {of} objects, {rate:.0} MB/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_survives_more_objects_than_expected() {
        let at = |objects, of| line(&Progress { objects, of, bytes: 2_000_000 }, Duration::from_secs(1));
        assert_eq!(at(15, 30), format!("[{}{}] 15 of 30 objects, 2 MB/s", "#".repeat(15), "-".repeat(15)));
        assert!(at(31, 30).contains("31 of 30"));
        assert!(at(0, 0).contains("0 of 0"));
    }
}
