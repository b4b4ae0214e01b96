//! Socket options and properties that socket2 and rustix lack.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sets a socket option that is an integer.
pub fn set_option(socket: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_option_bytes(socket, level, name, &value.to_ne_bytes())
}

/// Sets a socket option that is a structure, given as its bytes.
pub fn set_option_bytes(socket: impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice, which the kernel only
    // reads.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Returns the number of bytes that were sent on a connection and not acknowledged; an
/// end of file counts as one byte. Returns 0 if the system does not report it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn unacknowledged(socket: impl AsFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the length of this call, and SIOCOUTQ (which is
    // TIOCOUTQ) writes one int.
    let outcome =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if outcome < 0 {
        return 0;
    }
    usize::try_from(bytes).unwrap_or(0)
}

/// Returns 0, since this system does not report unacknowledged bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn unacknowledged(_: impl AsFd) -> usize {
    0
}
