//! What an ICMP error means: the words iputils has for it, and a name for
//! machines. Pure.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::packet::Version;

/// An ICMP error about one of our probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    /// ICMP or ICMPv6: the numbers differ.
    pub(crate) version: Version,
    /// The type.
    pub(crate) kind: u8,
    /// The code.
    pub(crate) code: u8,
    /// The MTU of the next hop, or the pointer of a parameter problem.
    pub(crate) info: u32,
    /// Who sent it; unknown if the kernel does not say.
    pub(crate) from: Option<IpAddr>,
}

/// The object `icmp` of a JSON error record.
#[derive(Debug, Serialize)]
pub(crate) struct Described {
    r#type: u8,
    code: u8,
    name: &'static str,
    from: Option<IpAddr>,
    mtu: Option<u32>,
}

impl IcmpError {
    /// As a JSON object.
    pub(crate) fn described(&self) -> Described {
        Described {
            r#type: self.kind,
            code: self.code,
            name: self.name(),
            from: self.from,
            mtu: self.mtu(),
        }
    }

    /// The MTU of the next hop, if that is what this error is about. Old
    /// routers leave it zero (RFC 1191).
    pub(crate) fn mtu(&self) -> Option<u32> {
        let too_big = match self.version {
            Version::V4 => self.kind == 3 && self.code == 4,
            Version::V6 => self.kind == 2,
        };
        (too_big && self.info > 0).then_some(self.info)
    }

    /// Whether it tells of a packet that did not arrive. A redirect or a quench
    /// does not: the answer may be on its way.
    pub(crate) fn is_error(&self) -> bool {
        match self.version {
            Version::V4 => !matches!(self.kind, 4 | 5),
            Version::V6 => self.kind < 128,
        }
    }

