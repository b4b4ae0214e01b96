//! Datagrams one by one, for systems without `recvmmsg`: the same face as
//! `batch.rs`. Here the answer leaves from the address that routing chooses.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags};

/// Datagrams moved at once.
pub(crate) const BATCH: usize = 1;

/// The largest datagram there is.
const SIZE: usize = 65_535;

/// Where a datagram came to: not known here, so an answer to a group cannot be
/// told from others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// Never set.
    pub(crate) group: bool,
}

/// One received datagram.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    /// Its bytes.
    pub(crate) data: &'a mut [u8],
    /// Who sent it.
    pub(crate) from: SocketAddr,
    /// Where it came to.
    pub(crate) arrival: Arrival,
}

/// A datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// Its bytes.
    pub(crate) data: &'a [u8],
    /// To whom.
    pub(crate) to: SocketAddr,
    /// Where the question came to.
    pub(crate) arrival: Arrival,
}

/// A buffer for one datagram.
#[derive(Debug)]
pub(crate) struct Buffers(Vec<u8>);

impl Buffers {
    /// Room for the largest datagram.
    pub(crate) fn new() -> Self {
        Self(vec![0; SIZE])
    }

    /// Receives one datagram; `WouldBlock` if there is none.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<Vec<Datagram<'_>>> {
        let (n, _, from) = rustix::net::recvfrom(socket, &mut self.0[..], RecvFlags::DONTWAIT)?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        Ok(from
            .map(|from| Datagram {
                data: &mut self.0[..n],
                from,
                arrival: Arrival::default(),
            })
            .into_iter()
            .collect())
    }
}

/// Sends the first of them; how many the kernel took.
pub(crate) fn send(socket: &impl AsFd, answers: &[Answer<'_>]) -> io::Result<usize> {
    let Some(answer) = answers.first() else {
        return Ok(0);
    };
    let _ = answer.arrival;
    rustix::net::sendto(socket, answer.data, SendFlags::DONTWAIT, &answer.to)?;
    Ok(1)
}

/// Does nothing: the kernel is not asked where datagrams came to.
pub(crate) fn want_arrivals(_: &impl AsFd, _: bool) -> io::Result<()> {
    Ok(())
}
