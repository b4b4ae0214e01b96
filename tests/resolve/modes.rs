//! The modes `--diff`, `--watch` and `--full`, zone transfers, and options.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Misbehaviour, Query, Record, Zone, rtype};

use super::{at, resolve, zone};

#[test]
fn equal_answers_print_nothing() {
    let (one, two) = (DnsServer::start(zone()), DnsServer::start(zone()));
    for operand in ["host.test", "no.test", "only4.test"] {
        resolve()
            .args([at(&one), at(&two)])
            .args(["--diff", operand])
            .run()
            .code(0)
            .stdout("")
            .stderr("");
    }
}

#[test]
fn different_values_are_printed() {
    let one = DnsServer::start(zone());
    let two = DnsServer::start(
        zone()
            .a("host.test", "192.0.2.99")
            .a("no.test", "192.0.2.5"),
    );
    let (a, b) = (one.addr(), two.addr());
    let diff = |more: &[&str]| {
        resolve()
            .args([at(&one), at(&two)])
            .args(["--diff", "-t", "A"])
            .args(more)
            .run()
    };
    diff(&["host.test", "no.test"])
        .code(1)
        .stdout(&format!(
            "{b}\thost.test\tA\t192.0.2.99\n\
             {a}\tno.test\tA\t-\tNXDOMAIN\n\
             {b}\tno.test\tA\t192.0.2.5\n"
        ))
        .stderr("");
    let records = diff(&["--json", "host.test"]).code(1).json();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["type"], "diff");
    assert_eq!(records[0]["server"], b.to_string());
    assert_eq!(records[0]["data"], "192.0.2.99");
    assert!(records[0]["time"].is_string());
}

#[test]
fn a_server_without_an_answer_has_status_3() {
    let one = DnsServer::start(zone());
    let two = DnsServer::with_behaviour(zone(), |_, _| Behaviour::Rcode(2));
    resolve()
        .args([at(&one), at(&two)])
        .args(["--diff", "-t", "A", "host.test"])
        .run()
        .code(3)
        .stdout(&format!(
            "{}\thost.test\tA\t192.0.2.1\n{}\thost.test\tA\t-\tSERVFAIL\n",
            one.addr(),
            two.addr()
        ))
        .stderr_contains("answered SERVFAIL");
}

#[test]
fn a_failure_for_several_types_is_reported_once() {
    let one = DnsServer::start(zone());
    let two = DnsServer::with_behaviour(zone(), |_, _| Behaviour::Rcode(2));
    let b = two.addr();
    resolve()
        .args([at(&one), at(&two)])
        .args(["--diff", "host.test", "only4.test"])
        .run()
        .code(3)
        .stderr(&format!(
            "resolve: host.test: {b} answered SERVFAIL\n\
             resolve: only4.test: {b} answered SERVFAIL\n"
        ));
}

#[test]
fn a_server_is_compared_with_the_system() {
    let server = DnsServer::start(Zone::new().a("localhost", "127.0.0.1"));
    resolve()
        .arg(at(&server))
        .args(["--diff", "@system", "-t", "A", "localhost"])
        .run()
        .code(0)
        .stdout("");
    let other = DnsServer::start(Zone::new().a("localhost", "192.0.2.1"));
    resolve()
        .arg(at(&other))
        .args(["--diff", "-t", "A", "localhost"])
        .run()
        .code(1)
        .stdout(&format!(
            "{}\tlocalhost\tA\t192.0.2.1\nsystem\tlocalhost\tA\t127.0.0.1\n",
            other.addr()
        ));
    resolve()
        .arg(at(&other))
        .args(["--diff", "-t", "MX", "localhost"])
        .run()
        .code(2)
        .stdout("");
}

#[test]
fn changes_are_printed() {
    let has_changed = Arc::new(AtomicBool::new(false));
    let is_new = Arc::clone(&has_changed);
    let server = DnsServer::with_behaviour(zone(), move |query, _| {
        if is_new.load(Ordering::SeqCst) {
            let record = Record::new(&query.name, rtype::A, 60, [192, 0, 2, 9]);
            Behaviour::Respond(query.response().answer(record))
        } else {
            Behaviour::Answer
        }
    });
    let running = resolve()
        .arg(at(&server))
        .args(["--watch", "20ms", "-t", "A", "host.test"])
        .spawn();
    let limit = Duration::from_secs(30);
    let line = || {
        let line = running.read_line(limit);
        line.split_once('\t').expect("a time").1.to_owned()
    };
    assert_eq!(line(), "+\thost.test\tA\t192.0.2.1");
    has_changed.store(true, Ordering::SeqCst);
    assert_eq!(line(), "-\thost.test\tA\t192.0.2.1");
    assert_eq!(line(), "+\thost.test\tA\t192.0.2.9");
    running.signal(15);
    running.wait().killed_by(15);
}

#[test]
fn the_full_format_shows_error_replies() {
    let server = DnsServer::with_behaviour(zone(), |query, _| {
        let mut error = vec![0, 6];
        error.extend(b"no \x1b[31m signature");
        let response = query.response().rcode(2).option(15, error);
        Behaviour::Respond(response.option(3, *b"ns1"))
    });
    resolve()
        .arg(at(&server))
        .args(["--full", "--nsid", "-t", "A", "host.test"])
        .run()
        .code(3)
        .stdout_contains("status: SERVFAIL")
        .stdout_contains("; NSID: 6E7331 (\"ns1\")\n")
        .stdout_contains("; EDE: DNSSEC Bogus: no \\027[31m signature\n")
        .stderr_contains("answered SERVFAIL (DNSSEC Bogus: no \\027[31m signature)");
}

