//! A client's address as text: read from `X-Forwarded-For`, written into a record.

use crate::record::{Field, RecordWriter};
use std::net::{IpAddr, Ipv4Addr};

/// One member of `X-Forwarded-For`: an address, with or without brackets and port.
pub(super) fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let address =
        text.parse::<IpAddr>().or_else(|_| text.parse::<std::net::SocketAddr>().map(|both| both.ip()));
    let address = address.ok().or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

/// Writes the address of the client.
pub(super) fn write_address(address: IpAddr, writer: &mut RecordWriter<'_>) {
    use std::io::Write;
    if let IpAddr::V4(address) = address {
        let (text, length) = ipv4_text(address);
        writer.bytes(Field::ClientAddress, &text[..length]);
        return;
    }
    let mut text = [0u8; 48];
    let mut rest = &mut text[..];
    // The longest address has 45 characters.
    let _ = write!(rest, "{address}");
    let unused = rest.len();
    writer.bytes(Field::ClientAddress, &text[..text.len() - unused]);
}

/// The address in dotted form with its length: a tenth of what a formatter takes for it.
fn ipv4_text(address: Ipv4Addr) -> ([u8; 16], usize) {
    let mut text = [b'.'; 16];
    let mut length = 0;
    for octet in address.octets() {
        if octet >= 100 {
            text[length] = b'0' + octet / 100;
            length += 1;
        }
        if octet >= 10 {
            text[length] = b'0' + octet / 10 % 10;
            length += 1;
        }
        text[length] = b'0' + octet % 10;
        // The dot behind it is there already.
        length += 2;
    }
    (text, length - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_hop_may_have_brackets_and_a_port() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(parse_hop(text.as_bytes()), address.parse().ok(), "{text}");
        }
        assert_eq!(parse_hop(b"unknown"), None);
    }

    #[test]
    fn an_ipv4_address_is_written_as_everybody_writes_it() {
        for octet in 0..=u8::MAX {
            for octets in [[octet, 0, 9, 10], [99, octet, 100, 255], [255, 255, 255, octet]] {
                let address = Ipv4Addr::from(octets);
                let (text, length) = ipv4_text(address);
                assert_eq!(std::str::from_utf8(&text[..length]), Ok(address.to_string().as_str()));
            }
        }
    }
}
