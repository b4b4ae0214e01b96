//! The list format: alive and unreachable targets, counts, conditions.

use super::{SOON, lab, mask, masked_stdout, may_ping, may_ping6, ping};

/// Creates a network 10.0.0.0/29 in which only .1 to .3 answer.
const SIX: &str = "
    ip link add dummy0 type dummy 2>/dev/null || ip link add dummy0 type bridge
    ip link set dummy0 up
    for n in 1 2 3; do ip address add 10.0.0.$n/32 dev lo; done
    ip route add 10.0.0.0/29 dev dummy0
    nft add table t && nft add chain t in '{ type filter hook input priority 0; }'
";

#[test]
fn alive_targets_are_listed() {
    if !may_ping() {
        return;
    }
    let out = ping("127.0.0.1 127.0.0.2").run();
    out.code(0).stderr("");
    assert_eq!(
        masked_stdout(&out),
        "127.0.0.1 is alive (T)\n127.0.0.2 is alive (T)\n"
    );
    ping("--alive 127.0.0.0/30 127.0.0.9-127.0.0.11")
        .run()
        .code(0)
        .stdout("127.0.0.1\n127.0.0.2\n127.0.0.9\n127.0.0.10\n127.0.0.11\n");
    ping("--unreachable 127.0.0.0/30").run().code(0).stdout("");
    ping("-q 127.0.0.0/30").run().code(0).stdout("");
}

#[test]
fn names_are_printed_with_their_address() {
    if !may_ping() {
        return;
    }
    let out = ping("-4 localhost 127.0.0.2").run();
    out.code(0);
    let masked = masked_stdout(&out);
    assert!(
        masked.contains("localhost (127.0.0.1) is alive (T)\n"),
        "{}",
        out.report()
    );
    let out = ping("-4 --alive localhost 127.0.0.2").run();
    let mut lines = out.lines();
    lines.sort();
    assert_eq!(lines, ["127.0.0.2", "localhost"]);
}

#[test]
fn a_list_may_have_both_families() {
    if !may_ping() || !may_ping6() {
        return;
    }
    let out = ping("--alive 127.0.0.1 ::1 127.0.0.2 ::1-::1").run();
    let mut lines = out.code(0).lines();
    lines.sort();
    assert_eq!(lines, ["127.0.0.1", "127.0.0.2", "::1", "::1"]);
}

#[test]
fn unreachable_targets_are_listed() {
    let Some(lab) = lab() else { return };
    let script = format!(
        "{SIX}
         ping --retries 1 -W 0.2 10.0.0.0/29 | sort; echo
         ping --alive --retries 0 -W 0.2 10.0.0.0/29; echo $?
         ping --unreachable --retries 0 -W 0.2 10.0.0.0/29; echo $?
         ping --reachable 3 --retries 0 -W 0.2 -q 10.0.0.0/29; echo $?
         ping --reachable 4 --retries 0 -W 0.2 -q 10.0.0.0/29; echo $?"
    );
    let out = lab.script(&script);
    assert_eq!(
        mask(out.stderr("").stdout_str()),
        "10.0.0.1 is alive (T)\n10.0.0.2 is alive (T)\n10.0.0.3 is alive (T)\n\
         10.0.0.4 is unreachable\n10.0.0.5 is unreachable\n10.0.0.6 is unreachable\n\n\
         10.0.0.1\n10.0.0.2\n10.0.0.3\n1\n\
         10.0.0.4\n10.0.0.5\n10.0.0.6\n1\n0\n1\n"
    );
}

#[test]
fn counts_are_printed_per_target() {
    let Some(lab) = lab() else { return };
    let script = format!(
        "{SIX}
         nft add rule t in ip daddr 10.0.0.2 icmp type echo-request numgen inc mod 4 3 drop
         ping -c 4 --period 0.02 -W 0.2 10.0.0.1 10.0.0.2 10.0.0.5 | sort; echo
         ping -q -c 4 --period 0.02 -W 0.2 --max-loss 25 10.0.0.1 10.0.0.2 >/dev/null 2>&1; echo $?
         ping -q -c 4 --period 0.02 -W 0.2 --max-loss 24 10.0.0.1 10.0.0.2 >/dev/null 2>&1; echo $?"
    );
    let out = lab.script(&script);
    assert_eq!(
        mask(out.stdout_str()),
        "10.0.0.1 : xmt/rcv/%loss = 4/4/0%, T\n\
         10.0.0.2 : xmt/rcv/%loss = 4/3/25%, T\n\
         10.0.0.5 : xmt/rcv/%loss = 4/0/100%\n\n0\n1\n",
        "{}",
        out.report()
    );
}

