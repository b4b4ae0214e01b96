//! Addresses as the log shows them, the server's own and its peers'.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::text;
use socket2::SockAddr;

use crate::event::Protocol;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// An IP address and a port; a mapped IPv4 address is an IPv4 one.
    Inet(SocketAddr),
    /// A Unix socket with a name.
    Unix(Box<Path>),
    /// A Unix socket with a name in Linux's abstract namespace.
    Abstract(Box<[u8]>),
    /// A Unix socket without one, told apart by the connection's number.
    Unnamed(u64),
}

impl Peer {
    /// An IP address, unmapped.
    pub(crate) fn inet(address: SocketAddr) -> Self {
        Self::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The name of a Unix socket.
    pub(crate) fn unix(address: &SockAddr) -> Self {
        if let Some(path) = address.as_pathname() {
            return Self::Unix(path.into());
        }
        match address.as_abstract_namespace() {
            Some(name) => Self::Abstract(name.into()),
            None => Self::Unnamed(0),
        }
    }

    /// What a stream from or to it is carried by.
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Inet(_) => Protocol::Tcp,
            Self::Unix(_) | Self::Abstract(_) | Self::Unnamed(_) => Protocol::Unix,
        }
    }

    /// The IP address, if it has one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix(_) | Self::Abstract(_) | Self::Unnamed(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Of the server's own addresses, so that a client can use it; the
            // flow says nothing to a reader of the log.
            Self::Inet(SocketAddr::V6(a)) if a.scope_id() != 0 => {
                write!(f, "[{}%{}]:{}", a.ip(), a.scope_id(), a.port())
            }
            Self::Inet(SocketAddr::V6(a)) => write!(f, "[{}]:{}", a.ip(), a.port()),
            Self::Inet(address) => write!(f, "{address}"),
            Self::Unix(path) => {
                write!(f, "unix:{}", text::escape(path.as_os_str().as_bytes()))
            }
            Self::Abstract(name) => write!(f, "unix:@{}", text::escape(name)),
            Self::Unnamed(number) => write!(f, "unix:#{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let show = |a: &str| Peer::inet(a.parse().unwrap()).to_string();
        assert_eq!(show("127.0.0.1:7"), "127.0.0.1:7");
        assert_eq!(show("[::ffff:192.0.2.1]:7"), "192.0.2.1:7");
        assert_eq!(show("[2001:db8::1]:7"), "[2001:db8::1]:7");
        assert_eq!(show("[fe80::1%3]:7"), "[fe80::1]:7");
        let own = Peer::Inet("[fe80::1%3]:7".parse().unwrap());
        assert_eq!(own.to_string(), "[fe80::1%3]:7");
        let path = Peer::Unix(Path::new("/tmp/a\tb").into());
        assert_eq!(path.to_string(), "unix:/tmp/a\\x09b");
        let name = Peer::Abstract(b"a\0b"[..].into());
        assert_eq!(name.to_string(), "unix:@a\\x00b");
        assert_eq!(Peer::Unnamed(3).to_string(), "unix:#3");
    }
}
