//! System calls for which no dependency has a safe function.
#![allow(
    unsafe_code,
    reason = "socket options that neither socket2 nor rustix know"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use common::{Error, Kind, Result};
pub(crate) use net::sys::unacknowledged;
use polling::{Event, PollMode, Poller};

/// Adds a descriptor to a poller.
///
/// A registered descriptor must be removed with [`Poller::delete`] before it is
/// closed.
pub(crate) fn add_to_poller(
    poller: &Poller,
    source: &impl AsFd,
    event: Event,
    mode: PollMode,
) -> io::Result<()> {
    let raw = source.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open now. The load engine owns the descriptors
    // that it registers and deletes them from the poller before it closes them,
    // and the poller does not use a descriptor by itself.
    unsafe { poller.add_with_mode(raw, event, mode) }
}

/// Raises the soft limit of open descriptors to `wanted` if it is lower. Fails
/// if the hard limit is lower, too.
pub(crate) fn raise_descriptor_limit(wanted: u64) -> Result<()> {
    let limit = net::descriptors::raise_limit(Some(wanted)).map_err(|e| Error::local(&e))?;
    match limit {
        Some(maximum) if maximum < wanted => Err(Error::new(
            Kind::System,
            format!("the connections need {wanted} open files, but the limit is {maximum}"),
        )
        .hint(format!(
            "root can raise the hard limit with 'ulimit -Hn {wanted}', limits.conf or LimitNOFILE="
        ))),
        _ => Ok(()),
    }
}

/// Returns the kernel's smoothed round-trip time of a TCP connection and the
/// number of retransmitted segments; `None` if it is not a TCP socket.
#[cfg(target_os = "linux")]
pub(crate) fn tcp_info(socket: &impl AsFd) -> Option<(Duration, u32)> {
    // SAFETY: all fields are integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call; the kernel
    // writes at most `length` bytes into `info`, which has this size.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    let rtt = Duration::from_micros(u64::from(info.tcpi_rtt));
    (outcome == 0).then_some((rtt, info.tcpi_total_retrans))
}

/// Returns `None`: `TCP_INFO` differs on other systems.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tcp_info(_: &impl AsFd) -> Option<(Duration, u32)> {
    None
}

/// Makes `bind` leave the choice of the port to `connect`, so that connections
/// to different peers can share a port (ip(7), `IP_BIND_ADDRESS_NO_PORT`).
#[cfg(target_os = "linux")]
pub(crate) fn bind_address_no_port(socket: &impl AsFd) -> io::Result<()> {
    net::sys::set_option(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Does nothing: other systems lack this option.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bind_address_no_port(_: &impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Makes the kernel queue the ICMP errors of a UDP socket, each with the
/// datagram that caused it (ip(7), `IP_RECVERR`).
#[cfg(target_os = "linux")]
pub(crate) fn enable_error_queue(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    net::sys::set_option(socket, level, option, 1)
}

/// Does nothing: other systems do not report the datagram of an error.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enable_error_queue(_: &impl AsFd, _: bool) -> io::Result<()> {
    Ok(())
}

/// Takes the oldest error from the queue. Copies the start of the datagram that
/// caused it into `buffer`, and returns the length of the copy with the error.
/// Returns `None` if the queue is empty.
#[cfg(target_os = "linux")]
pub(crate) fn read_error_queue(
    socket: &impl AsFd,
    buffer: &mut [u8],
) -> Option<(usize, io::Error)> {
    /// A buffer with the alignment of control messages.
    #[repr(C, align(8))]
    struct Control([u8; 512]);
    let mut control = Control([0; 512]);
    let mut piece = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a struct of integers and pointers, for which zeroes are valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut piece;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points to a buffer and a control area of the lengths
    // given in it, both alive until the call returns; its address is null.
    let n = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
    let n = usize::try_from(n).ok()?;
    let mut errno = 0;
    // SAFETY: the kernel filled in the control area and its length, within
    // which these macros find complete messages; `sock_extended_err` begins
    // with the error number, an integer.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(found) = message.as_ref() {
            let is_error = matches!(
                (found.cmsg_level, found.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            );
            if is_error {
                let number = libc::CMSG_DATA(message).cast::<[u8; 4]>().read();
                errno = i32::from_ne_bytes(number);
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    let error = io::Error::from_raw_os_error(errno);
    Some((n.min(buffer.len()), error))
}

/// Returns the pending error of the socket, without a datagram.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_error_queue(socket: &impl AsFd, _: &mut [u8]) -> Option<(usize, io::Error)> {
    let error = rustix::net::sockopt::socket_error(socket).ok()?.err()?;
    Some((0, error.into()))
}
