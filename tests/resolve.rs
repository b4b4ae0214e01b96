//! Black box tests of `resolve`: the basic cases here, the others in `resolve/`.

#[path = "resolve/answers.rs"]
mod answers;
#[path = "resolve/attacks.rs"]
mod attacks;
#[path = "resolve/bulk.rs"]
mod bulk;
#[path = "resolve/cookies.rs"]
mod cookies;
#[path = "resolve/misbehaviour.rs"]
mod misbehaviour;
#[path = "resolve/modes.rs"]
mod modes;
#[path = "resolve/operands.rs"]
mod operands;
#[path = "resolve/pace.rs"]
mod pace;
#[path = "resolve/reconnects.rs"]
mod reconnects;
#[path = "resolve/resolvconf.rs"]
mod resolvconf;
#[path = "resolve/secure.rs"]
#[cfg(feature = "tls")]
mod secure;
#[path = "resolve/streams.rs"]
mod streams;
#[path = "resolve/trace.rs"]
mod trace;
#[path = "resolve/transfers.rs"]
mod transfers;
#[path = "resolve/wildcards.rs"]
mod wildcards;

use std::time::{Duration, Instant};

use testkit::Tool;
use testkit::dns::{Behaviour, DnsServer, Transport, Zone};

fn resolve() -> Tool {
    Tool::new(env!("CARGO_BIN_EXE_resolve"))
}

fn zone() -> Zone {
    Zone::new()
        .soa("test")
        .a("host.test", "192.0.2.1")
        .aaaa("host.test", "2001:db8::1")
        .a("only4.test", "192.0.2.4")
        .cname("alias.test", "host.test")
        .cname("loop.test", "pool.test")
        .cname("pool.test", "loop.test")
        .mx("host.test", 10, "mail.test")
        .txt("host.test", &["one", "t\"wo\x07"])
        .ptr("1.2.0.192.in-addr.arpa", "host.test")
        .raw("host.test", 65534, [10, 0])
}

/// Returns the operand that selects a server.
fn at(server: &DnsServer) -> String {
    format!("@{}", server.addr())
}

/// Waits until `condition` holds, for example until a server has logged a query.
/// Panics after a minute.
#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "timed out: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn misbehaving(behaviour: Behaviour) -> DnsServer {
    DnsServer::with_behaviour(zone(), move |_, _| behaviour.clone())
}

#[test]
fn names_are_resolved_by_the_system() {
    let out = resolve().args(["-4", "localhost"]).run();
    out.code(0).stdout("127.0.0.1\n").stderr("");
    let out = resolve().args(["-4", "--json", "localhost"]).run();
    let records = out.code(0).stderr("").json();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["query_type"], "A");
    assert_eq!(records[0]["source"], "system");
    assert!(records[0]["server"].is_null());
    assert_eq!(records[0]["records"][0]["data"], "127.0.0.1");
    assert!(records[0]["records"][0]["ttl"].is_null());
}

#[test]
fn values_are_printed() {
    let server = DnsServer::start(zone());
    let run = |args: &[&str]| resolve().arg(at(&server)).args(args).run();
    run(&["host.test"])
        .code(0)
        .stdout("192.0.2.1\n2001:db8::1\n")
        .stderr("");
    run(&["-6", "host.test"]).code(0).stdout("2001:db8::1\n");
    run(&["only4.test"])
        .code(0)
        .stdout("192.0.2.4\n")
        .stderr("");
    run(&["-t", "mx,txt", "host.test"])
        .code(0)
        .stdout("10 mail.test.\n\"one\" \"t\\\"wo\\007\"\n");
    run(&["-t", "TYPE65534", "host.test"])
        .code(0)
        .stdout("\\# 2 0A00\n");
    run(&["-t", "A", "alias.test"])
        .code(0)
        .stdout("192.0.2.1\n");
    run(&["192.0.2.1"])
        .code(0)
        .stdout("host.test.\n")
        .stderr("");
    run(&["--tcp", "-4", "host.test"])
        .code(0)
        .stdout("192.0.2.1\n");
}

#[test]
fn a_negative_answer_has_status_1() {
    let server = DnsServer::start(zone());
    let run = |args: &[&str]| resolve().arg(at(&server)).args(args).run();
    run(&["-t", "A", "no.test"])
        .code(1)
        .stdout("")
        .stderr("resolve: no.test: no such name (NXDOMAIN)\n");
    run(&["-t", "AAAA", "only4.test"])
        .code(1)
        .stderr("resolve: only4.test: no data of type AAAA (NODATA)\n");
    run(&["-q", "-t", "A", "no.test"])
        .code(1)
        .stdout("")
        .stderr("");
    // With several operands each has a line, even with -q.
    for args in [&["-t", "A"][..], &["-q", "-t", "A"]] {
        run(&[args, &["host.test", "no.test"]].concat())
            .code(1)
            .stdout("host.test\tA\t192.0.2.1\nno.test\tA\t-\tNXDOMAIN\n")
            .stderr("");
    }
    let help = resolve().arg("--help").run();
    help.code(0)
        .stdout_contains("Do not report names that do not exist or have no data");
}