#[test]
fn bad_operands_do_not_stop_the_others() {
    if !may_ping() {
        return;
    }
    let out = ping("--alive 127.0.0.1 127.1 127.0.0.0/33 ::1-127.0.0.1 127.0.0.2").run();
    out.code(2).stdout("127.0.0.1\n127.0.0.2\n").stderr(
        "ping: 127.1: not an address: IPv4 needs four numbers, this has 2\n\
         ping: 127.0.0.0/33: the prefix length is out of range; use 0 to 32\n\
         ping: ::1-127.0.0.1: the start and the end of the range are of different families\n",
    );
    let out = ping("--alive -")
        .stdin("# x\n\n 127.0.0.1\n127.0.0.256\n")
        .run();
    out.code(2)
        .stdout("127.0.0.1\n")
        .stderr("ping: -:4: 127.0.0.256: not an address: a number is above 255\n");
}

#[test]
fn results_are_printed_while_input_is_written() {
    if !may_ping() {
        return;
    }
    let mut running = ping("-").piped_stdin().spawn();
    for address in ["127.0.0.1", "127.0.0.2"] {
        running.write_stdin(format!("{address}\n").as_bytes());
        let line = running.read_line(SOON);
        assert!(line.starts_with(&format!("{address} is alive (")), "{line}");
    }
    running.close_stdin();
    running.wait().code(0);
}

#[test]
fn an_interrupted_run_has_the_status_so_far() {
    if !may_ping() {
        return;
    }
    let running = ping("--alive -").piped_stdin().spawn();
    running.write_stdin(b"127.0.0.1\n");
    running.read_line(SOON);
    running.signal(libc::SIGINT);
    running.wait().code(0).stdout("127.0.0.1\n").stderr("");
}

#[test]
fn undecided_targets_have_not_answered() {
    let Some(lab) = lab() else { return };
    let script = "
        net host
        at host nft add table t
        at host nft add chain t in '{ type filter hook input priority 0; }'
        at host nft add rule t in ip daddr 127.0.0.9 drop
        at host ping -w 0.2 127.0.0.9 127.0.0.1 127.0.0.9; echo $?
        at host ping --unreachable -w 0.2 127.0.0.9; echo $?
        at host ping --mtu -w 0.2 127.0.0.9; echo $?
        at host timeout -s INT 0.3 ping --alive 127.0.0.9 >out & wait $!; echo $?
        ip netns exec host ping --json -i 0.05 -W 0.1 127.0.0.9 >out & pid=$!
        until [ $(grep -c '\"timeout\"' out) -ge 2 ]; do :; done
        kill -TERM $pid; wait $pid; grep -o '\"outages\":[0-9]*' out
        at host ping --json -W 0.1 -i 0.05 -w 0.5 -q 127.0.0.9 | grep -o '\"outages\":[0-9]*'";
    let out = lab.script(script);
    assert_eq!(
        mask(out.stdout_str()),
        "127.0.0.1 is alive (T)\n127.0.0.9 is unreachable\n127.0.0.9 is unreachable\n1\n\
         127.0.0.9\n1\n1\n124\n\"outages\":1\n\"outages\":1\n",
        "{}",
        out.report()
    );
    out.stderr_contains("ping: 127.0.0.9: no reply\n");
}

#[test]
fn targets_that_were_not_probed_have_not_answered() {
    if !may_ping() {
        return;
    }
    let out = ping("-w 0.3 --rate 1 127.0.0.1 127.0.0.2 127.0.0.3").run();
    out.code(1)
        .stderr("ping: -w ended the run before every target was probed\n");
    assert!(mask(out.stdout_str()).starts_with("127.0.0.1 is alive (T)\n"));
    let out = ping("-w 0.3 --rate 1 --reachable 1 -q 127.0.0.1 127.0.0.2").run();
    out.code(0);
    let out = ping("-w 0.3 --rate 1 127.0.0.1 127.0.0.1").run();
    out.code(1);
    // Both targets were probed, and the pacer delays only a further probe.
    let out = ping("-w 5 --rate 3 -q 127.0.0.1 127.0.0.2").run();
    out.code(0).stderr("");
}

#[test]
fn the_size_must_fit_an_ipv4_packet() {
    if !may_ping() {
        return;
    }
    let out = ping("-s 65520 127.0.0.1 127.0.0.0/31").run();
    out.code(2).stdout("").stderr(
        "ping: 127.0.0.1: the data of an IPv4 probe is at most 65507 bytes; use a smaller -s\n\
         ping: 127.0.0.0/31: the data of an IPv4 probe is at most 65507 bytes; use a smaller -s\n",
    );
}

