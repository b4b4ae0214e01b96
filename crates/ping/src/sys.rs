//! The system calls that neither std nor socket2 nor rustix has a safe face
//! for: `sendmmsg`, `recvmmsg`, and socket options of ICMP sockets.
//!
//! [`Inbox`] and [`Outbox`] own the memory the kernel reads and writes, and
//! hand out slices; everything about what the bytes mean is elsewhere.
#![allow(
    unsafe_code,
    reason = "batched message calls and ICMP options have no safe wrapper"
)]
#![allow(
    clippy::unnecessary_cast,
    reason = "other C libraries than glibc have lengths of other types"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{ptr, slice};

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

/// Forbids this thread, and threads it starts, to execute, write, create or
/// remove files (Landlock, `linux/landlock.h`). What is open stays open, and
/// files may be read. Needs `no_new_privs`. `ENOSYS` or `EOPNOTSUPP` where the
/// kernel has no Landlock.
pub(crate) fn forbid_files() -> io::Result<()> {
    // Every right of the first version of its interface but reading files (2)
    // and directories (3).
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
    // SAFETY: the arguments are integers. Without a rule nothing that the
    // ruleset handles is allowed.
    let outcome =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) };
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
///
/// Each area is owned through one raw pointer, made once: the headers hold
/// pointers derived from it, the kernel writes through those, and slices are
/// taken only while no call is under way. A `&mut` to an area in between would
/// make the pointers in the headers invalid.
pub(crate) struct Inbox {
    headers: Area<libc::mmsghdr>,
    vectors: Area<libc::iovec>,
    data: Area<u8>,
    control: Area<u64>,
    names: Area<[u8; NAME]>,
    /// Bytes of data for each packet.
    size: usize,
    /// How many headers the kernel may have changed since they were set.
    used: usize,
}

/// Memory that the kernel writes.
struct Area<T> {
    start: *mut T,
    length: usize,
}

impl<T: Copy> Area<T> {
    fn new(value: T, length: usize) -> Self {
        let slice = Box::into_raw(vec![value; length].into_boxed_slice());
        Self {
            start: slice.cast(),
            length,
        }
    }

    /// A pointer to `count` elements from `index` on.
    fn at(&self, index: usize, count: usize) -> *mut T {
        assert!(index <= self.length && count <= self.length - index);
        // SAFETY: within the allocation, as just checked.
        unsafe { self.start.add(index) }
    }
}

impl<T> Drop for Area<T> {
    fn drop(&mut self) {
        // SAFETY: this is what `new` made of a box.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.start, self.length)) });
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("slots", &self.headers.length)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// Room for `slots` packets of `size` bytes; longer ones are cut.
    pub(crate) fn new(slots: usize, size: usize) -> Self {
        // SAFETY: all fields are integers or pointers, for which zero is a
        // valid value.
        let (header, vector) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let inbox = Self {
            headers: Area::new(header, slots),
            vectors: Area::new(vector, slots),
            data: Area::new(0, slots * size),
            control: Area::new(0, slots * CONTROL_WORDS),
            names: Area::new([0; NAME], slots),
            size,
            used: slots,
        };
        for slot in 0..slots {
            // SAFETY: `at` gives places within areas that this value owns and
            // nobody else has seen yet.
            unsafe {
                let vector = inbox.vectors.at(slot, 1);
                (*vector).iov_base = inbox.data.at(slot * size, size).cast();
                (*vector).iov_len = size;
                let message = &raw mut (*inbox.headers.at(slot, 1)).msg_hdr;
                (*message).msg_name = inbox.names.at(slot, 1).cast();
                (*message).msg_iov = vector;
                (*message).msg_iovlen = 1;
                let control = inbox.control.at(slot * CONTROL_WORDS, CONTROL_WORDS);
                (*message).msg_control = control.cast();
            }
        }
        inbox
    }

    /// Receives what is there, up to `most` packets, without waiting: from the
    /// socket's error queue or from its ordinary one. Returns how many came.
    pub(crate) fn receive(
        &mut self,
        fd: impl AsFd,
        errors: bool,
        most: usize,
    ) -> io::Result<usize> {
        // The others still are as they were set the last time.
        for slot in 0..self.used {
            // SAFETY: a header of this inbox; no call is under way.
            unsafe {
                let message = &raw mut (*self.headers.at(slot, 1)).msg_hdr;
                (*message).msg_namelen = NAME as libc::socklen_t;
                (*message).msg_controllen = (CONTROL_WORDS * size_of::<u64>()) as _;
                (*message).msg_flags = 0;
            }
        }
        let flags = libc::MSG_DONTWAIT | if errors { libc::MSG_ERRQUEUE } else { 0 };
        let (fd, most) = (fd.as_fd().as_raw_fd(), most.min(self.headers.length));
        let headers = self.headers.at(0, most);
        // SAFETY: `most` headers, each of which points to memory of this inbox
        // with the lengths of that memory; slots do not overlap, and all of it
        // lives and stays in place over the call. The time limit may be null.
        let count = unsafe {
            if most == 1 {
                // The plain call is a little cheaper.
                let length = libc::recvmsg(fd, &raw mut (*headers).msg_hdr, flags);
                (*headers).msg_len = length.max(0) as libc::c_uint;
                if length < 0 { -1 } else { 1 }
            } else {
                let count = most as libc::c_uint;
                libc::recvmmsg(fd, headers, count, flags as _, ptr::null_mut())
            }
        };
        let received = usize::try_from(count).map_err(|_| io::Error::last_os_error());
        // One more may have been touched when the kernel found no more.
        self.used = (received.as_ref().map_or(0, |count| *count) + 1).min(self.headers.length);
        received
    }

    /// How many packets a batch may have.
    pub(crate) fn slots(&self) -> usize {
        self.headers.length
    }

    /// A packet of the last batch.
    pub(crate) fn packet(&self, slot: usize) -> Packet<'_> {
        // SAFETY: a header of this inbox, set by `new` and the kernel.
        let (length, message) = unsafe {
            let header = self.headers.at(slot, 1);
            ((*header).msg_len as usize, &(*header).msg_hdr)
        };
        let name = (message.msg_namelen as usize).min(NAME);
        let control = CONTROL_WORDS * size_of::<u64>();
        let control = control.min(message.msg_controllen as usize);
        let (data, length) = (
            self.data.at(slot * self.size, self.size),
            length.min(self.size),
        );
        let controls = self.control.at(slot * CONTROL_WORDS, CONTROL_WORDS);
        let names = self.names.at(slot, 1);
        // SAFETY: initialised bytes of this inbox, no more than the slot has,
        // which nobody writes while it is borrowed: `receive` takes `&mut`.
        unsafe {
            Packet {
                data: slice::from_raw_parts(data, length),
                control: slice::from_raw_parts(controls.cast(), control),
                name: slice::from_raw_parts(names.cast(), name),
            }
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