#[test]
fn a_json_record_has_the_documented_keys() {
    let server = DnsServer::start(zone());
    let out = resolve()
        .arg(at(&server))
        .args(["--json", "-t", "A,AAAA", "alias.test"])
        .run();
    let records = out.code(0).stderr("").json();
    assert_eq!(records.len(), 2);
    let first = &records[0];
    let line = out.lines().swap_remove(0);
    let keys = [
        "type",
        "name",
        "query_name",
        "query_type",
        "source",
        "server",
        "protocol",
        "status",
        "records",
        "authority",
        "flags",
        "ede",
        "nsid",
        "authenticated",
        "validation",
        "duration_ms",
        "tries",
        "error",
        "time",
    ];
    // The record has these keys in this order, and no others.
    assert_eq!(first.as_object().expect("an object").len(), keys.len());
    let at = keys.map(|key| line.find(&format!("\"{key}\":")).expect(key));
    // `find` returns the first occurrence; resource records repeat some of the keys.
    assert!(at.is_sorted(), "{line}");
    assert_eq!(first["type"], "lookup");
    assert_eq!(first["name"], "alias.test");
    assert_eq!(first["query_name"], "alias.test.");
    assert_eq!(first["flags"], serde_json::json!(["qr", "rd", "ra"]));
    assert_eq!(first["authority"], serde_json::json!([]));
    for key in ["nsid", "validation", "error"] {
        assert!(first[key].is_null(), "{key}");
    }
    assert!(
        first["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    assert_eq!(first["query_type"], "A");
    assert_eq!(first["server"], server.addr().to_string());
    assert_eq!(first["protocol"], "udp");
    assert_eq!(first["status"], "NOERROR");
    assert_eq!(first["records"][0]["type"], "CNAME");
    assert_eq!(first["records"][1]["data"], "192.0.2.1");
    assert_eq!(first["tries"], 1);
    assert!(first["error"].is_null());
}

#[test]
fn every_line_of_stdin_is_looked_up() {
    let server = DnsServer::start(zone());
    resolve()
        .arg(at(&server))
        .args(["--ordered", "-t", "A", "-"])
        .stdin("# names\nhost.test\n\n bad..name \nno.test\n")
        .run()
        .code(2)
        .stdout("host.test\tA\t192.0.2.1\nno.test\tA\t-\tNXDOMAIN\n")
        .stderr("resolve: -:4: bad..name: not a domain name: empty label\n");
}

#[test]
fn invalid_operands_are_not_looked_up() {
    let server = DnsServer::start(zone());
    let long = "a".repeat(64);
    for name in ["127.1", "0x7f.1", "010.0.0.1", "a..b", "", &long, "a b"] {
        resolve()
            .arg(at(&server))
            .args(["--", name])
            .run()
            .code(2)
            .stdout("");
    }
    assert!(server.queries().is_empty());
}

#[test]
fn the_next_server_is_asked_after_a_failure() {
    let good = DnsServer::start(zone());
    for behaviour in [
        Behaviour::Rcode(2),
        Behaviour::Rcode(5),
        Behaviour::PointerLoop,
    ] {
        let failing = misbehaving(behaviour);
        resolve()
            .args([at(&failing), at(&good)])
            .args(["-t", "A", "host.test"])
            .run()
            .code(0)
            .stdout("192.0.2.1\n")
            .stderr("");
        assert!(!failing.queries().is_empty());
    }
}

/// Each server has a share of the time, however short it is. The record names a
/// server that was asked.
#[test]
fn a_silent_server_leaves_time_for_the_next() {
    let (silent, good) = (misbehaving(Behaviour::Drop), DnsServer::start(zone()));
    let ask = |servers: &[String]| {
        resolve()
            .args(servers)
            .args(["--json", "--timeout", "1s", "-t", "A", "host.test"])
            .run()
    };
    let out = ask(&[at(&silent), at(&good)]);
    let record = &out.code(0).json()[0];
    assert_eq!(record["server"], good.addr().to_string());
    assert_eq!(record["tries"], 2);
    let servers: Vec<DnsServer> = (0..3).map(|_| misbehaving(Behaviour::Drop)).collect();
    let out = ask(&servers.iter().map(at).collect::<Vec<_>>());
    let record = &out.code(3).json()[0];
    // The server may log the last query after the tool has ended.
    wait_until("a query to each server", || {
        servers.iter().all(|server| server.queries().len() == 1)
    });
    assert_eq!(record["server"], servers[2].addr().to_string());
}

#[test]
fn a_failure_has_status_3() {
    let failing = misbehaving(Behaviour::Rcode(2));
    resolve()
        .arg(at(&failing))
        .args(["-t", "A", "host.test", "host.test"])
        .run()
        .code(3)
        .stdout("host.test\tA\t-\tSERVFAIL\nhost.test\tA\t-\tSERVFAIL\n");
    for behaviour in [
        Behaviour::Drop,
        Behaviour::WrongId,
        Behaviour::WrongQuestion,
    ] {
        let ignored = misbehaving(behaviour);
        let out = resolve()
            .arg(at(&ignored))
            .args(["--json", "--timeout", "300ms", "-t", "A", "host.test"])
            .run();
        let records = out.code(3).json();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["status"], "TIMEOUT");
        assert_eq!(records[0]["error"]["kind"], "timeout");
    }
    let looping = misbehaving(Behaviour::Answer);
    let out = resolve()
        .arg(at(&looping))
        .args(["--json", "-t", "A", "loop.test"])
        .run();
    let record = &out.code(3).json()[0];
    assert_eq!(record["status"], "INCOMPLETE");
    let message = record["error"]["message"].to_string();
    assert!(
        message.contains("alias loop: loop.test. -> pool.test. -> loop.test."),
        "{message}"
    );
}

#[test]
fn unrelated_packets_are_ignored() {
    let server = misbehaving(Behaviour::UnrelatedFirst);
    resolve()
        .arg(at(&server))
        .args(["-v", "-t", "A", "host.test"])
        .run()
        .code(0)
        .stdout("192.0.2.1\n")
        .stderr_contains("ignored 1 unrelated");
}

#[test]
fn a_truncated_answer_is_requested_over_tcp() {
    let server = DnsServer::with_behaviour(zone(), |_, transport| match transport {
        Transport::Udp => Behaviour::Truncate,
        _ => Behaviour::Answer,
    });
    let out = resolve()
        .arg(at(&server))
        .args(["--json", "-t", "A", "host.test"])
        .run();
    let records = out.code(0).json();
    assert_eq!(records[0]["protocol"], "tcp");
    assert_eq!(records[0]["records"][0]["data"], "192.0.2.1");
}

#[test]
fn servers_without_edns_are_supported() {
    let server = DnsServer::with_behaviour(zone(), |query, _| {
        if query.edns.is_some() {
            Behaviour::BareFormErr
        } else {
            Behaviour::Answer
        }
    });
    resolve()
        .arg(at(&server))
        .args(["-t", "A", "host.test"])
        .run()
        .code(0)
        .stdout("192.0.2.1\n");
}

#[test]
fn a_zone_transfer_is_printed_as_a_zone_file() {
    let server = DnsServer::start(Zone::new().soa("test").a("host.test", "192.0.2.1"));
    let out = resolve()
        .arg(at(&server))
        .args(["-t", "AXFR", "--full", "test"])
        .run();
    let lines = out.code(0).stderr("").lines();
    assert_eq!(lines.first(), lines.last());
    assert!(lines[0].contains("\tIN\tSOA\t"), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("host.test.\t") && l.ends_with("\tIN\tA\t192.0.2.1"))
    );
}

