//! Datagrams in batches: `recvmmsg` and `sendmmsg`, with the address each one
//! came to, so that the answer leaves from there (RFC 3542; ip(7),
//! `IP_PKTINFO`). One system call moves up to [`BATCH`] datagrams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use socket2::{SockAddr, SockAddrStorage};

use crate::arrival::{Arrival, RECEIVED, SENT};

/// Datagrams moved at once.
pub(crate) const BATCH: usize = 32;

/// The largest datagram there is.
const SIZE: usize = 65_535;

/// Control messages, aligned as the kernel wants them.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control<const N: usize>([u8; N]);

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

/// Buffers for one batch. The memory is touched only as far as datagrams
/// fill it.
#[derive(Debug)]
pub(crate) struct Buffers(Vec<u8>);

impl Buffers {
    /// Room for [`BATCH`] of the largest datagrams.
    pub(crate) fn new() -> Self {
        Self(vec![0; BATCH * SIZE])
    }

    /// Receives what is there, at most [`BATCH`]; `WouldBlock` if nothing is.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<Vec<Datagram<'_>>> {
        let mut names: [SockAddrStorage; BATCH] =
            std::array::from_fn(|_| SockAddrStorage::zeroed());
        let mut controls = [Control([0; RECEIVED]); BATCH];
        let mut pieces: Vec<libc::iovec> = self
            .0
            .chunks_exact_mut(SIZE)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: SIZE,
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(BATCH);
        for ((name, control), piece) in names.iter_mut().zip(&mut controls).zip(&mut pieces) {
            let mut header = empty_header();
            header.msg_hdr.msg_namelen = name.size_of();
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = RECEIVED as _;
            headers.push(header);
        }
        // SAFETY: every header points to an address, a buffer and a control
        // area of its own, all as long as it says and alive until the call
        // returns; the kernel writes to nothing else.
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
        for (((header, name), control), buffer) in headers
            .iter()
            .zip(names)
            .zip(&controls)
            .zip(self.0.chunks_exact_mut(SIZE))
            .take(n)
        {
            // SAFETY: the kernel filled in an address and set its length.
            let from = unsafe { SockAddr::new(name, header.msg_hdr.msg_namelen) };
            let Some(from) = from.as_socket() else {
                continue;
            };
            #[allow(
                clippy::unnecessary_cast,
                reason = "its type differs between C libraries"
            )]
            let filled = header.msg_hdr.msg_controllen as usize;
            received.push(Datagram {
                data: &mut buffer[..header.msg_len as usize],
                from,
                arrival: Arrival::parse(&control.0[..filled.min(RECEIVED)]),
            });
        }
        Ok(received)
    }
}

/// Sends at most [`BATCH`] datagrams; how many the kernel took. An error is
/// about the first one. Answers to groups go to directly attached hosts only.
pub(crate) fn send(socket: &impl AsFd, answers: &[Answer<'_>]) -> io::Result<usize> {
    // The flags are those of a whole call.
    let group = answers.first().is_some_and(|a| a.arrival.group);
    let alike = answers.iter().take_while(|a| a.arrival.group == group);
    let answers = &answers[..alike.count().min(BATCH)];
    let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if group {
        flags |= libc::MSG_DONTROUTE;
    }
    let mut names: Vec<SockAddr> = answers.iter().map(|a| SockAddr::from(a.to)).collect();
    let mut controls: Vec<(Control<SENT>, usize)> = answers
        .iter()
        .map(|answer| {
            let mut control = Control([0; SENT]);
            let used = answer.arrival.write(answer.to.ip(), &mut control.0);
            (control, used)
        })
        .collect();
    let mut pieces: Vec<libc::iovec> = answers
        .iter()
        .map(|answer| libc::iovec {
            iov_base: answer.data.as_ptr().cast_mut().cast(),
            iov_len: answer.data.len(),
        })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(answers.len());
    for ((name, (control, used)), piece) in names.iter_mut().zip(&mut controls).zip(&mut pieces) {
        let mut header = empty_header();
        header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = name.len();
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
        if *used > 0 {
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = *used as _;
        }
        headers.push(header);
    }
    // SAFETY: every header points to an address, bytes and a control message,
    // all as long as it says and alive until the call returns; for sending
    // the kernel only reads them.
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

/// Asks the kernel to tell with each datagram where it came to. An IPv6 socket
/// may receive IPv4 too, of which only IPv4's own message tells everything.
pub(crate) fn want_arrivals(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        enable(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?;
        // An IPv4 socket gets the datagrams of all groups that this host has
        // joined. Refused only by a kernel without IPv4.
        let _ = enable(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL);
    }
    match enable(socket, libc::IPPROTO_IP, libc::IP_PKTINFO) {
        // A kernel without IPv4 support for it; IPv6's message does.
        Err(_) if ipv6 => Ok(()),
        outcome => outcome,
    }
}

fn enable(socket: &impl AsFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes one int, which outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: a struct of integers and pointers, for which zeroes are valid
    // and mean "nothing".
    unsafe { std::mem::zeroed() }
}
