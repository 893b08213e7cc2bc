//! Listening sockets. TCP: one a worker and address, sharing the port (`SO_REUSEPORT`), so
//! that the kernel spreads connections and a successor can bind before its predecessor ends.
//! Unix: one an address, which all workers accept from; a successor puts its own in the
//! place of its predecessor's by one rename, so that there is always one to connect to.

use super::address::ListenAddress;
use super::socket::Bound;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Connections that the kernel holds for a worker before it accepts them.
const BACKLOG: i32 = 4096;

/// A socket can't listen on an address.
#[derive(Debug, Error)]
#[error("[[source]] listen: cannot listen on {address}")]
pub struct ListenError {
    /// The address.
    pub address: ListenAddress,
    /// Why.
    pub source: io::Error,
}

/// An address, and what a Unix socket there is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub address: ListenAddress,
    /// Permissions of a Unix socket's file.
    pub mode: u32,
}

/// The files of our own Unix sockets, which go with us unless a successor has put its own there.
#[derive(Debug, Default)]
pub struct SocketFiles(Vec<(PathBuf, u64)>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for (path, inode) in &self.0 {
            if std::fs::symlink_metadata(path).is_ok_and(|found| found.ino() == *inode) {
                // A file that stays is replaced at the next start.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Which of these addresses another process listens on in a way that lets us share them: a
/// predecessor during an upgrade, or a second gateway that was started by mistake.
#[must_use]
pub fn shared(places: &[Place]) -> Vec<ListenAddress> {
    let is_taken = |address: &&ListenAddress| match address {
        ListenAddress::Ip(address) => {
            address.port() != 0
                && tcp(*address)
                    .and_then(|socket| socket.bind(&(*address).into()).and_then(|()| socket.listen(1)))
                    .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        }
        ListenAddress::Unix(path) => UnixStream::connect(path).is_ok(),
    };
    places.iter().map(|place| &place.address).filter(is_taken).cloned().collect()
}

/// Bound sockets. Dropped, they are closed, and the files of Unix sockets go.
#[derive(Debug)]
pub struct Sockets {
    /// The outer list is by worker.
    pub by_worker: Vec<Vec<(ListenAddress, Bound)>>,
    /// To be kept as long as the sockets are used.
    pub files: SocketFiles,
}

impl Sockets {
    /// None yet, for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { by_worker: (0..workers).map(|_| Vec::new()).collect(), files: SocketFiles::default() }
    }

    /// Binds a socket a worker to each address and port.
    ///
    /// # Errors
    /// When one can't be bound: it is not ours, is privileged, or another program has it.
    pub fn bind_ports(&mut self, places: &[Place]) -> Result<(), ListenError> {
        for Place { address, .. } in places {
            let ListenAddress::Ip(ip) = address else { continue };
            for listeners in &mut self.by_worker {
                let failed = |source| ListenError { address: address.clone(), source };
                listeners.push((address.clone(), Bound::Tcp(bind_tcp(*ip).map_err(failed)?)));
            }
        }
        Ok(())
    }

    /// Binds each Unix socket, in the place of one that is there: call it only once it is
    /// known that this is nobody's, or a predecessor's.
    ///
    /// # Errors
    /// When one can't be bound, or what lies at its path is no socket.
    pub fn bind_files(&mut self, places: &[Place]) -> Result<(), ListenError> {
        for Place { address, mode } in places {
            let ListenAddress::Unix(path) = address else { continue };
            let failed = |source| ListenError { address: address.clone(), source };
            let (socket, inode) = bind_unix(path, *mode).map_err(failed)?;
            self.files.0.push((path.clone(), inode));
            for listeners in &mut self.by_worker {
                let socket = socket.try_clone().map_err(failed)?;
                listeners.push((address.clone(), Bound::Unix(socket)));
            }
        }
        Ok(())
    }
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Whatever the machine's default is: `[::]` beside `0.0.0.0`, not instead of it.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds beside the path and renames: whoever connects finds the old socket or the new one,
/// never none, and never one with other permissions.
fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, u64)> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what lies there is not a socket"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let placed = || {
        let listener = UnixListener::bind(&beside)?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))?;
        let inode = std::fs::symlink_metadata(&beside)?.ino();
        std::fs::rename(&beside, path)?;
        Ok((listener, inode))
    };
    placed().inspect_err(|_| {
        // Best effort: the reason that is told is the first one.
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(places: &[Place], workers: usize) -> Result<Sockets, ListenError> {
        let mut sockets = Sockets::new(workers);
        sockets.bind_ports(places)?;
        sockets.bind_files(places)?;
        Ok(sockets)
    }

    fn unix(path: &Path) -> Place {
        Place { address: ListenAddress::Unix(path.to_owned()), mode: 0o660 }
    }

    #[test]
    fn a_unix_socket_takes_the_place_of_a_stale_one_and_goes_when_we_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists() && shared(&[unix(&path)]).is_empty(), "a stale socket is nobody's");
        let sockets = bind(&[unix(&path)], 2).unwrap();
        assert!(sockets.by_worker.len() == 2 && sockets.by_worker[1].len() == 1);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert_eq!(shared(&[unix(&path)]), [ListenAddress::Unix(path.clone())]);
        // A successor's socket stays when its predecessor goes.
        let successors = bind(&[unix(&path)], 1).unwrap();
        drop(sockets);
        assert!(UnixStream::connect(&path).is_ok());
        drop(successors);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "x").unwrap();
        let error = bind(&[unix(&path)], 1).unwrap_err();
        assert!(error.source.to_string().contains("not a socket"), "{}", error.source);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
    }

    #[test]
    fn both_wildcards_can_have_one_port() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let places =
            ["0.0.0.0", "[::]"].map(|ip| Place { address: format!("{ip}:{free}").parse().unwrap(), mode: 0 });
        assert!(bind(&places, 2).is_ok());
    }
}
