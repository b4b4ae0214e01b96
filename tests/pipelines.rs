//! Several tools in one pipeline of a shell, and the behaviour that all six share.

use std::fs::File;
use std::time::Duration;

use testkit::dns::{DnsServer, Zone};
use testkit::http::{HttpServer, Reply};
use testkit::{Tool, bins, netns, privilege};

const SOON: Duration = Duration::from_secs(15);

/// A DNS server with names for 127.0.0.1 to 127.0.0.5.
fn names() -> DnsServer {
    let zone = (1..=5).fold(Zone::new().soa("127.in-addr.arpa"), |zone, n| {
        zone.ptr(
            &format!("{n}.0.0.127.in-addr.arpa"),
            &format!("host{n}.test"),
        )
    });
    DnsServer::start(zone)
}

#[test]
fn names_of_the_hosts_that_reply_are_looked_up() {
    if !privilege::can_ping() {
        return netns::skip("no ICMP socket allowed here");
    }
    let names = names();
    let script = format!(
        "subnetcalc hosts 127.0.0.0/29 | ping --alive - | resolve --long @{} - | sort",
        names.addr()
    );
    let out = bins::bash(&script).run();
    // One of the six has no name, so resolve ends with status 1, and so does bash
    // with pipefail.
    out.code(1).stdout(
        "127.0.0.1\tPTR\thost1.test.\n\
         127.0.0.2\tPTR\thost2.test.\n\
         127.0.0.3\tPTR\thost3.test.\n\
         127.0.0.4\tPTR\thost4.test.\n\
         127.0.0.5\tPTR\thost5.test.\n\
         127.0.0.6\tPTR\t-\tNXDOMAIN\n",
    );
}

#[test]
fn names_of_the_hosts_that_reply_are_looked_up_by_the_system() {
    if !privilege::can_ping() {
        return netns::skip("no ICMP socket allowed here");
    }
    let script = "subnetcalc hosts 127.0.0.0/29 | ping --alive - | resolve --long -";
    let mut lines = bins::bash(script)
        .timeout(Duration::from_secs(60))
        .run()
        .lines();
    lines.sort();
    // The names depend on the system, but there is one record for each address.
    assert_eq!(lines.len(), 6, "{lines:?}");
    for (line, n) in lines.iter().zip(1..) {
        assert!(line.starts_with(&format!("127.0.0.{n}\tPTR\t")), "{line}");
    }
}

#[test]
fn ping_reads_a_list_and_prints_json() {
    if !privilege::can_ping() {
        return netns::skip("no ICMP socket allowed here");
    }
    let out = bins::bash("subnetcalc hosts 127.0.0.0/30 | ping --json -c 1 -").run();
    let records = out.code(0).json();
    let summaries: Vec<_> = records
        .iter()
        .filter(|record| record["type"] == "summary")
        .map(|record| (&record["address"], &record["received"]))
        .collect();
    assert_eq!(summaries.len(), 2, "{}", out.report());
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert!(
            summaries.iter().any(|(a, n)| **a == address && **n == 1),
            "{}",
            out.report()
        );
    }
}

#[test]
fn a_list_ends_if_its_reader_does() {
    bins::bash("subnetcalc hosts ::/0 | head -n 3")
        .run()
        .code(0)
        .stdout("::\n::1\n::2\n")
        .stderr("");
}

#[test]
fn names_of_a_network_are_printed_in_order() {
    let zone = (0..256).fold(Zone::new(), |zone, n| {
        zone.ptr(&format!("{n}.2.0.192.in-addr.arpa"), &format!("h{n}.test"))
    });
    let server = DnsServer::start(zone);
    let script = format!(
        "subnetcalc hosts --all 192.0.2.0/24 | resolve --ordered @{} - | cut -f 3",
        server.addr()
    );
    let out = bins::bash(&script).run();
    let expected: Vec<String> = (0..256).map(|n| format!("h{n}.test.")).collect();
    assert_eq!(out.code(0).stderr("").lines(), expected);
}

