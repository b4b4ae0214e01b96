//! The only unsafe code of the tool: names of addresses as bytes.
#![allow(unsafe_code, reason = "getnameinfo has no safe binding")]

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockAddr;

/// An error of libc's getnameinfo: its code, and the system's error for
/// `EAI_SYSTEM`.
pub(crate) type NameError = (i32, Option<io::Error>);

/// Returns the name of an address from libc. Its bytes come from the network.
pub(crate) fn host_name(address: IpAddr) -> Result<Vec<u8>, NameError> {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    let mut host = [0_u8; 1025];
    // SAFETY: the address is valid for its length, the buffer for its own, and
    // both outlive the call; no buffer is given for the service.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            host.as_mut_ptr().cast(),
            host.len() as _,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    match code {
        0 => Ok(host
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec()),
        libc::EAI_SYSTEM => Err((code, Some(io::Error::last_os_error()))),
        code => Err((code, None)),
    }
}
