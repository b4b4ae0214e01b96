//! The differences between operating systems.
//!
//! Linux (`linux`) has an error queue with the ICMP errors about probes, kernel
//! timestamps, and capabilities to drop. On other systems, and on Linux in builds with
//! `RUSTFLAGS="--cfg portable_batches"`, `portable` receives ICMP errors from the socket
//! itself and takes times from the process's clock.

#[cfg(all(target_os = "linux", not(portable_batches)))]
mod linux;
#[cfg(any(not(target_os = "linux"), portable_batches))]
mod portable;

#[cfg(all(target_os = "linux", not(portable_batches)))]
pub(crate) use linux::*;
#[cfg(any(not(target_os = "linux"), portable_batches))]
pub(crate) use portable::*;
