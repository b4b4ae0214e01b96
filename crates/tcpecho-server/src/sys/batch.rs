//! Datagrams in batches with `recvmmsg` and `sendmmsg`, each with the address at
//! which it arrived, so that the reply is sent from there (RFC 3542; ip(7),
//! `IP_PKTINFO`). One system call transfers up to [`BATCH`] datagrams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use socket2::{SockAddr, SockAddrStorage};

use crate::pktinfo::{PacketInfo, RECV_CONTROL_LEN, SEND_CONTROL_LEN};

/// The largest number of datagrams per system call.
pub(crate) const BATCH: usize = 32;

/// The largest possible size of a datagram.
const MAX_DATAGRAM: usize = 65_535;

/// A buffer for control messages, with the alignment that the kernel requires.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control<const N: usize>([u8; N]);

/// A received datagram in its receive buffer.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) data: &'a mut [u8],
    pub(crate) source: SocketAddr,
    pub(crate) pktinfo: PacketInfo,
}

/// A reply to a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) destination: SocketAddr,
    /// The arrival of the datagram that this replies to.
    pub(crate) pktinfo: PacketInfo,
}

/// The receive buffers for one batch. Only the memory that datagrams fill is
/// touched.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers(Vec<u8>);

impl ReceiveBuffers {
    /// Allocates room for [`BATCH`] of the largest datagrams.
    pub(crate) fn new() -> Self {
        Self(vec![0; BATCH * MAX_DATAGRAM])
    }

    /// Receives up to [`BATCH`] queued datagrams. Returns `WouldBlock` if none
    /// is queued.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<Vec<Datagram<'_>>> {
        let mut addresses: [SockAddrStorage; BATCH] =
            std::array::from_fn(|_| SockAddrStorage::zeroed());
        let mut controls = [Control([0; RECV_CONTROL_LEN]); BATCH];
        let mut slices: Vec<libc::iovec> = self
            .0
            .chunks_exact_mut(MAX_DATAGRAM)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: MAX_DATAGRAM,
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(BATCH);
        for ((address, control), slice) in addresses.iter_mut().zip(&mut controls).zip(&mut slices)
        {
            let mut header = empty_header();
            header.msg_hdr.msg_namelen = address.size_of();
            header.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = RECV_CONTROL_LEN as _;
            headers.push(header);
        }
        // SAFETY: every header points to an address, a buffer and a control
        // buffer of its own, all of the length that it states and alive until
        // the call returns; the kernel writes to nothing else.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as _,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        let mut received = Vec::with_capacity(n);
        for (((header, address), control), buffer) in headers
            .iter()
            .zip(addresses)
            .zip(&controls)
            .zip(self.0.chunks_exact_mut(MAX_DATAGRAM))
            .take(n)
        {
            // SAFETY: the kernel has written an address and its length.
            let source = unsafe { SockAddr::new(address, header.msg_hdr.msg_namelen) };
            let Some(source) = source.as_socket() else {
                continue;
            };
            #[allow(
                clippy::unnecessary_cast,
                reason = "its type differs between C libraries"
            )]
            let filled = header.msg_hdr.msg_controllen as usize;
            received.push(Datagram {
                data: &mut buffer[..header.msg_len as usize],
                source,
                pktinfo: PacketInfo::parse(&control.0[..filled.min(RECV_CONTROL_LEN)]),
            });
        }
        Ok(received)
    }
}

/// Sends up to [`BATCH`] replies and returns how many the kernel accepted. An
/// error concerns the first reply. Replies to group datagrams are sent to
/// directly attached hosts only.
pub(crate) fn send(socket: &impl AsFd, replies: &[Reply<'_>]) -> io::Result<usize> {
    // The flags apply to all replies of a system call.
    let is_group = replies.first().is_some_and(|reply| reply.pktinfo.is_group);
    let same_flags = replies
        .iter()
        .take_while(|reply| reply.pktinfo.is_group == is_group);
    let replies = &replies[..same_flags.count().min(BATCH)];
    let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if is_group {
        flags |= libc::MSG_DONTROUTE;
    }
    let mut addresses: Vec<SockAddr> = replies
        .iter()
        .map(|reply| SockAddr::from(reply.destination))
        .collect();
    let mut controls: Vec<(Control<SEND_CONTROL_LEN>, usize)> = replies
        .iter()
        .map(|reply| {
            let mut control = Control([0; SEND_CONTROL_LEN]);
            let used = reply.pktinfo.write(reply.destination.ip(), &mut control.0);
            (control, used)
        })
        .collect();
    let mut slices: Vec<libc::iovec> = replies
        .iter()
        .map(|reply| libc::iovec {
            iov_base: reply.data.as_ptr().cast_mut().cast(),
            iov_len: reply.data.len(),
        })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(replies.len());
    for ((address, (control, used)), slice) in
        addresses.iter_mut().zip(&mut controls).zip(&mut slices)
    {
        let mut header = empty_header();
        header.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = address.len();
        header.msg_hdr.msg_iov = slice;
        header.msg_hdr.msg_iovlen = 1;
        if *used > 0 {
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = *used as _;
        }
        headers.push(header);
    }
    // SAFETY: every header points to an address, bytes and a control message,
    // all of the length that it states and alive until the call returns; the
    // kernel only reads them.
    let n = unsafe {
        libc::sendmmsg(
            socket.as_fd().as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as _,
            flags,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Makes the kernel pass the local address of each datagram. An IPv6 socket may
/// receive IPv4 datagrams too, and only IPv4's own control message describes
/// those completely.
pub(crate) fn enable_packet_info(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        enable(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?;
        // Without this option a dual-stack socket gets no datagrams of IPv4
        // groups that this host has joined. It fails only without IPv4.
        let _ = enable(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL);
    }
    match enable(socket, libc::IPPROTO_IP, libc::IP_PKTINFO) {
        // A kernel without IPv4; the message of IPv6 is enough.
        Err(_) if ipv6 => Ok(()),
        outcome => outcome,
    }
}

fn enable(socket: &impl AsFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes one int, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: the struct consists of integers and pointers, for which zero is
    // valid and means that the field is not used.
    unsafe { std::mem::zeroed() }
}