#[test]
fn the_full_format_shows_whole_answers() {
    let server = DnsServer::start(zone());
    resolve()
        .arg(at(&server))
        .args(["--full", "-t", "A", "alias.test"])
        .run()
        .code(0)
        .stdout_contains("opcode: QUERY, status: NOERROR, id: ")
        .stdout_contains("\tIN\tCNAME\thost.test.\n");
}

#[test]
fn an_encoded_number_is_not_a_name() {
    let server = DnsServer::start(zone());
    for name in [
        "１２７.1",
        "\\049\\050\\055.1",
        "0x7F.1.",
        "10.0.0.0/8",
        "10.0.0.1-9",
        "127.0.0.1%1",
    ] {
        for direct in [true, false] {
            let tool = if direct {
                resolve().arg(at(&server))
            } else {
                resolve()
            };
            tool.args(["--", name]).run().code(2).stdout("");
        }
    }
    assert!(server.queries().is_empty());
}

#[test]
fn a_failure_for_one_type_is_reported_beside_the_value_of_another() {
    let server = DnsServer::with_behaviour(zone(), |query, _| match query.qtype {
        28 => Behaviour::Rcode(2),
        _ => Behaviour::Answer,
    });
    resolve()
        .arg(at(&server))
        .arg("host.test")
        .run()
        .code(0)
        .stdout("192.0.2.1\n")
        .stderr(&format!(
            "resolve: host.test: AAAA: {} answered SERVFAIL\n",
            server.addr()
        ));
}
