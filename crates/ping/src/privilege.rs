//! Giving up what is no longer needed once the sockets are open.

use common::{Error, Result};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use crate::sys;

/// Becomes the real user, gives up all capabilities, and makes sure that
/// nothing started from here gets any back.
///
/// Capabilities belong to threads: this is for the only thread there is, after
/// the sockets are open and before the first thread and the first name lookup.
/// Threads started later inherit the state, so all of the process has it.
pub(crate) fn drop_all() -> Result<()> {
    let failed = |e: std::io::Error| Error::local(&e).about("giving up privileges");
    sys::become_real_user().map_err(failed)?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(|e| failed(e.into()))?;
    set_no_new_privs(true).map_err(|e| failed(e.into()))
}