#[test]
fn options_reach_the_server() {
    let server = DnsServer::start(zone());
    resolve()
        .arg(at(&server))
        .args([
            "--nsid",
            "--dnssec",
            "--subnet",
            "192.0.2.129/25",
            "--bufsize",
            "4000",
        ])
        .args(["--no-recurse", "-t", "A", "host.test"])
        .run()
        .code(0);
    let query = &server.queries()[0].query;
    assert!(!query.recursion_desired());
    let edns = query.edns.as_ref().expect("EDNS");
    assert_eq!(edns.size, 4000);
    assert!(edns.dnssec_ok);
    let option = |code| edns.options.iter().find(|(c, _)| *c == code);
    assert_eq!(option(3).map(|(_, data)| data.len()), Some(0));
    assert_eq!(option(8).unwrap().1, [0, 1, 25, 0, 192, 0, 2, 128]);
    assert_eq!(option(10).unwrap().1.len(), 8);
}

#[test]
fn the_cookie_of_a_server_is_returned() {
    let server = DnsServer::with_behaviour(zone(), |query, _| {
        let options = query.edns.as_ref().map(|edns| &edns.options);
        let cookie = options.and_then(|o| o.iter().find(|(code, _)| *code == 10));
        let (_, cookie) = cookie.expect("a cookie");
        let complete = [&cookie[..8], b"theirown"].concat();
        let response = query.response().option(10, complete.clone());
        Behaviour::Respond(if *cookie == complete {
            let record = Record::new(&query.name, rtype::A, 60, [192, 0, 2, 1]);
            response.answer(record)
        } else {
            response.rcode(23)
        })
    });
    resolve()
        .arg(at(&server))
        .args(["-t", "A", "host.test"])
        .run()
        .code(0)
        .stdout("192.0.2.1\n");
    assert_eq!(server.queries().len(), 2);
}

#[test]
fn options_for_servers_are_rejected_for_the_system() {
    for option in [&["--tcp"][..], &["--dnssec"], &["--rate", "5"], &["--full"]] {
        resolve()
            .args(option)
            .arg("localhost")
            .run()
            .code(2)
            .stdout("")
            .stderr_contains("applies only to DNS servers; add @SERVER or -t TYPE");
    }
}

#[test]
fn zone_transfers_may_be_cut_short_or_refused() {
    let server = DnsServer::start(Zone::new().soa("test").a("host.test", "192.0.2.1"));
    let run = |args: &[&str]| {
        resolve()
            .arg(at(&server))
            .args(["-t", "AXFR"])
            .args(args)
            .run()
    };
    run(&["--long", "test"])
        .code(0)
        .stdout_contains("\nhost.test.\tA\t192.0.2.1\n");
    let records = run(&["--json", "test"]).code(0).json();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["records"].as_array().unwrap().len(), 3);
    run(&["other.test"])
        .code(3)
        .stdout("")
        .stderr_contains("answered REFUSED");
    let cut = DnsServer::with_behaviour(zone(), |query, _| {
        let soa = Zone::new().soa("test").answer(&Query {
            qtype: rtype::SOA,
            ..query.clone()
        });
        let first = query.response().answer(soa.answers[0].clone());
        Behaviour::RawThenClose(vec![first.to_bytes()])
    });
    let out = resolve().arg(at(&cut)).args(["-t", "AXFR", "test"]).run();
    assert_eq!(out.code(3).lines().len(), 1);
    let lame =
        DnsServer::with_behaviour(zone(), |_, _| Behaviour::Misbehave(Misbehaviour::Referral));
    resolve()
        .arg(at(&lame))
        .args(["-t", "AXFR", "test"])
        .run()
        .code(3)
        .stdout("");
}

/// A build without TLS fails before it looks up the server's name, for which the
/// timeout would be too short.
#[cfg(not(feature = "tls"))]
#[test]
fn encrypted_servers_are_rejected_without_tls() {
    for server in [
        "tls://127.0.0.1",
        "tls://localhost",
        "https://127.0.0.1/dns-query",
    ] {
        let arg = format!("@{server}");
        let args = [arg.as_str(), "--timeout", "1us", "-t", "A", "host.test"];
        let message = "this build has no TLS; install resolve with its default features";
        resolve()
            .args(args)
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!(
                "resolve: {server}: {message}; see 'resolve --help'\n"
            ));
        let records = resolve().args(args).arg("--json").run().code(2).json();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["type"], "error");
        assert_eq!(records[0]["kind"], "usage");
    }
}

#[test]
fn options_of_dig_have_hints() {
    for (option, line) in [
        ("-p", "add the port to the server, as in @192.0.2.53:5353"),
        ("-r", "use --no-recurse to ask without recursion"),
    ] {
        let args = ["@127.0.0.1:1", option, "53", "host.test"];
        resolve()
            .args(args)
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!(
                "resolve: {option} is not supported; {line}; see 'resolve --help'\n"
            ));
    }
    for args in [["@127.0.0.1:1", "+short"], ["localhost", "+short"]] {
        let line = "unknown option '+short'; use --short";
        resolve()
            .args(args)
            .run()
            .code(2)
            .stdout("")
            .stderr(&format!("resolve: {line}; see 'resolve --help'\n"));
    }
}
