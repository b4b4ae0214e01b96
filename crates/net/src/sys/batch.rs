//! Batches with `recvmmsg` and `sendmmsg`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use rustix::net::SendFlags;

use super::{MAX_MESSAGES, Message, Packet, PacketMut, RecvLayout, Source};

/// The size of an address that the kernel writes: a `sockaddr_in6`.
const NAME: usize = 28;

/// The buffers for a batch of received packets. Only the memory that packets fill is
/// touched.
///
/// The headers are filled in once, with pointers of [`Vec::as_mut_ptr`], which stay
/// valid when the vectors are borrowed as slices in between.
pub struct RecvBatch {
    layout: RecvLayout,
    headers: Vec<libc::mmsghdr>,
    /// Only the headers point to them.
    _vectors: Vec<libc::iovec>,
    data: Vec<u8>,
    control: Vec<u8>,
    names: Vec<[u8; NAME]>,
    /// The number of packets that the last call received.
    received: usize,
    /// The number of headers that the kernel may have changed since they were reset.
    dirty: usize,
}

// SAFETY: the pointers in the headers lead to memory that the batch itself owns.
unsafe impl Send for RecvBatch {}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch")
            .field("layout", &self.layout)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl RecvBatch {
    /// Allocates the buffers of a batch.
    pub fn new(layout: RecvLayout) -> Self {
        let RecvLayout {
            slots,
            size,
            control,
            has_address,
        } = layout;
        let mut data = vec![0; slots * size];
        let mut controls = vec![0; slots * control];
        let mut names = vec![[0; NAME]; if has_address { slots } else { 0 }];
        let mut vectors: Vec<libc::iovec> = (0..slots)
            .map(|slot| libc::iovec {
                iov_base: data.as_mut_ptr().wrapping_add(slot * size).cast(),
                iov_len: size,
            })
            .collect();
        let headers = (0..slots)
            .map(|slot| {
                let mut header = empty_header();
                let message = &mut header.msg_hdr;
                message.msg_iov = vectors.as_mut_ptr().wrapping_add(slot);
                message.msg_iovlen = 1;
                if has_address {
                    message.msg_name = names.as_mut_ptr().wrapping_add(slot).cast();
                }
                if control > 0 {
                    let start = controls.as_mut_ptr().wrapping_add(slot * control);
                    message.msg_control = start.cast();
                }
                header
            })
            .collect();
        Self {
            layout,
            headers,
            _vectors: vectors,
            data,
            control: controls,
            names,
            received: 0,
            dirty: slots,
        }
    }

    /// Returns the maximum number of packets in a batch.
    pub fn slots(&self) -> usize {
        self.layout.slots
    }

    /// Receives at most `max` packets without blocking. Returns the number of packets,
    /// or `WouldBlock` if none is queued.
    pub fn receive(&mut self, socket: impl AsFd, max: usize) -> io::Result<usize> {
        self.receive_with(socket, max, libc::MSG_DONTWAIT)
    }

    /// Receives at most `max` packets from the error queue of the socket.
    pub fn receive_errors(&mut self, socket: impl AsFd, max: usize) -> io::Result<usize> {
        self.receive_with(socket, max, libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE)
    }

    #[inline]
    fn receive_with(&mut self, socket: impl AsFd, max: usize, flags: i32) -> io::Result<usize> {
        let name = if self.layout.has_address { NAME } else { 0 };
        // The other headers have not changed since the last call.
        for header in &mut self.headers[..self.dirty] {
            header.msg_hdr.msg_namelen = name as libc::socklen_t;
            header.msg_hdr.msg_controllen = self.layout.control as _;
            header.msg_hdr.msg_flags = 0;
        }
        self.received = 0;
        let (fd, max) = (socket.as_fd().as_raw_fd(), max.min(self.headers.len()));
        let headers = self.headers.as_mut_ptr();
        // SAFETY: there are at least `max` headers. Each of them points to memory of this
        // batch, with the length of that memory; slots do not overlap, and all of it
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
        self.received = received.as_ref().copied().unwrap_or(0);
        // The kernel may have changed one more header before it found the queue empty.
        self.dirty = (self.received + 1).min(self.headers.len());
        received
    }

    /// Returns a packet of the last batch.
    #[inline]
    pub fn packet(&self, slot: usize) -> Packet<'_> {
        let RecvLayout { size, control, .. } = self.layout;
        let header = &self.headers[slot];
        let data = (header.msg_len as usize).min(size);
        let control_used = (header.msg_hdr.msg_controllen as usize).min(control);
        Packet {
            data: &self.data[slot * size..slot * size + data],
            control: &self.control[slot * control..slot * control + control_used],
            is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            source: name(header, self.names.get(slot)),
        }
    }

    /// Iterates over the packets of the last batch.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        (0..self.received).map(|slot| self.packet(slot))
    }

    /// Iterates over the packets of the last batch, so that they can be modified.
    pub fn packets_mut(&mut self) -> impl Iterator<Item = PacketMut<'_>> {
        let RecvLayout { size, control, .. } = self.layout;
        let (names, controls) = (&self.names, &self.control);
        let headers = self.headers[..self.received].iter().enumerate();
        headers
            .zip(self.data.chunks_exact_mut(size))
            .map(move |((slot, header), data)| {
                let control_used = (header.msg_hdr.msg_controllen as usize).min(control);
                PacketMut {
                    data: &mut data[..(header.msg_len as usize).min(size)],
                    control: &controls[slot * control..slot * control + control_used],
                    source: name(header, names.get(slot)),
                }
            })
    }
}

