//! The ICMP socket, opened with the fewest privileges possible, and with all
//! ancillary data of the kernel enabled. One code path for both families;
//! [`OptionNumbers`] has the numbers that differ.

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};

use common::{Error, Kind, Result};
use net::sys::set_option;
use socket2::{Domain, Protocol, Socket, Type};

use crate::cli::Pmtu;
use crate::packet::IpVersion;
use crate::platform::{self, ChecksumErrors};
use crate::sys;

/// The socket options that the user can set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketOptions {
    /// The TTL or hop limit of probes.
    pub(crate) ttl: Option<u8>,
    /// The type of service or traffic class of probes.
    pub(crate) tos: Option<u8>,
    /// The path MTU discovery mode.
    pub(crate) pmtu: Option<Pmtu>,
    /// The firewall mark (`SO_MARK`).
    pub(crate) mark: Option<u32>,
    /// The source address to bind to.
    pub(crate) source: Option<IpAddr>,
    /// The interface to bind to.
    pub(crate) interface: Option<String>,
    /// Whether probes may be sent to a broadcast address.
    pub(crate) broadcast: bool,
    /// Whether to disable the loopback of multicast probes.
    pub(crate) no_loop: bool,
    /// Whether to bypass the routing table (`SO_DONTROUTE`).
    pub(crate) no_gateway: bool,
}

/// An open ICMP socket.
#[derive(Debug)]
pub(crate) struct IcmpSocket {
    version: IpVersion,
    socket: Socket,
    raw: bool,
    checksum_errors: Option<ChecksumErrors>,
}

/// The level and the names of the socket options of one family.
struct OptionNumbers {
    level: i32,
    ttl: i32,
    multicast_ttl: i32,
    multicast_loop: i32,
    tos: i32,
    receive_ttl: i32,
}

fn option_numbers(version: IpVersion) -> OptionNumbers {
    match version {
        IpVersion::V4 => OptionNumbers {
            level: libc::IPPROTO_IP,
            ttl: libc::IP_TTL,
            multicast_ttl: libc::IP_MULTICAST_TTL,
            multicast_loop: libc::IP_MULTICAST_LOOP,
            tos: libc::IP_TOS,
            receive_ttl: libc::IP_RECVTTL,
        },
        IpVersion::V6 => OptionNumbers {
            level: libc::IPPROTO_IPV6,
            ttl: libc::IPV6_UNICAST_HOPS,
            multicast_ttl: libc::IPV6_MULTICAST_HOPS,
            multicast_loop: libc::IPV6_MULTICAST_LOOP,
            tos: libc::IPV6_TCLASS,
            receive_ttl: libc::IPV6_RECVHOPLIMIT,
        },
    }
}

impl IcmpSocket {
    /// Opens a datagram socket if `net.ipv4.ping_group_range` permits it, or a
    /// raw socket.
    pub(crate) fn open(version: IpVersion, options: &SocketOptions) -> Result<Self> {
        let (domain, protocol) = match version {
            IpVersion::V4 => (Domain::IPV4, Protocol::ICMPV4),
            IpVersion::V6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        let open = |kind| {
            Socket::new(domain, kind, Some(protocol)).map(|socket| (socket, kind == Type::RAW))
        };
        let opened = match open(platform::SOCKET_TYPES[0]) {
            Err(e) if e.raw_os_error() != Some(libc::EAFNOSUPPORT) => {
                open(platform::SOCKET_TYPES[1])
            }
            outcome => outcome,
        };
        let (socket, raw) = opened.map_err(|e| open_error(version, &e))?;
        let socket = Self {
            version,
            socket,
            raw,
            checksum_errors: if raw && version == IpVersion::V6 {
                ChecksumErrors::open()
            } else {
                None
            },
        };
        socket.configure()?;
        socket.apply(options)?;
        Ok(socket)
    }

    /// Whether this is a raw socket.
    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }

    /// Returns the number of messages with a wrong checksum, which the socket's
    /// drop counter may include.
    pub(crate) fn checksum_errors(&self) -> u64 {
        self.checksum_errors
            .as_ref()
            .map_or(0, ChecksumErrors::count)
    }

    fn set(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        set_option(&self.socket, level, name, value)
    }

    /// Enables what the system reports with each packet, and a large receive buffer,
    /// and lets a raw socket receive no requests to this host.
    fn configure(&self) -> Result<()> {
        let opts = option_numbers(self.version);
        let failed = |e: io::Error| Error::local(&e).with_subject("ICMP socket");
        if !self.has_ip_header() {
            self.set(opts.level, opts.receive_ttl, 1).map_err(failed)?;
        }
        platform::configure(&self.socket, self.version).map_err(failed)?;
        if self.raw {
            platform::accept_only_replies(&self.socket, self.version).map_err(failed)?;
        }
        Ok(())
    }

    /// Whether received packets start with the IP header.
    pub(crate) fn has_ip_header(&self) -> bool {
        self.version == IpVersion::V4 && (self.raw || platform::DATAGRAMS_HAVE_IP_HEADER)
    }

