//! One ICMP socket: opened with the least right that will do, with everything
//! the kernel can tell switched on. The same path for both families; the
//! numbers that differ are in [`Version`]'s table here.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use common::{Error, Kind, Result};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::packet::Version;
use crate::sys;

/// The receive buffer asked for, in bytes: some thousands of replies.
const RECEIVE_BUFFER: i32 = 4 << 20;

/// `ICMP_FILTER` of `linux/icmp.h`, at level `SOL_RAW`.
const ICMP_FILTER: i32 = 1;

/// `ICMPV6_FILTER` of `linux/icmpv6.h`.
const ICMPV6_FILTER: i32 = 1;

/// What a user may set on the socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// TTL or hop limit of what is sent.
    pub(crate) ttl: Option<u8>,
    /// Type of service or traffic class.
    pub(crate) tos: Option<u8>,
    /// Path MTU discovery: a value of `IP_MTU_DISCOVER`.
    pub(crate) pmtu: Option<i32>,
    /// Firewall mark.
    pub(crate) mark: Option<u32>,
    /// Source address.
    pub(crate) source: Option<IpAddr>,
    /// Interface.
    pub(crate) interface: Option<String>,
    /// Whether a broadcast address is permitted.
    pub(crate) broadcast: bool,
    /// Whether multicast probes stay away from this host.
    pub(crate) no_loop: bool,
    /// Whether only hosts on attached networks are reached.
    pub(crate) no_gateway: bool,
}

/// An open ICMP socket.
#[derive(Debug)]
pub(crate) struct IcmpSocket {
    version: Version,
    socket: Socket,
    raw: bool,
    checksums: Option<Checksums>,
}

/// The system's count of ICMPv6 messages with a wrong checksum. An IPv6 raw
/// socket's drop counter takes these in; they were spoiled on the way and are
/// no drops of this host's.
#[derive(Debug)]
struct Checksums {
    file: File,
    /// The count when the socket was opened.
    before: u64,
}

impl Checksums {
    /// `None` where the system does not tell.
    fn open() -> Option<Self> {
        let file = File::open("/proc/self/net/snmp6").ok()?;
        let before = wrong_checksums(&file)?;
        Some(Self { file, before })
    }

    fn since(&self) -> u64 {
        wrong_checksums(&self.file).map_or(0, |now| now.saturating_sub(self.before))
    }
}

fn wrong_checksums(file: &File) -> Option<u64> {
    let mut buffer = [0; 16 * 1024];
    let mut length = 0;
    // Such a file may come in pieces.
    loop {
        match file.read_at(&mut buffer[length..], length as u64).ok()? {
            0 => break,
            more => length += more,
        }
    }
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("Icmp6InCsumErrors"))?;
    count.trim().parse().ok()
}

/// Levels and names of socket options of one family.
struct Names {
    level: i32,
    ttl: i32,
    multicast_ttl: i32,
    multicast_loop: i32,
    tos: i32,
    pmtu: i32,
    receive_ttl: i32,
    receive_errors: i32,
}

