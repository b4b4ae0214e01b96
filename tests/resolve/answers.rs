//! Unusual, wrong and incomplete answers, and how they are explained.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Query, Record, Response, Transport, Zone, labels, rtype};

use super::{at, resolve, zone};

const PATIENCE: Duration = Duration::from_secs(60);

fn serve(answer: impl Fn(&Query) -> Response + Send + Sync + 'static) -> DnsServer {
    DnsServer::with_behaviour(zone(), move |query, _| Behaviour::Respond(answer(query)))
}

fn address(query: &Query) -> Record {
    Record::new(&query.name, rtype::A, 60, [192, 0, 2, 200])
}

/// Records in an error or negative answer are not printed. After an error the next
/// server is asked.
#[test]
fn records_in_an_error_do_not_count() {
    for (rcode, status, code) in [
        (1, "FORMERR", 3),
        (2, "SERVFAIL", 3),
        (3, "NXDOMAIN", 1),
        (5, "REFUSED", 3),
        (9, "NOTAUTH", 3),
    ] {
        let server = serve(move |query| query.response().answer(address(query)).rcode(rcode));
        let ask = |servers: &[String]| {
            let args = ["--json", "-t", "A", "host.test"];
            resolve().args(servers).args(args).run()
        };
        let record = &ask(&[at(&server)]).code(code).json()[0];
        assert_eq!(record["status"], status, "{record}");
        assert_eq!(record["records"], serde_json::json!([]));
        let good = DnsServer::start(zone());
        let out = ask(&[at(&server), at(&good)]);
        let expected = if code == 1 { "NXDOMAIN" } else { "NOERROR" };
        assert_eq!(out.json()[0]["status"], expected);
        assert_eq!(good.queries().is_empty(), code == 1);
    }
}

/// Dnsmasq and others return only the alias if its target has no data.
#[test]
fn an_alias_without_data_is_nodata() {
    let alias = |query: &Query| {
        let link = Record::new(&query.name, rtype::CNAME, 60, labels("nas.test"));
        query.response().answer(link)
    };
    let server = serve(alias);
    let ask = |server: &DnsServer, args: &[&str]| {
        let args = [args, &["-t", "AAAA", "cloud.test"]].concat();
        resolve().arg(at(server)).args(args).run()
    };
    ask(&server, &[]).code(1).stdout("").stderr(
        "resolve: cloud.test: alias of nas.test., which has no data of type AAAA (NODATA)\n",
    );
    // A server that does not follow aliases says nothing about their targets.
    let authority = serve(move |query| {
        let mut response = alias(query).authoritative();
        response.flags &= !0x0080;
        response
    });
    for (server, option) in [(&server, "--no-recurse"), (&authority, "--short")] {
        ask(server, &[option]).code(3).stdout("").stderr(&format!(
            "resolve: cloud.test: incomplete answer from {}: it stops at the alias nas.test.\n",
            server.addr()
        ));
    }
}

#[test]
fn the_missing_name_is_reported() {
    let soa = |query: &Query| {
        let soa = Zone::new().soa("test").answer(&Query {
            qtype: rtype::SOA,
            name_wire: labels("test"),
            ..query.clone()
        });
        query.response().authority(soa.answers[0].clone())
    };
    let server = serve(move |query| {
        let alias = Record::new(&query.name, rtype::CNAME, 60, labels("gone.test"));
        match query.name.as_str() {
            "dangling.test." => soa(query).answer(alias).rcode(3),
            "blocked.test." => soa(query).rcode(3).option(15, *b"\0\x0fblocklist"),
            "filtered.test." => soa(query).option(15, *b"\0\x11"),
            _ => query.response(),
        }
    });
    for (name, message) in [
        (
            "dangling.test",
            "alias of gone.test., which does not exist (NXDOMAIN)",
        ),
        (
            "blocked.test",
            "no such name (NXDOMAIN); extended error: Blocked: blocklist",
        ),
        (
            "filtered.test",
            "no data of type A (NODATA); extended error: Filtered",
        ),
    ] {
        let out = resolve().arg(at(&server)).args(["-t", "A", name]).run();
        out.code(1)
            .stdout("")
            .stderr(&format!("resolve: {name}: {message}\n"));
    }
}

