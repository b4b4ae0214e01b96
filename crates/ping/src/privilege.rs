//! Giving up rights that are no longer needed once the sockets are open.

use common::{Error, Result};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use crate::sys;

/// Becomes the real user, gives up all capabilities, makes sure that nothing
/// started from here gets any back, and where the kernel has Landlock gives up
/// writing, creating and executing files.
///
/// Capabilities and Landlock's rules belong to threads: this is for the only thread there is, after
/// the sockets are open and before the first thread and the first name lookup.
/// Threads started later inherit the state, so all of the process has it.
pub(crate) fn drop_all() -> Result<()> {
    let failed = |e: std::io::Error| Error::local(&e).with_subject("giving up privileges");
    sys::become_real_user().map_err(failed)?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(|e| failed(e.into()))?;
    set_no_new_privs(true).map_err(|e| failed(e.into()))?;
    // Nothing below writes or starts a file. Kernels may lack this.
    let _ = sys::forbid_files();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::process::Command;

    #[test]
    fn files_are_read_and_nothing_else() {
        // It is for this thread alone.
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
