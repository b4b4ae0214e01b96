//! The source of targets: names, files and lists, and operands that cannot be
//! probed.

use serde_json::Value;
use testkit::Output;

use super::{lab, mask, may_ping, ping};

/// Makes only these names resolve in a lab.
const HOSTS: &str = "
    cat >/run/hosts <<END
127.0.0.1 a.test many.test
127.0.0.2 b.test many.test
::1 many.test
127.0.0.3 xn--mnchen-3ya.test
END
    echo hosts: files >/run/nsswitch.conf
    for file in hosts nsswitch.conf; do mount --bind /run/$file /etc/$file || exit; done
    cd /run
";

fn script(script: &str) -> Option<Output> {
    Some(lab()?.script(&format!("{HOSTS}{script}")))
}

#[test]
fn names_may_be_in_any_script() {
    let Some(out) =
        script("ping -c 1 münchen.test | head -2; ping --alive MÜNCHEN.test a.test | sort")
    else {
        return;
    };
    assert_eq!(
        mask(out.stderr("").stdout_str()),
        "PING münchen.test (127.0.0.3) 56(84) bytes of data.\n\
         64 bytes from xn--mnchen-3ya.test (127.0.0.3): icmp_seq=1 ttl=64 time=T\n\
         MÜNCHEN.test\na.test\n"
    );
}

#[test]
fn a_list_may_be_a_file() {
    let Some(out) = script(
        "printf '\\357\\273\\277127.0.0.1 # core switch\\r\\n\\n# x\\n  127.0.0.2 ; y\\n127.0.0.9%%x' >list
         ping --alive @list; echo $?
         ping --alive - <list; echo $?
         ping --alive 127.0.0.5 @list 2>/dev/null | wc -l
         ping @absent; echo $?
         echo '# nothing' >empty
         ping @empty; echo $?; ping - <empty; echo $?; ping --json @empty; echo $?
         ping list 2>&1; echo $?; ping 127.0.0.1 ./list 2>&1 | grep list",
    ) else {
        return;
    };
    assert_eq!(
        mask(out.stdout_str()),
        "127.0.0.1\n127.0.0.2\n2\n127.0.0.1\n127.0.0.2\n2\n3\n2\n1\n1\n1\n\
         ping: list: name or service not known; use @list to read the file with that name\n3\n\
         ping: ./list: not an IPv4 or IPv6 address; use @./list to read the file with that name\n",
        "{}",
        out.report()
    );
    let zone = "127.0.0.9%x: only IPv6 link-local and multicast addresses can have a zone";
    out.stderr(&format!(
        "ping: list:5: {zone}\nping: -:5: {zone}\n\
         ping: absent: no such file or directory\n\
         ping: the list is empty\nping: the list is empty\nping: the list is empty\n"
    ));
}

#[test]
fn standard_input_is_read_only_for_a_dash() {
    let missing = "ping: a target is missing; usage: ping [OPTIONS] TARGET...; see 'ping --help'\n";
    for args in ["", "-c 1", "--alive", "--json --alive", "--mtu"] {
        let out = ping(args).stdin("127.0.0.1\n").run();
        out.code(2).stderr(missing);
    }
    // The input of a script is left alone.
    let Some(out) = script("printf '127.0.0.1\\n' | { ping -c 1 2>/dev/null; cat; }") else {
        return;
    };
    out.stdout("127.0.0.1\n");
}

#[test]
fn every_address_of_a_name_may_be_probed() {
    let Some(out) = script(
        "ping --all-addresses many.test | sort
         ping -c 1 --all-addresses many.test | cut -d, -f1 | sort
         ping --alive --all-addresses many.test a.test | sort
         ping -4 --all-addresses --json -q many.test | grep -c summary
         ping many.test a.test | wc -l",
    ) else {
        return;
    };
    assert_eq!(
        mask(out.stderr("").stdout_str()),
        "many.test (127.0.0.1) is alive (T)\n\
         many.test (127.0.0.2) is alive (T)\n\
         many.test (::1) is alive (T)\n\
         many.test (127.0.0.1) : xmt/rcv/%loss = 1/1/0%\n\
         many.test (127.0.0.2) : xmt/rcv/%loss = 1/1/0%\n\
         many.test (::1) : xmt/rcv/%loss = 1/1/0%\n\
         127.0.0.1\n127.0.0.1\n127.0.0.2\n::1\n2\n2\n"
    );
}

