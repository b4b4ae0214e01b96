//! Resource usage of a child process that has ended: its processor time and its
//! peak memory, which std does not provide.
#![allow(unsafe_code, reason = "wait4 has no safe wrapper in std")]

use std::io;
use std::mem::MaybeUninit;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// The resource usage of a process and of the children that it has waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The user and system time.
    pub(crate) cpu: Duration,
    /// The largest resident set of one of these processes, in bytes.
    pub(crate) peak: u64,
}

/// Waits for a child and returns its status and resource usage. The child is
/// consumed: it has been reaped, so its process id can be reused.
pub(crate) fn wait(child: Child) -> io::Result<(ExitStatus, Usage)> {
    use std::os::unix::process::ExitStatusExt;
    let pid = child.id().cast_signed();
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers refer to live values of the types that wait4 fills.
        let done = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
        if done >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    drop(child);
    // SAFETY: wait4 succeeded and has filled it; all zeros is a valid value, too.
    let usage = unsafe { usage.assume_init() };
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.try_into().unwrap_or(0))
            + Duration::from_micros(t.tv_usec.try_into().unwrap_or(0))
    };
    let kib: u64 = usage.ru_maxrss.try_into().unwrap_or(0);
    let usage = Usage {
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        peak: kib * 1024,
    };
    Ok((ExitStatus::from_raw(status), usage))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    fn the_usage_of_a_child_is_returned() {
        let child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let (status, usage) = super::wait(child).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(usage.peak > 100_000, "{usage:?}");
    }
}
