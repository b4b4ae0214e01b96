//! The CSV and OpenMetrics formats, and the search for the path MTU.

use super::{lab, mask, may_ping, ping};

#[test]
fn a_repeated_target_has_a_series_of_its_own() {
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
fn csv_rows_have_the_values_of_the_records() {
    if !may_ping() {
        return;
    }
    let out = ping("--csv -c 2 -i 0.01 127.0.0.1").run();
    let lines = out.code(0).stderr("").lines();
    assert_eq!(lines.len(), 5, "{}", out.report());
    assert!(lines[0].starts_with("type,target,address,seq,time,bytes,ttl,rtt_ms,"));
    let columns = lines[0].split(',').count();
    for line in &lines {
        assert_eq!(line.split(',').count(), columns, "{line}");
    }
    assert!(lines[1].starts_with("start,127.0.0.1,127.0.0.1,,"));
    assert!(lines[2].starts_with("reply,127.0.0.1,127.0.0.1,1,"));
    // A column has the value of the JSON key with the same name.
    let names: Vec<&str> = lines[0].split(',').collect();
    let cell = |line: &str, name: &str| {
        let index = names.iter().position(|column| *column == name).expect(name);
        line.split(',').nth(index).unwrap().to_owned()
    };
    for (name, value) in [
        ("type", "reply"),
        ("seq", "2"),
        ("bytes", "64"),
        ("ttl", "64"),
        ("duplicate", "false"),
        ("reordered", "false"),
        ("corrupt", "false"),
        ("from", ""),
        ("sent", ""),
        ("kind", ""),
    ] {
        assert_eq!(cell(&lines[3], name), value, "{name}");
    }
    for (name, value) in [
        ("type", "summary"),
        ("seq", ""),
        ("sent", "2"),
        ("received", "2"),
        ("lost", "0"),
        ("in_flight", "0"),
        ("loss_percent", "0.0"),
        ("foreign", "0"),
        ("late", "0"),
        ("duplicates", "0"),
        ("reordered", "0"),
        ("corrupt", "0"),
        ("errors", "0"),
        ("outages", "0"),
        ("dropped", "0"),
    ] {
        assert_eq!(cell(&lines[4], name), value, "{name}");
    }
    let time = |line: &str, name: &str| cell(line, name).parse::<f64>().unwrap();
    let rtts = [&lines[2], &lines[3]].map(|line| time(line, "rtt_ms"));
    for (name, value) in [
        ("min_ms", rtts[0].min(rtts[1])),
        ("avg_ms", f64::midpoint(rtts[0], rtts[1])),
        ("max_ms", rtts[0].max(rtts[1])),
    ] {
        let found = time(&lines[4], name);
        assert!((found - value).abs() < 2e-6, "{name}: {found} {value}");
    }
    // The run lasts from the first send to the last reply.
    assert!(time(&lines[4], "duration_ms") >= rtts[0].max(rtts[1]));
}

#[test]
fn metrics_have_a_sample_for_each_target() {
    if !may_ping() {
        return;
    }
    let out = ping("--metrics -c 2 --period 0.01 -W 10 127.0.0.1 127.0.0.2").run();
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
fn the_path_mtu_of_loopback_is_found() {
    if !may_ping() {
        return;
    }
    ping("--mtu 127.0.0.1")
        .run()
        .code(0)
        .stdout("127.0.0.1: path MTU 65535\n");
}

/// Creates client, router and server in a row, with a smaller MTU after the router.
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
fn the_path_mtu_beyond_a_router_is_found() {
    let Some(lab) = lab() else { return };
    for before in ["", "at client sysctl -qw net.ipv4.ping_group_range='0 0'\n"] {
        let script = format!(
            "{NARROW}{before}
             at client ping --mtu 10.2.0.2; echo $?
             at client ping --mtu 2001:db8:2::2 10.1.0.2 | sort; echo $?
             at client ping --mtu --json 10.2.0.2 | sed 's/,\"time.*/}}/'
             at server ip link add sink type dummy; at server ip addr add 10.2.1.1/24 dev sink
             at router nft flush ruleset; at router nft add table inet t
             at router nft 'add chain inet t f {{ type filter hook forward priority 0; }}'
             at router nft add rule inet t f ip daddr 10.2.0.9 drop
             at client ping --mtu -W 0.1 10.2.0.9 2>&1; echo $?"
        );
        let out = lab.script(&script);
        assert_eq!(
            out.stdout_str(),
            "10.2.0.2: path MTU 1300\n0\n\
             10.1.0.2: path MTU 1500\n2001:db8:2::2: path MTU 1300\n0\n\
             {\"type\":\"mtu\",\"target\":\"10.2.0.2\",\"address\":\"10.2.0.2\",\"mtu\":1300}\n\
             ping: 10.2.0.9: no reply\n1\n",
            "{}",
            out.report()
        );
    }
}

/// Also counts the probes of a search that succeeds.
#[test]
fn a_search_that_fails_has_a_reason() {
    let Some(lab) = lab() else { return };
    let script = format!(
        "{NARROW}
         counted() {{
             at client nft flush ruleset; at client nft add table inet t
             at client nft 'add chain inet t o {{ type filter hook output priority 0; }}'
             at client nft add rule inet t o icmp type echo-request counter
             at client ping --mtu $1; echo $?
             at client nft list ruleset | grep -o 'packets [0-9]*'
         }}
         # The interface and the router report their MTUs, so four probes suffice.
         counted 10.2.0.2
         at router nft add table inet t
         at router nft 'add chain inet t f {{ type filter hook forward priority 0; }}'
         at router nft add rule inet t f ip daddr 10.2.0.9 reject with icmp host-unreachable
         at client ping --mtu -W 0.1 10.2.0.9; echo $?
         at client ping --mtu --json -W 0.1 10.2.0.9 2>/dev/null; echo
         # Small packets are answered and large ones vanish until the deadline.
         at router nft add rule inet t f ip length gt 1000 drop
         at client ping --mtu -w 1 10.2.0.2; echo $?
         at client ping --mtu --json -w 1 10.2.0.2 2>/dev/null"
    );
    let out = lab.script(&script);
    let lines = out.lines();
    assert_eq!(
        lines[..2],
        ["10.2.0.2: path MTU 1300", "0"],
        "{}",
        out.report()
    );
    let packets: u32 = lines[2].strip_prefix("packets ").unwrap().parse().unwrap();
    assert!(packets <= 4, "{}", out.report());
    assert_eq!(lines[3], "1");
    let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let (error, mtu) = (record(&lines[4]), record(&lines[5]));
    assert_eq!(
        (&error["kind"], &error["target"]),
        (&"unreachable".into(), &"10.2.0.9".into())
    );
    assert_eq!(error["icmp"]["from"], "10.1.0.2");
    assert_eq!(error["seq"], serde_json::Value::Null);
    assert_eq!(
        (&mtu["type"], &mtu["mtu"]),
        (&"mtu".into(), &serde_json::Value::Null)
    );
    assert_eq!(lines[7], "1");
    let error = record(&lines[8]);
    assert_eq!(
        (&error["kind"], &error["message"]),
        (&"timeout".into(), &"path MTU not found in time".into())
    );
    assert_eq!(record(&lines[9])["type"], "mtu");
    out.stderr_contains("ping: 10.2.0.9: Destination Host Unreachable (from 10.1.0.2)\n")
        .stderr_contains("ping: 10.2.0.2: path MTU not found in time\n");
}

#[test]
fn a_search_that_cannot_start_has_the_error_of_the_system() {
    let Some(lab) = lab() else { return };
    let script = "
        net host
        at host ping --mtu -W 9 192.0.2.1; echo $?
        at host ping --mtu -W 9 2001:db8::1; echo $?
        at host ping --mtu -W 0.1 127.0.0.1 192.0.2.1; echo $?
        at host ping --mtu --json 192.0.2.1 2>/dev/null";
    let out = lab.script(script);
    let lines = out.lines();
    assert_eq!(
        lines[..4],
        ["3", "3", "127.0.0.1: path MTU 65535", "3"],
        "{}",
        out.report()
    );
    let error: serde_json::Value = serde_json::from_str(&lines[4]).unwrap();
    assert_eq!(
        (&error["kind"], &error["message"]),
        (&"unreachable".into(), &"network is unreachable".into())
    );
    assert_eq!(
        out.stderr_str(),
        "ping: 192.0.2.1: network is unreachable\n\
         ping: 2001:db8::1: network is unreachable\n\
         ping: 192.0.2.1: network is unreachable\n"
    );
}

#[test]
fn the_path_mtu_is_found_without_errors_from_routers() {
    let Some(lab) = lab() else { return };
    // The router forwards but sends no errors.
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
        out.report()
    );
}