#[test]
fn a_name_that_does_not_resolve_has_its_records() {
    let why = "ping: none.test: name or service not known\n";
    for args in ["none.test", "-c 1 a.test none.test"] {
        let single = args == "none.test";
        let Some(out) = script(&format!("ping --json {args}")) else {
            return;
        };
        let records = out.code(3).stderr(why).json();
        let records_of = |kind: &str| -> Vec<&Value> {
            let is_of_target = |r: &&Value| r["type"] == kind && r["target"] == "none.test";
            records.iter().filter(is_of_target).collect()
        };
        let (error, summary) = (records_of("error")[0], records_of("summary")[0]);
        assert_eq!(
            (&error["kind"], &error["address"]),
            (&"name".into(), &Value::Null)
        );
        assert_eq!(
            (&summary["sent"], &summary["address"]),
            (&0.into(), &Value::Null)
        );
        assert_eq!(summary["loss_percent"], Value::Null);

        let out = script(&format!("ping --csv {args}")).unwrap();
        let lines = out.code(3).stderr(why).lines();
        assert!(
            lines[0].starts_with("type,target,address,"),
            "{}",
            out.report()
        );
        let columns = lines[0].split(',').count();
        for kind in ["error", "summary"] {
            let start = format!("{kind},none.test,,");
            let row = lines.iter().find(|line| line.starts_with(&start));
            assert_eq!(row.unwrap().split(',').count(), columns, "{}", out.report());
        }

        let out = script(&format!("ping --metrics {args}")).unwrap();
        out.code(3)
            .stderr(why)
            .stdout_contains("ping_up{target=\"none.test\",address=\"\"} 0\n")
            .stdout_contains("ping_sent_total{target=\"none.test\",address=\"\"} 0\n");
        assert!(out.stdout_str().ends_with("# EOF\n"));
        let ups = out.stdout_str().matches("\nping_up{").count();
        assert_eq!(ups, if single { 1 } else { 2 });
        assert!(!out.stdout_str().contains("loss_ratio{target=\"none"));
    }
}

/// A name server that does not answer delays only its own names.
#[test]
fn a_slow_name_delays_no_other_target() {
    let Some(out) = script(
        "echo nameserver 127.0.0.1 >resolv.conf; echo hosts: files dns >nsswitch.conf
         mount --bind resolv.conf /etc/resolv.conf
         nft 'add table ip t; add chain ip t i { type filter hook input priority 0; }'
         nft 'add rule ip t i udp dport 53 drop'
         ping -w 1 slow.test 127.0.0.9 a.test slower.test b.test | sort;
         ping --json -q -w 1 slow.test a.test | grep slow; echo
         ping -w 1 slow.test a.test >out 2>&1; echo $?
         # --reachable does not wait for a name that is being looked up.
         ping --reachable 1 slow.test a.test; echo $?",
    ) else {
        return;
    };
    let text = mask(out.stdout_str());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "127.0.0.9 is alive (T)",
            "a.test (127.0.0.1) is alive (T)",
            "b.test (127.0.0.2) is alive (T)"
        ],
        "{}",
        out.report()
    );
    assert!(lines[3].starts_with("{\"type\":\"error\",\"target\":\"slow.test\",\"kind\":\"name\""));
    assert!(
        lines[4].starts_with("{\"type\":\"summary\",\"target\":\"slow.test\",\"address\":null")
    );
    assert_eq!(
        lines[5..],
        ["", "3", "a.test (127.0.0.1) is alive (T)", "0"],
        "{}",
        out.report()
    );
    let timed_out = |name: &str| format!("ping: {name}: name lookup timed out\n");
    let expected = timed_out("slow.test") + &timed_out("slower.test");
    assert!(out.stderr_str().starts_with(&expected), "{}", out.report());
}

