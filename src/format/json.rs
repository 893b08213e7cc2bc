//! JSON objects written straight into a buffer.

use super::escape::push_escaped;

/// Writes one JSON object. Keys are constants with quotes and colon (`"time":`), so that most of
/// a row is copied as it stands.
pub(super) struct Json<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// Texts are cut to at most this many bytes.
    limit: usize,
}

impl<'o> Json<'o> {
    /// Writes behind what `out` holds.
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, limit: usize::MAX }
    }

    /// Cuts texts to at most this many bytes, at the end of a character.
    pub(super) fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Whether a text is cut.
    pub(super) fn cuts(&self, text: &[u8]) -> bool {
        text.len() > self.limit
    }

    pub(super) fn key(&mut self, key: &str) {
        if !matches!(self.out.last(), Some(b'{' | b'[' | b'\n') | None) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(key.as_bytes());
    }

    /// A key that is no constant.
    pub(super) fn named(&mut self, name: &[u8]) {
        self.key("\"");
        push_escaped(self.out, name);
        self.out.extend_from_slice(b"\":");
    }

    /// Begins an object.
    pub(super) fn open(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'{');
    }

    /// Ends an object.
    pub(super) fn close(&mut self) {
        self.out.push(b'}');
    }

    /// Begins a list.
    pub(super) fn open_list(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'[');
    }

    /// Ends a list.
    pub(super) fn close_list(&mut self) {
        self.out.push(b']');
    }

    /// A text, empty or not.
    pub(super) fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.string(value);
    }

    /// A text, unless it is empty.
    pub(super) fn some(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    /// A text that is known to need no escape: a constant.
    pub(super) fn word(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// A whole number; one that readers with 64 signed bits do not know is the last they know.
    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        let value = value.min(i64::MAX as u64);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A whole number, if there is one.
    pub(super) fn some_number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    /// Bytes as hexadecimal digits, if they are of this length.
    pub(super) fn hex(&mut self, key: &str, value: Option<&[u8]>, length: usize) {
        if let Some(value) = value.filter(|value| value.len() == length) {
            self.key(key);
            self.out.push(b'"');
            push_hex(self.out, value);
            self.out.push(b'"');
        }
    }

    /// A list of texts, unless it is empty.
    pub(super) fn texts<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a [u8]>) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        self.open_list(key);
        for value in values {
            self.text("", value);
        }
        self.close_list();
    }

    /// A value's bytes between quotes.
    pub(super) fn string(&mut self, value: &[u8]) {
        self.out.push(b'"');
        push_escaped(self.out, cut(value, self.limit));
        self.out.push(b'"');
    }
}

/// Appends bytes as hexadecimal digits.
pub(super) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

/// The head of a text that is at most this long and does not end inside a character.
fn cut(text: &[u8], limit: usize) -> &[u8] {
    if text.len() <= limit {
        return text;
    }
    let is_inner = |byte: u8| byte & 0xc0 == 0x80;
    let end = (limit.saturating_sub(3)..=limit).rev().find(|&at| !is_inner(text[at])).unwrap_or(limit);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for limit in 0..12 {
            let text = "aé漢😀b".as_bytes();
            let head = std::str::from_utf8(cut(text, limit)).unwrap();
            assert!(
                head.len() <= limit && text.starts_with(head.as_bytes()) && head.len() + 4 > limit.min(11)
            );
        }
    }
}
