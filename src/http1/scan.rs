//! Looking at eight bytes at a time: most of a head's bytes are passed over here.
//!
//! The well-known arithmetic on words: a byte's high bit is set in the result where the byte is
//! what is looked for. A borrow or carry may set it for a byte behind the first one found, never
//! for one before it, so the first one is exact.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The position of the first control byte other than a tab.
#[inline]
pub(super) fn control(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let found = from + first(&bytes[from..], |word| below(word, 0x20) | zero(word ^ (ONES * 0x7f)))?;
        if bytes[found] != b'\t' {
            return Some(found);
        }
        from = found + 1;
    }
}

/// Whether a byte stands here that no request target has: what is not visible ASCII, and `#`,
/// `<`, `>`. Brackets, braces and the like are no URI's either, but many clients send them.
#[inline]
pub(super) fn has_non_target(bytes: &[u8]) -> bool {
    let angles = |word: u64| zero((word | (ONES * 2)) ^ (ONES * u64::from(b'>')));
    let hash = |word: u64| zero(word ^ (ONES * u64::from(b'#')));
    let invisible = |word: u64| below(word, 0x21) | (word | word.wrapping_add(ONES)) & HIGHS;
    first(bytes, |word| invisible(word) | angles(word) | hash(word)).is_some()
}

/// Bytes below `limit`, which is at most 0x80.
#[inline]
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word & HIGHS
}

/// Bytes that are zero.
#[inline]
fn zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[inline]
fn first(bytes: &[u8], found: impl Fn(u64) -> u64) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = found(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(index * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    if rest.is_empty() {
        return None;
    }
    // What is filled up with is never found.
    let mut word = [b'a'; 8];
    word[..rest.len()].copy_from_slice(rest);
    let found = found(u64::from_le_bytes(word));
    (found != 0).then(|| words.len() * 8 + (found.trailing_zeros() / 8) as usize)
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
