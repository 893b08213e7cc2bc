//! Addresses of clients: as proxies name them, and as records have them.

use crate::record::{Field, RecordWriter};
use std::net::IpAddr;

/// One member of `X-Forwarded-For`: an address, with or without brackets and port.
pub(super) fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let address =
        text.parse::<IpAddr>().or_else(|_| text.parse::<std::net::SocketAddr>().map(|both| both.ip()));
    let address = address.ok().or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

/// Writes `client.address`.
pub(super) fn write_address(address: IpAddr, writer: &mut RecordWriter<'_>) {
    use std::io::Write;
    let mut text = [0u8; 48];
    let mut rest = &mut text[..];
    // The longest address has 45 characters.
    let _ = write!(rest, "{address}");
    let unused = rest.len();
    writer.bytes(Field::ClientAddress, &text[..text.len() - unused]);
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
}