#[test]
fn a_list_is_fetched_from_the_web() {
    let server = HttpServer::start(|request| match request.path() {
        "/nets" => Reply::text("# comment\n10.0.0.0/25\n10.0.0.128/25\n\n2001:db8::/32\n"),
        "/log" => Reply::text("10.0.0.7 came\n192.0.2.1 went\n[2001:db8::1]:80 stays\n"),
        _ => Reply::new(404),
    });
    let script = format!(
        "httpget {nets} > nets && httpget {log} | subnetcalc grep --in @nets",
        nets = server.url("/nets"),
        log = server.url("/log")
    );
    bins::bash(&script)
        .run()
        .code(0)
        .stdout("10.0.0.7 came\n[2001:db8::1]:80 stays\n")
        .stderr("");
    let script = format!(
        "httpget {} | subnetcalc aggregate --json -",
        server.url("/nets")
    );
    let records = bins::bash(&script).run().code(0).json();
    assert_eq!(records[0]["network"], "10.0.0.0/24");
    assert_eq!(records[1]["network"], "2001:db8::/32");
    let script = format!("httpget {} | cat", server.url("/none"));
    let _ = bins::bash(&script).run().code(1).stdout("");
}

#[test]
fn clients_exchange_messages_with_a_server() {
    let script = "
        mkfifo events
        tcpecho-server --count 3 127.0.0.1:0 >events 2>summary &
        exec 3<events
        read -r _ addr <&3 || exit 9
        for word in one two three; do
            tcpecho-client $addr $word || exit
            echo
        done
        wait $! || exit
        cut -f 1 <&3 | sort | uniq -c | tr -s ' '";
    bins::bash(script)
        .run()
        .code(0)
        .stdout("one\ntwo\nthree\n 3 closed\n 3 connected\n")
        .stderr("");
}

#[test]
fn a_server_with_a_closed_log_continues() {
    // The shell closes the log after its first line.
    let script = "
        mkfifo events
        { tcpecho-server --count 2 127.0.0.1:0 >events 2>summary; echo $? >status; } &
        read -r _ addr <events || exit 9
        tcpecho-client $addr first && echo
        tcpecho-client $addr second && echo
        wait
        cat status";
    bins::bash(script)
        .run()
        .code(0)
        .stdout("first\nsecond\n0\n")
        .stderr("");
}

#[test]
fn a_client_waits_for_a_server_that_starts_later() {
    // The first server finds a free port, on which no other process listens.
    let script = "
        mkfifo events
        tcpecho-server --once 127.0.0.1:0 >events 2>summary &
        exec 3<events
        read -r _ addr <&3 || exit 9
        tcpecho-client $addr once && echo
        wait
        tcpecho-client --retry 200 --retry-delay 50ms $addr again 2>talk &
        client=$!
        tcpecho-server --once $addr >log 2>summary || exit
        wait $client";
    bins::bash(script)
        .run()
        .code(0)
        .stdout("once\nagain")
        .stderr("");
}

/// The tools that read operands from stdin, each with a line and its answer.
fn readers(server: &DnsServer, web: &HttpServer) -> Vec<(Tool, String, &'static str)> {
    let mut all = Vec::new();
    all.push((
        bins::tool("subnetcalc").args(["hosts", "-"]),
        "10.0.0.4/32".to_owned(),
        "10.0.0.4",
    ));
    all.push((
        bins::tool("resolve")
            .arg(format!("@{}", server.addr()))
            .args(["--long", "-"]),
        "127.0.0.1".to_owned(),
        "127.0.0.1\tPTR\thost1.test.",
    ));
    all.push((bins::tool("httpget").arg("-"), web.url("/"), "hello"));
    if privilege::can_ping() {
        all.push((
            bins::tool("ping").args(["--alive", "-"]),
            "127.0.0.1".to_owned(),
            "127.0.0.1",
        ));
    }
    all
}

