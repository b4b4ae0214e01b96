//! CSV, OpenMetrics, the path MTU search, and the graph that is none.

use super::{lab, mask, may_ping, ping, shape};

#[test]
fn a_target_given_twice_has_two_series() {
    if !may_ping() {
        return;
    }
    let out = ping("--metrics 127.0.0.1 127.0.0.1").run();
    let text = out.code(0).stdout_str();
    let series: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("ping_up{"))
        .collect();
    assert_eq!(
        series,
        [
            "ping_up{target=\"127.0.0.1\",address=\"127.0.0.1\"} 1",
            "ping_up{target=\"127.0.0.1\",address=\"127.0.0.1\",repeat=\"2\"} 1"
        ]
    );
}

#[test]
fn comma_separated() {
    if !may_ping() {
        return;
    }
    let out = ping("--csv -c 2 -i 0.01 127.0.0.1").run();
    let lines = out.code(0).stderr("").lines();
    assert_eq!(lines.len(), 5, "{}", out.story());
    assert!(lines[0].starts_with("type,target,address,seq,time,bytes,ttl,rtt_ms,"));
    let columns = lines[0].split(',').count();
    for line in &lines {
        assert_eq!(line.split(',').count(), columns, "{line}");
    }
    assert!(lines[1].starts_with("start,127.0.0.1,127.0.0.1,,"));
    assert!(lines[2].starts_with("reply,127.0.0.1,127.0.0.1,1,"));
    assert!(lines[4].contains(",2,2,0,0,0.0,0,0,0,"), "{}", lines[4]);
}

#[test]
fn open_metrics() {
    if !may_ping() {
        return;
    }
    let out = ping("--metrics -c 2 --period 0.01 127.0.0.1 127.0.0.2").run();
    out.code(0)
        .stderr("")
        .stdout_contains(
            "# TYPE ping_sent counter\n# HELP ping_sent Echo requests sent.\n\
             ping_sent_total{target=\"127.0.0.1\",address=\"127.0.0.1\"} 2\n\
             ping_sent_total{target=\"127.0.0.2\",address=\"127.0.0.2\"} 2\n",
        )
        .stdout_contains("# UNIT ping_rtt_avg_seconds seconds\n")
        .stdout_contains("ping_up{target=\"127.0.0.1\",address=\"127.0.0.1\"} 1\n")
        .stdout_contains("ping_loss_ratio{target=\"127.0.0.1\",address=\"127.0.0.1\"} 0\n");
    assert!(out.stdout_str().ends_with("# EOF\n"));
    let out = ping("--metrics -c 1 127.0.0.1").run();
    out.code(0)
        .stdout_contains("ping_received_total{target=\"127.0.0.1\",address=\"127.0.0.1\"} 1\n");
}

#[test]
fn nothing_is_drawn_into_a_pipe() {
    if !may_ping() {
        return;
    }
    let out = ping("--graph -c 1 127.0.0.1").run();
    out.code(0);
    assert!(
        shape(&out).starts_with(
            "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n\
             64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T\n"
        ),
        "{}",
        out.story()
    );
}

#[test]
fn drawn_on_a_terminal() {
    let Some(lab) = lab() else { return };
    let out = lab.script("script -qec 'ping --graph -c 3 -i 0.01 127.0.0.1' /dev/null");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("PING 127.0.0.1"), "{}", out.story());
    assert!(text.contains("\u{1b}[1A"), "{}", out.story());
    assert!(text.contains('█') && text.contains('▁'), "{}", out.story());
    assert!(
        text.contains("3 packets transmitted, 3 received"),
        "{}",
        out.story()
    );
}

#[test]
fn the_path_mtu() {
    if !may_ping() {
        return;
    }
    ping("--mtu 127.0.0.1")
        .run()
        .code(0)
        .stdout("127.0.0.1: path MTU 65535\n");
}

/// client - router - server with a narrow link behind the router.
const NARROW: &str = "
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
    ip -n router link set to-server mtu 1300; ip -n server link set to-router mtu 1300
";

#[test]
fn the_path_mtu_behind_a_router() {
    let Some(lab) = lab() else { return };
    for before in ["", "at client sysctl -qw net.ipv4.ping_group_range='0 0'\n"] {
        let script = format!(
            "{NARROW}{before}
             at client ping --mtu 10.2.0.2; echo $?
             at client ping --mtu 2001:db8:2::2 10.1.0.2 | sort; echo $?
             at client ping --mtu --json 10.2.0.2 | sed 's/,\"time.*/}}/'
             at client ping --mtu -W 0.1 10.2.0.9 2>&1; echo $?"
        );
        let out = lab.script(&script);
        assert_eq!(
            out.stdout_str(),
            "10.2.0.2: path MTU 1300\n0\n\
             10.1.0.2: path MTU 1500\n2001:db8:2::2: path MTU 1300\n0\n\
             {\"type\":\"mtu\",\"target\":\"10.2.0.2\",\"address\":\"10.2.0.2\",\"mtu\":1300}\n\
             ping: 10.2.0.9: no answer\n1\n",
            "{}",
            out.story()
        );
    }
}

#[test]
fn the_path_mtu_through_a_black_hole() {
    let Some(lab) = lab() else { return };
    // The router forwards but keeps its errors to itself.
    let script = format!(
        "{NARROW}
         at router nft add table inet t
         at router nft add chain inet t o '{{ type filter hook output priority 0; }}'
         at router nft add rule inet t o icmp type destination-unreachable drop
         at client ping --mtu -W 0.1 10.2.0.2"
    );
    let out = lab.script(&script);
    assert_eq!(
        mask(out.stdout_str()),
        "10.2.0.2: path MTU 1300\n",
        "{}",
        out.story()
    );
}
