//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): a proxy in front
//! tells whose connection it passes on. No byte beyond the header is taken.

use super::socket::Socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// A line of version 1 is no longer than this, with its line end.
const LINE_BYTES: usize = 107;
/// Addresses and TLVs of version 2 may take no more than this; what is common is below 300.
const BLOCK_BYTES: usize = 4096;

/// What a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Whose connection it is.
    Client(SocketAddr),
    /// Nothing: the proxy speaks for itself (`LOCAL`), or of another kind of address.
    Nothing,
}

/// Why there is no header.
#[derive(Debug, Error)]
pub(super) enum ProxyError {
    /// The peer closed the connection without a byte.
    #[error("the connection was closed")]
    Empty,
    /// What came is no header.
    #[error("this is not a PROXY protocol header")]
    Malformed,
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// Reads the header that a connection begins with.
pub(super) async fn read(socket: &mut Socket) -> Result<Told, ProxyError> {
    let mut start = [0; SIGNATURE.len()];
    if socket.read(&mut start[..1]).await? == 0 {
        return Err(ProxyError::Empty);
    }
    // No header of either version is shorter.
    socket.read_exact(&mut start[1..]).await.map_err(ended)?;
    if start == *SIGNATURE { read_v2(socket).await } else { read_v1(socket, &start).await }
}

async fn read_v1(socket: &mut Socket, start: &[u8]) -> Result<Told, ProxyError> {
    if !start.starts_with(b"PROXY ") {
        return Err(ProxyError::Malformed);
    }
    let mut line = start.to_vec();
    while line.last() != Some(&b'\n') {
        let mut seen = [0; LINE_BYTES];
        let room = LINE_BYTES - line.len();
        if room == 0 {
            return Err(ProxyError::Malformed);
        }
        let bytes = socket.peek(&mut seen[..room]).await?;
        if bytes == 0 {
            return Err(ProxyError::Malformed);
        }
        let end = seen[..bytes].iter().position(|&byte| byte == b'\n');
        let take = end.map_or(bytes, |end| end + 1);
        socket.read_exact(&mut seen[..take]).await.map_err(ended)?;
        line.extend_from_slice(&seen[..take]);
    }
    parse_v1(&line).ok_or(ProxyError::Malformed)
}

async fn read_v2(socket: &mut Socket) -> Result<Told, ProxyError> {
    let mut head = [0; 4];
    socket.read_exact(&mut head).await.map_err(ended)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if length > BLOCK_BYTES {
        return Err(ProxyError::Malformed);
    }
    let mut block = vec![0; length];
    socket.read_exact(&mut block).await.map_err(ended)?;
    parse_v2(head[0], head[1], &block).ok_or(ProxyError::Malformed)
}

fn ended(error: io::Error) -> ProxyError {
    if error.kind() == io::ErrorKind::UnexpectedEof { ProxyError::Malformed } else { error.into() }
}

/// A line of version 1, with its end.
fn parse_v1(line: &[u8]) -> Option<Told> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(Told::Nothing);
    }
    let mut address = || -> Option<IpAddr> {
        let address: IpAddr = words.next()?.parse().ok()?;
        (address.is_ipv4() == (family == "TCP4")).then_some(address)
    };
    let (client, _) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        let plain = word == "0" || (word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('0'));
        plain.then(|| word.parse::<u16>().ok())?
    };
    let (port, _) = (port()?, port()?);
    let known = matches!(family, "TCP4" | "TCP6") && words.next().is_none();
    known.then(|| Told::Client(SocketAddr::new(client, port)))
}

/// Version and command, family and transport, and the block of version 2. TLVs behind the
/// addresses are not looked at.
fn parse_v2(version_command: u8, family_transport: u8, block: &[u8]) -> Option<Told> {
    if version_command >> 4 != 2 {
        return None;
    }
    match version_command & 0x0f {
        0 => return Some(Told::Nothing),
        1 => {}
        _ => return None,
    }
    let port = |at: usize| Some(u16::from_be_bytes(block.get(at..at + 2)?.try_into().ok()?));
    // Only connections: what is told of datagrams can't be meant for us.
    match family_transport {
        0x11 => {
            let client: [u8; 4] = block.get(..4)?.try_into().ok()?;
            port(10)?;
            Some(Told::Client(SocketAddr::new(Ipv4Addr::from(client).into(), port(8)?)))
        }
        0x21 => {
            let client: [u8; 16] = block.get(..16)?.try_into().ok()?;
            port(34)?;
            Some(Told::Client(SocketAddr::new(Ipv6Addr::from(client).into(), port(32)?)))
        }
        0x00 | 0x31 => Some(Told::Nothing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_version_1_are_read_as_the_specification_says() {
        let client = |text: &str| Some(Told::Client(text.parse().unwrap()));
        for (line, told) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", client("192.0.2.1:56324")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 0\r\n", client("[2001:db8::1]:1")),
            ("PROXY UNKNOWN\r\n", Some(Told::Nothing)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Some(Told::Nothing)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n", None),
            ("PROXY TCP4 2001:db8::1 192.0.2.2 56324 443\r\n", None),
            ("PROXY TCP6 192.0.2.1 192.0.2.2 56324 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 01 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 443 5\r\n", None),
            ("PROXY TCP4 192.0.2.1  192.0.2.2 1 443\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", None),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n", None),
            ("GET / HTTP/1.1\r\n", None),
        ] {
            assert_eq!(parse_v1(line.as_bytes()), told, "{line}");
        }
    }

    #[test]
    fn blocks_of_version_2_are_read_without_their_tlvs() {
        let mut block = vec![192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x01, 0xbb];
        let told = Some(Told::Client("192.0.2.1:56324".parse().unwrap()));
        assert_eq!(parse_v2(0x21, 0x11, &block), told);
        block.extend([0x03, 0, 1, 7]);
        assert_eq!(parse_v2(0x21, 0x11, &block), told);
        assert_eq!(parse_v2(0x20, 0x00, &[]), Some(Told::Nothing), "LOCAL");
        assert_eq!(parse_v2(0x21, 0x00, &[]), Some(Told::Nothing), "UNSPEC");
        assert_eq!(parse_v2(0x21, 0x11, &block[..11]), None, "cut");
        assert_eq!(parse_v2(0x11, 0x11, &block), None, "another version");
        assert_eq!(parse_v2(0x22, 0x11, &block), None, "another command");
        assert_eq!(parse_v2(0x21, 0x12, &block), None, "a datagram");
        let mut six = vec![0; 36];
        six[15] = 1;
        six[33] = 9;
        assert_eq!(parse_v2(0x21, 0x21, &six), Some(Told::Client("[::1]:9".parse().unwrap())));
        assert_eq!(parse_v2(0x21, 0x21, &six[..35]), None);
    }
}
