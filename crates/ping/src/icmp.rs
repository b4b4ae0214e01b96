//! The meaning of ICMP errors: iputils' text for each, and a name for machine
//! output. Pure.

use std::net::{IpAddr, Ipv4Addr};

use common::Kind;
use serde::Serialize;

use crate::packet::IpVersion;

/// An ICMP error about one of the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    /// Whether the numbers are those of ICMP or of ICMPv6.
    pub(crate) version: IpVersion,
    pub(crate) icmp_type: u8,
    pub(crate) code: u8,
    /// The MTU of the next hop, or the pointer of a parameter problem.
    pub(crate) info: u32,
    /// The address that sent it, if the kernel reports that.
    pub(crate) from: Option<IpAddr>,
}

/// The object `icmp` of a JSON record.
#[derive(Debug, Serialize)]
pub(crate) struct IcmpRecord {
    r#type: u8,
    code: u8,
    name: &'static str,
    from: Option<IpAddr>,
    mtu: Option<u32>,
}

impl IcmpError {
    /// Returns the object `icmp` of a JSON record.
    pub(crate) fn to_record(self) -> IcmpRecord {
        IcmpRecord {
            r#type: self.icmp_type,
            code: self.code,
            name: self.name(),
            from: self.from,
            mtu: self.mtu(),
        }
    }

    /// Returns the MTU of the next hop if this is a packet-too-big error. Old
    /// routers leave the MTU zero (RFC 1191).
    pub(crate) fn mtu(&self) -> Option<u32> {
        let too_big = match self.version {
            IpVersion::V4 => self.icmp_type == 3 && self.code == 4,
            IpVersion::V6 => self.icmp_type == 2,
        };
        (too_big && self.info > 0).then_some(self.info)
    }

    /// Whether the packet was not delivered. After a redirect or a source quench
    /// the reply may still come.
    pub(crate) fn is_error(&self) -> bool {
        match self.version {
            IpVersion::V4 => !matches!(self.icmp_type, 4 | 5),
            IpVersion::V6 => self.icmp_type < 128,
        }
    }

