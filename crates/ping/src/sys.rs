//! The system calls that neither std nor socket2 nor rustix has a safe face
//! for: `sendmmsg`, `recvmmsg`, and socket options of ICMP sockets.
//!
//! [`Inbox`] and [`Outbox`] own the memory the kernel reads and writes, and
//! hand out slices; everything about what the bytes mean is elsewhere.
#![allow(
    unsafe_code,
    reason = "batched message calls and ICMP options have no safe wrapper"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

/// Bytes of an address the kernel writes: room for a `sockaddr_in6`.
const NAME: usize = 28;

/// Words of control messages the kernel writes for one packet: a timestamp, a
/// TTL, a drop count and an extended error with its address need 22.
const CONTROL_WORDS: usize = 32;

/// Sets a socket option that is an integer.
pub(crate) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_bytes(fd, level, name, &value.to_ne_bytes())
}

/// Sets a socket option that is a structure, given as its bytes.
pub(crate) fn set_bytes(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice, which the
    // kernel only reads.
    let outcome = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Becomes the real user for good, if the program file is set-user-id.
pub(crate) fn become_real_user() -> io::Result<()> {
    // SAFETY: these take and return integers and touch no memory of ours.
    let outcome = unsafe {
        let (uid, gid) = (libc::getuid(), libc::getgid());
        if uid == libc::geteuid() && gid == libc::getegid() {
            return Ok(());
        }
        // The group first: afterwards it would not be permitted.
        match libc::setresgid(gid, gid, gid) {
            0 => libc::setresuid(uid, uid, uid),
            failed => failed,
        }
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The index of a network interface (`if_nametoindex`).
pub(crate) fn interface_index(name: &std::ffi::CStr) -> io::Result<u32> {
    // SAFETY: the pointer is that of a NUL-terminated string, only read.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// The name of a network interface (`if_indextoname`), if there is such a one.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    let mut name = [0_u8; libc::IFNAMSIZ];
    // SAFETY: the kernel's names with their NUL fit IFNAMSIZ bytes.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    let name = std::ffi::CStr::from_bytes_until_nul(&name).ok()?;
    (!found.is_null()).then(|| name.to_string_lossy().into_owned())
}

/// A packet in an [`Inbox`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// Its bytes.
    pub(crate) data: &'a [u8],
    /// Its control messages.
    pub(crate) control: &'a [u8],
    /// The address beside it.
    pub(crate) name: &'a [u8],
}

/// Room for a batch of packets to be received.
pub(crate) struct Inbox {
    headers: Vec<libc::mmsghdr>,
    // The headers point into these; none of them is ever resized.
    vectors: Vec<libc::iovec>,
    data: Vec<u8>,
    control: Vec<u64>,
    names: Vec<[u8; NAME]>,
    size: usize,
    /// How many headers the kernel may have changed since they were set.
    used: usize,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("slots", &self.headers.len())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// Room for `slots` packets of `size` bytes; longer ones are cut.
    pub(crate) fn new(slots: usize, size: usize) -> Self {
        Self {
            // SAFETY: all fields are integers or pointers, for which zero is
            // a valid value; `receive` sets them before the kernel looks.
            headers: vec![unsafe { std::mem::zeroed() }; slots],
            vectors: vec![
                libc::iovec {
                    iov_base: ptr::null_mut(),
                    iov_len: 0
                };
                slots
            ],
            data: vec![0; slots * size],
            control: vec![0; slots * CONTROL_WORDS],
            names: vec![[0; NAME]; slots],
            size,
            used: slots,
        }
    }

    /// Receives what is there, up to `most` packets, without waiting: from the
    /// socket's error queue or from its ordinary one. Returns how many came.
    pub(crate) fn receive(
        &mut self,
        fd: impl AsFd,
        errors: bool,
        most: usize,
    ) -> io::Result<usize> {
        // The others still are as they were set the last time: the memory they
        // point to never moves.
        for (slot, header) in self.headers.iter_mut().enumerate().take(self.used) {
            self.vectors[slot] = libc::iovec {
                iov_base: self.data[slot * self.size..].as_mut_ptr().cast(),
                iov_len: self.size,
            };
            let message = &mut header.msg_hdr;
            message.msg_name = self.names[slot].as_mut_ptr().cast();
            message.msg_namelen = NAME as libc::socklen_t;
            message.msg_iov = &raw mut self.vectors[slot];
            message.msg_iovlen = 1;
            message.msg_control = self.control[slot * CONTROL_WORDS..].as_mut_ptr().cast();
            message.msg_controllen = CONTROL_WORDS * size_of::<u64>();
            message.msg_flags = 0;
        }
        let flags = libc::MSG_DONTWAIT | if errors { libc::MSG_ERRQUEUE } else { 0 };
        let (fd, most) = (fd.as_fd().as_raw_fd(), most.min(self.headers.len()));
        // SAFETY: each header points to memory of this inbox with the lengths
        // of that memory, slots do not overlap, and all of it lives and stays
        // in place over the call. The time limit may be null.
        let count = unsafe {
            match &mut self.headers[..most] {
                // The plain call is a little cheaper.
                [header] => {
                    let length = libc::recvmsg(fd, &raw mut header.msg_hdr, flags);
                    header.msg_len = length.max(0) as libc::c_uint;
                    if length < 0 { -1 } else { 1 }
                }
                headers => {
                    let (place, count) = (headers.as_mut_ptr(), headers.len() as libc::c_uint);
                    libc::recvmmsg(fd, place, count, flags as _, ptr::null_mut())
                }
            }
        };
        let received = usize::try_from(count).map_err(|_| io::Error::last_os_error());
        // One more may have been touched when the kernel found no more.
        self.used = (received.as_ref().map_or(0, |count| *count) + 1).min(self.headers.len());
        received
    }

    /// How many packets a batch may have.
    pub(crate) fn slots(&self) -> usize {
        self.headers.len()
    }

    /// A packet of the last batch.
    pub(crate) fn packet(&self, slot: usize) -> Packet<'_> {
        let header = &self.headers[slot];
        let length = (header.msg_len as usize).min(self.size);
        let name = (header.msg_hdr.msg_namelen as usize).min(NAME);
        let words = &self.control[slot * CONTROL_WORDS..(slot + 1) * CONTROL_WORDS];
        let control = header.msg_hdr.msg_controllen.min(size_of_val(words));
        // SAFETY: a slice of u64 seen as bytes: initialised, without padding,
        // and `control` is not longer than it.
        let control = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), control) };
        Packet {
            data: &self.data[slot * self.size..][..length],
            control,
            name: &self.names[slot][..name],
        }
    }
}