#[test]
fn referrals_and_lame_servers_are_explained() {
    let server = serve(|query| {
        let ns = |zone: &str, host: &str| Record::new(zone, rtype::NS, 60, labels(host));
        match query.name.as_str() {
            "up.test." => query.response().authority(ns(".", "a.root-servers.net")),
            _ => query
                .response()
                .authority(ns("test", "ns1.test"))
                .authority(ns("test", "ns2.test")),
        }
    });
    let shown = server.addr();
    for (name, message) in [
        (
            "up.test",
            format!("{shown} is not authoritative for up.test. and refers upwards (lame)"),
        ),
        (
            "www.test",
            format!("{shown} refers to the servers of test. (ns1.test., ns2.test.)"),
        ),
    ] {
        let out = resolve().arg(at(&server)).args(["-t", "A", name]).run();
        out.code(3)
            .stdout("")
            .stderr(&format!("resolve: {name}: {message}\n"));
    }
}

#[test]
fn extended_errors_identifier_and_authority_are_shown() {
    let server = serve(|query| {
        let soa = Record::new("test", rtype::NS, 7, labels("ns.test"));
        query
            .response()
            .answer(address(query))
            .authority(soa)
            .authenticated()
            .option(15, *b"\0\x03old\x1b[m")
            .option(15, *b"\x7f\xff")
            .option(3, *b"ns1\xff")
    });
    let args = ["--nsid", "-t", "A", "host.test"];
    let out = resolve().arg(at(&server)).arg("--json").args(args).run();
    let record = &out.code(0).stderr("").json()[0];
    assert_eq!(
        record["ede"],
        serde_json::json!([
            {"code": 3, "name": "Stale Answer", "text": "old\\027[m"},
            {"code": 32767, "name": null, "text": null},
        ])
    );
    assert_eq!(record["nsid"], "ns1\\255");
    assert_eq!(
        record["authority"],
        serde_json::json!([{"name": "test.", "type": "NS", "ttl": 7, "data": "ns.test."}])
    );
    assert_eq!(record["flags"], serde_json::json!(["qr", "rd", "ra", "ad"]));
    assert_eq!(record["authenticated"], true);
    resolve()
        .arg(at(&server))
        .args(args)
        .run()
        .code(0)
        .stderr("");
    resolve()
        .arg(at(&server))
        .arg("-v")
        .args(args)
        .run()
        .code(0)
        .stdout("192.0.2.200\n")
        .stderr_contains("resolve: host.test: A: extended error: Stale Answer: old\\027[m\n")
        .stderr_contains("resolve: host.test: A: extended error: extended error 32767\n");
}

#[test]
fn inconsistent_aliases_are_reported() {
    let server = serve(|query| {
        let alias = |to: &str| Record::new(&query.name, rtype::CNAME, 60, labels(to));
        let response = query.response().answer(alias("one.test"));
        let target = Record::new("one.test", rtype::A, 60, [192, 0, 2, 1]);
        match query.name.as_str() {
            "both.test." => response.answer(address(query)).answer(target),
            _ => response.answer(alias("two.test")).answer(target),
        }
    });
    for (name, value, message) in [
        (
            "both.test",
            "192.0.2.200",
            "both.test. has a CNAME record and other data",
        ),
        (
            "two.test",
            "192.0.2.1",
            "two.test. has several CNAME records",
        ),
    ] {
        let ask = |quiet: &[&str]| {
            let args = [quiet, &["-t", "A", name]].concat();
            let out = resolve().arg(at(&server)).args(args).run();
            out.code(0).stdout(&format!("{value}\n"));
            out.stderr_str().to_owned()
        };
        assert_eq!(ask(&[]), format!("resolve: {name}: A: {message}\n"));
        assert_eq!(ask(&["-q"]), "");
    }
}

