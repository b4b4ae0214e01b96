//! Drops the privileges that are not needed once the sockets are open.

use common::{Error, Result};

use crate::{platform, sys};

/// Becomes the real user, drops all capabilities for good, and, if the kernel
/// has Landlock, the right to write, create and execute files.
///
/// Capabilities and Landlock rulesets belong to threads. Call this from the only
/// thread, after the sockets are open and before the first name lookup. Threads
/// that are started later inherit the state, so it is that of the process.
pub(crate) fn drop_all() -> Result<()> {
    let failed = |e: std::io::Error| Error::local(&e).with_subject("dropping privileges");
    sys::become_real_user().map_err(failed)?;
    platform::drop_capabilities().map_err(failed)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::set_no_new_privs;
    use std::io::ErrorKind;
    use std::process::Command;

    #[test]
    fn files_can_only_be_read() {
        // The restriction must not affect the other tests.
        let restricted = std::thread::spawn(|| {
            set_no_new_privs(true).unwrap();
            if let Err(error) = sys::forbid_files() {
                return Err(error.to_string());
            }
            assert!(std::fs::read("/proc/self/status").is_ok());
            let path = std::env::temp_dir().join("ping-landlock");
            let created = std::fs::File::create(path).unwrap_err();
            assert_eq!(created.kind(), ErrorKind::PermissionDenied);
            let executed = Command::new("/bin/sh").spawn().unwrap_err();
            assert_eq!(executed.kind(), ErrorKind::PermissionDenied);
            Ok(())
        });
        if let Err(reason) = restricted.join().unwrap() {
            testkit::skipped::skip_on_ci_too(&format!("no Landlock: {reason}"));
        }
    }
}
