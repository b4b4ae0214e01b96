//! The one place for system calls that no safe crate offers.
#![allow(
    unsafe_code,
    reason = "socket options that neither socket2 nor rustix know"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use common::{Error, Kind, Result};
use polling::{Event, PollMode, Poller};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Adds a descriptor to a poller.
///
/// The poller must not outlive the descriptor's registration: whoever closes
/// a watched descriptor calls [`Poller::delete`] before.
pub(crate) fn watch(
    poller: &Poller,
    source: &impl AsFd,
    event: Event,
    mode: PollMode,
) -> io::Result<()> {
    let raw = source.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open now. The engine owns what it watches,
    // deletes it from the poller before it closes it, and the poller never
    // uses a descriptor by itself.
    unsafe { poller.add_with_mode(raw, event, mode) }
}

/// Lets this process open `wanted` descriptors, if the hard limit does.
pub(crate) fn allow_descriptors(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|&maximum| maximum < wanted) {
        return Err(Error::new(
            Kind::System,
            format!("so many connections need {wanted} open files, and the limit is {maximum}"),
        )
        .hint(format!(
            "root can raise the hard limit: 'ulimit -Hn {wanted}', limits.conf, LimitNOFILE="
        )));
    }
    let new = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, new).map_err(|e| Error::local(&e.into()))
}

/// The kernel's smoothed round-trip time of a TCP connection and how many
/// segments it has sent again; `None` for sockets that have neither.
#[cfg(target_os = "linux")]
pub(crate) fn tcp_info(socket: &impl AsFd) -> Option<(Duration, u32)> {
    // SAFETY: all fields are integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call; the kernel
    // writes at most `length` bytes into `info`, which is so long.
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

/// Other systems have other structures.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tcp_info(_: &impl AsFd) -> Option<(Duration, u32)> {
    None
}

/// Leaves the choice of the port to `connect`, which knows the peer, so that
/// a bound address does not use up a port of its own (`IP_BIND_ADDRESS_NO_PORT`).
#[cfg(target_os = "linux")]
pub(crate) fn bind_address_no_port(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the length of the call, and the
    // value is an int of the length given.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Other systems bind as they do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bind_address_no_port(_: &impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Asks the kernel to keep the ICMP errors about what a UDP socket sends, each
/// with the datagram it is about (ip(7), `IP_RECVERR`).
#[cfg(target_os = "linux")]
pub(crate) fn keep_errors(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let on: libc::c_int = 1;
    // SAFETY: the option takes one int, which outlives the call.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Elsewhere an error does not say what it is about.
#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_errors(_: &impl AsFd, _: bool) -> io::Result<()> {
    Ok(())
}

/// The oldest error that was kept: how much of the datagram it is about is in
/// `buffer` now, and the error. `None` if there is none.
#[cfg(target_os = "linux")]
pub(crate) fn kept_error(socket: &impl AsFd, buffer: &mut [u8]) -> Option<(usize, io::Error)> {
    /// Aligned as the kernel wants control messages.
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
    // SAFETY: the header points to a buffer and a control area as long as it
    // says, both alive until the call returns; there is no address.
    let n = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
    let n = usize::try_from(n).ok()?;
    let mut errno = 0;
    // SAFETY: the kernel filled in the control area and its length, by which
    // these macros find whole messages in it; `sock_extended_err` begins with
    // the number of the error, an integer.
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

/// Elsewhere there is only the socket's own error.
#[cfg(not(target_os = "linux"))]
pub(crate) fn kept_error(socket: &impl AsFd, _: &mut [u8]) -> Option<(usize, io::Error)> {
    let error = rustix::net::sockopt::socket_error(socket).ok()?.err()?;
    Some((0, error.into()))
}

/// Bytes sent that the other end has not acknowledged, an end of file counted
/// as one; 0 where the system does not say.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn unsent(socket: &impl AsFd) -> usize {
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