#[test]
fn results_are_printed_while_input_is_open() {
    let server = names();
    let web = HttpServer::start(|_| Reply::text("hello\n"));
    for (tool, operand, answer) in readers(&server, &web) {
        let mut running = tool.piped_stdin().spawn();
        running.write_stdin(format!("# one\n\n  {operand}\n").as_bytes());
        assert_eq!(running.read_line(SOON), answer);
        running.write_stdin(format!("{operand}\n").as_bytes());
        assert_eq!(running.read_line(SOON), answer);
        running.close_stdin();
        let _ = running.wait().code(0).stderr("");
    }
}

#[test]
fn standard_input_is_read_only_for_a_dash() {
    for (name, what) in [
        ("ping", "a target"),
        ("resolve", "a name or address"),
        ("httpget", "a URL"),
    ] {
        let out = bins::tool(name).stdin("127.0.0.1\n").run();
        out.code(2).stdout("");
        let stderr = out.stderr_str();
        let start = format!("{name}: {what} is missing; usage: {name} ");
        assert!(stderr.starts_with(&start), "{}", out.report());
        assert_eq!(stderr.lines().count(), 1, "{}", out.report());
        let out = bins::tool(name).arg("--json").stdin("127.0.0.1\n").run();
        assert_eq!(out.code(2).json()[0]["kind"], "usage");
    }
}

#[test]
fn every_tool_has_help_a_version_and_completions() {
    for name in bins::TOOLS {
        let out = bins::tool(name).arg("--version").run();
        out.code(0).stderr("");
        assert!(
            out.stdout_str().starts_with(&format!("{name} ")),
            "{}",
            out.report()
        );
        // Alone or with other options, the version is the same.
        let version = out.stdout_str().to_owned();
        bins::tool(name).arg("-V").run().code(0).stdout(&version);
        let args = ["--json", "--version"];
        bins::tool(name).args(args).run().code(0).stdout(&version);
        for option in ["-h", "--help"] {
            let out = bins::tool(name).arg(option).run();
            out.code(0).stderr("").stdout_contains("Usage: ");
        }
        for (kind, part) in [("man", ".TH"), ("bash", "complete"), ("zsh", "#compdef")] {
            let out = bins::tool(name).args(["--generate", kind]).run();
            out.code(0).stderr("").stdout_contains(part);
        }
    }
}

#[test]
fn usage_errors_are_one_line_and_status_2() {
    for name in bins::TOOLS {
        let out = bins::tool(name).arg("--no-such-option").run();
        out.code(2).stdout("").stderr_contains("--help");
        let stderr = out.stderr_str();
        assert!(stderr.starts_with(&format!("{name}: ")), "{}", out.report());
        assert_eq!(stderr.lines().count(), 1, "{}", out.report());
    }
}

#[test]
fn options_may_be_repeated_and_families_exclude_each_other() {
    for name in bins::TOOLS {
        let twice = ["--color", "never", "--color", "auto", "-j", "-j", "-V"];
        let _ = bins::tool(name).args(twice).run().code(0).stderr("");
        let out = bins::tool(name).args(["-4", "-6", "127.0.0.1"]).run();
        assert!(
            out.code(2).stderr_str().contains("cannot be used with"),
            "{}",
            out.report()
        );
    }
}

#[test]
fn a_full_disk_is_status_2_and_a_closed_pipe_status_0() {
    for name in bins::TOOLS {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("open /dev/full");
        let generate = || bins::tool(name).args(["--generate", "man"]);
        let out = generate().stdout_to(full).run();
        out.code(2);
        assert!(
            out.stderr_str().starts_with(&format!("{name}: ")),
            "{}",
            out.report()
        );
        generate().run_closing_stdout_after(0).code(0).stderr("");
    }
}
