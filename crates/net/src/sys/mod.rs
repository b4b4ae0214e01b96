//! All unsafe code of the crate: batches of datagrams, and socket options that neither
//! socket2 nor rustix has.
//!
//! [`RecvBatch`] and [`send`] transfer several datagrams per system call with
//! `recvmmsg` and `sendmmsg` (`batch`). Systems without these calls, and builds with
//! `--cfg portable_batches`, transfer them one by one (`single`), without control
//! messages. Both have the same interface and pass the same tests.
//!
//! Why it is sound: the kernel accesses only memory that a header points to. Headers of
//! a [`RecvBatch`] point into vectors that the batch owns and never resizes, and a
//! receive borrows it exclusively. Headers of [`send`] point to borrowed slices that
//! outlive the call. All other code reads and writes the same memory through ordinary
//! slices.
#![allow(
    unsafe_code,
    reason = "batched message calls and some socket options have no safe wrapper"
)]
#![allow(
    clippy::unnecessary_cast,
    reason = "the types of lengths and flags differ between C libraries"
)]
#![cfg_attr(
    test,
    allow(
        unreachable_pub,
        reason = "tests compile both implementations, and only one is exported"
    )
)]

#[cfg(any(target_os = "linux", target_os = "android"))]
mod address;
#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    any(test, not(portable_batches))
))]
mod batch;
mod options;
#[cfg(any(
    test,
    portable_batches,
    not(any(target_os = "linux", target_os = "android"))
))]
mod single;
#[cfg(test)]
mod tests;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use address::socket_address;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable_batches)))]
pub use batch::{RecvBatch, send};
pub use options::{set_option, set_option_bytes, unacknowledged};
#[cfg(any(portable_batches, not(any(target_os = "linux", target_os = "android"))))]
pub use single::{RecvBatch, send};

use std::net::SocketAddr;

pub use rustix::net::SendFlags;
use socket2::SockAddr;

/// The maximum number of messages that one call of [`send`] sends.
pub const MAX_MESSAGES: usize = 64;

/// The buffers of a [`RecvBatch`].
#[derive(Clone, Copy, Debug)]
pub struct RecvLayout {
    /// The maximum number of packets per system call.
    pub slots: usize,
    /// The room for the data of one packet in bytes. Longer packets are truncated.
    pub size: usize,
    /// The room for the control messages of one packet in bytes.
    pub control: usize,
    /// Whether the address of each packet is needed.
    pub has_address: bool,
}

/// A received packet, the bytes of which are in the batch.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The data of the packet.
    pub data: &'a [u8],
    /// The control messages of the packet, one after the other.
    pub control: &'a [u8],
    /// Whether the packet was longer than its buffer. Without `recvmmsg` this is also
    /// true for one that fills it.
    pub is_truncated: bool,
    source: Source<'a>,
}

impl Packet<'_> {
    /// Returns the source address or, in the error queue, the original destination.
    pub fn address(&self) -> Option<SocketAddr> {
        self.source.address()
    }
}

/// A received packet that can be modified in its buffer.
#[derive(Debug)]
pub struct PacketMut<'a> {
    /// The data of the packet.
    pub data: &'a mut [u8],
    /// The control messages of the packet, one after the other.
    pub control: &'a [u8],
    source: Source<'a>,
}

impl PacketMut<'_> {
    /// Returns the source address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.source.address()
    }
}

/// The address of a packet. That of the kernel is parsed only if it is asked for.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[cfg_attr(portable_batches, allow(dead_code, reason = "only `batch` creates it"))]
    Name(&'a [u8]),
    #[cfg(any(
        test,
        portable_batches,
        not(any(target_os = "linux", target_os = "android"))
    ))]
    Address(Option<&'a SocketAddr>),
}

impl Source<'_> {
    fn address(&self) -> Option<SocketAddr> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Name(bytes) => socket_address(bytes),
            #[cfg(any(
                test,
                portable_batches,
                not(any(target_os = "linux", target_os = "android"))
            ))]
            Self::Address(address) => address.copied(),
        }
    }
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The data of the message.
    pub data: &'a [u8],
    /// The destination; `None` for that of a connected socket.
    pub to: Option<&'a SockAddr>,
    /// The control messages, one after the other. They are ignored without `sendmmsg`.
    pub control: &'a [u8],
}
