//! The system calls for which std, socket2 and rustix have no safe interface:
//! `sendmmsg`, `recvmmsg`, socket options of ICMP sockets, Landlock, and the
//! names of interfaces.
//!
//! [`RecvBatch`] and [`SendBatch`] own the memory that the kernel reads and
//! writes, and return slices of it. Other modules interpret the bytes.
#![allow(
    unsafe_code,
    reason = "batched message calls and ICMP options have no safe wrapper"
)]
#![allow(
    clippy::unnecessary_cast,
    reason = "the types of lengths differ between C libraries"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{ptr, slice};

use socket2::SockAddr;

/// The size of an address that the kernel writes: a `sockaddr_in6`.
const NAME: usize = 28;

/// The room for the control messages of one packet, in words. A timestamp, a TTL,
/// a drop count and an extended error with its address need 22.
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

/// Becomes the real user and group permanently, if the program file is
/// set-user-id or set-group-id.
pub(crate) fn become_real_user() -> io::Result<()> {
    // SAFETY: these take and return integers and access no memory of this process.
    let outcome = unsafe {
        let (uid, gid) = (libc::getuid(), libc::getgid());
        if uid == libc::geteuid() && gid == libc::getegid() {
            return Ok(());
        }
        // The group first: without the user's privilege it cannot change.
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

/// Forbids this thread, and the threads that it starts, to execute, write, create
/// or remove files (Landlock, `linux/landlock.h`). Open files stay open, and
/// files may be read. Requires `no_new_privs`. The error is `ENOSYS` or
/// `EOPNOTSUPP` if the kernel has no Landlock.
pub(crate) fn forbid_files() -> io::Result<()> {
    // Every right of Landlock's first ABI except reading files (bit 2) and
    // directories (bit 3).
    const HANDLED: u64 = 0x1fff & !(1 << 2 | 1 << 3);
    let attributes: [u64; 1] = [HANDLED];
    let flags: libc::c_uint = 0;
    // SAFETY: the kernel reads as many bytes as the length says, all of them
    // those of the array. The result is a new descriptor or -1.
    let ruleset = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr(),
            size_of_val(&attributes),
            flags,
        )
    };
    if ruleset < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and has no other owner.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset as i32) };
    // SAFETY: the arguments are integers. A ruleset without rules allows none
    // of the rights that it handles.
    let outcome =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Returns the index of a network interface (`if_nametoindex`).
pub(crate) fn interface_index(name: &std::ffi::CStr) -> io::Result<u32> {
    // SAFETY: the pointer is that of a NUL-terminated string, only read.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Returns the name of a network interface (`if_indextoname`), if it exists.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    let mut name = [0_u8; libc::IFNAMSIZ];
    // SAFETY: the kernel's names with their NUL fit IFNAMSIZ bytes.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    let name = std::ffi::CStr::from_bytes_until_nul(&name).ok()?;
    (!found.is_null()).then(|| name.to_string_lossy().into_owned())
}

/// A packet in a [`RecvBatch`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedPacket<'a> {
    /// The bytes of the packet.
    pub(crate) data: &'a [u8],
    /// The control messages of the packet.
    pub(crate) control: &'a [u8],
    /// The source address or, in the error queue, the original destination.
    pub(crate) name: &'a [u8],
}

/// The buffers for a batch of received packets.
///
/// Each buffer is owned through one raw pointer, which is created once. The
/// headers hold pointers derived from it, the kernel writes through those, and
/// slices are taken only while no call is in progress. A `&mut` to a buffer in
/// between would invalidate the pointers in the headers.
pub(crate) struct RecvBatch {
    headers: RawBuffer<libc::mmsghdr>,
    vectors: RawBuffer<libc::iovec>,
    data: RawBuffer<u8>,
    control: RawBuffer<u64>,
    names: RawBuffer<[u8; NAME]>,
    /// The room for the data of one packet, in bytes.
    size: usize,
    /// The number of headers that the kernel may have changed since they were
    /// reset.
    dirty: usize,
}