#[test]
fn reachable_needs_only_the_given_number() {
    let Some(lab) = lab() else { return };
    let script = "
        net host
        at host ping --reachable 1 -q 127.0.0.1 192.0.2.1; echo $?
        at host ping --reachable 2 -q 127.0.0.1 192.0.2.1; echo $?
        at host ping -q 127.0.0.1 192.0.2.1; echo $?
        at host ping --json --retries 0 -q 192.0.2.1 | grep -c '\"type\":\"error\"'
        at host ping --json -c 2 --period 0.01 -q 192.0.2.1 127.0.0.1 >/dev/null
        at host ip link set lo mtu 1500
        at host ping --json -s 2000 -M do -c 1 -q 127.0.0.1 | grep -o '\"kind\":\"[a-z]*\"'
        at host ping -s 2000 -M do -c 1 -q 127.0.0.1 >/dev/null; echo $?";
    let out = lab.script(script);
    assert_eq!(
        out.stdout_str(),
        "0\n3\n3\n1\n\"kind\":\"unreachable\"\n3\n",
        "{}",
        out.report()
    );
    // A failure to send has one line per target, with JSON, too.
    let line = "ping: 192.0.2.1: network is unreachable\n";
    let expected = line.repeat(5) + "ping: 127.0.0.1: message too long, mtu 1500\n";
    assert!(out.stderr_str().starts_with(&expected), "{}", out.report());
}

#[test]
fn a_network_may_be_shuffled() {
    if !may_ping() {
        return;
    }
    let expected: Vec<String> = (1..=254).map(|n| format!("127.0.0.{n}")).collect();
    let out = ping("--alive 127.0.0.0/24").run();
    assert_eq!(out.code(0).lines(), expected);
    let out = ping("--alive --shuffle 127.0.0.0/24").run();
    let mut lines = out.code(0).lines();
    assert_ne!(lines, expected);
    lines.sort_by_key(|line| line.rsplit('.').next().unwrap().parse::<u8>().unwrap());
    assert_eq!(lines, expected);
}

#[test]
fn a_list_may_have_more_hosts_than_sequence_numbers() {
    if !may_ping() {
        return;
    }
    let out = ping("--alive --retries 2 127.1.0.0-127.2.17.111")
        .timeout(std::time::Duration::from_secs(60))
        .run();
    assert_eq!(out.code(0).stderr("").lines().len(), 70_000);
}

#[test]
fn a_run_may_wait_until_a_host_is_up_or_down() {
    let Some(lab) = lab() else { return };
    let script = "
        net host
        at host nft add table t
        at host nft add chain t in '{ type filter hook input priority 0; }'
        at host nft add rule t in icmp type echo-request drop
        at host ping --until-up -q -i 0.05 --timeout 0.3 127.0.0.1 >/dev/null; echo $?
        (sleep 0.3; at host nft flush chain t in) &
        at host ping --until-up -q -i 0.05 --timeout 20 127.0.0.1 >/dev/null; echo $?
        (sleep 0.3; at host nft add rule t in icmp type echo-request drop) &
        at host ping --until-down -q -i 0.05 -W 0.1 --timeout 20 127.0.0.1 | sed -n 4p; wait
        at host nft flush chain t in
        at host ping --until-down -q --period 0.05 -W 0.1 --timeout 0.3 127.0.0.1 127.0.0.2; echo $?
        at host ping --until-up --period 0.05 -W 0.1 --timeout 20 127.0.0.1 127.0.0.2; echo $?";
    let out = lab.script(script);
    let text = mask(out.stdout_str());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["1", "0"], "{}", out.report());
    assert!(
        lines[2].contains(" packets transmitted"),
        "{}",
        out.report()
    );
    assert_eq!(
        lines[3..],
        ["1", "127.0.0.1 is alive (T)", "127.0.0.2 is alive (T)", "0"],
        "{}",
        out.report()
    );
}

#[test]
fn processes_do_not_take_replies_of_each_other() {
    if !may_ping() {
        return;
    }
    let start = || -> Vec<_> {
        (0..4)
            .map(|_| ping("-q -c 100 -i 0.002 127.0.0.1").spawn())
            .collect()
    };
    for running in start() {
        let out = running.wait();
        let masked = masked_stdout(out.code(0));
        assert!(
            masked.contains("100 packets transmitted, 100 received, 0% packet loss"),
            "{}",
            out.report()
        );
    }
}

#[test]
fn datagram_sockets_do_not_take_replies_of_each_other() {
    let Some(lab) = lab() else { return };
    let script = "
        sysctl -qw net.ipv4.ping_group_range='0 0'
        for n in 1 2 3 4; do
            ping -q -c 100 -i 0.002 127.0.0.1 & ping -q -c 100 -i 0.002 ::1 &
        done | grep -c ' 100 received, 0% packet loss'";
    lab.script(script).stdout("8\n");
}

#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    if !may_ping() {
        return;
    }
    let out = ping("--alive 127.0.0.0/16").run_closing_stdout_after(20);
    out.code(0).stderr("");
}
