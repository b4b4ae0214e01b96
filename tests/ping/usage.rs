//! The command line, permissions, link-local and group addresses, and write errors.

use std::fs::File;

use super::{lab, mask, may_ping, ping};

/// Command lines with a mistake that is found without a socket, and the messages.
const MISTAKES: &[(&str, &str)] = &[
    (
        "-c 0 127.0.0.1",
        "ping: invalid value '0' for '-c': must be at least 1; see 'ping --help'\n",
    ),
    (
        "-s 65508 127.0.0.1",
        "ping: 127.0.0.1: the data of an IPv4 probe is at most 65507 bytes; use a smaller -s; see 'ping --help'\n",
    ),
    (
        "-W 0 127.0.0.1",
        "ping: invalid value '0' for '-W': must be greater than 0; see 'ping --help'\n",
    ),
    (
        "-p xyz 127.0.0.1",
        "ping: invalid value 'xyz' for '-p': must be hexadecimal digits, such as ff00; see 'ping --help'\n",
    ),
    (
        "-f 127.0.0.1 127.0.0.2",
        "ping: -f requires a single target; see 'ping --help'\n",
    ),
    (
        "-W 1 --timeout 1 127.0.0.1",
        "ping: --timeout means the same as -W; use only one of them; see 'ping --help'\n",
    ),
    (
        "127.1",
        "ping: 127.1: not an address: IPv4 needs four numbers, this has 2\n",
    ),
    (
        "127.0.0.0/33",
        "ping: 127.0.0.0/33: the prefix length is out of range; use 0 to 32\n",
    ),
    (
        "--reachable 3 127.0.0.1 127.0.0.2",
        "ping: --reachable 3 requires at least 3 targets, not 2; see 'ping --help'\n",
    ),
    (
        "2001:db8::1%lo",
        "ping: 2001:db8::1%lo: only IPv6 link-local and multicast addresses can have a zone\n",
    ),
    (
        "-I lo fe80::1%2147483647",
        "ping: fe80::1%2147483647: no such network interface\n",
    ),
    (
        "-nR 127.0.0.1",
        "ping: -R is not supported; use traceroute or tracepath; see 'ping --help'\n",
    ),
    (
        "-4 ::1",
        "ping: ::1: not an IPv4 address; -4 or -I selects IPv4 only\n",
    ),
    (
        "-I ::1 127.0.0.1",
        "ping: 127.0.0.1: not an IPv6 address; -6 or -I selects IPv6 only\n",
    ),
    (
        "-6 -I 127.0.0.1 ::1",
        "ping: -I 127.0.0.1: not an IPv6 address, but -6 is given; see 'ping --help'\n",
    ),
    (
        "-c -1 ::1",
        "ping: invalid value '-1' for '-c': must be at least 1; see 'ping --help'\n",
    ),
    (
        "-c x ::1",
        "ping: invalid value 'x' for '-c': must be a whole number; see 'ping --help'\n",
    ),
    (
        "-s 65528 ::1",
        "ping: invalid value '65528' for '-s': must be from 0 to 65507 (65527 for IPv6); \
             see 'ping --help'\n",
    ),
    (
        "-6 127.0.0.1",
        "ping: 127.0.0.1: not an IPv6 address; -6 or -I selects IPv6 only\n",
    ),
    (
        "-4 -s 65508 localhost",
        "ping: the data of an IPv4 probe is at most 65507 bytes; use a smaller -s; see 'ping --help'\n",
    ),
    (
        "--sweep 0:65508 127.0.0.1",
        "ping: 127.0.0.1: the data of an IPv4 probe is at most 65507 bytes; use a smaller -s; see 'ping --help'\n",
    ),
    (
        "-s 65508 127.0.0.0/30",
        "ping: 127.0.0.0/30: the data of an IPv4 probe is at most 65507 bytes; use a smaller -s\n",
    ),
    (
        "-I nope 127.0.0.1",
        "ping: -I nope: no such network interface\n",
    ),
    (
        "-I nope 127.0.0.0/30",
        "ping: -I nope: no such network interface\n",
    ),
    (
        "-I lo fe80::1%nope",
        "ping: fe80::1%nope: no such network interface\n",
    ),
    (
        "127.1 127.0.0.0/33 fe80::1%nope",
        "ping: 127.1: not an address: IPv4 needs four numbers, this has 2\n\
             ping: 127.0.0.0/33: the prefix length is out of range; use 0 to 32\n\
             ping: fe80::1%nope: no such network interface\n",
    ),
    (
        "http://127.0.0.1/",
        "ping: http://127.0.0.1/: this is a URL; use its host, 127.0.0.1\n",
    ),
    (
        "[::1] 127.0.0.1:80",
        "ping: [::1]: unexpected brackets; use ::1\n\
         ping: 127.0.0.1:80: unexpected port; use 127.0.0.1\n",
    ),
    (
        "127.0.0.1-3",
        "ping: 127.0.0.1-3: a range has two addresses; use 127.0.0.1-127.0.0.3\n",
    ),
    (
        "-n 4 127.0.0.1",
        "ping: -n takes no value; use -c 4 to send 4 probes; see 'ping --help'\n",
    ),
    (
        "-b -M want 127.255.255.255",
        "ping: broadcast probes cannot be fragmented; -b allows only '-M do'; see 'ping --help'\n",
    ),
    (
        "",
        "ping: a target is missing; usage: ping [OPTIONS] TARGET...; see 'ping --help'\n",
    ),
    (
        "--mtu 127.1",
        "ping: 127.1: not an address: IPv4 needs four numbers, this has 2\n",
    ),
    (
        "--rate 5 127.0.0.1",
        "ping: --rate requires several targets; -i sets the interval of one; see 'ping --help'\n",
    ),
    (
        "--period 1 127.0.0.1 127.0.0.2",
        "ping: --period requires -c, --watch, --until-up or --until-down; see 'ping --help'\n",
    ),
    (
        "-I lo -I lo 127.0.0.1",
        "ping: -I accepts at most one address and one interface; see 'ping --help'\n",
    ),
];