/// Memory that the kernel writes through pointers in the headers.
struct RawBuffer<T> {
    start: *mut T,
    length: usize,
}

impl<T: Copy> RawBuffer<T> {
    fn new(value: T, length: usize) -> Self {
        let slice = Box::into_raw(vec![value; length].into_boxed_slice());
        Self {
            start: slice.cast(),
            length,
        }
    }

    /// Returns a pointer to `count` elements from `index` on.
    fn slice_ptr(&self, index: usize, count: usize) -> *mut T {
        assert!(index <= self.length && count <= self.length - index);
        // SAFETY: within the allocation, as just checked.
        unsafe { self.start.add(index) }
    }
}

impl<T> Drop for RawBuffer<T> {
    fn drop(&mut self) {
        // SAFETY: `new` made this pointer from a box of this length.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.start, self.length)) });
    }
}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch")
            .field("slots", &self.headers.length)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl RecvBatch {
    /// Creates buffers for `slots` packets of `size` bytes. Longer packets are
    /// truncated.
    pub(crate) fn new(slots: usize, size: usize) -> Self {
        // SAFETY: all fields are integers or pointers, for which zero is a
        // valid value.
        let (header, vector) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let batch = Self {
            headers: RawBuffer::new(header, slots),
            vectors: RawBuffer::new(vector, slots),
            data: RawBuffer::new(0, slots * size),
            control: RawBuffer::new(0, slots * CONTROL_WORDS),
            names: RawBuffer::new([0; NAME], slots),
            size,
            dirty: slots,
        };
        for slot in 0..slots {
            // SAFETY: `slice_ptr` returns pointers into buffers that this value
            // owns and that have not been shared yet.
            unsafe {
                let vector = batch.vectors.slice_ptr(slot, 1);
                (*vector).iov_base = batch.data.slice_ptr(slot * size, size).cast();
                (*vector).iov_len = size;
                let message = &raw mut (*batch.headers.slice_ptr(slot, 1)).msg_hdr;
                (*message).msg_name = batch.names.slice_ptr(slot, 1).cast();
                (*message).msg_iov = vector;
                (*message).msg_iovlen = 1;
                let control = batch.control.slice_ptr(slot * CONTROL_WORDS, CONTROL_WORDS);
                (*message).msg_control = control.cast();
            }
        }
        batch
    }

    /// Receives at most `max` packets without blocking, from the error queue of
    /// the socket if `errors`. Returns the number of packets.
    pub(crate) fn receive(&mut self, fd: impl AsFd, errors: bool, max: usize) -> io::Result<usize> {
        // The other headers have not changed since the last call.
        for slot in 0..self.dirty {
            // SAFETY: a header of this batch; no call is in progress.
            unsafe {
                let message = &raw mut (*self.headers.slice_ptr(slot, 1)).msg_hdr;
                (*message).msg_namelen = NAME as libc::socklen_t;
                (*message).msg_controllen = (CONTROL_WORDS * size_of::<u64>()) as _;
                (*message).msg_flags = 0;
            }
        }
        let flags = libc::MSG_DONTWAIT | if errors { libc::MSG_ERRQUEUE } else { 0 };
        let (fd, max) = (fd.as_fd().as_raw_fd(), max.min(self.headers.length));
        let headers = self.headers.slice_ptr(0, max);
        // SAFETY: `max` headers, each of which points to memory of this batch
        // with the lengths of that memory; slots do not overlap, and all of it
        // lives and stays in place during the call. The timeout may be null.
        let count = unsafe {
            if max == 1 {
                // recvmsg is slightly cheaper.
                let length = libc::recvmsg(fd, &raw mut (*headers).msg_hdr, flags);
                (*headers).msg_len = length.max(0) as libc::c_uint;
                if length < 0 { -1 } else { 1 }
            } else {
                let count = max as libc::c_uint;
                libc::recvmmsg(fd, headers, count, flags as _, ptr::null_mut())
            }
        };
        let received = usize::try_from(count).map_err(|_| io::Error::last_os_error());
        // The kernel may have changed one more header before it found the queue
        // empty.
        self.dirty = (received.as_ref().map_or(0, |count| *count) + 1).min(self.headers.length);
        received
    }

    /// Returns the most packets in a batch.
    pub(crate) fn slots(&self) -> usize {
        self.headers.length
    }

    /// Returns a packet of the last batch.
    pub(crate) fn packet(&self, slot: usize) -> ReceivedPacket<'_> {
        // SAFETY: a header of this batch, set by `new` and the kernel.
        let (length, message) = unsafe {
            let header = self.headers.slice_ptr(slot, 1);
            ((*header).msg_len as usize, &(*header).msg_hdr)
        };
        let name = (message.msg_namelen as usize).min(NAME);
        let control = CONTROL_WORDS * size_of::<u64>();
        let control = control.min(message.msg_controllen as usize);
        let (data, length) = (
            self.data.slice_ptr(slot * self.size, self.size),
            length.min(self.size),
        );
        let controls = self.control.slice_ptr(slot * CONTROL_WORDS, CONTROL_WORDS);
        let names = self.names.slice_ptr(slot, 1);
        // SAFETY: initialised bytes of this batch, no more than the slot has,
        // which are not written while it is borrowed: `receive` takes `&mut`.
        unsafe {
            ReceivedPacket {
                data: slice::from_raw_parts(data, length),
                control: slice::from_raw_parts(controls.cast(), control),
                name: slice::from_raw_parts(names.cast(), name),
            }
        }
    }
}