/// Returns the bytes of the address that the kernel has written.
#[inline]
fn name<'a>(header: &libc::mmsghdr, name: Option<&'a [u8; NAME]>) -> Source<'a> {
    let length = (header.msg_hdr.msg_namelen as usize).min(NAME);
    Source::Name(name.map_or(&[], |name| &name[..length]))
}

/// Sends messages, at most [`MAX_MESSAGES`], without blocking. Returns the number of
/// messages that were sent; an error is about the first of them. The flags apply to all
/// messages.
pub fn send<'a>(
    socket: impl AsFd,
    messages: impl IntoIterator<Item = Message<'a>>,
    flags: SendFlags,
) -> io::Result<usize> {
    // Only the parts in use are written.
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_MESSAGES];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_MESSAGES];
    let mut count = 0;
    let slots = vectors.iter_mut().zip(&mut headers);
    for ((vector, header), message) in slots.zip(messages) {
        let vector = vector.write(libc::iovec {
            iov_base: message.data.as_ptr().cast_mut().cast(),
            iov_len: message.data.len(),
        });
        let fields = &mut header.write(empty_header()).msg_hdr;
        fields.msg_iov = vector;
        fields.msg_iovlen = 1;
        if let Some(to) = message.to {
            fields.msg_name = to.as_ptr().cast_mut().cast();
            fields.msg_namelen = to.len();
        }
        if !message.control.is_empty() {
            fields.msg_control = message.control.as_ptr().cast_mut().cast();
            fields.msg_controllen = message.control.len() as _;
        }
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    let fd = socket.as_fd().as_raw_fd();
    let flags = flags.bits().cast_signed() | libc::MSG_DONTWAIT;
    let first = headers.as_mut_ptr().cast::<libc::mmsghdr>();
    // SAFETY: the first `count` headers are initialised. They point to addresses, control
    // messages and data with their lengths, and to vectors on this stack; all live during
    // the call, and the kernel only reads them, except for each header's `msg_len`.
    let sent = unsafe {
        let message = &(*first).msg_hdr;
        if count == 1 && message.msg_control.is_null() {
            // sendto is cheaper than a batch of one.
            let (data, name) = (&*message.msg_iov, message.msg_name);
            let to = (name.cast_const().cast(), message.msg_namelen);
            let length = libc::sendto(fd, data.iov_base, data.iov_len, flags, to.0, to.1);
            if length < 0 { -1 } else { 1 }
        } else {
            libc::sendmmsg(fd, first, count, flags as _)
        }
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: the struct consists of integers and pointers, for which zero is valid and
    // means that the field is not used.
    unsafe { std::mem::zeroed() }
}