#[test]
fn mistakes_are_one_line_and_status_2() {
    for (args, message) in MISTAKES {
        ping(args).run().code(2).stdout("").stderr(message);
    }
}

/// Users without permission to send ICMP see the same messages.
#[test]
fn mistakes_are_the_same_without_permission() {
    let Some(lab) = lab() else { return };
    let lines = MISTAKES.iter().map(|(args, _)| {
        format!("setpriv --bounding-set -net_raw --inh-caps -net_raw ping {args}; echo $?")
    });
    let script = lines.collect::<Vec<_>>().join("\n");
    let expected: String = MISTAKES.iter().map(|(_, message)| *message).collect();
    let out = lab.script(&script);
    out.stdout(&"2\n".repeat(MISTAKES.len())).stderr(&expected);
    // If one operand is right, the missing permission is reported as well.
    let script = "setpriv --bounding-set -net_raw --inh-caps -net_raw ping 127.1 127.0.0.1";
    let out = lab.script(script);
    let lines = out.code(2).stdout("").stderr_str().lines().count();
    assert_eq!(lines, 2, "{}", out.report());
    out.stderr_contains("ping: 127.1: not an address")
        .stderr_contains("ping: no permission to send ICMP");
}

#[test]
fn a_name_that_does_not_resolve_is_status_3() {
    if !may_ping() {
        return;
    }
    // The label is too long for DNS, so libc fails without a query.
    let name = format!("{}.test", "x".repeat(64));
    for args in [name.clone(), format!("--json {name}")] {
        let out = ping(&args).run();
        out.code(3).stderr_contains(&format!("ping: {name}: "));
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
    }
    let out = ping(&format!("--json {name}")).run();
    assert_eq!(out.json()[0]["kind"], "name");
}

#[test]
fn a_missing_permission_is_explained() {
    let Some(lab) = lab() else { return };
    // Root of the lab without the capability and the group range.
    let script = "
        # A new namespace permits datagram sockets to no group.
        for args in 127.0.0.1 ::1 '--alive -'; do
            echo 127.0.0.1 | setpriv --bounding-set -net_raw --inh-caps -net_raw ping $args
            echo $?
        done";
    let out = lab.script(script);
    out.stdout("2\n2\n2\n");
    for line in out.stderr_str().lines() {
        assert!(line.contains("no permission to send ICMP"), "{line}");
        assert!(line.contains("net.ipv4.ping_group_range"), "{line}");
        assert!(line.contains("cap_net_raw"), "{line}");
    }
    assert_eq!(out.stderr_str().lines().count(), 3);
}

#[test]
fn a_datagram_socket_suffices() {
    let Some(lab) = lab() else { return };
    let script = "
        sysctl -qw net.ipv4.ping_group_range='0 0'
        for args in '-c 2 -i 0.01 127.0.0.1' '-c 2 -i 0.01 ::1' '--alive 127.0.0.0/28' '-q -s 1000 -c 9 -i 0.01 ::1'; do
            setpriv --bounding-set -net_raw --inh-caps -net_raw ping $args >out || exit
            cat out
        done";
    let out = lab.script(script);
    out.code(0)
        .stdout_contains("64 bytes from 127.0.0.1: icmp_seq=2 ttl=64 time=")
        .stdout_contains("64 bytes from ::1: icmp_seq=2 ttl=64 time=")
        .stdout_contains("\n127.0.0.14\n")
        .stdout_contains("9 packets transmitted, 9 received, 0% packet loss");
}