/// A batch of messages to send.
#[derive(Debug, Default)]
pub(crate) struct SendBatch {
    /// The bytes of all messages.
    data: Vec<u8>,
    /// The start and end of each message in `data`, and its destination.
    messages: Vec<(usize, usize, SockAddr)>,
}

impl SendBatch {
    /// Adds a message that `write` appends to a buffer.
    pub(crate) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.data.len();
        write(&mut self.data);
        self.messages.push((start, self.data.len(), to.into()));
    }

    /// Removes all messages from the batch.
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.messages.clear();
    }

    /// Sends the messages from index `from` on without blocking. Returns the
    /// number of messages that were sent; an error is about the first of them.
    pub(crate) fn send(&self, fd: impl AsFd, from: usize) -> io::Result<usize> {
        const MAX_MESSAGES: usize = 64;
        let messages = &self.messages[from..self.messages.len().min(from + MAX_MESSAGES)];
        if let [(start, end, to)] = messages {
            return send_one(fd.as_fd(), &self.data[*start..*end], to);
        }
        let mut vectors = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        }; MAX_MESSAGES];
        // SAFETY: all fields are integers or pointers, for which zero is valid.
        let mut headers: [libc::mmsghdr; MAX_MESSAGES] = unsafe { std::mem::zeroed() };
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
        // SAFETY: the headers point to addresses and data of this batch with
        // their lengths, and to vectors on this stack; all live during the call,
        // and the kernel only reads them, except for each header's `msg_len`.
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

/// Sends one message, which is cheaper than a batch of one.
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
    fn a_batch_is_received() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let mut outgoing = SendBatch::default();
        outgoing.push(to, |buffer| buffer.extend_from_slice(b"first"));
        outgoing.push(to, |buffer| buffer.extend_from_slice(b"a longer one"));
        assert_eq!(outgoing.send(&sender, 0).unwrap(), 2);
        let mut batch = RecvBatch::new(4, 8);
        assert_eq!(batch.receive(&receiver, false, 4).unwrap(), 2);
        assert_eq!(batch.packet(0).data, b"first");
        assert_eq!(batch.packet(1).data, b"a longer");
        let from = crate::control::address(batch.packet(1).name);
        assert_eq!(from, Some(sender.local_addr().unwrap()));
        let error = batch.receive(&receiver, false, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
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
