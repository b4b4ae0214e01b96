//! ICMP errors in a lab of client, router and server, over IPv4 and IPv6, with raw
//! and with datagram sockets.

use super::{lab, mask};

/// Creates client, router and server in a row, with both families.
const NET: &str = "
    # Addresses are usable immediately, without duplicate address detection.
    net client router server
    for ns in client router server; do
        at $ns sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
    done
    link client router 10.1.0.1/24 10.1.0.2/24 2001:db8:1::1/64 2001:db8:1::2/64
    link router server 10.2.0.1/24 10.2.0.2/24 2001:db8:2::1/64 2001:db8:2::2/64
    ip -n client route add default via 10.1.0.2
    ip -n client route add default via 2001:db8:1::2
    ip -n server route add default via 10.2.0.1
    ip -n server route add default via 2001:db8:2::1
    at router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    at router sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
    # Permits datagram sockets, which are used if they are permitted.
    datagram() { at client sysctl -qw net.ipv4.ping_group_range='0 0'; }
    rule() {
        at $1 nft flush ruleset
        at $1 nft add table inet t
        at $1 nft \"add chain inet t c { type filter hook $2 priority 0; }\"
        at $1 nft add rule inet t c $3
    }
    reject() { rule router forward \"ip protocol icmp reject with icmp $1\"; }
    reject6() { rule router forward \"meta l4proto ipv6-icmp reject with icmpv6 $1\"; }
";

/// Runs a script with raw and with datagram sockets, and compares the output.
#[track_caller]
fn expect_output(script: &str, expected: &str) {
    let Some(lab) = lab() else { return };
    for before in ["", "datagram\n"] {
        let out = lab.script(&format!("{NET}{before}{script}"));
        assert_eq!(mask(out.stdout_str()), expected, "{}", out.report());
    }
}

#[test]
fn every_unreachable_code_has_its_text() {
    let script = "
        for how in net-unreachable host-unreachable prot-unreachable port-unreachable \\
                   net-prohibited host-prohibited admin-prohibited; do
            reject $how
            at client ping -c 1 10.2.0.2 | sed -n 2p
        done";
    expect_output(
        script,
        "From 10.1.0.2 icmp_seq=1 Destination Net Unreachable\n\
         From 10.1.0.2 icmp_seq=1 Destination Host Unreachable\n\
         From 10.1.0.2 icmp_seq=1 Destination Protocol Unreachable\n\
         From 10.1.0.2 icmp_seq=1 Destination Port Unreachable\n\
         From 10.1.0.2 icmp_seq=1 Destination Net Prohibited\n\
         From 10.1.0.2 icmp_seq=1 Destination Host Prohibited\n\
         From 10.1.0.2 icmp_seq=1 Packet filtered\n",
    );
}

#[test]
fn every_unreachable_code_has_its_text_v6() {
    let script = "
        for how in no-route admin-prohibited addr-unreachable port-unreachable \\
                   policy-fail reject-route; do
            reject6 $how
            at client ping -c 1 2001:db8:2::2 | sed -n 2p
        done";
    expect_output(
        script,
        "From 2001:db8:1::2 icmp_seq=1 Destination unreachable: No route\n\
         From 2001:db8:1::2 icmp_seq=1 Destination unreachable: Administratively prohibited\n\
         From 2001:db8:1::2 icmp_seq=1 Destination unreachable: Address unreachable\n\
         From 2001:db8:1::2 icmp_seq=1 Destination unreachable: Port unreachable\n\
         From 2001:db8:1::2 icmp_seq=1 Destination unreachable: Source address failed ingress/egress policy\n\
         From 2001:db8:1::2 icmp_seq=1 Destination unreachable: Reject route to destination\n",
    );
}

#[test]
fn a_run_with_only_errors_looks_as_in_iputils() {
    expect_output(
        "reject host-unreachable
         at client ping -c 2 -i 0.05 10.2.0.2; echo $?",
        "PING 10.2.0.2 (10.2.0.2) 56(84) bytes of data.\n\
         From 10.1.0.2 icmp_seq=1 Destination Host Unreachable\n\
         From 10.1.0.2 icmp_seq=2 Destination Host Unreachable\n\
         \n\
         --- 10.2.0.2 ping statistics ---\n\
         2 packets transmitted, 0 received, +2 errors, 100% packet loss, time T\n\
         \n1\n",
    );
}

#[test]
fn an_exceeded_hop_limit_is_reported() {
    expect_output(
        "at client ping -c 1 -t 1 10.2.0.2 | sed -n 2p
         at client ping -c 1 -t 1 2001:db8:2::2 | sed -n 2p
         at client ping -c 1 -t 2 10.2.0.2 | sed -n 2p",
        "From 10.1.0.2 icmp_seq=1 Time to live exceeded\n\
         From 2001:db8:1::2 icmp_seq=1 Time exceeded: Hop limit\n\
         64 bytes from 10.2.0.2: icmp_seq=1 ttl=63 time=T\n",
    );
}

#[test]
fn a_packet_too_big_error_names_the_mtu() {
    expect_output(
        // The kernel caches the MTU from the first run.
        "ip -n router link set to-server mtu 1280
         for host in 10.2.0.2 2001:db8:2::2; do
             for run in 1 2; do
                 at client ping -c 1 -M do -s 1400 $host 2>&1 | grep mtu
             done
         done",
        "From 10.1.0.2 icmp_seq=1 Frag needed and DF set (mtu = 1280)\n\
         ping: local error: message too long, mtu=1280\n\
         From 2001:db8:1::2 icmp_seq=1 Packet too big: mtu=1280\n\
         ping: local error: message too long, mtu: 1280\n",
    );
}

#[test]
fn an_absent_neighbour_is_unreachable() {
    // The client's neighbour table reports it, after three attempts.
    expect_output(
        "at client sysctl -qw net.ipv4.neigh.to-router.retrans_time_ms=50
         at client ping -c 1 10.1.0.9 | sed -n 2p
         at client sysctl -qw net.ipv6.neigh.to-router.retrans_time_ms=50
         at client ping -c 1 2001:db8:1::9 | sed -n 2p",
        "From 10.1.0.1 icmp_seq=1 Destination Host Unreachable\n\
         From 2001:db8:1::1 icmp_seq=1 Destination unreachable: Address unreachable\n",
    );
}

#[test]
fn a_missing_route_is_status_3() {
    expect_output(
        "ip -n client route del default
         ip -n client -6 route del default
         at client ping -c 1 10.9.0.1 2>&1; echo $?
         at client ping -c 1 2001:db8:9::1 2>&1; echo $?
         at client ping 10.9.0.1 10.1.0.2 2>&1; echo $?",
        "ping: 10.9.0.1: network is unreachable\n3\n\
         ping: 2001:db8:9::1: network is unreachable\n3\n\
         ping: 10.9.0.1: network is unreachable\n\
         10.9.0.1 is unreachable\n\
         10.1.0.2 is alive (T)\n3\n",
    );
}

#[test]
fn a_packet_filter_of_this_host_may_drop_probes() {
    expect_output(
        "rule client output 'ip daddr 10.2.0.2 drop'
         at client ping -c 1 10.2.0.2 2>&1; echo $?",
        "PING 10.2.0.2 (10.2.0.2) 56(84) bytes of data.\n\
         ping: sendmsg: Operation not permitted\n\
         \n\
         --- 10.2.0.2 ping statistics ---\n\
         1 packets transmitted, 0 received, +1 errors, 100% packet loss, time T\n\
         \n2\n",
    );
}

/// The packet filter rejects a probe before the call that sends it returns.
#[test]
fn a_packet_filter_of_this_host_may_reject_probes() {
    expect_output(
        "packets() { at client nft list ruleset | grep -o 'packets [0-9]*'; }
         rule client output 'ip daddr 10.2.0.2 counter reject'
         at client ping -c 2 -i 0.05 10.2.0.2 2>&1; echo $?; packets
         at client ping -q -f -c 3 10.2.0.2 2>&1 | sed -n 4p; packets
         at client ping -c 2 --period 0.05 10.2.0.2 10.1.0.2 2>&1 | sort; packets
         at client ping --retries 2 -W 0.05 10.2.0.2 10.1.0.2 2>&1 | sort; packets
         rule client output 'ip6 daddr 2001:db8:2::2 counter reject'
         at client ping -c 1 2001:db8:2::2 2>&1 | sed -n 2,5p; packets
         rule client output 'icmp type echo-request counter reject'
         at client ping -c 1 127.0.0.1 2>&1 | sed -n 2,5p; packets",
        "PING 10.2.0.2 (10.2.0.2) 56(84) bytes of data.\n\
         From 10.1.0.1 icmp_seq=1 Destination Port Unreachable\n\
         From 10.1.0.1 icmp_seq=2 Destination Port Unreachable\n\
         \n\
         --- 10.2.0.2 ping statistics ---\n\
         2 packets transmitted, 0 received, +2 errors, 100% packet loss, time T\n\
         \n1\npackets 2\n\
         3 packets transmitted, 0 received, +3 errors, 100% packet loss, time T\npackets 5\n\
         10.1.0.2 : xmt/rcv/%loss = 2/2/0%, T\n10.2.0.2 : xmt/rcv/%loss = 2/0/100%\npackets 7\n\
         10.1.0.2 is alive (T)\n10.2.0.2 is unreachable\npackets 10\n\
         From 2001:db8:1::1 icmp_seq=1 Destination unreachable: Port unreachable\n\
         \n\
         --- 2001:db8:2::2 ping statistics ---\n\
         1 packets transmitted, 0 received, +1 errors, 100% packet loss, time T\n\
         packets 1\n\
         From 127.0.0.1 icmp_seq=1 Destination Port Unreachable\n\
         \n\
         --- 127.0.0.1 ping statistics ---\n\
         1 packets transmitted, 0 received, +1 errors, 100% packet loss, time T\n\
         packets 1\n",
    );
}

#[test]
fn errors_have_records() {
    let Some(lab) = lab() else { return };
    for before in ["", "datagram\n"] {
        let out = lab.script(&format!(
            "{NET}{before}
             ip -n router link set to-server mtu 1280
             at client ping --json -q -c 1 -M do -s 1400 10.2.0.2
             at client ping --json -q -c 1 -t 1 2001:db8:2::2"
        ));
        let records = out.json();
        let errors: Vec<_> = records.iter().filter(|r| r["type"] == "error").collect();
        assert_eq!(errors.len(), 2, "{}", out.report());
        assert_eq!(errors[0]["seq"], 1);
        assert_eq!(errors[0]["kind"], "unreachable");
        assert_eq!(errors[0]["target"], "10.2.0.2");
        let expected =
            r#"{"type":3,"code":4,"name":"fragmentation_needed","from":"10.1.0.2","mtu":1280}"#;
        assert!(
            out.stdout_str().contains(&format!("\"icmp\":{expected}")),
            "{}",
            out.report()
        );
        let expected =
            r#"{"type":3,"code":0,"name":"hop_limit_exceeded","from":"2001:db8:1::2","mtu":null}"#;
        assert!(
            out.stdout_str().contains(&format!("\"icmp\":{expected}")),
            "{}",
            out.report()
        );
        let summary = records.iter().find(|r| r["type"] == "summary").unwrap();
        assert_eq!(summary["errors"], 1);
        assert_eq!(summary["lost"], 1);
        assert!(!records.iter().any(|r| r["type"] == "timeout"));
    }
}
