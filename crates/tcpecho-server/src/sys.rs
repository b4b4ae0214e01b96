//! The one place with unsafe code: descriptors that the parent process handed
//! down by number, datagrams in batches, what a socket has not got rid of, and
//! what the allocator keeps.
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
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes ownership of an inherited descriptor, once for each number. An error
/// if there is none: what this process opened itself is closed on exec, what
/// it inherited cannot be, so the two are told apart by that flag.
///
/// # Safety
///
/// No value of this process may own an open descriptor of this number, unless
/// the descriptor is closed on exec.
unsafe fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for the length of this call only, and only to ask
    // whether it is open; fcntl answers EBADF otherwise.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    if flags.contains(rustix::io::FdFlags::CLOEXEC) {
        return Err(rustix::io::Errno::BADF.into());
    }
    rustix::io::fcntl_setfd(borrowed, flags | rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and without the flag no value owns it, as the caller
    // promises. From now on it carries the flag, so it is not taken again.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Bytes that this end of a connection has sent and the other has not
/// acknowledged; 0 where the system does not say.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn unsent(socket: &impl AsFd) -> usize {
    use std::os::fd::AsRawFd;
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the length of this call, and SIOCOUTQ
    // (which is TIOCOUTQ) writes one int.
    let answer = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer < 0 {
        return 0;
    }
    usize::try_from(bytes).unwrap_or(0)
}

/// The same where the system does not say.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn unsent(_: &impl AsFd) -> usize {
    0
}

/// Gives free memory back to the system, as far as the allocator can.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn release_memory() {
    // SAFETY: it may be called at any time, by any thread. What it answers is
    // whether there was anything to give back.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do as they do.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn release_memory() {}

/// What the parent process handed down by number.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// The descriptor of `--ready-fd`.
    pub(crate) ready: Option<OwnedFd>,
    /// Sockets with their numbers.
    pub(crate) sockets: Vec<(RawFd, OwnedFd)>,
}

/// A number with no descriptor to take, and why.
#[derive(Debug)]
pub(crate) struct NotHanded {
    /// The number.
    pub(crate) number: RawFd,
    /// What the system says.
    pub(crate) error: io::Error,
}

impl Handed {
    /// Takes `ready`, which must be open for writing, and `sockets`, before
    /// the run opens anything itself. Each number can be had once; 1 and 2,
    /// which others write to, cannot be had.
    pub(crate) fn take(
        ready: Option<RawFd>,
        sockets: impl Iterator<Item = RawFd>,
    ) -> Result<Self, NotHanded> {
        let take = |number| {
            if matches!(number, 1 | 2) {
                return Err(rustix::io::Errno::BADF.into());
            }
            // SAFETY: values that own a descriptor got it from the standard
            // library or rustix, and both set the flag on all they open. 0
            // has no owner, std only borrows it; 1 and 2 are ruled out.
            unsafe { inherited(number) }
        };
        let with_number = |number| move |error| NotHanded { number, error };
        let ready = ready.map(|number| {
            let fd = take(number).map_err(with_number(number))?;
            let flags = rustix::fs::fcntl_getfl(&fd);
            let flags = flags.map_err(|e| with_number(number)(e.into()))?;
            if flags & rustix::fs::OFlags::RWMODE == rustix::fs::OFlags::RDONLY {
                return Err(with_number(number)(rustix::io::Errno::BADF.into()));
            }
            Ok(fd)
        });
        let ready = ready.transpose()?;
        let sockets = sockets
            .map(|number| Ok((number, take(number).map_err(with_number(number))?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { ready, sockets })
    }
}
