//! The answer to a head that is refused before hyper sees it.

use crate::http1::Fault;
use crate::record::ErrorType;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// For a client that is refused to take the answer and close; it may still be sending, and a
/// connection that is closed with bytes unread takes the answer back (RFC 9112 §9.6).
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read and thrown away meanwhile.
const LINGER_BYTES: usize = 256 * 1024;

/// What goes on record for a fault.
pub(super) fn error_type(fault: Fault) -> ErrorType {
    match fault {
        Fault::TargetTooLong | Fault::HeadTooLarge | Fault::TooManyFields => ErrorType::TooLarge,
        _ => ErrorType::Malformed,
    }
}

/// How far the answer has come.
#[derive(Debug)]
pub(super) struct Refusing {
    answer: String,
    written: usize,
    is_shut: bool,
    thrown_away: usize,
}

impl Refusing {
    pub(super) fn of(fault: Fault) -> Self {
        let status = http::StatusCode::from_u16(fault.status()).unwrap_or(http::StatusCode::BAD_REQUEST);
        let text = format!("{{\"error\":\"{}\",\"message\":\"{fault}\"}}\n", error_type(fault).as_str());
        let answer = format!(
            "HTTP/1.1 {} {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            status.as_u16(),
            status.canonical_reason().unwrap_or(""),
            text.len(),
        );
        Self { answer, written: 0, is_shut: false, thrown_away: 0 }
    }

    /// Writes the answer, ends our side, and waits for the client's end. Cancel safe.
    pub(super) fn poll<S>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while self.written < self.answer.len() {
            let rest = &self.answer.as_bytes()[self.written..];
            self.written += ready!(Pin::new(&mut *stream).poll_write(context, rest))?;
        }
        if !self.is_shut {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            self.is_shut = true;
        }
        let mut space = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            self.thrown_away += buffer.filled().len();
            if buffer.filled().is_empty() || self.thrown_away > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