/// A host that boots may not have a DNS entry yet.
#[test]
fn until_up_waits_for_a_name_to_resolve() {
    // The entry is added after a first lookup has read the file without it.
    let Some(out) = script(
        "for name in new.test 'newer.test b.test'; do
             touch -a -d '1 hour ago' hosts
             ping --until-up -q --timeout 8 $name >out & pid=$!
             until [ $(stat -c %X hosts) -ge $(($(stat -c %Y hosts) - 1800)) ]; do :; done
             echo 127.0.0.5 ${name%% *} >>hosts
             wait $pid; echo $?
         done
         ping --until-up --timeout 1 none.test; echo $?",
    ) else {
        return;
    };
    assert_eq!(out.stdout_str(), "0\n0\n3\n", "{}", out.report());
}

#[test]
fn a_period_that_is_not_kept_is_reported() {
    if !may_ping() {
        return;
    }
    let targets = "127.0.0.1 127.0.0.2";
    let out = ping(&format!("-i 0.02 -c 40 --period 0.005 {targets}")).run();
    out.code(0)
        .stderr_contains("ping: the period was not kept: probes were sent ");
    // If only new targets wait, the period is kept.
    let out = ping("-q -i 0.01 -c 4 --period 0.1 127.0.0.1-127.0.0.20").run();
    out.code(0).stderr("");
}

#[test]
fn enough_reachable_targets_end_the_run() {
    let Some(lab) = lab() else { return };
    // Without an early end each run would take minutes.
    let script = "
        nft add table t; nft add chain t i '{ type filter hook input priority 0; }'
        nft add rule t i ip daddr 127.0.0.9 drop
        ping --reachable 1 -W 100 --retries 9 127.0.0.9 127.0.0.1; echo $?
        ping --reachable 2 -W 100 -q 127.0.0.9 127.0.0.1 127.0.0.2; echo $?
        ping --reachable 1 --json -q -W 100 127.0.0.9 127.0.0.1 | grep -c summary";
    let out = lab.script(script);
    assert_eq!(
        mask(out.stderr("").stdout_str()),
        "127.0.0.1 is alive (T)\n0\n0\n2\n",
        "{}",
        out.report()
    );
}

#[test]
fn a_silent_target_gets_its_retries() {
    let Some(lab) = lab() else { return };
    let script = "
        nft add table t; nft add chain t i '{ type filter hook input priority 0; }'
        nft add rule t i ip daddr 127.0.0.9 drop
        for n in 0 1 2; do
            ping --json -q -W 0.05 --retries $n 127.0.0.9 | grep -o '\"sent\":.*\"in_flight\":[0-9]*'
        done
        ping --json -q -W 0.05 --retries 0 127.0.0.9 | grep -c .
        ping --json -q -W 0.05 127.0.0.8-127.0.0.9 | grep -o '\"sent\":[0-9]*' | sort";
    let out = lab.script(script);
    let line = |n| format!("\"sent\":{n},\"received\":0,\"lost\":{n},\"in_flight\":0\n");
    let expected: String = (1..4).map(line).collect();
    assert_eq!(
        out.stdout_str(),
        format!("{expected}2\n\"sent\":1\n\"sent\":4\n"),
        "{}",
        out.report()
    );
}

/// It is at least half a second and at most two.
#[test]
fn the_timeout_of_a_counted_list_is_its_period() {
    let Some(lab) = lab() else { return };
    let script = "
        nft add table t; nft add chain t i '{ type filter hook input priority 0; }'
        nft add rule t i drop
        for args in '--period 0.01' '--period 0.7' '--period 60' '--period 0.7 -W 0.1'; do
            ping --json -c 1 $args 127.0.0.9 127.0.0.8 | grep '\"timeout\"\\|\"start\"'
        done";
    let out = lab.script(script);
    let records = out.json();
    let time = |record: &Value| {
        let text = record["time"].as_str().unwrap();
        // In seconds since the full hour.
        let (minute, second) = (&text[14..16], &text[17..26]);
        minute.parse::<f64>().unwrap() * 60.0 + second.parse::<f64>().unwrap()
    };
    for (run, least) in records.chunks(4).zip([0.5, 0.7, 2.0, 0.1]) {
        assert_eq!(
            (&run[1]["type"], &run[3]["type"]),
            (&"start".into(), &"timeout".into())
        );
        let waited = (time(&run[3]) - time(&run[1])).rem_euclid(3600.0);
        assert!(
            waited >= least - 0.001,
            "{waited} {least}\n{}",
            out.report()
        );
    }
}

