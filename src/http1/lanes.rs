//! Which of many bytes at once are what a head may not have there.
//!
//! On x86-64 sixteen bytes are compared by each instruction: SSE2 is a part of that architecture,
//! so that nothing has to be asked of the processor. Elsewhere it is eight, by the well-known
//! arithmetic on words. Tests hold both against the bytes one by one.
//!
//! The `unsafe` in this module is sound since all that the functions called so demand is SSE2, and
//! they are compiled for processors alone that have it; they read no memory but their argument's.
#![allow(unsafe_code, reason = "proven sound above")]

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 64;

/// Bit n: the n-th byte is a control character other than a tab.
#[inline]
pub(super) fn controls(block: &[u8; BLOCK]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    return lanes(block, |lane| {
        // SAFETY: x86-64 has SSE2.
        unsafe { sse2::controls(lane) }
    });
    #[cfg(not(target_arch = "x86_64"))]
    return lanes(block, words::controls);
}

/// Whether one of these is a control character other than a tab.
#[inline]
pub(super) fn has_control(lane: &[u8; 16]) -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: x86-64 has SSE2.
    let found = unsafe { sse2::controls(lane) };
    #[cfg(not(target_arch = "x86_64"))]
    let found = words::controls(lane);
    found != 0
}

/// Whether one of these stands in no request target, as [`super::scan`] says.
#[inline]
pub(super) fn has_non_target(lane: &[u8; 16]) -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: x86-64 has SSE2.
    let found = unsafe { sse2::non_targets(lane) };
    #[cfg(not(target_arch = "x86_64"))]
    let found = words::non_targets(lane);
    found != 0
}

/// The bits of four lanes.
#[inline(always)]
fn lanes(block: &[u8; BLOCK], bits: impl Fn(&[u8; 16]) -> u16) -> u64 {
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().rev().fold(0, |found, lane| found << 16 | u64::from(bits(lane)))
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_setr_epi8,
    };

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn controls(lane: &[u8; 16]) -> u16 {
        let bytes = vector(lane);
        let low = at_most(bytes, 0x1f);
        bits(_mm_or_si128(_mm_andnot_si128(is(bytes, b'\t'), low), is(bytes, 0x7f)))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn non_targets(lane: &[u8; 16]) -> u16 {
        let bytes = vector(lane);
        let invisible = _mm_or_si128(at_most(bytes, b' '), is(bytes, 0x7f));
        let marks = _mm_or_si128(is(bytes, b'#'), _mm_or_si128(is(bytes, b'<'), is(bytes, b'>')));
        // What is not ASCII has its high bit set, as what was found has.
        bits(_mm_or_si128(bytes, _mm_or_si128(invisible, marks)))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn vector(lane: &[u8; 16]) -> __m128i {
        // Becomes one load.
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = lane.map(u8::cast_signed);
        _mm_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn is(bytes: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn at_most(bytes: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(byte.cast_signed())), bytes)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(bytes: __m128i) -> u16 {
        // Sixteen bits, by what the instruction is.
        _mm_movemask_epi8(bytes) as u16
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    pub(super) fn controls(lane: &[u8; 16]) -> u16 {
        each(lane, |word| (at_most(word, 0x1f) & !is(word, b'\t')) | is(word, 0x7f))
    }

    pub(super) fn non_targets(lane: &[u8; 16]) -> u16 {
        each(lane, |word| {
            let marks = is(word, b'#') | is(word, b'<') | is(word, b'>');
            (word & HIGHS) | at_most(word, b' ') | is(word, 0x7f) | marks
        })
    }

    /// The high bit of each byte that is `byte`. No byte's sum carries into the next.
    fn is(word: u64, byte: u8) -> u64 {
        let other = word ^ (ONES * u64::from(byte));
        !(((other & !HIGHS) + !HIGHS) | other) & HIGHS
    }

    /// The high bit of each byte that is `most`, which is ASCII, or below.
    fn at_most(word: u64, most: u8) -> u64 {
        !(((word & !HIGHS) + ONES * (0x7f - u64::from(most))) | word) & HIGHS
    }

    fn each(lane: &[u8; 16], highs: impl Fn(u64) -> u64) -> u16 {
        let (words, _) = lane.as_chunks::<8>();
        words.iter().rev().fold(0, |found, word| {
            // The product gathers the bytes' bits in its highest byte, the first byte's lowest.
            let gathered = (highs(u64::from_le_bytes(*word)) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            found << 8 | gathered as u16
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(lane: &[u8; 16], is_it: impl Fn(u8) -> bool) -> u16 {
        lane.iter().rev().fold(0, |found, &byte| found << 1 | u16::from(is_it(byte)))
    }

    #[test]
    fn lanes_and_words_say_the_same_as_bytes() {
        let is_control = |byte: u8| byte < 0x20 && byte != b'\t' || byte == 0x7f;
        let is_non_target = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'<' | b'>');
        for place in 0..16 {
            for (byte, others) in
                (0..=255).flat_map(|byte| [b'a', 0, 9, 0x7f, 0xff].map(|others| (byte, others)))
            {
                let mut lane = [others; 16];
                lane[place] = byte;
                let (control, non_target) = (one_by_one(&lane, is_control), one_by_one(&lane, is_non_target));
                assert_eq!(
                    (words::controls(&lane), words::non_targets(&lane)),
                    (control, non_target),
                    "{lane:?}"
                );
                assert_eq!(
                    (has_control(&lane), has_non_target(&lane)),
                    (control != 0, non_target != 0),
                    "{lane:?}"
                );
                for at in 0..4 {
                    let mut block = [b'a'; BLOCK];
                    block[at * 16..][..16].copy_from_slice(&lane);
                    assert_eq!(controls(&block), u64::from(control) << (16 * at), "{block:?}");
                }
            }
        }
    }
}