fn names(version: Version) -> Names {
    match version {
        Version::V4 => Names {
            level: libc::IPPROTO_IP,
            ttl: libc::IP_TTL,
            multicast_ttl: libc::IP_MULTICAST_TTL,
            multicast_loop: libc::IP_MULTICAST_LOOP,
            tos: libc::IP_TOS,
            pmtu: libc::IP_MTU_DISCOVER,
            receive_ttl: libc::IP_RECVTTL,
            receive_errors: libc::IP_RECVERR,
        },
        Version::V6 => Names {
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
    /// Opens a socket: a datagram one if the system lets this user's group
    /// have it, else a raw one.
    pub(crate) fn open(version: Version, options: &Options) -> Result<Self> {
        let (domain, protocol) = match version {
            Version::V4 => (Domain::IPV4, Protocol::ICMPV4),
            Version::V6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        let opened = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => Ok((socket, false)),
            Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => Err(e),
            Err(_) => Socket::new(domain, Type::RAW, Some(protocol)).map(|socket| (socket, true)),
        };
        let (socket, raw) = opened.map_err(|e| not_opened(version, &e))?;
        let socket = Self {
            version,
            socket,
            raw,
            checksums: if raw && version == Version::V6 {
                Checksums::open()
            } else {
                None
            },
        };
        socket.tell_all()?;
        socket.apply(options)?;
        Ok(socket)
    }

    /// Whether it is a raw socket.
    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }

    /// How many of the drops its counter shows may have been replies with a
    /// wrong checksum.
    pub(crate) fn spoiled(&self) -> u64 {
        self.checksums.as_ref().map_or(0, Checksums::since)
    }

    fn set(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        sys::set_option(self.socket.as_fd(), level, name, value)
    }

    /// Timestamps, TTLs, errors, drop counts, a large buffer, and nothing but
    /// echo replies.
    fn tell_all(&self) -> Result<()> {
        let names = names(self.version);
        let failed = |e: io::Error| Error::local(&e).with_subject("ICMP socket");
        // An IPv4 raw socket's packets have their header with them.
        if !self.raw || self.version == Version::V6 {
            self.set(names.level, names.receive_ttl, 1)
                .map_err(failed)?;
        }
        self.set(names.level, names.receive_errors, 1)
            .map_err(failed)?;
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
            .map_err(failed)?;
        self.set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
            .map_err(failed)?;
        if self
            .set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)
            .is_err()
        {
            // Without the right to exceed the system's limit: up to that.
            self.socket
                .set_recv_buffer_size(RECEIVE_BUFFER as usize)
                .map_err(failed)?;
        }
        if self.raw {
            self.only_replies().map_err(failed)?;
        }
        Ok(())
    }

    /// Keeps a raw socket from being woken by what is no echo reply, such as
    /// our own requests to this host. Errors do not pass here: they come by
    /// the error queue, but for IPv4's source quench and redirect, which raw
    /// sockets get as packets only.
    fn only_replies(&self) -> io::Result<()> {
        let fd = self.socket.as_fd();
        let kind = self.version.echo_reply();
        match self.version {
            Version::V4 => {
                // A set bit blocks the type.
                let blocked = !(1u32 << kind | 1 << 4 | 1 << 5);
                sys::set_option(fd, libc::SOL_RAW, ICMP_FILTER, blocked.cast_signed())
            }
            Version::V6 => {
                let mut blocked = [0xff_u8; 32];
                let word = usize::from(kind) / 32;
                let bits = !(1u32 << (kind % 32));
                blocked[word * 4..][..4].copy_from_slice(&bits.to_ne_bytes());
                sys::set_bytes(fd, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
            }
        }
    }

    /// Keeps the replies to others away from a raw socket. It costs something
    /// for each reply of our own, so it is for hosts where others ping too.
    pub(crate) fn only_replies_to(&self, id: u16) -> io::Result<()> {
        self.socket.attach_filter(&program(self.version, id))
    }

    fn apply(&self, options: &Options) -> Result<()> {
        let names = names(self.version);
        let failed = |what: &str, e: io::Error| Error::local(&e).with_subject(what);
        let values = [
            (names.ttl, options.ttl.map(i32::from), "-t"),
            (names.multicast_ttl, options.ttl.map(i32::from), "-t"),
            (names.tos, options.tos.map(i32::from), "-Q"),
            (names.pmtu, options.pmtu, "-M"),
            (names.multicast_loop, options.no_loop.then_some(0), "-L"),
        ];
        for (name, value, letter) in values {
            if let Some(value) = value {
                self.set(names.level, name, value)
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
                    failed("-m", e).hint("marking packets needs CAP_NET_ADMIN or CAP_NET_RAW")
                })?;
        }
        if let Some(interface) = &options.interface {
            self.socket
                .bind_device(Some(interface.as_bytes()))
                .map_err(|e| failed(interface, e))?;
        }
        if let Some(source) = options.source {
            let source = SocketAddr::new(source, 0);
            self.socket
                .bind(&source.into())
                .map_err(|e| failed(&source.ip().to_string(), e))?;
        }
        Ok(())
    }
}

