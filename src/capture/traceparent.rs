//! The W3C trace context of a request.

/// Trace and parent id of a W3C `traceparent`; `None` where it is not valid.
pub(super) fn parse_traceparent(value: &[u8]) -> Option<([u8; 16], [u8; 8])> {
    let version = value.get(..2)?;
    let well_formed = value.len() >= 55 && value[2] == b'-' && value[35] == b'-' && value[52] == b'-';
    if !well_formed || version == b"ff" || (version == b"00" && value.len() != 55) {
        return None;
    }
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    decode_hex(&value[3..35], &mut trace)?;
    decode_hex(&value[36..52], &mut span)?;
    (trace != [0; 16] && span != [0; 8]).then_some((trace, span))
}

fn decode_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (pair, byte) in text.chunks_exact(2).zip(out) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_taken_only_when_it_is_valid() {
        let good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let (trace, span) = parse_traceparent(good).unwrap();
        assert_eq!((trace[0], trace[15], span[0], span[7]), (0x0a, 0x9c, 0xb7, 0x31));
        for bad in [
            &b"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"[..],
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            b"",
        ] {
            assert_eq!(parse_traceparent(bad), None);
        }
    }
}