    /// Returns a name in snake case, after the IANA registry.
    pub(crate) fn name(&self) -> &'static str {
        match (self.version, self.icmp_type, self.code) {
            (IpVersion::V4, 3, 0) => "net_unreachable",
            (IpVersion::V4, 3, 1) => "host_unreachable",
            (IpVersion::V4, 3, 2) => "protocol_unreachable",
            (IpVersion::V4, 3, 3) | (IpVersion::V6, 1, 4) => "port_unreachable",
            (IpVersion::V4, 3, 4) => "fragmentation_needed",
            (IpVersion::V4, 3, 5) => "source_route_failed",
            (IpVersion::V4, 3, 6) => "net_unknown",
            (IpVersion::V4, 3, 7) => "host_unknown",
            (IpVersion::V4, 3, 8) => "source_host_isolated",
            (IpVersion::V4, 3, 9) => "net_prohibited",
            (IpVersion::V4, 3, 10) => "host_prohibited",
            (IpVersion::V4, 3, 11) => "net_unreachable_for_tos",
            (IpVersion::V4, 3, 12) => "host_unreachable_for_tos",
            (IpVersion::V4, 3, 13) | (IpVersion::V6, 1, 1) => "admin_prohibited",
            (IpVersion::V4, 3, 14) => "precedence_violation",
            (IpVersion::V4, 3, 15) => "precedence_cutoff",
            (IpVersion::V4, 4, _) => "source_quench",
            (IpVersion::V4, 5, _) | (IpVersion::V6, 137, _) => "redirect",
            (IpVersion::V4, 11, 0) => "ttl_exceeded",
            (IpVersion::V6, 3, 0) => "hop_limit_exceeded",
            (IpVersion::V4, 11, 1) | (IpVersion::V6, 3, 1) => "reassembly_time_exceeded",
            (IpVersion::V4, 11, _) | (IpVersion::V6, 3, _) => "time_exceeded",
            (IpVersion::V4, 12, _) | (IpVersion::V6, 4, _) => "parameter_problem",
            (IpVersion::V6, 1, 0) => "no_route",
            (IpVersion::V6, 1, 2) => "beyond_scope",
            (IpVersion::V6, 1, 3) => "address_unreachable",
            (IpVersion::V6, 1, 5) => "source_policy_failed",
            (IpVersion::V6, 1, 6) => "reject_route",
            (IpVersion::V4, 3, _) | (IpVersion::V6, 1, _) => "unreachable",
            (IpVersion::V6, 2, _) => "packet_too_big",
            _ => "unknown",
        }
    }

    /// Returns the kind of the error, which determines the exit status.
    pub(crate) fn kind(&self) -> Kind {
        match (self.version, self.icmp_type) {
            (IpVersion::V4, 12) | (IpVersion::V6, 4) => Kind::Protocol,
            _ => Kind::Unreachable,
        }
    }

    /// Returns the text that iputils prints.
    pub(crate) fn text(&self) -> String {
        let fixed = match (self.version, self.icmp_type, self.code) {
            (IpVersion::V4, 3, 0) => "Destination Net Unreachable",
            (IpVersion::V4, 3, 1) => "Destination Host Unreachable",
            (IpVersion::V4, 3, 2) => "Destination Protocol Unreachable",
            (IpVersion::V4, 3, 3) => "Destination Port Unreachable",
            (IpVersion::V4, 3, 4) => {
                return format!("Frag needed and DF set (mtu = {})", self.info);
            }
            (IpVersion::V4, 3, 5) => "Source Route Failed",
            (IpVersion::V4, 3, 6) => "Destination Net Unknown",
            (IpVersion::V4, 3, 7) => "Destination Host Unknown",
            (IpVersion::V4, 3, 8) => "Source Host Isolated",
            (IpVersion::V4, 3, 9) => "Destination Net Prohibited",
            (IpVersion::V4, 3, 10) => "Destination Host Prohibited",
            (IpVersion::V4, 3, 11) => "Destination Net Unreachable for Type of Service",
            (IpVersion::V4, 3, 12) => "Destination Host Unreachable for Type of Service",
            (IpVersion::V4, 3, 13) => "Packet filtered",
            (IpVersion::V4, 3, 14) => "Precedence Violation",
            (IpVersion::V4, 3, 15) => "Precedence Cutoff",
            (IpVersion::V4, 3, code) => return format!("Dest Unreachable, Bad Code: {code}"),
            (IpVersion::V4, 4, _) => "Source Quench",
            (IpVersion::V4, 5, code) => {
                let text = match code {
                    0 => "Redirect Network".to_owned(),
                    1 => "Redirect Host".to_owned(),
                    2 => "Redirect Type of Service and Network".to_owned(),
                    3 => "Redirect Type of Service and Host".to_owned(),
                    code => format!("Redirect, Bad Code: {code}"),
                };
                let hop = Ipv4Addr::from_bits(self.info);
                return format!("{text}(New nexthop: {hop})");
            }
            (IpVersion::V4, 11, 0) => "Time to live exceeded",
            (IpVersion::V4, 11, 1) => "Frag reassembly time exceeded",
            (IpVersion::V4, 11, code) => return format!("Time exceeded, Bad Code: {code}"),
            (IpVersion::V4, 12, _) => return format!("Parameter problem: pointer = {}", self.info),
            (IpVersion::V4, kind, _) => return format!("Bad ICMP type: {kind}"),
            (IpVersion::V6, 1, 0) => "Destination unreachable: No route",
            (IpVersion::V6, 1, 1) => "Destination unreachable: Administratively prohibited",
            (IpVersion::V6, 1, 2) => "Destination unreachable: Beyond scope of source address",
            (IpVersion::V6, 1, 3) => "Destination unreachable: Address unreachable",
            (IpVersion::V6, 1, 4) => "Destination unreachable: Port unreachable",
            (IpVersion::V6, 1, 5) => {
                "Destination unreachable: Source address failed ingress/egress policy"
            }
            (IpVersion::V6, 1, 6) => "Destination unreachable: Reject route to destination",
            (IpVersion::V6, 1, code) => {
                return format!("Destination unreachable: Unknown code {code}");
            }
            (IpVersion::V6, 2, 0) => return format!("Packet too big: mtu={}", self.info),
            (IpVersion::V6, 2, code) => {
                return format!("Packet too big: mtu={}, code={code}", self.info);
            }
            (IpVersion::V6, 3, 0) => "Time exceeded: Hop limit",
            (IpVersion::V6, 3, 1) => "Time exceeded: Defragmentation failure",
            (IpVersion::V6, 3, code) => return format!("Time exceeded: code {code}"),
            (IpVersion::V6, 4, code) => {
                let text = match code {
                    0 => "Wrong header field".to_owned(),
                    1 => "Unknown header".to_owned(),
                    2 => "Unknown option".to_owned(),
                    code => format!("code {code}"),
                };
                return format!("Parameter problem: {text} at {}", self.info);
            }
            (IpVersion::V6, kind, _) => return format!("unknown icmp type: {kind}"),
        };
        fixed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(version: IpVersion, icmp_type: u8, code: u8, info: u32) -> IcmpError {
        IcmpError {
            version,
            icmp_type,
            code,
            info,
            from: None,
        }
    }

    #[test]
    fn the_text_is_that_of_iputils() {
        for (error, text) in [
            (
                error(IpVersion::V4, 3, 1, 0),
                "Destination Host Unreachable",
            ),
            (
                error(IpVersion::V4, 3, 4, 1280),
                "Frag needed and DF set (mtu = 1280)",
            ),
            (
                error(IpVersion::V4, 3, 16, 0),
                "Dest Unreachable, Bad Code: 16",
            ),
            (error(IpVersion::V6, 2, 0, 1280), "Packet too big: mtu=1280"),
            (
                error(IpVersion::V6, 1, 6, 0),
                "Destination unreachable: Reject route to destination",
            ),
            (
                error(IpVersion::V6, 4, 1, 40),
                "Parameter problem: Unknown header at 40",
            ),
            (
                error(IpVersion::V4, 12, 0, 20),
                "Parameter problem: pointer = 20",
            ),
            (error(IpVersion::V4, 4, 0, 0), "Source Quench"),
            (
                error(IpVersion::V4, 5, 1, 0xc000_0207),
                "Redirect Host(New nexthop: 192.0.2.7)",
            ),
        ] {
            assert_eq!(error.text(), text);
        }
    }

    #[test]
    fn a_redirect_or_source_quench_is_not_an_error() {
        for (version, kind) in [(IpVersion::V4, 4), (IpVersion::V4, 5), (IpVersion::V6, 137)] {
            assert!(!error(version, kind, 0, 0).is_error());
        }
        for (version, kind) in [(IpVersion::V4, 3), (IpVersion::V4, 12), (IpVersion::V6, 4)] {
            assert!(error(version, kind, 0, 0).is_error());
        }
    }

    #[test]
    fn a_parameter_problem_is_a_protocol_error() {
        for (version, icmp_type, kind) in [
            (IpVersion::V4, 12, Kind::Protocol),
            (IpVersion::V6, 4, Kind::Protocol),
            (IpVersion::V4, 4, Kind::Unreachable),
            (IpVersion::V6, 12, Kind::Unreachable),
            (IpVersion::V4, 3, Kind::Unreachable),
        ] {
            assert_eq!(error(version, icmp_type, 0, 0).kind(), kind);
        }
    }

    #[test]
    fn only_packet_too_big_errors_have_an_mtu() {
        assert_eq!(error(IpVersion::V4, 3, 4, 1280).mtu(), Some(1280));
        assert_eq!(error(IpVersion::V4, 3, 4, 0).mtu(), None);
        assert_eq!(error(IpVersion::V4, 12, 0, 20).mtu(), None);
        assert_eq!(error(IpVersion::V6, 2, 0, 1280).mtu(), Some(1280));
        assert_eq!(error(IpVersion::V6, 3, 4, 9).mtu(), None);
    }

    #[test]
    fn every_type_and_code_has_a_text_and_a_name() {
        for version in [IpVersion::V4, IpVersion::V6] {
            for (kind, code) in (0..=255).flat_map(|kind| (0..=255).map(move |code| (kind, code))) {
                let error = error(version, kind, code, 1);
                assert!(!error.text().is_empty() && !error.name().is_empty());
            }
        }
    }
}
