//! Unix sockets: their paths, permissions, and what is done about a path that a
//! server left behind.
//!
//! A path is taken over only if no socket is bound to it any more, which a probe
//! tells exactly: connecting a datagram socket fails in another way at a stream
//! socket that exists than at a mere file. Of several servers that find the same
//! stale path one at a time replaces it, under a lock; the others see its socket
//! then.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Error, Kind, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

/// How long another server may take to replace a stale path.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the lock is tried meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// Binds a socket to a path, with these permission bits from the first moment
/// on.
pub(crate) fn bind(path: &Path, mode: Option<u32>) -> Result<(Socket, SocketFile)> {
    let fail = |e: io::Error| Error::local(&e);
    let address = SockAddr::unix(path).map_err(fail)?;
    let socket = stream().map_err(fail)?;
    match bind_with_mode(&socket, &address, mode) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let lock = Lock::take(path)?;
            refuse_live(path, &address, &e)?;
            match fs::remove_file(path) {
                // Its server removed it at its own end.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome.map_err(fail)?,
            }
            bind_with_mode(&socket, &address, mode).map_err(fail)?;
            drop(lock);
        }
        outcome => outcome.map_err(fail)?,
    }
    let file = SocketFile::of(path).map_err(fail)?;
    Ok((socket, file))
}

/// Binds a socket to a name of the abstract namespace, where there are neither
/// files nor permissions.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bind_abstract(name: &str) -> Result<Socket> {
    let fail = |e: io::Error| Error::local(&e);
    let address = SockAddr::unix(format!("\0{name}")).map_err(fail)?;
    let socket = stream().map_err(fail)?;
    match socket.bind(&address) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            Err(fail(e).hint("another program listens there"))
        }
        outcome => outcome.map_err(fail).map(|()| socket),
    }
}

/// The same elsewhere.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn bind_abstract(_: &str) -> Result<Socket> {
    Err(Error::new(
        Kind::System,
        "abstract Unix sockets exist on Linux only; use unix:PATH",
    ))
}

fn stream() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A change of the mode after the bind would leave a moment with another one.
fn bind_with_mode(socket: &Socket, address: &SockAddr, mode: Option<u32>) -> io::Result<()> {
    let Some(mode) = mode else {
        return socket.bind(address);
    };
    let before = rustix::process::umask(Mode::from_raw_mode(!mode & 0o777));
    let outcome = socket.bind(address);
    rustix::process::umask(before);
    outcome
}

/// An error unless the path is a socket's that no process has any more.
fn refuse_live(path: &Path, address: &SockAddr, in_use: &io::Error) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome.map_err(|e| Error::local(&e))?,
    };
    if !meta.file_type().is_socket() {
        return Err(Error::new(Kind::System, "exists and is not a socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::DGRAM, None).map_err(|e| Error::local(&e))?;
    match probe.connect(address) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Err(Error::local(&e).hint("it is another user's socket"))
        }
        // EPROTOTYPE: a stream socket, whether it listens yet or not.
        _ => Err(Error::local(in_use).hint("another program listens there")),
    }
}

/// The right to replace a stale path: a lock on a file beside it, which is
/// removed with this value.
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
        let about = |e: Error| e.with_subject(path.display().to_string());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                // Neither a link nor a pipe that somebody put there.
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
                .open(&path)
                .map_err(|e| about(Error::local(&e)))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The one before may have removed the file that was opened.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, file }),
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
                Err(e) => return Err(about(Error::local(&e.into()))),
            }
            if Instant::now() >= deadline {
                let error = Error::new(Kind::System, "another program holds the lock");
                return Err(about(error));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only what a server made: an empty file.
        if self
            .file
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() == 0)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => identity(a) == identity(b),
        _ => false,
    }
}

/// A socket's file, removed with this value if it is still the same file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
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
            // The directory may have been closed to us; then it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A path that a server left behind.
    fn stale(path: &Path) {
        let socket = stream().unwrap();
        socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
    }

    #[test]
    fn of_many_that_replace_a_stale_path_one_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo");
        for _ in 0..50 {
            stale(&path);
            let bound = AtomicUsize::new(0);
            let (start, end) = (Barrier::new(8), Barrier::new(8));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        start.wait();
                        let outcome = bind(&path, None);
                        // Nobody listens yet: bound alone is not stale.
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
    fn a_probe_is_no_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo");
        let (socket, _file) = bind(&path, None).unwrap();
        socket.listen(4).unwrap();
        let error = bind(&path, None).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("; another program listens there")
        );
        let error = socket.accept().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn files_of_others_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo");
        let lock = dir.path().join(".echo.tcpecho-lock");
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        stale(&path);
        // A link where the lock would be is not followed.
        std::os::unix::fs::symlink(&precious, &lock).unwrap();
        assert!(bind(&path, None).is_err());
        fs::remove_file(&lock).unwrap();
        // A file that is not a lock is not removed.
        fs::write(&lock, "x").unwrap();
        let (_socket, _file) = bind(&path, None).unwrap();
        assert_eq!(fs::read(&lock).unwrap(), b"x");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}
