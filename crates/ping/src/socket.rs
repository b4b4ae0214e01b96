//! The ICMP socket, opened with the fewest privileges possible, and with all
//! ancillary data of the kernel enabled. One code path for both families;
//! [`OptionNumbers`] has the numbers that differ.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use common::{Error, Kind, Result};
use net::sys::{set_option, set_option_bytes};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::packet::IpVersion;
use crate::sys;

/// The requested receive buffer in bytes, enough for several thousand replies.
const RECEIVE_BUFFER: i32 = 4 << 20;

/// The option `ICMP_FILTER` of `linux/icmp.h`, at level `SOL_RAW`.
const ICMP_FILTER: i32 = 1;

/// The option `ICMPV6_FILTER` of `linux/icmpv6.h`.
const ICMPV6_FILTER: i32 = 1;

/// The socket options that the user can set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketOptions {
    /// The TTL or hop limit of probes.
    pub(crate) ttl: Option<u8>,
    /// The type of service or traffic class of probes.
    pub(crate) tos: Option<u8>,
    /// The path MTU discovery mode: a value of `IP_MTU_DISCOVER`.
    pub(crate) pmtu: Option<i32>,
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

/// The system's counter of ICMPv6 messages with a wrong checksum. The drop
/// counter of an IPv6 raw socket includes them, although they were corrupted in
/// the network and not dropped for lack of buffer space.
#[derive(Debug)]
struct ChecksumErrors {
    file: File,
    /// The value when the socket was opened.
    initial: u64,
}

impl ChecksumErrors {
    /// Opens the counter. Returns `None` if the system does not have it.
    fn open() -> Option<Self> {
        let file = File::open("/proc/self/net/snmp6").ok()?;
        let initial = read_checksum_errors(&file)?;
        Some(Self { file, initial })
    }

    fn count(&self) -> u64 {
        read_checksum_errors(&self.file).map_or(0, |now| now.saturating_sub(self.initial))
    }
}

/// Reads the counter from `/proc/net/snmp6`.
fn read_checksum_errors(file: &File) -> Option<u64> {
    let mut buffer = [0; 16 * 1024];
    let mut length = 0;
    // A read may return only a part of such a file.
    loop {
        match file.read_at(&mut buffer[length..], length as u64).ok()? {
            0 => break,
            read => length += read,
        }
    }
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("Icmp6InCsumErrors"))?;
    count.trim().parse().ok()
}

/// The level and the names of the socket options of one family.
struct OptionNumbers {
    level: i32,
    ttl: i32,
    multicast_ttl: i32,
    multicast_loop: i32,
    tos: i32,
    pmtu: i32,
    receive_ttl: i32,
    receive_errors: i32,
}

