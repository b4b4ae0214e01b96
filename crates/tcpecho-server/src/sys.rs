//! All unsafe code of the crate: ownership of inherited descriptors, and the
//! allocator.
#![allow(
    unsafe_code,
    reason = "owning inherited descriptors needs a promise the compiler cannot check"
)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub(crate) use net::sys::unacknowledged;

/// Takes ownership of an inherited descriptor, once for each number. Returns
/// an error for a number that is not an inherited descriptor. The flag close on
/// exec distinguishes them: this process sets it on descriptors that it opens,
/// and inherited ones do not have it.
///
/// # Safety
///
/// No value of this process may own an open descriptor of this number, unless
/// the descriptor is closed on exec.
unsafe fn take_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the borrow lasts for this call only and just asks whether the
    // descriptor is open; fcntl answers EBADF otherwise.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    if flags.contains(rustix::io::FdFlags::CLOEXEC) {
        return Err(rustix::io::Errno::BADF.into());
    }
    rustix::io::fcntl_setfd(borrowed, flags | rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: the descriptor is open, and without the flag no value owns it, as
    // the caller promises. From now on it has the flag, so it is not taken
    // again.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Returns free memory to the system, as far as the allocator can.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim_heap() {
    // SAFETY: malloc_trim may be called at any time, by any thread. Its result
    // only says whether memory was returned.
    unsafe { libc::malloc_trim(0) };
}

/// Does nothing, since this allocator has no such function.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim_heap() {}

/// Descriptors that the parent process passed by number.
#[derive(Debug, Default)]
pub(crate) struct InheritedFds {
    /// The descriptor of `--ready-fd`.
    pub(crate) ready_fd: Option<OwnedFd>,
    /// Sockets to serve, each with its number.
    pub(crate) sockets: Vec<(RawFd, OwnedFd)>,
}

/// The error for a number that is not an inherited descriptor.
#[derive(Debug)]
pub(crate) struct InheritError {
    /// The number of the descriptor.
    pub(crate) number: RawFd,
    /// The error that the system reported.
    pub(crate) error: io::Error,
}

impl InheritedFds {
    /// Takes ownership of the descriptors `ready`, which must be open for
    /// writing, and `sockets`. Must be called before this process opens any
    /// descriptor. Each number can be taken once; 1 and 2 cannot be taken,
    /// because they are standard output and standard error.
    pub(crate) fn take(
        ready: Option<RawFd>,
        sockets: impl Iterator<Item = RawFd>,
    ) -> Result<Self, InheritError> {
        let take = |number| {
            if matches!(number, 1 | 2) {
                return Err(rustix::io::Errno::BADF.into());
            }
            // SAFETY: values that own a descriptor got it from the standard
            // library or rustix, and both set the flag on all they open. 0
            // has no owner, std only borrows it; 1 and 2 are ruled out.
            unsafe { take_descriptor(number) }
        };
        let with_number = |number| move |error| InheritError { number, error };
        let ready_fd = ready.map(|number| {
            let fd = take(number).map_err(with_number(number))?;
            let flags = rustix::fs::fcntl_getfl(&fd);
            let flags = flags.map_err(|e| with_number(number)(e.into()))?;
            if flags & rustix::fs::OFlags::RWMODE == rustix::fs::OFlags::RDONLY {
                return Err(with_number(number)(rustix::io::Errno::BADF.into()));
            }
            Ok(fd)
        });
        let ready_fd = ready_fd.transpose()?;
        let sockets = sockets
            .map(|number| Ok((number, take(number).map_err(with_number(number))?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { ready_fd, sockets })
    }
}
