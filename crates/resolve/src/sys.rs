//! The only unsafe code of the tool: several datagrams per system call, on systems
//! that have one, and names of addresses as bytes.
#![allow(
    unsafe_code,
    reason = "these calls have no safe binding; every block says why it is sound"
)]

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::SockAddr;

/// An error of libc's getnameinfo: its code, and the system's error for
/// `EAI_SYSTEM`.
pub(crate) type NameError = (i32, Option<io::Error>);

/// Returns the name of an address from libc. Its bytes come from the network.
pub(crate) fn host_name(address: IpAddr) -> Result<Vec<u8>, NameError> {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    let mut host = [0_u8; 1025];
    // SAFETY: the address is valid for its length, the buffer for its own, and
    // both outlive the call; no buffer is given for the service.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            host.as_mut_ptr().cast(),
            host.len() as _,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    match code {
        0 => Ok(host
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec()),
        libc::EAI_SYSTEM => Err((code, Some(io::Error::last_os_error()))),
        code => Err((code, None)),
    }
}

/// The maximum number of datagrams per system call.
pub(crate) const BATCH: usize = 32;

/// Buffers for the datagrams that one call receives.
#[derive(Debug)]
pub(crate) struct RecvBatch {
    data: Vec<u8>,
    /// The size of each buffer in bytes.
    size: usize,
    /// The length of each received datagram, and whether it was longer than its
    /// buffer.
    received: Vec<(usize, bool)>,
}

impl RecvBatch {
    /// Allocates [`BATCH`] buffers of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            data: vec![0; size * BATCH],
            size,
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Iterates over the datagrams of the last call, with `true` for one that was
    /// cut off.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.received
            .iter()
            .zip(self.data.chunks(self.size))
            .map(|((length, is_cut), chunk)| (&chunk[..*length], *is_cut))
    }

    /// Receives the available datagrams, up to a batch. Fails with `WouldBlock` if the
    /// receive buffer is empty.
    #[cfg(target_os = "linux")]
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        self.received.clear();
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|_| EMPTY);
        for (part, chunk) in parts.iter_mut().zip(self.data.chunks_mut(self.size)) {
            part.iov_base = chunk.as_mut_ptr().cast();
            part.iov_len = chunk.len();
        }
        let mut messages = headers(&mut parts);
        // SAFETY: the headers point to as many `iovec`s, each of which spans
        // a chunk of `self.data`; all outlive the call, and nothing else
        // touches them during it.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.received
            .extend(messages.iter().take(count).map(|message| {
                let is_cut = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
                ((message.msg_len as usize).min(self.size), is_cut)
            }));
        Ok(())
    }

    /// Receives one datagram. Fails with `WouldBlock` if the receive buffer is empty.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.received.clear();
        let length = socket.recv(&mut self.data[..self.size])?;
        // A datagram that fills the buffer may have been longer.
        self.received.push((length, length == self.size));
        Ok(())
    }
}

/// Sends the datagrams in `data`, each of which ends at an offset in `ends`.
/// Returns how many were sent, and the error that stopped it.
#[cfg(target_os = "linux")]
pub(crate) fn send_batch(
    socket: &UdpSocket,
    data: &mut [u8],
    ends: &[usize],
) -> (usize, Option<io::Error>) {
    use std::os::fd::AsRawFd;
    let count = ends.len().min(BATCH);
    let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|_| EMPTY);
    let mut rest = data;
    let mut start = 0;
    for (part, &end) in parts.iter_mut().zip(ends) {
        let (datagram, after) = rest.split_at_mut(end - start);
        part.iov_base = datagram.as_mut_ptr().cast();
        part.iov_len = datagram.len();
        rest = after;
        start = end;
    }
    let mut messages = headers(&mut parts);
    // SAFETY: the first `count` headers point to as many `iovec`s, each of
    // which spans a part of `data` that outlives the call; a send only reads.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    match usize::try_from(sent) {
        Ok(sent) => (sent, None),
        Err(_) => (0, Some(io::Error::last_os_error())),
    }
}

/// Sends the datagrams in `data`, each of which ends at an offset in `ends`.
/// Returns how many were sent, and the error that stopped it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn send_batch(
    socket: &UdpSocket,
    data: &mut [u8],
    ends: &[usize],
) -> (usize, Option<io::Error>) {
    let mut start = 0;
    for (number, &end) in ends.iter().enumerate() {
        if let Err(error) = socket.send(&data[start..end]) {
            return (number, Some(error));
        }
        start = end;
    }
    (ends.len(), None)
}

#[cfg(target_os = "linux")]
const EMPTY: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

/// Creates a message header for each part.
#[cfg(target_os = "linux")]
fn headers(parts: &mut [libc::iovec; BATCH]) -> [libc::mmsghdr; BATCH] {
    let mut parts = parts.iter_mut();
    std::array::from_fn(|_| {
        // SAFETY: the structure consists of integers and pointers, for which
        // zero is a value: no address, no control data, no flags.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        if let Some(part) = parts.next() {
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
        }
        message
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_arrives_complete() {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").unwrap();
        a.connect(b.local_addr().unwrap()).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        b.set_nonblocking(true).unwrap();
        let mut batch = RecvBatch::new(4);
        let error = batch.receive(&b).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut data = *b"abcdeffivesXY";
        let mut sent = 0;
        let ends = [3, 6, 11, 11, 13];
        while sent < ends.len() {
            let from = if sent == 0 { 0 } else { ends[sent - 1] };
            let rest: Vec<usize> = ends[sent..].iter().map(|end| end - from).collect();
            let (count, error) = send_batch(&a, &mut data[from..], &rest);
            assert!(error.is_none());
            sent += count;
        }
        let mut received = Vec::new();
        while received.len() < ends.len() {
            if batch.receive(&b).is_ok() {
                received.extend(batch.iter().map(|(bytes, is_cut)| (bytes.to_vec(), is_cut)));
            }
        }
        let expected: [(&[u8], bool); 5] = [
            (b"abc", false),
            (b"def", false),
            (b"five", true),
            (b"", false),
            (b"XY", false),
        ];
        assert_eq!(received, expected.map(|(b, is_cut)| (b.to_vec(), is_cut)));
    }
}
