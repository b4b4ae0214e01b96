//! The rows of the IANA special-purpose registries, independent of the code.

use super::subnetcalc;

/// Address block, name, RFC and "Globally Reachable" of the IPv4 and IPv6
/// registries of 2025-10-09, as `info` prints them.
const REGISTRY: &str = r#"
0.0.0.0/8|"This network"|RFC791|false
0.0.0.0/32|"This host on this network"|RFC1122|false
10.0.0.0/8|Private-Use|RFC1918|false
100.64.0.0/10|Shared Address Space|RFC6598|false
127.0.0.0/8|Loopback|RFC1122|false
169.254.0.0/16|Link Local|RFC3927|false
172.16.0.0/12|Private-Use|RFC1918|false
192.0.0.0/24|IETF Protocol Assignments|RFC6890|false
192.0.0.0/29|IPv4 Service Continuity Prefix|RFC7335|false
192.0.0.8/32|IPv4 dummy address|RFC7600|false
192.0.0.9/32|Port Control Protocol Anycast|RFC7723|true
192.0.0.10/32|Traversal Using Relays around NAT Anycast|RFC8155|true
192.0.0.170/32|NAT64/DNS64 Discovery|RFC8880,RFC7050|false
192.0.0.171/32|NAT64/DNS64 Discovery|RFC8880,RFC7050|false
192.0.2.0/24|Documentation (TEST-NET-1)|RFC5737|false
192.31.196.0/24|AS112-v4|RFC7535|true
192.52.193.0/24|AMT|RFC7450|true
192.88.99.0/24|Deprecated (6to4 Relay Anycast)|RFC7526|-
192.88.99.2/32|6a44-relay anycast address|RFC6751|false
192.168.0.0/16|Private-Use|RFC1918|false
192.175.48.0/24|Direct Delegation AS112 Service|RFC7534|true
198.18.0.0/15|Benchmarking|RFC2544|false
198.51.100.0/24|Documentation (TEST-NET-2)|RFC5737|false
203.0.113.0/24|Documentation (TEST-NET-3)|RFC5737|false
240.0.0.0/4|Reserved|RFC1112|false
255.255.255.255/32|Limited Broadcast|RFC8190,RFC919|false
::1/128|Loopback Address|RFC4291|false
::/128|Unspecified Address|RFC4291|false
::ffff:0.0.0.0/96|IPv4-mapped Address|RFC4291|false
64:ff9b::/96|IPv4-IPv6 Translat.|RFC6052|true
64:ff9b:1::/48|IPv4-IPv6 Translat.|RFC8215|false
100::/64|Discard-Only Address Block|RFC6666|false
100:0:0:1::/64|Dummy IPv6 Prefix|RFC9780|false
2001::/23|IETF Protocol Assignments|RFC2928|false
2001::/32|TEREDO|RFC4380,RFC8190|-
2001:1::1/128|Port Control Protocol Anycast|RFC7723|true
2001:1::2/128|Traversal Using Relays around NAT Anycast|RFC8155|true
2001:1::3/128|DNS-SD Service Registration Protocol Anycast|RFC9665|true
2001:2::/48|Benchmarking|RFC5180|false
2001:3::/32|AMT|RFC7450|true
2001:4:112::/48|AS112-v6|RFC7535|true
2001:10::/28|Deprecated (previously ORCHID)|RFC4843|-
2001:20::/28|ORCHIDv2|RFC7343|true
2001:30::/28|Drone Remote ID Protocol Entity Tags (DETs) Prefix|RFC9374|true
2001:db8::/32|Documentation|RFC3849|false
2002::/16|6to4|RFC3056|-
2620:4f:8000::/48|Direct Delegation AS112 Service|RFC7534|true
3fff::/20|Documentation|RFC9637|false
5f00::/16|Segment Routing (SRv6) SIDs|RFC9602|false
fc00::/7|Unique-Local|RFC4193,RFC8190|false
fe80::/10|Link-Local Unicast|RFC4291|false
"#;

#[test]
fn info_prints_every_row() {
    let rows: Vec<&str> = REGISTRY.trim().lines().collect();
    assert_eq!(rows.len(), 51);
    for row in rows {
        let (entry, rest) = row.split_once('|').expect("four columns");
        subnetcalc()
            .args(["--get", "special.entry,special.name,special.rfc"])
            .args(["--get", "special.globally_reachable", entry])
            .run()
            .code(0)
            .stdout(&format!("{entry}\t{}\n", rest.replace('|', "\t")))
            .stderr("");
    }
}
