//! Bytes and words of RFC 9110 §5.6 and RFC 9112.

const TOKEN: u8 = 1;
const HOST: u8 = 2;

/// What each byte may be part of.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let alphanumeric = (byte as u8).is_ascii_alphanumeric();
        if alphanumeric || is_one_of(byte as u8, b"!#$%&'*+-.^_`|~") {
            classes[byte] |= TOKEN;
        }
        // reg-name, IPv4 and what stands between the brackets of an IP-literal (RFC 3986 §3.2.2).
        if alphanumeric || is_one_of(byte as u8, b"-._~!$&'()*+,;=%") {
            classes[byte] |= HOST;
        }
        byte += 1;
    }
    classes
}

const fn is_one_of(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// How many bytes from the front a token could have. Four at a time: names are short, and most
/// of a head's bytes that are looked at one by one are looked at here.
#[inline]
pub(super) fn token_length(bytes: &[u8]) -> usize {
    let class = |byte: u8| CLASS[usize::from(byte)];
    let (fours, _) = bytes.as_chunks::<4>();
    let mut end = 0;
    for &[a, b, c, d] in fours {
        if class(a) & class(b) & class(c) & class(d) & TOKEN == 0 {
            break;
        }
        end += 4;
    }
    // At most four are left, or none of them is a token's.
    end + bytes[end..].iter().take_while(|&&byte| is_token_byte(byte)).count()
}

/// Whether this is a token: one byte or more of `tchar` (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether this is `uri-host [":" port]` (RFC 9110 §7.2): what may stand in Host, and what
/// stands for the authority in a target. Empty is allowed, as it is in Host.
#[must_use]
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.first() {
        Some(b'[') => {
            let Some(end) = memchr::memchr(b']', value) else { return false };
            let literal = &value[1..end];
            if literal.is_empty() || !literal.iter().all(|&byte| byte == b':' || is_host_byte(byte)) {
                return false;
            }
            match &value[end + 1..] {
                [] => return true,
                [b':', port @ ..] => (&b""[..], port),
                _ => return false,
            }
        }
        _ => match memchr::memchr(b':', value) {
            Some(colon) => (&value[..colon], &value[colon + 1..]),
            None => (value, &b""[..]),
        },
    };
    host.iter().all(|&byte| is_host_byte(byte)) && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

fn is_host_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & HOST != 0
}

/// A field's value without the blanks around it.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// `1*DIGIT` below 2^63.
pub(super) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let mut length = 0u64;
    for &byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        length = length.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (length <= i64::MAX as u64).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_the_first_byte_of_another_kind() {
        for byte in 0..=255u8 {
            for at in 0..11 {
                let mut text = *b"Content-19!";
                text[at] = byte;
                let end = text.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(text.len());
                assert_eq!(token_length(&text), end, "{text:?}");
            }
        }
    }

    #[test]
    fn a_host_has_a_name_or_an_address_and_at_most_a_port() {
        for good in ["a", "a.b:80", "[::1]", "[::1]:8080", "127.0.0.1:1", "", "a:", "x_y", "%41", "[v1.a]"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a/b", "u@h", "a:b", "a:80:80", "::1", "[::1", "[::1]x", "[]", "a?b", "a#b", "a:123456",
            "a\\b", "h\u{e9}", "[a]b]", "a]", "<a>", "\"a\"",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        assert_eq!(length(b"0"), Some(0));
        assert_eq!(length(b"0005"), Some(5));
        assert_eq!(length(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in ["", "+5", "-1", "5,5", "0x5", "5 ", "9223372036854775808", "18446744073709551617", "5_0"]
        {
            assert_eq!(length(bad.as_bytes()), None, "{bad}");
        }
    }
}
