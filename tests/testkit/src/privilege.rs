//! The permissions of this process, for tests with expectations that depend on
//! them.

use socket2::{Domain, Protocol, Socket, Type};

/// Whether this process runs as root. In a container root may lack capabilities;
/// see [`can_ping`].
pub fn is_root() -> bool {
    crate::sys::effective_uid() == 0
}

/// Whether ICMP echo requests can be sent over IPv4: through a datagram socket
/// (sysctl `net.ipv4.ping_group_range`) or a raw one (`CAP_NET_RAW`).
pub fn can_ping() -> bool {
    icmp(Domain::IPV4, Protocol::ICMPV4)
}

/// Like [`can_ping`] for IPv6, which also needs `::1` on the loopback device.
pub fn can_ping6() -> bool {
    has_ipv6() && icmp(Domain::IPV6, Protocol::ICMPV6)
}

/// Whether a socket can be bound to `::1`.
pub fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

fn icmp(domain: Domain, protocol: Protocol) -> bool {
    [Type::DGRAM, Type::RAW]
        .into_iter()
        .any(|kind| Socket::new(domain, kind, Some(protocol)).is_ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn root_is_detected_as_by_id() {
        let out = crate::Tool::new("/usr/bin/id").arg("-u").run();
        assert_eq!(out.stdout_str() == "0\n", super::is_root());
    }
}
