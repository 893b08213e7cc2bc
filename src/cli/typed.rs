//! Secrets that are typed, or come by standard input: never by the command line, which others see.

use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use std::io::{self, Read as _, Write as _};
use zeroize::Zeroizing;

/// The longest secret.
const MOST_BYTES: u64 = 1 << 20;
/// What a terminal without echo sends for Ctrl-C and Ctrl-D, backspace and delete.
const CANCEL: u8 = 3;
const END: u8 = 4;
const ERASE: [u8; 2] = [8, 127];

/// What standard input holds; from a terminal one line, which is not shown. `what` is asked for.
pub(super) fn secret(what: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    let stdin = io::stdin();
    if isatty(&stdin) {
        eprint!("{what} (it is not shown): ");
        let _ = io::stderr().flush();
        let typed = line(&mut text);
        eprintln!();
        typed?;
    } else {
        stdin.lock().take(MOST_BYTES).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// Reads a line from the terminal without echo. Byte by byte, since a terminal that edits
/// lines cuts them at 4,096 bytes, which is less than many tokens have.
fn line(text: &mut Vec<u8>) -> io::Result<()> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let mut bytes = stdin.lock().bytes();
    let line = loop {
        match bytes.next() {
            None | Some(Ok(b'\n' | b'\r' | END)) => break Ok(()),
            Some(Ok(CANCEL)) => break Err(io::ErrorKind::Interrupted.into()),
            Some(Ok(byte)) if ERASE.contains(&byte) => drop(text.pop()),
            Some(Ok(byte)) => text.push(byte),
            Some(Err(error)) => break Err(error),
        }
    };
    tcsetattr(io::stdin(), OptionalActions::Now, &before)?;
    line
}