    /// A name in snake case, after the IANA registry's.
    pub(crate) fn name(&self) -> &'static str {
        match (self.version, self.kind, self.code) {
            (Version::V4, 3, 0) => "net_unreachable",
            (Version::V4, 3, 1) => "host_unreachable",
            (Version::V4, 3, 2) => "protocol_unreachable",
            (Version::V4, 3, 3) | (Version::V6, 1, 4) => "port_unreachable",
            (Version::V4, 3, 4) => "fragmentation_needed",
            (Version::V4, 3, 5) => "source_route_failed",
            (Version::V4, 3, 6) => "net_unknown",
            (Version::V4, 3, 7) => "host_unknown",
            (Version::V4, 3, 8) => "source_host_isolated",
            (Version::V4, 3, 9) => "net_prohibited",
            (Version::V4, 3, 10) => "host_prohibited",
            (Version::V4, 3, 11) => "net_unreachable_for_tos",
            (Version::V4, 3, 12) => "host_unreachable_for_tos",
            (Version::V4, 3, 13) | (Version::V6, 1, 1) => "admin_prohibited",
            (Version::V4, 3, 14) => "precedence_violation",
            (Version::V4, 3, 15) => "precedence_cutoff",
            (Version::V4, 4, _) => "source_quench",
            (Version::V4, 5, _) | (Version::V6, 137, _) => "redirect",
            (Version::V4, 11, 0) => "ttl_exceeded",
            (Version::V6, 3, 0) => "hop_limit_exceeded",
            (Version::V4, 11, 1) | (Version::V6, 3, 1) => "reassembly_time_exceeded",
            (Version::V4, 11, _) | (Version::V6, 3, _) => "time_exceeded",
            (Version::V4, 12, _) | (Version::V6, 4, _) => "parameter_problem",
            (Version::V6, 1, 0) => "no_route",
            (Version::V6, 1, 2) => "beyond_scope",
            (Version::V6, 1, 3) => "address_unreachable",
            (Version::V6, 1, 5) => "source_policy_failed",
            (Version::V6, 1, 6) => "reject_route",
            (Version::V4, 3, _) | (Version::V6, 1, _) => "unreachable",
            (Version::V6, 2, _) => "packet_too_big",
            _ => "unknown",
        }
    }

    /// The words of iputils.
    pub(crate) fn text(&self) -> String {
        let fixed = match (self.version, self.kind, self.code) {
            (Version::V4, 3, 0) => "Destination Net Unreachable",
            (Version::V4, 3, 1) => "Destination Host Unreachable",
            (Version::V4, 3, 2) => "Destination Protocol Unreachable",
            (Version::V4, 3, 3) => "Destination Port Unreachable",
            (Version::V4, 3, 4) => {
                return format!("Frag needed and DF set (mtu = {})", self.info);
            }
            (Version::V4, 3, 5) => "Source Route Failed",
            (Version::V4, 3, 6) => "Destination Net Unknown",
            (Version::V4, 3, 7) => "Destination Host Unknown",
            (Version::V4, 3, 8) => "Source Host Isolated",
            (Version::V4, 3, 9) => "Destination Net Prohibited",
            (Version::V4, 3, 10) => "Destination Host Prohibited",
            (Version::V4, 3, 11) => "Destination Net Unreachable for Type of Service",
            (Version::V4, 3, 12) => "Destination Host Unreachable for Type of Service",
            (Version::V4, 3, 13) => "Packet filtered",
            (Version::V4, 3, 14) => "Precedence Violation",
            (Version::V4, 3, 15) => "Precedence Cutoff",
            (Version::V4, 3, code) => return format!("Dest Unreachable, Bad Code: {code}"),
            (Version::V4, 4, _) => "Source Quench",
            (Version::V4, 5, code) => {
                let what = match code {
                    0 => "Redirect Network".to_owned(),
                    1 => "Redirect Host".to_owned(),
                    2 => "Redirect Type of Service and Network".to_owned(),
                    3 => "Redirect Type of Service and Host".to_owned(),
                    code => format!("Redirect, Bad Code: {code}"),
                };
                let hop = Ipv4Addr::from_bits(self.info);
                return format!("{what}(New nexthop: {hop})");
            }
            (Version::V4, 11, 0) => "Time to live exceeded",
            (Version::V4, 11, 1) => "Frag reassembly time exceeded",
            (Version::V4, 11, code) => return format!("Time exceeded, Bad Code: {code}"),
            (Version::V4, 12, _) => return format!("Parameter problem: pointer = {}", self.info),
            (Version::V4, kind, _) => return format!("Bad ICMP type: {kind}"),
            (Version::V6, 1, 0) => "Destination unreachable: No route",
            (Version::V6, 1, 1) => "Destination unreachable: Administratively prohibited",
            (Version::V6, 1, 2) => "Destination unreachable: Beyond scope of source address",
            (Version::V6, 1, 3) => "Destination unreachable: Address unreachable",
            (Version::V6, 1, 4) => "Destination unreachable: Port unreachable",
            (Version::V6, 1, 5) => {
                "Destination unreachable: Source address failed ingress/egress policy"
            }
            (Version::V6, 1, 6) => "Destination unreachable: Reject route to destination",
            (Version::V6, 1, code) => {
                return format!("Destination unreachable: Unknown code {code}");
            }
            (Version::V6, 2, 0) => return format!("Packet too big: mtu={}", self.info),
            (Version::V6, 2, code) => {
                return format!("Packet too big: mtu={}, code={code}", self.info);
            }
            (Version::V6, 3, 0) => "Time exceeded: Hop limit",
            (Version::V6, 3, 1) => "Time exceeded: Defragmentation failure",
            (Version::V6, 3, code) => return format!("Time exceeded: code {code}"),
            (Version::V6, 4, code) => {
                let what = match code {
                    0 => "Wrong header field".to_owned(),
                    1 => "Unknown header".to_owned(),
                    2 => "Unknown option".to_owned(),
                    code => format!("code {code}"),
                };
                return format!("Parameter problem: {what} at {}", self.info);
            }
            (Version::V6, kind, _) => return format!("unknown icmp type: {kind}"),
        };
        fixed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(version: Version, kind: u8, code: u8, info: u32) -> IcmpError {
        IcmpError {
            version,
            kind,
            code,
            info,
            from: None,
        }
    }

    #[test]
    fn words() {
        for (error, text) in [
            (error(Version::V4, 3, 1, 0), "Destination Host Unreachable"),
            (
                error(Version::V4, 3, 4, 1280),
                "Frag needed and DF set (mtu = 1280)",
            ),
            (
                error(Version::V4, 3, 16, 0),
                "Dest Unreachable, Bad Code: 16",
            ),
            (error(Version::V6, 2, 0, 1280), "Packet too big: mtu=1280"),
            (
                error(Version::V6, 1, 6, 0),
                "Destination unreachable: Reject route to destination",
            ),
            (
                error(Version::V6, 4, 1, 40),
                "Parameter problem: Unknown header at 40",
            ),
            (
                error(Version::V4, 12, 0, 20),
                "Parameter problem: pointer = 20",
            ),
            (error(Version::V4, 4, 0, 0), "Source Quench"),
            (
                error(Version::V4, 5, 1, 0xc000_0207),
                "Redirect Host(New nexthop: 192.0.2.7)",
            ),
        ] {
            assert_eq!(error.text(), text);
        }
    }

    #[test]
    fn advice_is_no_error() {
        for (version, kind) in [(Version::V4, 4), (Version::V4, 5), (Version::V6, 137)] {
            assert!(!error(version, kind, 0, 0).is_error());
        }
        for (version, kind) in [(Version::V4, 3), (Version::V4, 12), (Version::V6, 4)] {
            assert!(error(version, kind, 0, 0).is_error());
        }
    }

    #[test]
    fn only_errors_about_size_have_an_mtu() {
        assert_eq!(error(Version::V4, 3, 4, 1280).mtu(), Some(1280));
        assert_eq!(error(Version::V4, 3, 4, 0).mtu(), None);
        assert_eq!(error(Version::V4, 12, 0, 20).mtu(), None);
        assert_eq!(error(Version::V6, 2, 0, 1280).mtu(), Some(1280));
        assert_eq!(error(Version::V6, 3, 4, 9).mtu(), None);
    }

    #[test]
    fn every_type_and_code_has_words_and_a_name() {
        for version in [Version::V4, Version::V6] {
            for (kind, code) in (0..=255).flat_map(|kind| (0..=255).map(move |code| (kind, code))) {
                let error = error(version, kind, code, 1);
                assert!(!error.text().is_empty() && !error.name().is_empty());
            }
        }
    }
}
