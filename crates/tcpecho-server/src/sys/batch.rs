//! Datagrams in batches: `recvmmsg` and `sendmmsg`, with the address each one
//! came to, so that the answer leaves from there (RFC 3542; ip(7),
//! `IP_PKTINFO`). One system call moves up to [`BATCH`] datagrams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use socket2::{SockAddr, SockAddrStorage};

/// Datagrams moved at once.
pub(crate) const BATCH: usize = 32;

/// The largest datagram there is.
const SIZE: usize = 65_535;

/// Room for one control message with an address.
const CONTROL: usize = 64;

/// Where a datagram came to, as the kernel says it, ready to be given back to
/// it with the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    control: Control,
    len: usize,
}

/// Aligned as the kernel wants control messages.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Arrival {
    const NONE: Self = Self {
        control: Control([0; CONTROL]),
        len: 0,
    };

    /// Lets routing choose the interface of the answer: only the address it
    /// comes from matters, except where it means nothing without a link.
    fn forget_interface(&mut self) {
        // SAFETY: these compute lengths from a constant.
        let (data, v4, v6) = unsafe {
            (
                libc::CMSG_LEN(0) as usize,
                libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as usize,
                libc::CMSG_LEN(size_of::<libc::in6_pktinfo>() as u32) as usize,
            )
        };
        let bytes = &mut self.control.0;
        let mut length = [0; size_of::<usize>()];
        length.copy_from_slice(&bytes[..size_of::<usize>()]);
        // The header says which of the two it is by its length.
        match usize::from_ne_bytes(length) {
            n if n == v4 => bytes[data..data + 4].fill(0),
            n if n == v6 && bytes[data..data + 2] != [0xfe, 0x80] => {
                bytes[data + 16..data + 20].fill(0);
            }
            _ => {}
        }
    }
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
        let mut arrivals = [Arrival::NONE; BATCH];
        let mut pieces: Vec<libc::iovec> = self
            .0
            .chunks_exact_mut(SIZE)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: SIZE,
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(BATCH);
        for ((name, arrival), piece) in names.iter_mut().zip(&mut arrivals).zip(&mut pieces) {
            let mut header = empty_header();
            header.msg_hdr.msg_namelen = name.size_of();
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = arrival.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
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
        for (((header, name), mut arrival), buffer) in headers
            .iter()
            .zip(names)
            .zip(arrivals)
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
            arrival.len = filled;
            if arrival.len > 0 {
                arrival.forget_interface();
            }
            received.push(Datagram {
                data: &mut buffer[..header.msg_len as usize],
                from,
                arrival,
            });
        }
        Ok(received)
    }
}

/// Sends at most [`BATCH`] datagrams; how many the kernel took. An error is
/// about the first one.
pub(crate) fn send(socket: &impl AsFd, answers: &[Answer<'_>]) -> io::Result<usize> {
    let mut names: Vec<SockAddr> = answers.iter().map(|a| SockAddr::from(a.to)).collect();
    let mut arrivals: Vec<Arrival> = answers.iter().map(|a| a.arrival).collect();
    let mut pieces: Vec<libc::iovec> = answers
        .iter()
        .map(|answer| libc::iovec {
            iov_base: answer.data.as_ptr().cast_mut().cast(),
            iov_len: answer.data.len(),
        })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(answers.len());
    for ((name, arrival), piece) in names.iter_mut().zip(&mut arrivals).zip(&mut pieces) {
        let mut header = empty_header();
        header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = name.len();
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
        if arrival.len > 0 {
            header.msg_hdr.msg_control = arrival.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = arrival.len as _;
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
            headers.len().min(BATCH) as _,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Asks the kernel to tell with each datagram where it came to.
pub(crate) fn want_arrivals(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
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