    /// Makes a raw socket ignore replies to other processes. The filter costs
    /// some time for each reply, so it is used only if there are such replies.
    pub(crate) fn accept_only_replies_to(&self, id: u16) -> io::Result<()> {
        platform::accept_only_replies_to(&self.socket, self.version, id)
    }

    fn apply(&self, options: &SocketOptions) -> Result<()> {
        let opts = option_numbers(self.version);
        let failed = |subject: &str, e: io::Error| Error::local(&e).with_subject(subject);
        let values = [
            (opts.ttl, options.ttl.map(i32::from), "-t"),
            (opts.multicast_ttl, options.ttl.map(i32::from), "-t"),
            (opts.tos, options.tos.map(i32::from), "-Q"),
            (opts.multicast_loop, options.no_loop.then_some(0), "-L"),
        ];
        for (name, value, letter) in values {
            if let Some(value) = value {
                self.set(opts.level, name, value)
                    .map_err(|e| failed(letter, e))?;
            }
        }
        for (name, given, letter) in [
            (libc::SO_BROADCAST, options.broadcast, "-b"),
            (libc::SO_DONTROUTE, options.no_gateway, "-r"),
        ] {
            if given {
                self.set(libc::SOL_SOCKET, name, 1)
                    .map_err(|e| failed(letter, e))?;
            }
        }
        if let Some(mode) = options.pmtu {
            platform::set_pmtu(&self.socket, self.version, mode).map_err(|e| failed("-M", e))?;
        }
        if let Some(mark) = options.mark {
            platform::set_mark(&self.socket, mark).map_err(|e| {
                failed("-m", e).hint("-m requires the capability CAP_NET_ADMIN or CAP_NET_RAW")
            })?;
        }
        if let Some(interface) = &options.interface {
            platform::bind_interface(&self.socket, interface).map_err(|e| failed(interface, e))?;
        }
        if let Some(source) = options.source {
            let source = SocketAddr::new(source, 0);
            self.socket.bind(&source.into()).map_err(|e| {
                let is_missing = e.kind() == io::ErrorKind::AddrNotAvailable;
                match failed(&source.ip().to_string(), e) {
                    error if is_missing => {
                        error.hint("no network interface of this host has this address")
                    }
                    error => error,
                }
            })?;
        }
        Ok(())
    }
}

impl AsFd for IcmpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open_error(version: IpVersion, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::new(
            Kind::Permission,
            "no permission to send ICMP",
        )
        .hint(
            "run 'sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"' to allow every user, or \
             'setcap cap_net_raw+ep /path/to/ping' for this program only",
        ),
        Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => {
            let family = match version {
                IpVersion::V4 => "IPv4",
                IpVersion::V6 => "IPv6",
            };
            Error::new(
                Kind::Unreachable,
                format!("{family} is not available on this system"),
            )
        }
        _ => Error::local(error).with_subject("ICMP socket"),
    }
}

/// Checks that an interface of this name exists.
pub(crate) fn check_interface(name: &str) -> Result<()> {
    index_of(name)
        .map(drop)
        .map_err(|_| missing_interface().with_subject(format!("-I {name}")))
}

fn missing_interface() -> Error {
    Error::new(Kind::System, "no such network interface")
}

fn index_of(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    sys::interface_index(&name)
}

/// Returns the index of an interface that is given by name or, like a zone, by
/// number.
pub(crate) fn interface_index(name: &str) -> Result<u32> {
    let index = index_of(name);
    let digits = name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0');
    match name.parse() {
        Ok(number) if index.is_err() && digits && sys::interface_name(number).is_some() => {
            Ok(number)
        }
        _ => index.map_err(|_| missing_interface()),
    }
}

/// Determines source addresses by connecting a UDP socket, which sends no packet.
/// The socket is opened before privileges are dropped, because Linux before 5.7
/// requires a privilege to bind it to an interface.
#[derive(Debug)]
pub(crate) struct RouteLookup(Socket);

impl RouteLookup {
    /// Opens a socket for addresses of one version.
    pub(crate) fn open(version: IpVersion, interface: Option<&str>) -> io::Result<Self> {
        let domain = match version {
            IpVersion::V4 => Domain::IPV4,
            IpVersion::V6 => Domain::IPV6,
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if let Some(interface) = interface {
            platform::bind_interface(&socket, interface)?;
        }
        Ok(Self(socket))
    }

    /// Returns the source address of packets to `to`.
    pub(crate) fn source(&self, to: SocketAddr) -> io::Result<IpAddr> {
        connected_source(&self.0, to)
    }

    /// Returns the source address of packets to a broadcast address.
    pub(crate) fn broadcast_source(&self, to: SocketAddr) -> io::Result<IpAddr> {
        self.0.set_broadcast(true)?;
        connected_source(&self.0, to)
    }
}

/// Connects a socket and returns its local address.
fn connected_source(socket: &Socket, to: SocketAddr) -> io::Result<IpAddr> {
    let to = match to {
        SocketAddr::V4(v4) => SocketAddr::new((*v4.ip()).into(), 1025),
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), 1025, 0, v6.scope_id()).into(),
    };
    socket.connect(&to.into())?;
    let local = socket.local_addr()?.as_socket();
    Ok(local.map_or_else(
        || match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        },
        |local| local.ip(),
    ))
}
