//! Parses control messages (`cmsg(3)`) and socket addresses from the bytes that
//! the kernel has written next to a packet. It does no I/O and is bounded; one code path for
//! both families.

use std::net::IpAddr;

#[cfg(target_os = "linux")]
pub use net::sys::socket_address as address;

#[cfg(target_os = "linux")]
/// The size of a `struct cmsghdr` in bytes: length, level and type.
const HEADER: usize = size_of::<usize>() + 8;

#[cfg(target_os = "linux")]
/// The size of a `struct sock_extended_err` in bytes.
const EXTENDED_ERROR: usize = 16;

/// The source of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The error is from this host (`SO_EE_ORIGIN_LOCAL`).
    Local,
    /// An ICMP or ICMPv6 message (`SO_EE_ORIGIN_ICMP`, `SO_EE_ORIGIN_ICMP6`).
    Icmp,
    /// Any other origin, such as a transmit timestamp.
    Other,
}

/// A `struct sock_extended_err` and the address that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// The error number (`errno`).
    pub errno: i32,
    /// The source of the error.
    pub origin: Origin,
    /// The type of the ICMP message.
    pub icmp_type: u8,
    /// The code of the ICMP message.
    pub code: u8,
    /// The MTU, or the pointer of a parameter problem.
    pub info: u32,
    /// The host that sent the ICMP message.
    pub offender: Option<IpAddr>,
}

/// The control messages of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The TTL or hop limit with which the packet arrived.
    pub ttl: Option<u8>,
    /// When the kernel received it, in nanoseconds of the wall clock.
    pub timestamp: Option<u64>,
    /// The packets dropped so far because the socket's buffer was full.
    pub drops: Option<u32>,
    /// The error, if the packet is from the error queue.
    pub error: Option<ExtendedError>,
}

/// Returns nothing, since only Linux has the messages that this module knows.
#[cfg(not(target_os = "linux"))]
pub fn parse(_: &[u8]) -> Control {
    Control::default()
}

/// Parses the control messages of one packet. Skips unknown and short messages;
/// stops at a message with a wrong length.
#[cfg(target_os = "linux")]
pub fn parse(mut bytes: &[u8]) -> Control {
    let mut control = Control::default();
    while let Some((header, _)) = bytes.split_at_checked(HEADER) {
        let length = usize::from_ne_bytes(array(header, 0));
        let level = i32::from_ne_bytes(array(header, HEADER - 8));
        let kind = i32::from_ne_bytes(array(header, HEADER - 4));
        let Some(data) = bytes.get(HEADER..length) else {
            break;
        };
        read_message(&mut control, level, kind, data);
        let aligned = length.next_multiple_of(size_of::<usize>());
        bytes = bytes.get(aligned..).unwrap_or_default();
    }
    control
}

#[cfg(target_os = "linux")]
fn read_message(control: &mut Control, level: i32, kind: i32, data: &[u8]) {
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
            if data.len() >= 4 =>
        {
            control.ttl = u8::try_from(i32::from_ne_bytes(array(data, 0))).ok();
        }
        // The data is a `struct timespec`: two words.
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if data.len() >= 2 * size_of::<isize>() => {
            let seconds = isize::from_ne_bytes(array(data, 0));
            let nanos = isize::from_ne_bytes(array(data, size_of::<isize>()));
            control.timestamp = nanoseconds(seconds, nanos);
        }
        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) if data.len() >= 4 => {
            control.drops = Some(u32::from_ne_bytes(array(data, 0)));
        }
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            control.error = extended_error(data);
        }
        _ => {}
    }
}

#[cfg(target_os = "linux")]
fn nanoseconds(seconds: isize, nanos: isize) -> Option<u64> {
    let seconds = u64::try_from(seconds).ok()?;
    let nanos = u64::try_from(nanos).ok().filter(|n| *n < 1_000_000_000)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(target_os = "linux")]
fn extended_error(data: &[u8]) -> Option<ExtendedError> {
    let (error, offender) = data.split_at_checked(EXTENDED_ERROR)?;
    Some(ExtendedError {
        errno: i32::from_ne_bytes(array(error, 0)),
        origin: match error[4] {
            1 => Origin::Local,
            2 | 3 => Origin::Icmp,
            _ => Origin::Other,
        },
        icmp_type: error[5],
        code: error[6],
        info: u32::from_ne_bytes(array(error, 8)),
        offender: address(offender).map(|address| address.ip()),
    })
}

#[cfg(target_os = "linux")]
/// Copies `N` bytes from `offset` on. The caller has checked the length.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn all_known_messages_are_parsed() {
        let mut bytes = message(libc::IPPROTO_IP, libc::IP_TTL, &63i32.to_ne_bytes());
        let mut time = 1_700_000_000isize.to_ne_bytes().to_vec();
        time.extend(5isize.to_ne_bytes());
        bytes.extend(message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time));
        bytes.extend(message(9999, 1, b"unknown"));
        let ovfl = 7u32.to_ne_bytes();
        bytes.extend(message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &ovfl));
        let control = parse(&bytes);
        assert_eq!(control.ttl, Some(63));
        assert_eq!(control.timestamp, Some(1_700_000_000_000_000_005));
        assert_eq!(control.drops, Some(7));
        assert_eq!(control.error, None);
    }

    #[test]
    fn an_error_names_the_router_and_the_mtu() {
        let mut data = libc::EMSGSIZE.to_ne_bytes().to_vec();
        data.extend([2, 3, 4, 0]);
        data.extend(1280u32.to_ne_bytes());
        data.extend([0; 4]);
        data.extend((libc::AF_INET as u16).to_ne_bytes());
        data.extend([0, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let control = parse(&message(libc::IPPROTO_IP, libc::IP_RECVERR, &data));
        let error = control.error.unwrap();
        assert_eq!((error.icmp_type, error.code, error.info), (3, 4, 1280));
        assert_eq!(error.origin, Origin::Icmp);
        assert_eq!(error.offender, Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn impossible_times_are_rejected() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (isize::MAX, 0)] {
            assert_eq!(nanoseconds(seconds, nanos), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = address(&bytes);
        }

        #[test]
        fn truncated_messages_are_skipped(cut in 0usize..24) {
            let bytes = message(libc::IPPROTO_IP, libc::IP_TTL, &63i32.to_ne_bytes());
            let control = parse(&bytes[..cut]);
            // Complete from 20 bytes on: the last four are padding.
            prop_assert_eq!(control.ttl.is_some(), cut >= 20);
        }
    }
}
