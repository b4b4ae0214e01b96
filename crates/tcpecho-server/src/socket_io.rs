//! Calls on a non-blocking stream socket: receiving and sending, and what the
//! end of a connection needs. They work alike on TCP and Unix sockets.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, sockopt};

/// The maximum number of bytes of input discarded before a close. It exceeds the
/// receive buffer of a socket.
const MAX_DISCARDED: usize = 32 << 20;

/// Receives from a socket, repeating interrupted calls. Returns 0 at end of file.
pub(crate) fn recv(socket: &impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((n, _)) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// The flags of a send. The program ignores SIGPIPE, so that systems without the flag
/// need none.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Sends to a socket, repeating interrupted calls. Returns how many bytes were
/// accepted.
pub(crate) fn send(socket: &impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::send(socket, bytes, SEND_FLAGS) {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

/// Returns the pending error of a socket, if there is one. Unread input stays in
/// the socket.
pub(crate) fn check_error(socket: &impl AsFd) -> Result<(), Errno> {
    sockopt::socket_error(socket)??;
    let mut byte = [0];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match rustix::net::recv(socket, &mut byte[..], flags) {
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Discards unread input. Closing a socket with unread input would send a reset,
/// and bytes in flight to the peer would be lost.
pub(crate) fn discard_input(socket: &impl AsFd) {
    let mut scratch = [0; 16 * 1024];
    let mut discarded = 0;
    while discarded < MAX_DISCARDED
        && let Ok(n @ 1..) = recv(socket, &mut scratch)
    {
        discarded += n;
    }
}

/// Lets the close of the socket send a reset. A linger time of zero does that.
pub(crate) fn reset_on_close(socket: &impl AsFd) {
    // Without it, the connection is closed in order.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}
