//! Datagrams one by one, with the interface of `batch`, for systems without `recvmmsg`
//! and `sendmmsg`. It needs no unsafe code.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use rustix::net::{RecvFlags, SendFlags, SocketAddrAny};

use super::{MAX_MESSAGES, Message, Packet, PacketMut, RecvLayout, Source};

/// The buffers for a batch of received packets.
#[derive(Debug)]
pub struct RecvBatch {
    layout: RecvLayout,
    data: Vec<u8>,
    /// The length and the address of each received packet.
    received: Vec<(usize, Option<SocketAddr>)>,
    /// An error of a socket after the last batch, for the next call.
    pending: Option<(RawFd, io::Error)>,
}

impl RecvBatch {
    /// Allocates the buffers of a batch.
    pub fn new(layout: RecvLayout) -> Self {
        Self {
            layout,
            data: vec![0; layout.slots * layout.size],
            received: Vec::with_capacity(layout.slots),
            pending: None,
        }
    }

    /// Returns the maximum number of packets in a batch.
    pub fn slots(&self) -> usize {
        self.layout.slots
    }

    /// Receives at most `max` packets without blocking. Returns the number of packets,
    /// or `WouldBlock` if none is queued.
    pub fn receive(&mut self, socket: impl AsFd, max: usize) -> io::Result<usize> {
        self.received.clear();
        let fd = socket.as_fd().as_raw_fd();
        if let Some((failed, error)) = self.pending.take()
            && failed == fd
        {
            return Err(error);
        }
        for buffer in self.data.chunks_exact_mut(self.layout.size).take(max) {
            match rustix::net::recvfrom(&socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((length, _, address)) => self.received.push((length, to_inet(address))),
                Err(error) if self.received.is_empty() => return Err(error.into()),
                Err(error) => {
                    let error = io::Error::from(error);
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.pending = Some((fd, error));
                    }
                    break;
                }
            }
        }
        Ok(self.received.len())
    }

    /// Returns `WouldBlock`, since these systems have no error queue.
    pub fn receive_errors(&mut self, _: impl AsFd, _: usize) -> io::Result<usize> {
        self.received.clear();
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Returns a packet of the last batch.
    pub fn packet(&self, slot: usize) -> Packet<'_> {
        let (length, address) = &self.received[slot];
        let (length, size) = (*length, self.layout.size);
        Packet {
            data: &self.data[slot * size..][..length],
            control: &[],
            is_truncated: length == size,
            source: Source::Address(address.as_ref().filter(|_| self.layout.has_address)),
        }
    }

    /// Iterates over the packets of the last batch.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        (0..self.received.len()).map(|slot| self.packet(slot))
    }

    /// Iterates over the packets of the last batch, so that they can be modified.
    pub fn packets_mut(&mut self) -> impl Iterator<Item = PacketMut<'_>> {
        let has_address = self.layout.has_address;
        let buffers = self.data.chunks_exact_mut(self.layout.size);
        let received = self.received.iter();
        received
            .zip(buffers)
            .map(move |((length, address), data)| PacketMut {
                data: &mut data[..*length],
                control: &[],
                source: Source::Address(address.as_ref().filter(|_| has_address)),
            })
    }
}

fn to_inet(address: Option<SocketAddrAny>) -> Option<SocketAddr> {
    SocketAddr::try_from(address?).ok()
}

/// Sends messages, at most [`MAX_MESSAGES`], without blocking. Returns the number of
/// messages that were sent; an error is about the first of them. The flags apply to all
/// messages.
pub fn send<'a>(
    socket: impl AsFd,
    messages: impl IntoIterator<Item = Message<'a>>,
    flags: SendFlags,
) -> io::Result<usize> {
    let flags = flags | SendFlags::DONTWAIT;
    let mut sent = 0;
    for message in messages.into_iter().take(MAX_MESSAGES) {
        let outcome = match message.to.and_then(socket2::SockAddr::as_socket) {
            Some(to) => rustix::net::sendto(&socket, message.data, flags, &to),
            None => rustix::net::send(&socket, message.data, flags),
        };
        match outcome {
            Ok(_) => sent += 1,
            Err(error) if sent == 0 => return Err(error.into()),
            // The next call returns the error again, since it concerns this message.
            Err(_) => break,
        }
    }
    Ok(sent)
}
