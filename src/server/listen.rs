//! Listening sockets: one a worker and address, sharing the port (`SO_REUSEPORT`), so that
//! the kernel spreads connections and a successor can bind before its predecessor ends.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use thiserror::Error;

/// Connections that the kernel holds for a worker before it accepts them.
const BACKLOG: i32 = 4096;

/// A socket can't listen on an address.
#[derive(Debug, Error)]
#[error("[[source]] listen: cannot listen on {address}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Which of these addresses another process listens on in a way that lets us share them: a
/// predecessor during an upgrade, or a second gateway that was started by mistake.
#[must_use]
pub fn shared(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_taken = |address: &&SocketAddr| {
        let alone = Socket::new(Domain::for_address(**address), Type::STREAM, Some(Protocol::TCP)).and_then(
            |socket| {
                socket.set_reuse_address(true)?;
                socket.bind(&(**address).into())?;
                socket.listen(1)
            },
        );
        alone.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    addresses.iter().filter(|address| address.port() != 0).filter(is_taken).copied().collect()
}

/// Binds `workers` sockets to each address. The outer list is by worker.
///
/// # Errors
/// When an address can't be bound: it is not ours, is privileged, or another program has it.
pub fn bind(
    addresses: &[SocketAddr],
    workers: usize,
) -> Result<Vec<Vec<(SocketAddr, TcpListener)>>, ListenError> {
    let mut by_worker = Vec::with_capacity(workers);
    for _ in 0..workers {
        let bound = addresses.iter().map(|&address| {
            let socket = bind_one(address).map_err(|source| ListenError { address, source })?;
            Ok((address, socket))
        });
        by_worker.push(bound.collect::<Result<Vec<_>, ListenError>>()?);
    }
    Ok(by_worker)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