fn option_numbers(version: IpVersion) -> OptionNumbers {
    match version {
        IpVersion::V4 => OptionNumbers {
            level: libc::IPPROTO_IP,
            ttl: libc::IP_TTL,
            multicast_ttl: libc::IP_MULTICAST_TTL,
            multicast_loop: libc::IP_MULTICAST_LOOP,
            tos: libc::IP_TOS,
            pmtu: libc::IP_MTU_DISCOVER,
            receive_ttl: libc::IP_RECVTTL,
            receive_errors: libc::IP_RECVERR,
        },
        IpVersion::V6 => OptionNumbers {
            level: libc::IPPROTO_IPV6,
            ttl: libc::IPV6_UNICAST_HOPS,
            multicast_ttl: libc::IPV6_MULTICAST_HOPS,
            multicast_loop: libc::IPV6_MULTICAST_LOOP,
            tos: libc::IPV6_TCLASS,
            pmtu: libc::IPV6_MTU_DISCOVER,
            receive_ttl: libc::IPV6_RECVHOPLIMIT,
            receive_errors: libc::IPV6_RECVERR,
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
        let opened = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => Ok((socket, false)),
            Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => Err(e),
            Err(_) => Socket::new(domain, Type::RAW, Some(protocol)).map(|socket| (socket, true)),
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

    /// Enables timestamps, TTLs, the error queue, drop counts and a large receive
    /// buffer, and lets a raw socket receive only echo replies.
    fn configure(&self) -> Result<()> {
        let opts = option_numbers(self.version);
        let failed = |e: io::Error| Error::local(&e).with_subject("ICMP socket");
        // An IPv4 raw socket receives the IP header with its TTL.
        if !self.raw || self.version == IpVersion::V6 {
            self.set(opts.level, opts.receive_ttl, 1).map_err(failed)?;
        }
        self.set(opts.level, opts.receive_errors, 1)
            .map_err(failed)?;
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
            .map_err(failed)?;
        self.set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
            .map_err(failed)?;
        if self
            .set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)
            .is_err()
        {
            // Without the privilege, the system caps the size at its limit.
            self.socket
                .set_recv_buffer_size(RECEIVE_BUFFER as usize)
                .map_err(failed)?;
        }
        if self.raw {
            self.accept_only_replies().map_err(failed)?;
        }
        Ok(())
    }

    /// Makes a raw socket receive only echo replies, and not, for example, requests
    /// to this host. Errors arrive through the error queue, except for
    /// IPv4's source quench and redirect, which a raw socket receives as packets.
    fn accept_only_replies(&self) -> io::Result<()> {
        let fd = self.socket.as_fd();
        let icmp_type = self.version.echo_reply();
        match self.version {
            IpVersion::V4 => {
                // A set bit blocks the ICMP type.
                let blocked = !(1u32 << icmp_type | 1 << 4 | 1 << 5);
                set_option(fd, libc::SOL_RAW, ICMP_FILTER, blocked.cast_signed())
            }
            IpVersion::V6 => {
                let mut blocked = [0xff_u8; 32];
                let word = usize::from(icmp_type) / 32;
                let bits = !(1u32 << (icmp_type % 32));
                blocked[word * 4..][..4].copy_from_slice(&bits.to_ne_bytes());
                set_option_bytes(fd, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
            }
        }
    }

    /// Makes a raw socket ignore replies to other processes. The filter costs
    /// some time for each reply, so it is used only if there are such replies.
    pub(crate) fn accept_only_replies_to(&self, id: u16) -> io::Result<()> {
        self.socket.attach_filter(&reply_filter(self.version, id))
    }

    fn apply(&self, options: &SocketOptions) -> Result<()> {
        let opts = option_numbers(self.version);
        let failed = |subject: &str, e: io::Error| Error::local(&e).with_subject(subject);
        let values = [
            (opts.ttl, options.ttl.map(i32::from), "-t"),
            (opts.multicast_ttl, options.ttl.map(i32::from), "-t"),
            (opts.tos, options.tos.map(i32::from), "-Q"),
            (opts.pmtu, options.pmtu, "-M"),
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
        if let Some(mark) = options.mark {
            self.set(libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
                .map_err(|e| {
                    failed("-m", e).hint("-m requires the capability CAP_NET_ADMIN or CAP_NET_RAW")
                })?;
        }
        if let Some(interface) = &options.interface {
            self.socket
                .bind_device(Some(interface.as_bytes()))
                .map_err(|e| failed(interface, e))?;
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

/// Returns a socket filter (BPF) that accepts echo replies with this identifier,
/// and other ICMP types. On an IPv4 raw socket it runs on the IP packet, so it
/// starts with the length of the IP header.
fn reply_filter(version: IpVersion, id: u16) -> [SockFilter; 7] {
    let instruction = |code: u32, k: u32| SockFilter::new(code as u16, 0, 0, k);
    let header = match version {
        IpVersion::V4 => instruction(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0),
        IpVersion::V6 => instruction(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, 0),
    };
    let jump_if_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let reply = u32::from(version.echo_reply());
    // The engine handles the other types that the ICMP filter accepts.
    [
        header,
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, 0),
        SockFilter::new(jump_if_equal as u16, 0, 2, reply),
        instruction(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 4),
        SockFilter::new(jump_if_equal as u16, 0, 1, u32::from(id)),
        instruction(libc::BPF_RET | libc::BPF_K, u32::MAX),
        instruction(libc::BPF_RET | libc::BPF_K, 0),
    ]
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
            socket.bind_device(Some(interface.as_bytes()))?;
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
