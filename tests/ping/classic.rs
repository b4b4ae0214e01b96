//! The classic format on loopback, byte for byte except for the times.

use testkit::privilege;

use super::{SOON, lab, mask, masked_stdout, may_ping, may_ping6, ping};

#[test]
fn three_probes_look_as_in_iputils() {
    if !may_ping() {
        return;
    }
    let out = ping("-c 3 -i 0.01 127.0.0.1").run();
    out.code(0).stderr("");
    assert_eq!(
        masked_stdout(&out),
        "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n\
         64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T\n\
         64 bytes from 127.0.0.1: icmp_seq=2 ttl=64 time=T\n\
         64 bytes from 127.0.0.1: icmp_seq=3 ttl=64 time=T\n\
         \n\
         --- 127.0.0.1 ping statistics ---\n\
         3 packets transmitted, 3 received, 0% packet loss, time T\n\
         rtt min/avg/max/mdev = T\n"
    );
}

#[test]
fn ipv6_looks_as_in_iputils() {
    if !may_ping6() {
        return;
    }
    let out = ping("-c 1 ::1").run();
    out.code(0).stderr("");
    assert_eq!(
        masked_stdout(&out),
        "PING ::1 (::1) 56 data bytes\n\
         64 bytes from ::1: icmp_seq=1 ttl=64 time=T\n\
         \n\
         --- ::1 ping statistics ---\n\
         1 packets transmitted, 1 received, 0% packet loss, time T\n\
         rtt min/avg/max/mdev = T\n"
    );
}

#[test]
fn verbose_lines_have_the_identifier() {
    if !may_ping() {
        return;
    }
    let out = ping("-v -c 2 -i 0.01 127.0.0.1").run();
    let lines = out.code(0).lines();
    let ident = lines[1]
        .strip_prefix("64 bytes from 127.0.0.1: icmp_seq=1 ident=")
        .and_then(|rest| rest.split_once(" ttl=64 time="))
        .map(|(ident, _)| ident.parse::<u16>().unwrap());
    let ident = ident.unwrap_or_else(|| panic!("{}", out.report()));
    let start = format!("64 bytes from 127.0.0.1: icmp_seq=2 ident={ident} ttl=64 time=");
    assert!(lines[2].starts_with(&start), "{}", out.report());
}

#[test]
fn options_of_iputils_have_their_effect() {
    if !may_ping() {
        return;
    }
    let out = ping("-c 1 -q -p ff00 127.0.0.1").run();
    assert!(
        masked_stdout(&out).starts_with("PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n\n---")
    );
    let out = ping("-c 1 -p ff00 -s 1000 127.0.0.1").run();
    assert!(
        masked_stdout(&out).starts_with(
            "PATTERN: 0xff00\n\
             PING 127.0.0.1 (127.0.0.1) 1000(1028) bytes of data.\n\
             1008 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T\n"
        ),
        "{}",
        out.report()
    );
    // Too short for the time that iputils keeps in the data: no times at all.
    let out = ping("-c 1 -s 8 127.0.0.1").run();
    assert_eq!(
        masked_stdout(&out),
        "PING 127.0.0.1 (127.0.0.1) 8(36) bytes of data.\n\
         16 bytes from 127.0.0.1: icmp_seq=1 ttl=64\n\
         \n\
         --- 127.0.0.1 ping statistics ---\n\
         1 packets transmitted, 1 received, 0% packet loss, time T\n\n"
    );
    let out = ping("-c 1 -s 0 127.0.0.1").run();
    out.code(0)
        .stdout_contains("8 bytes from 127.0.0.1: icmp_seq=1 ttl=64\n");
    let out = ping("-c 1 -t 9 -Q 0x10 -M do -3 127.0.0.1").run();
    out.code(0).stderr("");
    let out = ping("-c 1 -D 127.0.0.1").run();
    let line = &out.lines()[1];
    assert!(
        line.starts_with('[') && line.contains("] 64 bytes from"),
        "{line}"
    );
    let out = ping("-c 1 -a 127.0.0.1").run();
    assert!(out.lines()[1].ends_with(" ms\x07"), "{}", out.report());
    let out = ping("-c 1 -I 127.0.0.5 127.0.0.1").run();
    out.code(0)
        .stdout_contains("PING 127.0.0.1 (127.0.0.1) from 127.0.0.5 : 56(84) bytes of data.\n");
    let out = ping("-c 1 -I lo 127.0.0.1").run();
    out.code(0)
        .stdout_contains("PING 127.0.0.1 (127.0.0.1) from 127.0.0.1 lo: 56(84) bytes of data.\n");
}

/// From the line of the statistics on, only lines of iputils are printed, because
/// scripts take the last line and read by position.
#[test]
fn percentiles_come_before_the_summary() {
    if !may_ping() {
        return;
    }
    let summary = "\n--- 127.0.0.1 ping statistics ---\n\
        2 packets transmitted, 2 received, 0% packet loss, time T\n\
        rtt min/avg/max/mdev = T\n";
    for (args, percentiles) in [
        ("-q", false),
        ("-q --percentiles", true),
        ("-q -v", true),
        ("-q -s 8 -v", false),
    ] {
        let out = ping(&format!("{args} -c 2 -i 0.01 127.0.0.1")).run();
        let masked = masked_stdout(out.code(0).stderr(""));
        let middle = if percentiles {
            "p50/p90/p99/jitter = T\n"
        } else {
            ""
        };
        let (_, rest) = masked.split_once("bytes of data.\n").unwrap();
        let summary = if args.contains("-s 8") {
            summary.replace("rtt min/avg/max/mdev = T", "")
        } else {
            summary.to_owned()
        };
        assert_eq!(rest, format!("{middle}{summary}"), "{}", out.report());
    }
}

