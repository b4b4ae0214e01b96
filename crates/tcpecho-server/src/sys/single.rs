//! Datagrams one by one, for systems without `recvmmsg`; the same interface as
//! `batch.rs`. Replies are sent from the address that routing selects.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags};

/// The largest number of datagrams per system call.
pub(crate) const BATCH: usize = 1;

/// The largest possible size of a datagram.
const MAX_DATAGRAM: usize = 65_535;

/// The local address at which a datagram arrived, which is not known on these
/// systems.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketInfo {
    /// Whether the datagram was sent to a broadcast or multicast address;
    /// always false.
    pub(crate) is_group: bool,
}

/// A received datagram in the receive buffer.
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

/// The receive buffer for one datagram.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers(Vec<u8>);

impl ReceiveBuffers {
    /// Allocates room for the largest datagram.
    pub(crate) fn new() -> Self {
        Self(vec![0; MAX_DATAGRAM])
    }

    /// Receives one datagram. Returns `WouldBlock` if none is queued.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<Vec<Datagram<'_>>> {
        let (n, _, source) = rustix::net::recvfrom(socket, &mut self.0[..], RecvFlags::DONTWAIT)?;
        let source = source.and_then(|source| SocketAddr::try_from(source).ok());
        Ok(source
            .map(|source| Datagram {
                data: &mut self.0[..n],
                source,
                pktinfo: PacketInfo::default(),
            })
            .into_iter()
            .collect())
    }
}

/// Sends the first reply. Returns the number of replies sent.
pub(crate) fn send(socket: &impl AsFd, replies: &[Reply<'_>]) -> io::Result<usize> {
    let Some(reply) = replies.first() else {
        return Ok(0);
    };
    let _ = reply.pktinfo;
    rustix::net::sendto(socket, reply.data, SendFlags::DONTWAIT, &reply.destination)?;
    Ok(1)
}

/// Does nothing, since replies do not depend on where datagrams arrived.
pub(crate) fn enable_packet_info(_: &impl AsFd, _: bool) -> io::Result<()> {
    Ok(())
}