/// Some servers leave the question out of errors. Other replies need it.
#[test]
fn an_error_counts_without_the_question() {
    for edns in [false, true] {
        for (rcode, status) in [(2, "SERVFAIL"), (5, "REFUSED"), (1, "FORMERR")] {
            let server = serve(move |query| {
                let mut response = query.response().rcode(rcode);
                response.question = None;
                if !edns {
                    response.edns = None;
                }
                response
            });
            let out = resolve()
                .arg(at(&server))
                .args(["--json", "--timeout", "60s", "-t", "A", "host.test"])
                .run();
            let record = &out.code(3).json()[0];
            assert_eq!(record["status"], status);
            // The server may not support EDNS, so the last query is without it.
            let queries = server.queries();
            let with: Vec<bool> = queries.iter().map(|q| q.query.edns.is_some()).collect();
            assert_eq!((with.first(), with.last()), (Some(&true), Some(&false)));
        }
    }
    for rcode in [0, 3] {
        let server = serve(move |query| {
            let mut response = query.response().rcode(rcode);
            response.question = None;
            response
        });
        let args = ["--json", "--timeout", "300ms", "-t", "A", "host.test"];
        let out = resolve().arg(at(&server)).args(args).run();
        assert_eq!(out.code(3).json()[0]["status"], "TIMEOUT");
    }
}

/// If queries with EDNS are not answered, the last query is sent without it.
#[test]
fn a_server_that_drops_edns_is_asked_without_it() {
    let server = DnsServer::with_behaviour(zone(), |query, _| match query.edns {
        Some(_) => Behaviour::Drop,
        None => Behaviour::Answer,
    });
    let args = ["--timeout", "6s", "-t", "A", "-"];
    resolve()
        .arg(at(&server))
        .args(args)
        .stdin("host.test\n")
        .run()
        .code(0)
        .stdout("host.test\tA\t192.0.2.1\n");
    // These options do not work without EDNS.
    for option in [&["--dnssec"][..], &["--nsid"], &["--subnet", "10.0.0.0/8"]] {
        let before = server.queries().len();
        resolve()
            .arg(at(&server))
            .args(option)
            .args(["--timeout", "3s", "-t", "A", "host.test"])
            .run()
            .code(3);
        let queries = &server.queries()[before..];
        assert!(queries.len() > 1);
        assert!(queries.iter().all(|q| q.query.edns.is_some()));
    }
    // A server that supports EDNS has dropped the query for another reason.
    let server = DnsServer::with_behaviour(zone(), |query, _| match query.name.as_str() {
        "host.test." => Behaviour::Answer,
        _ => Behaviour::Drop,
    });
    resolve()
        .arg(at(&server))
        .args(["--timeout", "2s", "-t", "A", "host.test", "only4.test"])
        .run()
        .code(3);
    assert!(server.queries().iter().all(|q| q.query.edns.is_some()));
}

/// The server accepts EDNS for some names and refuses it for others.
#[test]
fn a_name_is_retried_without_edns() {
    const NAMES: usize = 300;
    let hosts = (0..NAMES).fold(Zone::new(), |zone, n| {
        zone.a(&format!("h{n}.test"), "192.0.2.1")
    });
    let server = DnsServer::with_behaviour(hosts, |query, _| {
        let number: usize = query.name[1..query.name.len() - 6]
            .parse()
            .expect("a number");
        let mut formerr = query.response().rcode(1);
        formerr.edns = None;
        match query.edns {
            Some(_) if number.is_multiple_of(3) => Behaviour::Respond(formerr),
            _ => Behaviour::Answer,
        }
    });
    let names: Vec<String> = (0..NAMES).map(|n| format!("h{n}.test")).collect();
    let out = resolve()
        .arg(at(&server))
        .args(["--timeout", "60s", "-t", "A", "-"])
        .stdin(names.join("\n"))
        .run();
    assert_eq!(out.code(0).stderr("").lines().len(), NAMES);
}