#[test]
fn a_target_without_a_route_is_decided_immediately() {
    let Some(lab) = lab() else { return };
    let script = "
        for more in '' '--csv'; do
            ping -W 100 --retries 9 $more 10.9.9.9 127.0.0.1 | grep -v ^start | cut -c 1-30; done
        ping --json -W 100 10.9.9.9 127.0.0.1";
    let out = lab.script(script);
    let text = mask(out.code(3).stdout_str());
    assert!(
        text.starts_with("10.9.9.9 is unreachable\n127.0.0.1 is alive (T)\n")
            || text.starts_with("10.9.9.9 is unreachable\n127.0.0.1 is alive ("),
        "{}",
        out.report()
    );
    // One line for each of the three runs.
    out.stderr(&"ping: 10.9.9.9: network is unreachable\n".repeat(3));
}

#[test]
fn alive_and_unreachable_select_summaries() {
    let Some(lab) = lab() else { return };
    let script = "
        nft add table t; nft add chain t i '{ type filter hook input priority 0; }'
        nft add rule t i ip daddr 127.0.0.9 drop
        for which in alive unreachable; do for form in json csv; do
            ping --$which --$form --retries 0 -W 0.2 127.0.0.9 127.0.0.1 | grep -v ^type |
                grep -o '^{\"type\":\"[a-z]*\",\"target\":\"[0-9.]*\"\\|^[a-z]*,[0-9.]*'
        done; done";
    let out = lab.script(script);
    assert_eq!(
        out.stdout_str(),
        "{\"type\":\"summary\",\"target\":\"127.0.0.1\"\nsummary,127.0.0.1\n\
         {\"type\":\"summary\",\"target\":\"127.0.0.9\"\nsummary,127.0.0.9\n",
        "{}",
        out.report()
    );
}

#[test]
fn a_watch_reports_every_interval() {
    if !may_ping() {
        return;
    }
    let running = ping("--watch 0.3 --period 0.1 127.0.0.1 127.0.0.2").spawn();
    let mut seen = [0, 0];
    // Until each target has had three intervals.
    while seen.iter().any(|count| *count < 3) {
        let line = running.read_line(super::SOON);
        let index = usize::from(line.starts_with("127.0.0.2 : "));
        assert!(
            line.starts_with(&format!("127.0.0.{} : xmt/rcv/%loss = ", index + 1)),
            "{line}"
        );
        seen[index] += 1;
    }
    running.signal(libc::SIGINT);
    let out = running.wait();
    let totals = out
        .code(0)
        .lines()
        .into_iter()
        .filter(|line| line.contains(" : total xmt/"));
    assert_eq!(totals.count(), 2, "{}", out.report());

    let running = ping("--watch=0.2 --json -q --period 0.05 127.0.0.1").spawn();
    for kind in ["start", "interval", "interval", "interval"] {
        let record: Value = serde_json::from_str(&running.read_line(super::SOON)).unwrap();
        assert_eq!(record["type"], kind);
    }
    running.signal(libc::SIGTERM);
    let records = running.wait().code(0).json();
    let summary = records.last().unwrap();
    assert_eq!(summary["type"], "summary");
    let intervals = records.iter().filter(|record| record["type"] == "interval");
    let sent: u64 = intervals
        .map(|record| record["sent"].as_u64().unwrap())
        .sum();
    assert!(sent > 0 && sent <= summary["sent"].as_u64().unwrap());
    // A watch without a target ends.
    ping("--watch 127.1").run().code(2).stdout("");
}
