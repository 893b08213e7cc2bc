//! Looking at many bytes at a time: most of a head's bytes are passed over here.
//!
//! Where a line has to be found whatever comes, by the well-known arithmetic on words: a byte's
//! high bit is set in the result where the byte may be what is looked for. The cheap form says so
//! of some bytes too many, each of which is then looked at by itself; it never leaves one out, and
//! says nothing wrong of bytes before it. Where a head is read at once, by [`lanes`].

use super::lanes::{self, BLOCK};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The position of the first control byte other than a tab.
#[inline]
pub(super) fn control(bytes: &[u8]) -> Option<usize> {
    first(bytes, suspects, is_control)
}

/// Whether there is a control byte other than a tab.
#[inline]
pub(super) fn has_control(bytes: &[u8]) -> bool {
    any(bytes, lanes::has_control, is_control)
}

/// Whether a byte stands here that no request target has: what is not visible ASCII, and `#`,
/// `<`, `>`. Brackets, braces and the like are no URI's either, but many clients send them.
#[inline]
pub(super) fn has_non_target(bytes: &[u8]) -> bool {
    let is_none = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'<' | b'>');
    any(bytes, lanes::has_non_target, is_none)
}

#[inline]
fn is_control(byte: u8) -> bool {
    byte < 0x20 && byte != b'\t' || byte == 0x7f
}

/// Whether any byte is it. Bytes that do not fill a lane are looked at twice: the last lane may
/// overlap the one before, and a short text is its beginning and its end.
#[inline(always)]
fn any(bytes: &[u8], lane: impl Fn(&[u8; 16]) -> bool, byte: impl Fn(u8) -> bool) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        return bytes.as_chunks().0.iter().any(&lane) || lane(last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return lane(&lane_of(u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let ends = u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last));
        return lane(&lane_of(ends, ends));
    }
    bytes.iter().any(|&one| byte(one))
}

#[inline(always)]
fn lane_of(one: u64, other: u64) -> [u8; 16] {
    (u128::from(one) << 64 | u128::from(other)).to_ne_bytes()
}

/// The ends of a head's lines, as long as each of them ends with CRLF and has no other control
/// byte but tabs.
#[derive(Debug)]
pub(super) struct LineEnds<'h> {
    head: &'h [u8],
    /// Where the block begins whose control bytes are `found`.
    block: usize,
    found: u64,
    /// The block begins with the LF of a line that has been told.
    is_behind_cr: bool,
}

impl<'h> LineEnds<'h> {
    /// Of a head that begins with these bytes.
    #[inline]
    pub(super) fn of(head: &'h [u8]) -> Self {
        Self { head, block: 0, found: controls_at(head, 0), is_behind_cr: false }
    }

    /// Where the next line's CRLF stands; `None` if there is another control byte before it, or
    /// no more of the head.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.block += BLOCK;
            if self.block >= self.head.len() {
                return None;
            }
            self.found = controls_at(self.head, self.block);
            if std::mem::take(&mut self.is_behind_cr) {
                self.found &= !1;
            }
        }
        let bit = self.found.trailing_zeros();
        let end = self.block + bit as usize;
        if self.head.get(end..)?.first_chunk() != Some(b"\r\n") {
            return None;
        }
        self.is_behind_cr = bit == u64::BITS - 1;
        self.found &= self.found - 1;
        if !self.is_behind_cr {
            self.found &= self.found - 1;
        }
        Some(end)
    }
}

/// The control bytes of the block that begins here; behind the head's end there are none.
#[inline]
fn controls_at(head: &[u8], at: usize) -> u64 {
    let rest = head.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(block) => lanes::controls(block),
        None => {
            let mut block = [b' '; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            lanes::controls(&block)
        }
    }
}

/// A word in which there may be a control byte; also one with a byte that is not ASCII.
#[inline]
fn suspects(word: u64) -> u64 {
    (word.wrapping_sub(ONES * 0x20) | word | word.wrapping_add(ONES)) & HIGHS
}

/// The first byte that `is_it`. `suspects` may name a byte too many, never one too few.
#[inline(always)]
fn first(bytes: &[u8], suspects: impl Fn(u64) -> u64, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let mut found = suspects(u64::from_le_bytes(*word));
        while found != 0 {
            let at = (found.trailing_zeros() / 8) as usize;
            if is_it(word[at]) {
                return Some(index * 8 + at);
            }
            found &= found - 1;
        }
    }
    rest.iter().position(|&byte| is_it(byte)).map(|at| words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_the_same_as_bytes() {
        let is_non_target = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'<' | b'>');
        for length in 0..40 {
            for at in 0..length {
                for (byte, next) in (0..=255).flat_map(|byte| [(byte, b'a'), (byte, 0xff), (byte, 0)]) {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    if let Some(behind) = text.get_mut(at + 1) {
                        *behind = next;
                    }
                    let found = text.iter().position(|&byte| is_control(byte));
                    assert_eq!((control(&text), has_control(&text)), (found, found.is_some()), "{text:?}");
                    assert_eq!(
                        has_non_target(&text),
                        text.iter().any(|&byte| is_non_target(byte)),
                        "{text:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn lines_end_wherever_they_end_in_a_block() {
        for first in 0..140 {
            for second in [0, 1, 2, 61, 62, 63, 64, 65] {
                let text =
                    [vec![b'a'; first], b"\r\n".to_vec(), vec![0xff; second], b"\r\n".to_vec()].concat();
                let mut ends = LineEnds::of(&text);
                let told = [ends.next(), ends.next(), ends.next()];
                assert_eq!(told, [Some(first), Some(first + 2 + second), None]);
                // Cut, or with another control byte, no line is told from there on.
                let mut ends = LineEnds::of(&text[..text.len() - 1]);
                assert_eq!([ends.next(), ends.next()], [Some(first), None]);
                for (place, byte) in [(0, 0), (first / 2, b'\n'), (first, b'\n'), (first + 1, b'a')] {
                    let mut broken = text.clone();
                    broken[place] = byte;
                    assert_eq!(LineEnds::of(&broken).next(), None, "{broken:?}");
                }
            }
        }
        assert_eq!(LineEnds::of(b"").next(), None);
    }
}