/// If the query was sent several times, it is refused several times. The later
/// refusals do not answer the query without EDNS.
#[test]
fn repeated_refusals_of_edns_are_ignored() {
    for bare in [false, true] {
        let server = DnsServer::with_behaviour(zone(), move |query, _| {
            let mut refusal = query.response().rcode(1);
            refusal.edns = None;
            if bare {
                refusal.question = None;
            }
            match query.edns {
                Some(_) => Behaviour::Raw(vec![refusal.to_bytes(); 5]),
                None => Behaviour::Answer,
            }
        });
        resolve()
            .arg(at(&server))
            .args(["--timeout", "60s", "-t", "A", "host.test"])
            .run()
            .code(0)
            .stdout("192.0.2.1\n")
            .stderr("");
        assert!(server.queries().iter().any(|q| q.query.edns.is_none()));
    }
}

#[test]
fn a_failure_over_tcp_mentions_the_truncation() {
    let server = DnsServer::with_behaviour(zone(), |_, transport| match transport {
        Transport::Udp => Behaviour::Truncate,
        _ => Behaviour::Close,
    });
    resolve()
        .arg(at(&server))
        .args(["--timeout", "60s", "-t", "A", "host.test"])
        .run()
        .code(3)
        .stdout("")
        .stderr(&format!(
            "resolve: host.test: {} closed the connection before its answer was complete (over \
             TCP, because the answer over UDP was truncated)\n",
            server.addr()
        ));
}

#[test]
fn verbose_output_has_the_failures_of_all_servers() {
    let (one, two) = (
        DnsServer::with_behaviour(zone(), |_, _| Behaviour::Rcode(5)),
        DnsServer::with_behaviour(zone(), |_, _| Behaviour::PointerLoop),
    );
    let good = DnsServer::start(zone());
    let (a, b) = (one.addr(), two.addr());
    let ask = |servers: &[&DnsServer]| {
        let servers: Vec<String> = servers.iter().map(|s| at(s)).collect();
        let args = ["-v", "-t", "A", "host.test"];
        resolve().args(servers).args(args).run()
    };
    let refused = format!("resolve: host.test: A: {a} answered REFUSED\n");
    let malformed = format!("resolve: host.test: A: malformed answer from {b}\n");
    ask(&[&one, &two, &good])
        .code(0)
        .stdout("192.0.2.1\n")
        .stderr_contains(&refused)
        .stderr_contains(&malformed);
    let out = ask(&[&one, &two]);
    out.code(3)
        .stderr_contains(&malformed)
        .stderr_contains(&format!("resolve: host.test: {a} answered REFUSED\n"));
    assert!(!out.stderr_str().contains(&refused), "reported twice");
}

/// The first address is printed before the server answers about the other family,
/// in every format, for one name and for a list.
#[test]
fn one_type_is_printed_without_waiting_for_another() {
    for (form, line) in [
        (&["host.test"][..], "192.0.2.1"),
        (&["--long", "host.test"], "host.test\tA\t192.0.2.1"),
        (&["--json", "host.test"], "{\"type\":\"lookup\""),
        (&["-t", "A,AAAA", "-"], "host.test\tA\t192.0.2.1"),
        (
            &["--ordered", "-t", "A,AAAA", "-"],
            "host.test\tA\t192.0.2.1",
        ),
        (&["-t", "AAAA,A", "host.test"], "192.0.2.1"),
    ] {
        let is_printed = Arc::new(AtomicBool::new(false));
        let may_answer = Arc::clone(&is_printed);
        // AAAA is answered only after A has been printed.
        let server = DnsServer::with_behaviour(zone(), move |query, _| match query.qtype {
            28 if !may_answer.load(Ordering::SeqCst) => Behaviour::Drop,
            _ => Behaviour::Answer,
        });
        let mut running = resolve()
            .arg(at(&server))
            .args(["--timeout", "60s"])
            .args(form)
            .piped_stdin()
            .spawn();
        running.write_stdin(b"host.test\n");
        let first = running.read_line(PATIENCE);
        assert!(first.starts_with(line), "{form:?}: {first}");
        is_printed.store(true, Ordering::SeqCst);
        let second = running.read_line(PATIENCE);
        assert!(second.contains("2001:db8::1"), "{form:?}: {second}");
        running.close_stdin();
        running.wait().code(0);
    }
}
