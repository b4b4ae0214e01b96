//! Unix sockets: their paths, permissions, and stale paths that a server left
//! behind.
//!
//! A path is replaced only if no socket is bound to it any more. A probe finds
//! out reliably: connecting a datagram socket fails with one error if a stream
//! socket exists, and with another if there is only a file. If several servers
//! find the same stale path, one at a time replaces it, under a lock; the others
//! then find its socket.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Error, Kind, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

/// How long to wait while another server replaces a stale path.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval between attempts to take the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// Binds a socket to a path, replacing a stale one. The path has the permission
/// bits `mode` from the moment it exists.
pub(crate) fn bind(path: &Path, mode: Option<u32>) -> Result<(Socket, SocketFile)> {
    let fail = |e: io::Error| Error::local(&e);
    let address = unix_address(path)?;
    let socket = stream().map_err(fail)?;
    match bind_with_mode(&socket, &address, mode) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let lock = Lock::take(path)?;
            check_stale(path, &address, &e)?;
            match fs::remove_file(path) {
                // Its server has ended and removed it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome.map_err(fail)?,
            }
            bind_with_mode(&socket, &address, mode).map_err(fail)?;
            drop(lock);
        }
        outcome => outcome.map_err(fail)?,
    }
    let file = SocketFile::new(path).map_err(fail)?;
    Ok((socket, file))
}

/// Binds a socket to a name in the abstract namespace, which has neither files
/// nor permissions.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bind_abstract(name: &str) -> Result<Socket> {
    let fail = |e: io::Error| Error::local(&e);
    let address = unix_address(Path::new(&format!("\0{name}")))?;
    let socket = stream().map_err(fail)?;
    match socket.bind(&address) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            Err(fail(e).hint("another process uses this socket"))
        }
        outcome => outcome.map_err(fail).map(|()| socket),
    }
}

/// Returns an error, since only Linux has an abstract namespace.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn bind_abstract(_: &str) -> Result<Socket> {
    Err(Error::new(
        Kind::System,
        "abstract Unix sockets exist on Linux only; use unix:PATH",
    ))
}

/// Returns the address of a path. The only error is a path that is too long.
fn unix_address(path: &Path) -> Result<SockAddr> {
    SockAddr::unix(path).map_err(|_| {
        let text = "the path is too long for a Unix socket; use a shorter one";
        Error::new(Kind::System, text)
    })
}

fn stream() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Binds with a umask that results in `mode`. Changing the mode after the bind
/// would leave a moment with other permissions.
fn bind_with_mode(socket: &Socket, address: &SockAddr, mode: Option<u32>) -> io::Result<()> {
    let Some(mode) = mode else {
        return socket.bind(address);
    };
    let before = rustix::process::umask(Mode::from_bits_truncate((!mode & 0o777) as _));
    let outcome = socket.bind(address);
    rustix::process::umask(before);
    outcome
}

/// Returns an error unless the path is a stale socket or does not exist.
fn check_stale(path: &Path, address: &SockAddr, in_use: &io::Error) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome.map_err(|e| Error::local(&e))?,
    };
    if !meta.file_type().is_socket() {
        return Err(Error::new(
            Kind::System,
            "the path exists but is not a socket",
        ));
    }
    let probe = Socket::new(Domain::UNIX, Type::DGRAM, None).map_err(|e| Error::local(&e))?;
    match probe.connect(address) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Err(Error::local(&e).hint("the socket belongs to another user"))
        }
        // EPROTOTYPE: a stream socket is bound, whether it listens or not.
        _ => Err(Error::local(in_use).hint("another process uses this socket")),
    }
}

/// The right to replace a stale path: a lock on a file next to it. The file is
/// removed when this value is dropped.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(socket.file_name().unwrap_or_default());
        name.push(".tcpecho-lock");
        let path = socket.with_file_name(name);
        let fail = |e: Error| e.with_subject(path.display().to_string());
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                // A link is not followed, and a pipe does not block.
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
                .open(&path)
                .map_err(|e| fail(Error::local(&e)))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The previous owner of the lock may have removed this file.
                Ok(()) if is_same_file(&file, &path) => return Ok(Self { path, file }),
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_INTERVAL),
                Err(e) => return Err(fail(Error::local(&e.into()))),
            }
            if Instant::now() >= deadline {
                let error = Error::new(Kind::System, "another process holds the lock");
                return Err(fail(error));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Servers create empty files; anything else belongs to another program.
        if self
            .file
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() == 0)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => identity(a) == identity(b),
        _ => false,
    }
}

/// The path of a socket. When this value is dropped, the path is removed if it
/// is still the same file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (meta.dev(), meta.ino()),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if same {
            // Without permission for the directory, the path stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Creates a path that a server left behind.
    fn create_stale(path: &Path) {
        let socket = stream().unwrap();
        socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
    }

    #[test]
    fn only_one_of_many_servers_gets_a_stale_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo");
        for _ in 0..50 {
            create_stale(&path);
            let bound = AtomicUsize::new(0);
            let (start, end) = (Barrier::new(8), Barrier::new(8));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        start.wait();
                        let outcome = bind(&path, None);
                        // A bound socket is not stale, even if it does not
                        // listen yet.
                        end.wait();
                        match outcome {
                            Ok((socket, file)) => {
                                bound.fetch_add(1, Ordering::SeqCst);
                                socket.listen(1).unwrap();
                                let address = SockAddr::unix(&path).unwrap();
                                stream().unwrap().connect(&address).unwrap();
                                drop((file, socket));
                            }
                            Err(e) => assert_eq!(e.message(), "address already in use"),
                        }
                    });
                }
            });
            assert_eq!(bound.load(Ordering::SeqCst), 1);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_probe_makes_no_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo");
        let (socket, _file) = bind(&path, None).unwrap();
        socket.listen(4).unwrap();
        let error = bind(&path, None).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("; another process uses this socket")
        );
        let error = socket.accept().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn other_files_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo");
        let lock = dir.path().join(".echo.tcpecho-lock");
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        create_stale(&path);
        // A link in place of the lock file is not followed.
        std::os::unix::fs::symlink(&precious, &lock).unwrap();
        assert!(bind(&path, None).is_err());
        fs::remove_file(&lock).unwrap();
        // A file that is not empty is not removed.
        fs::write(&lock, "x").unwrap();
        let (_socket, _file) = bind(&path, None).unwrap();
        assert_eq!(fs::read(&lock).unwrap(), b"x");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}
