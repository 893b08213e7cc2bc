//! JSON string escaping that copies clean runs whole.

/// What a byte needs inside a JSON string: 0 nothing, `u` a `\u00XX`, else the
/// letter behind the backslash.
const ESCAPE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[8] = b'b';
    table[9] = b't';
    table[10] = b'n';
    table[12] = b'f';
    table[13] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Appends `bytes` as the inside of a JSON string. What is not UTF-8 becomes
/// U+FFFD, once for each run that can't be the beginning of a character.
#[inline]
pub fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        push_any(out, bytes);
    }
}

/// Whether all of it is ASCII that stands in a JSON string as it is: nearly every value is, and
/// is then copied whole. The last bytes are looked at together with some before them, so that no
/// length ends in a walk byte by byte.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    fn ends_are_plain<const N: usize>(bytes: &[u8]) -> bool {
        bytes.first_chunk::<N>().is_some_and(are_plain) && bytes.last_chunk::<N>().is_some_and(are_plain)
    }
    match bytes.len() {
        0..4 => bytes.iter().all(|&byte| is_plain_byte(byte)),
        4..8 => ends_are_plain::<4>(bytes),
        8..16 => ends_are_plain::<8>(bytes),
        _ => {
            let (chunks, _) = bytes.as_chunks::<16>();
            chunks.iter().all(are_plain) && bytes.last_chunk::<16>().is_some_and(are_plain)
        }
    }
}

/// No branch within: the compiler makes a few vector instructions of it.
#[inline]
fn are_plain<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(0, |odd, &byte| odd | u8::from(!is_plain_byte(byte))) == 0
}

#[inline]
const fn is_plain_byte(byte: u8) -> bool {
    (byte.wrapping_sub(0x20) < 0x60) & (byte != b'"') & (byte != b'\\')
}

#[cold]
fn push_any(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        push_utf8(out, text.as_bytes());
        return;
    }
    for chunk in bytes.utf8_chunks() {
        push_utf8(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn push_utf8(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let clean = clean_run(rest);
        out.extend_from_slice(&rest[..clean]);
        let Some(&byte) = rest.get(clean) else { return };
        rest = &rest[clean + 1..];
        out.push(b'\\');
        match ESCAPE[usize::from(byte)] {
            b'u' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            letter => out.push(letter),
        }
    }
}

/// Length of the run at the head of `bytes` that needs no escape. Eight bytes
/// at a time: a word is clean when no byte of it is below 0x20, a quote or a
/// backslash (the usual borrow tricks; a false alarm only costs the slow look).
#[inline]
fn clean_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        if control | quote | backslash != 0 {
            break;
        }
        at += 8;
    }
    let dirty = |&byte: &u8| ESCAPE[usize::from(byte)] != 0;
    bytes[at..].iter().position(dirty).map_or(bytes.len(), |more| at + more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![b'"'];
        push_escaped(&mut out, bytes);
        out.push(b'"');
        out
    }

    proptest! {
        #[test]
        fn any_bytes_become_the_json_of_their_lossy_text(bytes: Vec<u8>) {
            let read: String = serde_json::from_slice(&escaped(&bytes)).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn text_of_all_kinds_is_read_back(text in "[\\x00-\\x7f\"\\\\é漢😀]{0,80}") {
            let read: String = serde_json::from_slice(&escaped(text.as_bytes())).unwrap();
            prop_assert_eq!(read, text);
        }
    }

    #[test]
    fn an_odd_byte_is_seen_wherever_it_stands() {
        for length in 1..70 {
            for at in 0..length {
                for odd in [0, 0x1f, b'"', b'\\', 0x80, 0xff] {
                    let mut bytes = vec![b'~'; length];
                    bytes[at] = odd;
                    let read: String = serde_json::from_slice(&escaped(&bytes)).unwrap();
                    assert_eq!(read, String::from_utf8_lossy(&bytes));
                }
            }
        }
    }

    #[test]
    fn controls_quotes_and_backslashes_take_their_short_forms() {
        assert_eq!(
            escaped(b"a\"b\\c\n\t\x01\x1f/\x7f"),
            br#""a\"b\\c\n\t\u0001\u001f/"#.iter().copied().chain(*b"\x7f\"").collect::<Vec<_>>()
        );
    }
}