/// A batch of messages to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The messages, one after the other.
    data: Vec<u8>,
    /// Where each one starts and ends in `data`, and its destination.
    messages: Vec<(usize, usize, SockAddr)>,
}

impl Outbox {
    /// Adds a message that `write` appends to a buffer.
    pub(crate) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.data.len();
        write(&mut self.data);
        self.messages.push((start, self.data.len(), to.into()));
    }

    /// Forgets all messages.
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.messages.clear();
    }

    /// Sends the messages from number `from` on, without waiting. Returns how
    /// many went out; an error is that of the first.
    pub(crate) fn send(&self, fd: impl AsFd, from: usize) -> io::Result<usize> {
        const MOST: usize = 64;
        let messages = &self.messages[from..self.messages.len().min(from + MOST)];
        if let [(start, end, to)] = messages {
            return send_one(fd.as_fd(), &self.data[*start..*end], to);
        }
        let mut vectors = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        }; MOST];
        // SAFETY: all fields are integers or pointers, for which zero is valid.
        let mut headers: [libc::mmsghdr; MOST] = unsafe { std::mem::zeroed() };
        for (slot, (start, end, to)) in messages.iter().enumerate() {
            vectors[slot] = libc::iovec {
                iov_base: self.data[*start..].as_ptr().cast_mut().cast(),
                iov_len: end - start,
            };
            let message = &mut headers[slot].msg_hdr;
            message.msg_name = to.as_ptr().cast_mut().cast();
            message.msg_namelen = to.len();
            message.msg_iov = &raw mut vectors[slot];
            message.msg_iovlen = 1;
        }
        // SAFETY: the headers point to addresses and data of this outbox with
        // their lengths, and to vectors on this stack; all live over the call,
        // and the kernel only reads them, but for each header's `msg_len`.
        let count = unsafe {
            libc::sendmmsg(
                fd.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                messages.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// Sends one message: cheaper than a batch of one.
fn send_one(fd: BorrowedFd<'_>, data: &[u8], to: &SockAddr) -> io::Result<usize> {
    // SAFETY: data and address are given with their lengths and only read.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            data.as_ptr().cast(),
            data.len(),
            libc::MSG_DONTWAIT,
            to.as_ptr().cast(),
            to.len(),
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_batch_arrives() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let mut outbox = Outbox::default();
        outbox.push(to, |buffer| buffer.extend_from_slice(b"first"));
        outbox.push(to, |buffer| buffer.extend_from_slice(b"a longer one"));
        assert_eq!(outbox.send(&sender, 0).unwrap(), 2);
        let mut inbox = Inbox::new(4, 8);
        assert_eq!(inbox.receive(&receiver, false, 4).unwrap(), 2);
        assert_eq!(inbox.packet(0).data, b"first");
        assert_eq!(inbox.packet(1).data, b"a longer");
        let from = crate::control::address(inbox.packet(1).name);
        assert_eq!(from, Some(sender.local_addr().unwrap()));
        let nothing = inbox.receive(&receiver, false, 4).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn options_are_set_or_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        set_option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_RECVTTL, 1).unwrap();
        assert!(set_option(socket.as_fd(), libc::IPPROTO_IP, 9999, 1).is_err());
        assert_eq!(interface_index(c"lo").unwrap(), 1);
        assert!(interface_index(c"no-such-device").is_err());
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!(interface_name(u32::MAX), None);
    }
}
