//! Looking at eight bytes at a time: most of a head's bytes are passed over here.
//!
//! The well-known arithmetic on words: a byte's high bit is set in the result where the byte may
//! be what is looked for. The cheap form says so of some bytes too many, each of which is then
//! looked at by itself; it never leaves one out, and says nothing wrong of bytes before it.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The position of the first control byte other than a tab.
#[inline]
pub(super) fn control(bytes: &[u8]) -> Option<usize> {
    first(bytes, suspects, |byte| byte < 0x20 && byte != b'\t' || byte == 0x7f)
}

/// Whether a byte stands here that no request target has: what is not visible ASCII, and `#`,
/// `<`, `>`. Brackets, braces and the like are no URI's either, but many clients send them.
#[inline]
pub(super) fn has_non_target(bytes: &[u8]) -> bool {
    let angles = |word: u64| zero((word | (ONES * 2)) ^ (ONES * u64::from(b'>')));
    let hash = |word: u64| zero(word ^ (ONES * u64::from(b'#')));
    let invisible = |word: u64| word.wrapping_sub(ONES * 0x21) | word | word.wrapping_add(ONES);
    let is_none = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'<' | b'>');
    first(bytes, |word| (invisible(word) | angles(word) | hash(word)) & HIGHS, is_none).is_some()
}

/// A word in which there may be a control byte; also one with a byte that is not ASCII.
#[inline]
fn suspects(word: u64) -> u64 {
    (word.wrapping_sub(ONES * 0x20) | word | word.wrapping_add(ONES)) & HIGHS
}

/// Bytes that are zero, and perhaps some behind them.
#[inline]
fn zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
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
        let is_control = |byte: u8| byte < 0x20 && byte != b'\t' || byte == 0x7f;
        let is_non_target = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'<' | b'>');
        for length in 0..40 {
            for at in 0..length {
                for (byte, next) in (0..=255).flat_map(|byte| [(byte, b'a'), (byte, 0xff), (byte, 0)]) {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    if let Some(behind) = text.get_mut(at + 1) {
                        *behind = next;
                    }
                    assert_eq!(control(&text), text.iter().position(|&byte| is_control(byte)), "{text:?}");
                    assert_eq!(
                        has_non_target(&text),
                        text.iter().any(|&byte| is_non_target(byte)),
                        "{text:?}"
                    );
                }
            }
        }
    }
}
