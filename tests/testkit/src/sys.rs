//! Safe wrappers of system calls that std lacks: sending a signal, waiting for a
//! child without reaping it, the effective user id, the network namespace of a
//! thread, and IP options.
//!
//! The wait for a child uses `WNOWAIT`. The child stays a zombie, so its pid and
//! process group cannot be reused, until the owner has sent the last signal and
//! reaps it through [`std::process::Child::wait`].
#![allow(
    unsafe_code,
    reason = "kill, waitid, geteuid, unshare and IP options have no safe wrapper in std"
)]

use std::io;
use std::os::fd::AsRawFd;

/// Sends `signal` to process `pid`, or to the process group `-pid` if negative.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers and touches no memory of ours.
    if unsafe { libc::kill(pid, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Blocks until the child `pid` has ended, and leaves it unreaped.
pub(crate) fn wait_unreaped(pid: u32) -> io::Result<()> {
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is valid memory for one siginfo_t, which the kernel
        // fills; its contents are not read.
        let done = unsafe {
            libc::waitid(
                libc::P_PID,
                pid,
                info.as_mut_ptr(),
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if done == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Returns the effective user id.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() }
}

/// Adds these options to the header of every packet that a socket sends. With
/// `six` they are a complete IPv6 destination options header.
pub(crate) fn set_ip_options(socket: &impl AsRawFd, six: bool, options: &[u8]) -> io::Result<()> {
    let (level, name) = if six {
        (libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS)
    } else {
        (libc::IPPROTO_IP, libc::IP_OPTIONS)
    };
    // SAFETY: pointer and length are those of one slice, which is only read.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            options.as_ptr().cast(),
            options.len() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Moves the calling thread, and the processes and threads that it starts from
/// now on, into a new network namespace. Needs `CAP_SYS_ADMIN`.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: unshare takes an integer and touches no memory of ours; the
    // namespace is an attribute of the calling thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
