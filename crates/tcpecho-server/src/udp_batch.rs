//! Datagrams in batches, each with the address at which it arrived, so that the reply
//! is sent from there (RFC 3542; ip(7), `IP_PKTINFO`). One system call transfers up to
//! [`BATCH`] datagrams.
//!
//! Systems other than Linux do not report where a datagram arrived. There, replies are
//! sent from the address that routing selects.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use net::sys::{Message, RecvBatch, RecvLayout, SendFlags};
use socket2::SockAddr;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::pktinfo::{RECV_CONTROL_LEN, SEND_CONTROL_LEN};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unknown::{RECV_CONTROL_LEN, SEND_CONTROL_LEN};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use crate::pktinfo::PacketInfo;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use unknown::PacketInfo;

/// The largest number of datagrams per system call.
pub(crate) const BATCH: usize = 32;

/// The largest possible size of a datagram.
const MAX_DATAGRAM: usize = 65_535;

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

/// The receive buffers for one batch.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers(RecvBatch);

impl ReceiveBuffers {
    /// Allocates room for [`BATCH`] of the largest datagrams.
    pub(crate) fn new() -> Self {
        Self(RecvBatch::new(RecvLayout {
            slots: BATCH,
            size: MAX_DATAGRAM,
            control: RECV_CONTROL_LEN,
            has_address: true,
        }))
    }

    /// Receives up to [`BATCH`] queued datagrams. Returns `WouldBlock` if none is
    /// queued.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<Vec<Datagram<'_>>> {
        let count = self.0.receive(socket, BATCH)?;
        let mut received = Vec::with_capacity(count);
        received.extend(self.0.packets_mut().filter_map(|packet| {
            Some(Datagram {
                pktinfo: PacketInfo::parse(packet.control),
                source: packet.address()?,
                data: packet.data,
            })
        }));
        Ok(received)
    }
}

/// The destination of a reply, and its control messages with their length.
type Route = (SockAddr, [u8; SEND_CONTROL_LEN], usize);

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
    let flags = if is_group {
        SendFlags::DONTROUTE
    } else {
        SendFlags::empty()
    };
    let routes: Vec<Route> = replies
        .iter()
        .map(|reply| {
            let mut control = [0; SEND_CONTROL_LEN];
            let used = reply.pktinfo.write(reply.destination.ip(), &mut control);
            (reply.destination.into(), control, used)
        })
        .collect();
    let messages = replies
        .iter()
        .zip(&routes)
        .map(|(reply, (to, control, used))| Message {
            data: reply.data,
            to: Some(to),
            control: &control[..*used],
        });
    net::sys::send(socket, messages, flags)
}

/// Makes the kernel pass the local address of each datagram. An IPv6 socket may
/// receive IPv4 datagrams too, and only IPv4's own control message describes
/// those completely.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn enable_packet_info(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    use net::sys::set_option;
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        // Without this option a dual-stack socket gets no datagrams of IPv4
        // groups that this host has joined. It fails only without IPv4.
        let _ = set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 1);
    }
    match set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1) {
        // A kernel without IPv4; the message of IPv6 is enough.
        Err(_) if ipv6 => Ok(()),
        outcome => outcome,
    }
}

/// Does nothing, since replies do not depend on where datagrams arrived.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn enable_packet_info(_: &impl AsFd, _: bool) -> io::Result<()> {
    Ok(())
}

/// The substitute for `pktinfo` on systems that do not report the local address.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unknown {
    use std::net::IpAddr;

    pub(super) const RECV_CONTROL_LEN: usize = 0;
    pub(super) const SEND_CONTROL_LEN: usize = 0;

    /// The local address at which a datagram arrived, which is not known.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct PacketInfo {
        /// Whether the datagram was sent to a broadcast or multicast address;
        /// always false.
        pub(crate) is_group: bool,
    }

    impl PacketInfo {
        pub(super) fn parse(_: &[u8]) -> Self {
            Self::default()
        }

        pub(super) fn write(self, _: IpAddr, _: &mut [u8; SEND_CONTROL_LEN]) -> usize {
            0
        }
    }
}
