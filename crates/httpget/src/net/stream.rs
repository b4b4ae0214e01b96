//! Byte streams: a TCP or Unix socket, and TLS over any other stream.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use rustls::ClientConnection;
use socket2::Socket;

/// The contents of a stream's receive buffer, as found by peeking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// The buffer is empty, and the stream is open.
    Nothing,
    /// The buffer holds bytes.
    Bytes,
    /// The stream is at its end, or has failed.
    End,
}

/// Shuts down a stream from another thread; does not keep it open.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShutdownHandle(Weak<Socket>);

impl ShutdownHandle {
    /// Makes current and later reads and writes of the stream fail.
    pub(crate) fn shut_down(&self) {
        if let Some(socket) = self.0.upgrade() {
            // Fails only if the socket is already disconnected.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A connected stream of bytes.
pub(crate) trait Stream: Read + Write + Send + Sync + fmt::Debug {
    /// Sets the timeout of each read and each write; `None` means no timeout.
    fn set_timeouts(&self, read: Option<Duration>, write: Option<Duration>) -> io::Result<()>;

    /// Sets a deadline for all further reads and writes; `None` removes it and the
    /// timeouts.
    fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()>;

    /// Returns the handle that shuts the stream down.
    fn shutdown_handle(&self) -> ShutdownHandle;

    /// Returns the state of the receive buffer, without waiting.
    fn pending(&self) -> Pending;

    /// Whether the stream is open and the peer has sent nothing unexpected, so that
    /// it can serve another request.
    fn is_idle(&mut self) -> bool {
        self.pending() == Pending::Nothing
    }
}

/// A TCP or Unix socket.
#[derive(Debug)]
pub(crate) struct SocketStream {
    socket: Arc<Socket>,
    deadline: Option<Instant>,
}

impl SocketStream {
    pub(crate) fn new(socket: impl Into<Socket>) -> Self {
        Self {
            socket: Arc::new(socket.into()),
            deadline: None,
        }
    }

    /// Sets the socket timeouts to the time that is left; they apply to one call.
    fn apply_deadline(&self) -> io::Result<()> {
        let Some(deadline) = self.deadline else {
            return Ok(());
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.set_timeouts(Some(left), Some(left))
    }
}

impl Read for SocketStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.apply_deadline()?;
        (&*self.socket).read(buffer)
    }
}

impl Write for SocketStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.apply_deadline()?;
        (&*self.socket).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.socket).flush()
    }
}

impl Stream for SocketStream {
    fn set_timeouts(&self, read: Option<Duration>, write: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(read)?;
        self.socket.set_write_timeout(write)
    }

    fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.deadline = deadline;
        match deadline {
            Some(_) => Ok(()),
            None => self.set_timeouts(None, None),
        }
    }

    fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle(Arc::downgrade(&self.socket))
    }

    fn pending(&self) -> Pending {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&*self.socket, &mut byte[..], flags) {
            Ok((0, _)) => Pending::End,
            Ok(_) => Pending::Bytes,
            Err(rustix::io::Errno::AGAIN) => Pending::Nothing,
            Err(_) => Pending::End,
        }
    }
}

/// A TLS session over another stream.
pub(crate) struct TlsStream {
    session: ClientConnection,
    inner: Box<dyn Stream>,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl TlsStream {
    /// Performs a TLS handshake on `inner`.
    pub(crate) fn handshake(
        mut session: ClientConnection,
        mut inner: Box<dyn Stream>,
    ) -> io::Result<Self> {
        while session.is_handshaking() {
            session.complete_io(&mut inner)?;
        }
        // Sends the last flight (Finished).
        while session.wants_write() {
            session.write_tls(&mut inner)?;
        }
        Ok(Self { session, inner })
    }

    /// Returns the session, for its properties.
    pub(crate) fn session(&self) -> &ClientConnection {
        &self.session
    }

    /// Passes the bytes of one read of the inner stream to the session.
    fn read_records(&mut self) -> io::Result<usize> {
        let n = self.session.read_tls(&mut self.inner)?;
        if let Err(error) = self.session.process_new_packets() {
            // Send the alert; if that fails, the first error is reported.
            let _ = self.session.write_tls(&mut self.inner);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        while self.session.wants_write() {
            self.session.write_tls(&mut self.inner)?;
        }
        Ok(n)
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                // 0 only after close_notify; an end without it is an error.
                outcome => return outcome,
            }
            self.read_records()?;
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.session.writer().write(bytes)?;
        while self.session.wants_write() {
            self.session.write_tls(&mut self.inner)?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.writer().flush()?;
        while self.session.wants_write() {
            self.session.write_tls(&mut self.inner)?;
        }
        self.inner.flush()
    }
}

impl Stream for TlsStream {
    fn set_timeouts(&self, read: Option<Duration>, write: Option<Duration>) -> io::Result<()> {
        self.inner.set_timeouts(read, write)
    }

    fn set_deadline(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.inner.set_deadline(deadline)
    }

    fn shutdown_handle(&self) -> ShutdownHandle {
        self.inner.shutdown_handle()
    }

    fn pending(&self) -> Pending {
        self.inner.pending()
    }

    fn is_idle(&mut self) -> bool {
        // Session tickets may follow a response, and are not unexpected.
        while self.inner.pending() == Pending::Bytes {
            if self.read_records().is_err() {
                return false;
            }
            match self.session.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
        }
        self.inner.pending() == Pending::Nothing
    }
}
