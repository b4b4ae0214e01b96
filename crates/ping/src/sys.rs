//! The system calls for which std, socket2 and rustix have no safe interface, and
//! which only this tool needs: Landlock, the change to the real user, and the names
//! of interfaces.
#![allow(unsafe_code, reason = "these calls have no safe wrapper")]

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Becomes the real user and group permanently, if the program file is
/// set-user-id or set-group-id.
pub(crate) fn become_real_user() -> io::Result<()> {
    // SAFETY: these take and return integers and access no memory of this process.
    let outcome = unsafe {
        let (uid, gid) = (libc::getuid(), libc::getgid());
        if uid == libc::geteuid() && gid == libc::getegid() {
            return Ok(());
        }
        // The group first: without the user's privilege it cannot change.
        #[cfg(not(target_vendor = "apple"))]
        let changed = match libc::setresgid(gid, gid, gid) {
            0 => libc::setresuid(uid, uid, uid),
            failed => failed,
        };
        // As root these calls also set the saved IDs.
        #[cfg(target_vendor = "apple")]
        let changed = match libc::setgid(gid) {
            0 => libc::setuid(uid),
            failed => failed,
        };
        changed
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Forbids this thread, and the threads that it starts, to execute, write, create
/// or remove files (Landlock, `linux/landlock.h`). Open files stay open, and
/// files may be read. Requires `no_new_privs`. The error is `ENOSYS` or
/// `EOPNOTSUPP` if the kernel has no Landlock.
#[cfg(target_os = "linux")]
#[cfg_attr(
    portable_batches,
    allow(dead_code, reason = "only `platform::linux` calls it")
)]
pub(crate) fn forbid_files() -> io::Result<()> {
    // Every right of Landlock's first ABI except reading files (bit 2) and
    // directories (bit 3).
    const HANDLED: u64 = 0x1fff & !(1 << 2 | 1 << 3);
    let attributes: [u64; 1] = [HANDLED];
    let flags: libc::c_uint = 0;
    // SAFETY: the kernel reads as many bytes as the length says, all of them
    // those of the array. The result is a new descriptor or -1.
    let ruleset = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr(),
            size_of_val(&attributes),
            flags,
        )
    };
    if ruleset < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and has no other owner.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset as i32) };
    // SAFETY: the arguments are integers. A ruleset without rules allows none
    // of the rights that it handles.
    let outcome =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Returns the index of a network interface (`if_nametoindex`).
pub(crate) fn interface_index(name: &std::ffi::CStr) -> io::Result<u32> {
    // SAFETY: the pointer is that of a NUL-terminated string, only read.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Returns the name of a network interface (`if_indextoname`), if it exists.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    let mut name = [0_u8; libc::IFNAMSIZ];
    // SAFETY: the kernel's names with their NUL fit IFNAMSIZ bytes.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    let name = std::ffi::CStr::from_bytes_until_nul(&name).ok()?;
    (!found.is_null()).then(|| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_have_names_and_indices() {
        assert_eq!(interface_index(c"lo").unwrap(), 1);
        assert!(interface_index(c"no-such-device").is_err());
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!(interface_name(u32::MAX), None);
    }
}