#[test]
fn privileges_are_dropped() {
    let Some(lab) = lab() else { return };
    let script = "
        ping 127.0.0.1 >out & pid=$!
        until grep -q icmp_seq out; do :; done
        grep -E '^(CapPrm|CapEff|CapInh|NoNewPrivs)' /proc/$pid/status | tr -d '\\t'
        kill -INT $pid; wait $pid";
    let out = lab.script(script);
    out.stdout(
        "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\nNoNewPrivs:1\n",
    );
}

#[test]
fn names_are_looked_up_without_privileges() {
    let Some(lab) = lab() else { return };
    // A name server that does not answer keeps the lookup thread alive.
    let script = "
        echo nameserver 127.0.0.1 >/run/resolv.conf
        echo hosts: dns >/run/nsswitch.conf
        for file in resolv nsswitch; do mount --bind /run/$file.conf /etc/$file.conf || exit; done
        nft 'add table ip t; add chain ip t i { type filter hook input priority 0; }'
        nft 'add rule ip t i udp dport 53 drop'
        for args in slow.test 'slow.test slower.test'; do
            ping $args 2>/dev/null & pid=$!
            until [ $(ls /proc/$pid/task | wc -l) -gt 1 ]; do :; done
            cat /proc/$pid/task/*/status | grep -E '^(CapPrm|CapEff|NoNewPrivs)' | tr -d '\\t' | sort -u
            kill -KILL $pid
        done";
    let gone = "CapEff:0000000000000000\nCapPrm:0000000000000000\nNoNewPrivs:1\n";
    lab.script(script).stdout(&gone.repeat(2));
}

#[test]
fn every_letter_of_iputils_is_accepted_or_explained() {
    // The letters that are not options.
    for letter in [
        "R", "T x", "F x", "C", "e x", "H", "N x", "S x", // iputils
        "g", "u", "x 1", "X 1", "o", "J", "k 1", // fping, BSD
    ] {
        let out = ping(&format!("-{letter} 127.0.0.1")).run();
        let start = format!("ping: -{} is not supported; ", &letter[..1]);
        out.code(2).stdout("").stderr_contains(&start);
        assert_eq!(out.stderr_str().lines().count(), 1, "{}", out.report());
    }
    for option in ["--dontfrag", "--file", "--outage"] {
        let start = format!("ping: {option} is not supported; use ");
        let out = ping(&format!("{option} 127.0.0.1")).run();
        out.code(2).stdout("").stderr_contains(&start);
    }
    if !may_ping() {
        return;
    }
    let all = "-3 -4 -a -b -B -c1 -d -D -I lo -i1 -l1 -L -M do -n -O -p ff -Q 0 -q -r -s 56 -t 64 -U -v -W 1 -w 5";
    ping(&format!("{all} 127.0.0.1")).run().code(0).stderr("");
}

#[test]
fn a_link_local_address_needs_its_interface() {
    let Some(lab) = lab() else { return };
    let script = "
        net host other
        link host other 10.1.0.1/24 10.1.0.2/24 fe80::1/64 fe80::2/64
        at host ping -c 1 fe80::2 | sed -n 2p; at host ping -c 1 fe80::2%to-other | sed -n 1,2p
        index=$(at host cat /sys/class/net/to-other/ifindex)
        at host ping -c 1 fe80::2%$index | sed -n 1p
        at host ping -c 1 -I to-other fe80::2 | sed -n 2p
        at host ping -c 1 -I fe80::1%to-other fe80::2 | sed -n 1,2p
        at host ping -c 1 -I lo fe80::2%to-other; echo $?
        at host ping -c 1 fe80::2%nope; echo $?
        at host ping --alive -I lo fe80::2%to-other ::1; echo $?
        at host ping --alive fe80::2%to-other; at host ping fe80::2%to-other 10.1.0.2 | sort
        at host ping --json -q -c 1 fe80::2%to-other | grep -o '\"address\":\"fe80::2\"' | sort -u";
    let out = lab.script(script);
    assert_eq!(
        mask(out.stdout_str()),
        "PING fe80::2%to-other (fe80::2%to-other) 56 data bytes\n\
         64 bytes from fe80::2%to-other: icmp_seq=1 ttl=64 time=T\n\
         PING fe80::2%2 (fe80::2%to-other) 56 data bytes\n\
         64 bytes from fe80::2%to-other: icmp_seq=1 ttl=64 time=T\n\
         PING fe80::2 (fe80::2) from fe80::1 to-other: 56 data bytes\n\
         64 bytes from fe80::2%to-other: icmp_seq=1 ttl=64 time=T\n2\n2\n::1\n2\n\
         fe80::2%to-other\n\
         10.1.0.2 is alive (T)\n\
         fe80::2%to-other is alive (T)\n\
         \"address\":\"fe80::2\"\n",
        "{}",
        out.report()
    );
    out.stderr_contains(
        "ping: fe80::2: a link-local or multicast address requires an interface; \
         use fe80::2%IFACE or -I IFACE\n",
    )
    .stderr_contains(
        "ping: fe80::2%to-other: -I and the zone select different interfaces; see 'ping --help'\n\
         ping: fe80::2%nope: no such network interface\n\
         ping: fe80::2%to-other: -I and the zone select different interfaces\n",
    );
}

/// The limit holds for each address of a list, whatever sets the pace and however
/// often the address occurs.
#[test]
fn an_ordinary_user_may_probe_an_address_every_two_milliseconds() {
    if !testkit::privilege::is_root() {
        testkit::skip("only root can become another user");
        return;
    }
    let Some(lab) = lab() else { return };
    let script = "
        sysctl -qw net.ipv4.ping_group_range='0 2147483647'
        cp $(command -v ping) /run/ping
        for args in '--period 0.000001 -c 111 127.0.0.1 127.0.0.2 127.0.0.1' \\
            '--retries 110 -W 0.000001 127.9.9.9' '--mtu -W 0.000001 127.9.9.9'; do
            nft add table t && nft add chain t in '{ type filter hook input priority 0; }'
            nft add rule t in ip daddr 127.9.9.9 drop
            setpriv --reuid 65534 --clear-groups /run/ping --json -q $args
        done";
    let out = lab.script(script);
    let records = out.json();
    let durations: Vec<f64> = records
        .iter()
        .filter(|record| record["type"] == "summary")
        .map(|record| record["duration_ms"].as_f64().unwrap())
        .collect();
    assert_eq!(durations.len(), 4, "{}", out.report());
    // 110 intervals are 220 ms from the time at which the first probe was due. It
    // may be sent some milliseconds later on a busy machine.
    for duration in durations {
        assert!(duration >= 200.0, "{}", out.report());
    }
}

#[test]
fn broadcast_needs_an_option() {
    let Some(lab) = lab() else { return };
    let script = "
        net host other
        link host other 10.1.0.1/24 10.1.0.2/24 fe80::1/64 fe80::2/64
        at other sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0
        at host ping -b -c 1 10.1.0.255; echo $?
        at host ping -c 1 10.1.0.255; echo $?
        at host ping 10.1.0.255 10.1.0.2; echo $?
        at host ping -L -c 1 ff02::1%to-other | sed -n 2p
        at host ping -c 1 ff02::1; echo $?
        at host ping -r -c 1 10.9.0.1; echo $?
        at host ping -r --alive 10.1.0.2
        true";
    let out = lab.script(script);
    assert_eq!(
        mask(out.stdout_str()),
        "PING 10.1.0.255 (10.1.0.255) 56(84) bytes of data.\n\
         64 bytes from 10.1.0.2: icmp_seq=1 ttl=64 time=T\n\
         \n\
         --- 10.1.0.255 ping statistics ---\n\
         1 packets transmitted, 1 received, 0% packet loss, time T\n\
         rtt min/avg/max/mdev = T\n0\n\
         2\n\
         10.1.0.255 is unreachable\n10.1.0.2 is alive (T)\n2\n\
         64 bytes from fe80::2%to-other: icmp_seq=1 ttl=64 time=T\n\
         2\n3\n10.1.0.2\n",
        "{}",
        out.report()
    );
    out.stderr_contains("WARNING: pinging broadcast address\n")
        .stderr_contains(
            "ping: 10.1.0.255: permission denied; use -b to probe a broadcast address\n",
        )
        .stderr_contains(
            "ping: ff02::1: a link-local or multicast address requires an interface; \
             use ff02::1%IFACE or -I IFACE\n",
        )
        .stderr_contains("ping: 10.9.0.1: network is unreachable\n");
}

#[test]
fn a_full_disk_is_status_2() {
    if !may_ping() {
        return;
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let out = ping("-c 1 127.0.0.1").stdout_to(full).run();
    out.code(2)
        .stderr("ping: standard output: no space left on device\n");
}
