//! Reads comma-separated values (RFC 4180).

use super::DirectoryError;

/// The rows of a text with the line each begins on; blank lines are no rows. A
/// row with a bad quote is an error, and reading goes on with the next line.
pub(super) fn rows(text: &str) -> impl Iterator<Item = (usize, Result<Vec<String>, DirectoryError>)> {
    let mut rest = text;
    let mut line = 1;
    std::iter::from_fn(move || {
        while let Some(next) = rest.strip_prefix('\n').or_else(|| rest.strip_prefix("\r\n")) {
            rest = next;
            line += 1;
        }
        if rest.is_empty() {
            return None;
        }
        let (row, next) = match row(rest) {
            Some((cells, next)) => (Ok(cells), next),
            None => (Err(DirectoryError::Quote), rest.find('\n').map_or("", |end| &rest[end..])),
        };
        let begins = line;
        line += rest[..rest.len() - next.len()].matches('\n').count();
        rest = next;
        Some((begins, row))
    })
}

/// The cells of the first row, and the text from its line end on.
fn row(mut rest: &str) -> Option<(Vec<String>, &str)> {
    let mut cells = Vec::new();
    loop {
        let (cell, next) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_cell(quoted)?,
            None => {
                let end = rest.find([',', '\n']).unwrap_or(rest.len());
                let cell = &rest[..end];
                let cell =
                    if rest[end..].starts_with(',') { cell } else { cell.strip_suffix('\r').unwrap_or(cell) };
                (cell.to_owned(), &rest[end..])
            }
        };
        cells.push(cell);
        match next.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Some((cells, next)),
        }
    }
}

/// A cell behind its opening quote, and the text from the comma or line end on.
fn quoted_cell(mut rest: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    loop {
        let quote = rest.find('"')?;
        cell.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                cell.push('"');
                rest = next;
            }
            None => {
                let rest = if rest == "\r" || rest.starts_with("\r\n") { &rest[1..] } else { rest };
                return (rest.is_empty() || rest.starts_with([',', '\n'])).then_some((cell, rest));
            }
        }
    }
}
