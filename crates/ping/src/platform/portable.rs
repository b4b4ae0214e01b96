//! Systems other than Linux. What they lack is refused, and what only makes a run more
//! precise is left out.

use std::io;

use socket2::{Socket, Type};

use crate::cli::Pmtu;
use crate::packet::IpVersion;

/// The types of ICMP sockets, in the order in which they are tried. Datagram sockets of
/// Linux report errors in their error queue only.
pub(crate) const SOCKET_TYPES: [Type; 2] = if cfg!(target_os = "linux") {
    [Type::RAW, Type::DGRAM]
} else {
    [Type::DGRAM, Type::RAW]
};

/// Whether IPv4 datagram sockets receive the IP header, as on macOS.
pub(crate) const DATAGRAMS_HAVE_IP_HEADER: bool = cfg!(target_vendor = "apple");

/// Whether sockets have an error queue. Otherwise ICMP errors arrive like replies.
pub(crate) const HAS_ERROR_QUEUE: bool = false;

/// The requested receive buffer in bytes; the system may have a lower limit.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The counter of wrong checksums, which these systems do not have.
#[derive(Debug)]
pub(crate) enum ChecksumErrors {}

impl ChecksumErrors {
    pub(crate) fn open() -> Option<Self> {
        None
    }

    pub(crate) fn count(&self) -> u64 {
        match *self {}
    }
}

/// Requests a large receive buffer.
pub(crate) fn configure(socket: &Socket, _: IpVersion) -> io::Result<()> {
    // A smaller buffer only loses replies of a fast run.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(())
}

/// Does nothing: ICMP errors must arrive too, and the engine ignores requests.
#[allow(clippy::unnecessary_wraps, reason = "the interface of `linux`")]
pub(crate) fn accept_only_replies(_: &Socket, _: IpVersion) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the engine ignores replies to other processes.
#[allow(clippy::unnecessary_wraps, reason = "the interface of `linux`")]
pub(crate) fn accept_only_replies_to(_: &Socket, _: IpVersion, _: u16) -> io::Result<()> {
    Ok(())
}

/// Allows or forbids fragmentation.
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
pub(crate) fn set_pmtu(socket: &Socket, version: IpVersion, mode: Pmtu) -> io::Result<()> {
    let (level, name) = match version {
        IpVersion::V4 => (libc::IPPROTO_IP, libc::IP_DONTFRAG),
        IpVersion::V6 => (libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG),
    };
    let forbidden = matches!(mode, Pmtu::Do | Pmtu::Probe);
    net::sys::set_option(socket, level, name, i32::from(forbidden))
}

#[cfg(not(any(target_vendor = "apple", target_os = "freebsd")))]
pub(crate) fn set_pmtu(_: &Socket, _: IpVersion, _: Pmtu) -> io::Result<()> {
    Err(unsupported())
}

pub(crate) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(unsupported())
}

pub(crate) fn bind_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "not supported on this operating system",
    )
}

/// Does nothing: these systems have no such setting.
pub(crate) fn reduce_timer_slack() {}

/// Does nothing: these systems have no capabilities.
#[allow(clippy::unnecessary_wraps, reason = "the interface of `linux`")]
pub(crate) fn drop_capabilities() -> io::Result<()> {
    Ok(())
}
