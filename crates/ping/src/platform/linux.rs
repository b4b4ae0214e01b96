//! Linux: the error queue, socket filters, path MTU modes, and capabilities.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use net::sys::{set_option, set_option_bytes};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use socket2::{SockFilter, Socket, Type};

use crate::cli::Pmtu;
use crate::packet::IpVersion;
use crate::sys;

/// The requested receive buffer in bytes, enough for several thousand replies.
const RECEIVE_BUFFER: i32 = 4 << 20;

/// The option `ICMP_FILTER` of `linux/icmp.h`, at level `SOL_RAW`.
const ICMP_FILTER: i32 = 1;

/// The option `ICMPV6_FILTER` of `linux/icmpv6.h`.
const ICMPV6_FILTER: i32 = 1;

/// The types of ICMP sockets, in the order in which they are tried.
pub(crate) const SOCKET_TYPES: [Type; 2] = [Type::DGRAM, Type::RAW];

/// Whether IPv4 datagram sockets receive the IP header.
pub(crate) const DATAGRAMS_HAVE_IP_HEADER: bool = false;

/// Whether sockets have an error queue. Otherwise ICMP errors arrive like replies.
pub(crate) const HAS_ERROR_QUEUE: bool = true;

/// The system's counter of ICMPv6 messages with a wrong checksum. The drop
/// counter of an IPv6 raw socket includes them, although they were corrupted in
/// the network and not dropped for lack of buffer space.
#[derive(Debug)]
pub(crate) struct ChecksumErrors {
    file: File,
    /// The value when the socket was opened.
    initial: u64,
}

impl ChecksumErrors {
    /// Opens the counter. Returns `None` if the system does not have it.
    pub(crate) fn open() -> Option<Self> {
        let file = File::open("/proc/self/net/snmp6").ok()?;
        let initial = read_checksum_errors(&file)?;
        Some(Self { file, initial })
    }

    /// Returns the number of messages since the counter was opened.
    pub(crate) fn count(&self) -> u64 {
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

/// Enables timestamps, the error queue, drop counts and a large receive buffer.
pub(crate) fn configure(socket: &Socket, version: IpVersion) -> io::Result<()> {
    let (level, receive_errors) = match version {
        IpVersion::V4 => (libc::IPPROTO_IP, libc::IP_RECVERR),
        IpVersion::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    set_option(socket, level, receive_errors, 1)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    let forced = set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        RECEIVE_BUFFER,
    );
    match forced {
        Ok(()) => Ok(()),
        // Without the privilege, the system caps the size at its limit.
        Err(_) => socket.set_recv_buffer_size(RECEIVE_BUFFER as usize),
    }
}

/// Makes a raw socket receive only echo replies, and not, for example, requests
/// to this host. Errors arrive through the error queue, except for
/// IPv4's source quench and redirect, which a raw socket receives as packets.
pub(crate) fn accept_only_replies(socket: &Socket, version: IpVersion) -> io::Result<()> {
    let icmp_type = version.echo_reply();
    match version {
        IpVersion::V4 => {
            // A set bit blocks the ICMP type.
            let blocked = !(1u32 << icmp_type | 1 << 4 | 1 << 5);
            set_option(socket, libc::SOL_RAW, ICMP_FILTER, blocked.cast_signed())
        }
        IpVersion::V6 => {
            let mut blocked = [0xff_u8; 32];
            let word = usize::from(icmp_type) / 32;
            let bits = !(1u32 << (icmp_type % 32));
            blocked[word * 4..][..4].copy_from_slice(&bits.to_ne_bytes());
            set_option_bytes(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
        }
    }
}

/// Makes a raw socket ignore replies to other processes.
pub(crate) fn accept_only_replies_to(
    socket: &Socket,
    version: IpVersion,
    id: u16,
) -> io::Result<()> {
    socket.attach_filter(&reply_filter(version, id))
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

/// Sets the path MTU discovery mode.
pub(crate) fn set_pmtu(socket: &Socket, version: IpVersion, mode: Pmtu) -> io::Result<()> {
    let (level, name) = match version {
        IpVersion::V4 => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        IpVersion::V6 => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    };
    // The values are the same for both families.
    let value = match mode {
        Pmtu::Do => libc::IP_PMTUDISC_DO,
        Pmtu::Want => libc::IP_PMTUDISC_WANT,
        Pmtu::Dont => libc::IP_PMTUDISC_DONT,
        Pmtu::Probe => libc::IP_PMTUDISC_PROBE,
    };
    set_option(socket, level, name, value)
}

/// Sets the firewall mark.
pub(crate) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
}

/// Binds a socket to an interface.
pub(crate) fn bind_interface(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

/// Makes waits end on time and not up to 50 us later. If that fails, waits are less
/// precise.
pub(crate) fn reduce_timer_slack() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// Drops all capabilities for good and, if the kernel has Landlock, the right to write,
/// create and execute files.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)?;
    set_no_new_privs(true)?;
    // The rest of the run writes and executes no file. The kernel may lack
    // Landlock.
    let _ = sys::forbid_files();
    Ok(())
}
