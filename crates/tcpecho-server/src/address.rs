//! Addresses of the server and its peers, and the protocols between them, as the
//! event log shows them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::text;
use serde::Serialize;
use socket2::SockAddr;

/// The protocol that carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// TCP, with or without TLS.
    Tcp,
    /// UDP datagrams, each of which is one chunk.
    Udp,
    /// A Unix stream socket.
    Unix,
}

/// The address of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// An IP address and a port. [`Address::inet`] turns mapped IPv4 addresses
    /// into plain ones.
    Inet(SocketAddr),
    /// The path of a Unix socket.
    Unix(Box<Path>),
    /// A name in Linux's abstract namespace of Unix sockets.
    Abstract(Box<[u8]>),
    /// A Unix socket without a name, identified by its connection's id.
    Unnamed(u64),
}

impl Address {
    /// Converts an IP address and port. A mapped IPv4 address becomes an IPv4
    /// address; scope and flow label are dropped.
    pub(crate) fn inet(address: SocketAddr) -> Self {
        Self::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// Converts the address of a Unix socket.
    pub(crate) fn unix(address: &SockAddr) -> Self {
        if let Some(path) = address.as_pathname() {
            return Self::Unix(path.into());
        }
        match address.as_abstract_namespace() {
            Some(name) => Self::Abstract(name.into()),
            None => Self::Unnamed(0),
        }
    }

    /// Returns the protocol of stream connections at this address.
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Inet(_) => Protocol::Tcp,
            Self::Unix(_) | Self::Abstract(_) | Self::Unnamed(_) => Protocol::Unix,
        }
    }

    /// Returns the IP address, or `None` for a Unix socket.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix(_) | Self::Abstract(_) | Self::Unnamed(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Only listening addresses have a scope. It is shown so that a
            // client can connect to the address; the flow label is of no use.
            Self::Inet(SocketAddr::V6(a)) if a.scope_id() != 0 => {
                write!(f, "[{}%{}]:{}", a.ip(), a.scope_id(), a.port())
            }
            Self::Inet(SocketAddr::V6(a)) => write!(f, "[{}]:{}", a.ip(), a.port()),
            Self::Inet(address) => write!(f, "{address}"),
            Self::Unix(path) => {
                write!(f, "unix:{}", text::escape(path.as_os_str().as_bytes()))
            }
            Self::Abstract(name) => write!(f, "unix:@{}", text::escape(name)),
            Self::Unnamed(id) => write!(f, "unix:#{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_has_a_text_form() {
        let show = |a: &str| Address::inet(a.parse().unwrap()).to_string();
        assert_eq!(show("127.0.0.1:7"), "127.0.0.1:7");
        assert_eq!(show("[::ffff:192.0.2.1]:7"), "192.0.2.1:7");
        assert_eq!(show("[2001:db8::1]:7"), "[2001:db8::1]:7");
        assert_eq!(show("[fe80::1%3]:7"), "[fe80::1]:7");
        let listening = Address::Inet("[fe80::1%3]:7".parse().unwrap());
        assert_eq!(listening.to_string(), "[fe80::1%3]:7");
        let path = Address::Unix(Path::new("/tmp/a\tb").into());
        assert_eq!(path.to_string(), "unix:/tmp/a\\x09b");
        let name = Address::Abstract(b"a\0b"[..].into());
        assert_eq!(name.to_string(), "unix:@a\\x00b");
        assert_eq!(Address::Unnamed(3).to_string(), "unix:#3");
    }
}
