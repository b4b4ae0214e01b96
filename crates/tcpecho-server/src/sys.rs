//! The one place with unsafe code: descriptors that the parent process handed
//! down by number, and datagrams in batches.
#![allow(
    unsafe_code,
    reason = "owning inherited descriptors and filling message headers need promises the compiler cannot check"
)]

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "sys/batch.rs")]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    path = "sys/single.rs"
)]
pub(crate) mod datagrams;

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes ownership of an inherited descriptor, once for each number. An error
/// if there is none: what this process opened itself is closed on exec, what
/// it inherited cannot be, so the two are told apart by that flag.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for the length of this call only, and only to ask
    // whether it is open; fcntl answers EBADF otherwise.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    if flags.contains(rustix::io::FdFlags::CLOEXEC) {
        return Err(rustix::io::Errno::BADF.into());
    }
    rustix::io::fcntl_setfd(borrowed, flags | rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, it was opened by the parent and not by this process,
    // and from now on it carries the flag that keeps it from being taken again.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
