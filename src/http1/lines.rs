//! Lines of a head that may come in pieces.

use super::fault::Fault;
use super::scan::control;

/// How far a head has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Where the line that is being read begins.
    start: usize,
    /// Up to here there is no control byte in it.
    seen: usize,
}

impl Lines {
    /// The next whole line without its CRLF, and without any control byte but tabs. `bytes` is
    /// the head from its beginning, as much as there is of it, each time.
    ///
    /// # Errors
    /// Any other control byte, be the line whole or not: what is no HTTP at all may never end
    /// a line.
    #[inline(always)]
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
        let Some(end) = control(&bytes[self.seen..]) else {
            self.seen = bytes.len();
            return Ok(None);
        };
        let end = self.seen + end;
        self.seen = end;
        match &bytes[end..] {
            [b'\r', b'\n', ..] => {
                let line = &bytes[self.start..end];
                self.start = end + 2;
                self.seen = self.start;
                Ok(Some(line))
            }
            [b'\r'] => Ok(None),
            [b'\r', ..] => Err(Fault::BareCr),
            [b'\n', ..] => Err(Fault::BareLf),
            [0, ..] => Err(Fault::Nul),
            _ => Err(Fault::Control),
        }
    }

    /// Whether nothing of the head has been looked at.
    #[inline]
    pub(super) fn are_new(&self) -> bool {
        self.seen == 0
    }

    /// Bytes of the lines that were whole.
    pub(super) fn whole(&self) -> usize {
        self.start
    }
}