impl AsFd for IcmpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The socket filter "an echo reply with this identifier". Linux shows an IPv4
/// raw socket's filter the IP header, whose length has to be looked up.
fn program(version: Version, id: u16) -> [SockFilter; 7] {
    let instruction = |code: u32, k: u32| SockFilter::new(code as u16, 0, 0, k);
    let header = match version {
        Version::V4 => instruction(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0),
        Version::V6 => instruction(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, 0),
    };
    let is_ours = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let reply = u32::from(version.echo_reply());
    // Other types that the ICMP filter lets through are judged later.
    [
        header,
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, 0),
        SockFilter::new(is_ours as u16, 0, 2, reply),
        instruction(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 4),
        SockFilter::new(is_ours as u16, 0, 1, u32::from(id)),
        instruction(libc::BPF_RET | libc::BPF_K, u32::MAX),
        instruction(libc::BPF_RET | libc::BPF_K, 0),
    ]
}

fn not_opened(version: Version, error: &io::Error) -> Error {
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
                Version::V4 => "IPv4",
                Version::V6 => "IPv6",
            };
            Error::new(
                Kind::Unreachable,
                format!("{family} is not available on this system"),
            )
        }
        _ => Error::local(error).with_subject("ICMP socket"),
    }
}

/// An error if an interface of this name does not exist.
pub(crate) fn check_interface(name: &str) -> Result<()> {
    index_of(name)
        .map(drop)
        .map_err(|_| no_interface(name).with_subject("-I"))
}

fn no_interface(name: &str) -> Error {
    Error::new(Kind::System, format!("no network interface {name} here"))
}

fn index_of(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    sys::interface_index(&name)
}

/// The number of an interface, given by name or, as zones may be, by number.
pub(crate) fn interface_index(name: &str) -> Result<u32> {
    let index = index_of(name);
    let digits = name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0');
    match name.parse() {
        Ok(number) if index.is_err() && digits && sys::interface_name(number).is_some() => {
            Ok(number)
        }
        _ => index.map_err(|_| no_interface(name)),
    }
}

/// A way to ask routing for a source address. No packet is sent. It is opened
/// early, since Linux before 5.7 lets only some bind to an interface.
#[derive(Debug)]
pub(crate) struct Route(Socket);

impl Route {
    /// Ready to ask about addresses of one version.
    pub(crate) fn open(version: Version, interface: Option<&str>) -> io::Result<Self> {
        let domain = match version {
            Version::V4 => Domain::IPV4,
            Version::V6 => Domain::IPV6,
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        Ok(Self(socket))
    }

    /// The address that packets to `to` would come from, as routing has it now.
    pub(crate) fn source(&self, to: SocketAddr) -> io::Result<IpAddr> {
        source_of(&self.0, to)
    }
}

impl Route {
    /// The same for a broadcast address.
    pub(crate) fn broadcast_source(&self, to: SocketAddr) -> io::Result<IpAddr> {
        self.0.set_broadcast(true)?;
        source_of(&self.0, to)
    }
}

fn source_of(socket: &Socket, to: SocketAddr) -> io::Result<IpAddr> {
    let to = match to {
        SocketAddr::V4(v4) => SocketAddr::new((*v4.ip()).into(), 1025),
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), 1025, 0, v6.scope_id()).into(),
    };
    socket.connect(&to.into())?;
    let own = socket.local_addr()?.as_socket();
    Ok(own.map_or_else(
        || match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        },
        |own| own.ip(),
    ))
}
