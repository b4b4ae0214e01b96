//! The one place for system calls that no safe crate offers.
#![allow(
    unsafe_code,
    reason = "socket options that neither socket2 nor rustix know"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Leaves the choice of the port to `connect`, which knows the peer, so that
/// a bound address does not use up a port of its own (`IP_BIND_ADDRESS_NO_PORT`).
#[cfg(target_os = "linux")]
pub(crate) fn bind_address_no_port(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the length of the call, and the
    // value is an int of the length given.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Other systems bind as they do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bind_address_no_port(_: &impl AsFd) -> io::Result<()> {
    Ok(())
}
