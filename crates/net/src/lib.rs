//! Network plumbing that several of the inetkit tools need.
//!
//! [`lookup()`] asks the system for the addresses of a name, and [`race`] connects to
//! the fastest of them. Event loops wait with [`poll`] and are woken by a
//! [`Waker`] or, through [`signal`], by a signal. [`descriptors`] raises the limit on
//! open descriptors. [`sys`] sends and receives datagrams in batches, and
//! [`bind_to_interface()`] restricts a socket to an interface. The module `tls`
//! (feature `tls`) has what all clients of TLS need.
//!
//! Like `common`, it contains only what a second tool needs. A tool without sockets
//! links `common` alone.

pub mod descriptors;
mod interface;
pub mod lookup;
pub mod poll;
pub mod race;
pub mod signal;
pub mod sys;
#[cfg(feature = "tls")]
pub mod tls;
mod waker;

pub use interface::bind_to_interface;
pub use lookup::lookup;
pub use race::{connect, connect_interruptible};
pub use waker::Waker;