#[test]
fn preload_large_sizes_and_flood_work() {
    if !may_ping() {
        return;
    }
    let out = ping("-c 3 -i 0.1 -l 3 127.0.0.1").run();
    assert!(
        out.code(0).stdout_str().contains(", pipe 3\n"),
        "{}",
        out.report()
    );
    let out = ping("-c 1 -s 1k 127.0.0.1").run();
    out.code(0).stdout_contains("1024(1052) bytes of data");
    let out = ping("-c 1 -s 65527 ::1").run();
    out.code(0).stdout_contains("65535 bytes from ::1");
    // The characters of `-f` and of the bell, if the user may flood.
    let out = ping("-f -A -a -c 2 127.0.0.1").run();
    if privilege::is_root() {
        out.code(0).stdout_contains(".\x08 \x08\x07.\x08 \x08\x07");
    }
}

#[test]
fn a_sweep_sends_each_size_once() {
    if !may_ping() {
        return;
    }
    let out = ping("--sweep 16:48:16 -i 0.01 127.0.0.1").run();
    out.code(0);
    let masked = masked_stdout(&out);
    let bytes: Vec<_> = masked
        .lines()
        .filter_map(|line| line.split_once(" bytes from "))
        .map(|(bytes, _)| bytes.to_owned())
        .collect();
    assert_eq!(bytes, ["24", "40", "56"]);
}

#[test]
fn probes_may_be_as_fast_as_replies() {
    // Only root may flood; the root of a namespace may, too.
    if !may_ping() || (privilege::can_ping() && !privilege::is_root()) {
        return;
    }
    for options in ["-f -q", "-A -q", "-i 0 -q"] {
        let out = ping(&format!("{options} -c 100 127.0.0.1")).run();
        out.code(0);
        let masked = masked_stdout(&out);
        assert!(
            masked.contains("100 packets transmitted, 100 received, 0% packet loss, time T\n"),
            "{}",
            out.report()
        );
        assert!(masked.contains("= T, ipg/ewma "), "{}", out.report());
    }
    let out = ping("-f -c 3 127.0.0.1").run();
    out.code(0)
        .stdout_contains("bytes of data.\n.\x08 \x08.\x08 \x08.\x08 \x08\n---");
}

#[test]
fn a_signal_ends_the_run_with_a_summary() {
    if !may_ping() {
        return;
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let running = ping("127.0.0.1").spawn();
        running.read_line(SOON);
        running.read_line(SOON);
        running.signal(libc::SIGQUIT);
        let line = running.read_stderr_line(SOON);
        assert!(
            line.starts_with("\r1/1 packets, 0% loss, min/avg/ewma/max = "),
            "{line:?}"
        );
        running.signal(signal);
        let out = running.wait();
        out.code(0);
        assert!(
            masked_stdout(&out).contains("1 packets transmitted, 1 received, 0% packet loss"),
            "{}",
            out.report()
        );
    }
}

#[test]
fn outstanding_probes_are_reported() {
    let Some(lab) = lab() else { return };
    let script = "
        nft add table t && nft add chain t in '{ type filter hook input priority 0; }'
        nft add rule t in icmp type echo-request numgen inc mod 2 1 drop
        ping -O -c 4 -i 0.1 -W 0.3 127.0.0.1";
    let out = lab.script(script);
    out.code(0).stderr("");
    assert_eq!(
        mask(out.stdout_str()),
        "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n\
         64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=T\n\
         no answer yet for icmp_seq=2\n\
         64 bytes from 127.0.0.1: icmp_seq=3 ttl=64 time=T\n\
         \n\
         --- 127.0.0.1 ping statistics ---\n\
         4 packets transmitted, 2 received, 50% packet loss, time T\n\
         rtt min/avg/max/mdev = T\n"
    );
}

#[test]
fn the_loss_of_a_thousand_probes_is_exact() {
    let Some(lab) = lab() else { return };
    let script = "
        nft add table inet t && nft add chain inet t in '{ type filter hook input priority 0; }'
        nft add rule inet t in icmp type echo-request numgen inc mod 5 4 drop
        nft add rule inet t in icmpv6 type echo-request numgen inc mod 5 4 drop
        for host in 127.0.0.1 ::1; do ping -q -c 1000 -i 0.0005 -W 1 $host | sed -n 4p; done";
    // A raw socket, then a datagram one.
    for before in ["", "sysctl -qw net.ipv4.ping_group_range='0 0'"] {
        let out = lab.script(&format!("{before}\n{script}"));
        let line = "1000 packets transmitted, 800 received, 20% packet loss, time T\n";
        assert_eq!(mask(out.stdout_str()), line.repeat(2), "{}", out.report());
    }
}

#[test]
fn with_a_deadline_the_count_is_one_of_replies() {
    let Some(lab) = lab() else { return };
    let script = "
        nft add table t && nft add chain t in '{ type filter hook input priority 0; }'
        nft add rule t in icmp type echo-request numgen inc mod 2 0 drop
        ping -q -c 2 -w 20 -i 0.05 127.0.0.1; echo $?
        nft flush ruleset
        nft add table t && nft add chain t in '{ type filter hook input priority 0; }'
        nft add rule t in icmp type echo-request drop
        ping -q -c 2 -w 0.3 -i 0.1 127.0.0.1; echo $?";
    let out = lab.script(script);
    let lines = out.lines();
    let statuses: Vec<_> = lines.iter().filter(|line| line.len() == 1).collect();
    assert_eq!(statuses, ["0", "1"], "{}", out.report());
    out.stdout_contains("4 packets transmitted, 2 received");
}
