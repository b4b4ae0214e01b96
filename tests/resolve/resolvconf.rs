//! What `/etc/resolv.conf` says, in a namespace where the file is the test's
//! own and servers listen on port 53.

use std::net::{IpAddr, SocketAddrV6};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::dns::{Behaviour, DnsServer, Query, Transport, Zone};
use testkit::netns;

use super::{resolve, wait_until, zone};

const FILE: &str = "/etc/resolv.conf";

/// Runs `body` where the file is empty and may be written.
fn within(name: &str, body: impl FnOnce()) {
    let prepare = format!(": > conf; mount --bind conf {FILE}");
    netns::within(&format!("resolvconf::{name}"), &prepare, || {
        let text = std::fs::read_to_string(FILE).expect("a resolv.conf");
        assert_eq!(text, "", "not the test's own file");
        body();
    });
}

fn conf(text: &str) {
    std::fs::write(FILE, text).expect("write it");
}

fn server<F>(ip: &str, choose: F) -> DnsServer
where
    F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
{
    let ip: IpAddr = ip.parse().expect("an address");
    DnsServer::at((ip, 53).into(), zone(), choose)
}

fn always(ip: &str, behaviour: Behaviour) -> DnsServer {
    server(ip, move |_, _| behaviour.clone())
}

/// The names that a server was asked for, in order.
fn asked(server: &DnsServer) -> Vec<String> {
    let queries = server.queries();
    queries.iter().map(|q| q.query.name.clone()).collect()
}

/// Asks for `host.test`, and for thirty others that show what round trips are
/// like; each gives its line.
fn host_and_others() {
    let names = format!("host.test\n{}", "only4.test\n".repeat(30));
    let out = resolve()
        .args(["--timeout", "60s", "-t", "A", "-"])
        .stdin(names)
        .run();
    out.code(0).stdout_contains("host.test\tA\t192.0.2.1\n");
    assert_eq!(out.lines().len(), 31);
}

#[test]
fn servers_in_order() {
    within("servers_in_order", || {
        conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1\n");
        let two = always("127.0.0.2", Behaviour::Answer);
        let run = || {
            let out = resolve().args(["-t", "A", "host.test"]).run();
            out.code(0).stdout("192.0.2.1\n").stderr("");
        };
        let one = always("127.0.0.1", Behaviour::Answer);
        run();
        assert_eq!((one.queries().len(), two.queries().len()), (1, 0));
        drop(one);
        // Nobody there, and those who fail in one way or another.
        run();
        assert_eq!(two.queries().len(), 1);
        for (n, behaviour) in [
            Behaviour::Rcode(2),
            Behaviour::Rcode(5),
            Behaviour::PointerLoop,
            Behaviour::Drop,
        ]
        .into_iter()
        .enumerate()
        {
            let one = always("127.0.0.1", behaviour);
            run();
            assert_eq!((one.queries().len(), two.queries().len()), (1, n + 2));
            assert!(one.queries()[0].at < two.queries()[n + 1].at);
        }
    });
}

#[test]
fn three_servers_and_no_more() {
    within("three_servers_and_no_more", || {
        let lines: Vec<String> = (1..5).map(|n| format!("nameserver 127.0.0.{n}")).collect();
        conf(&lines.join("\n"));
        let refusing: Vec<DnsServer> = (1..4)
            .map(|n| always(&format!("127.0.0.{n}"), Behaviour::Rcode(5)))
            .collect();
        let fourth = always("127.0.0.4", Behaviour::Answer);
        resolve()
            .args(["-t", "A", "host.test"])
            .run()
            .code(3)
            .stdout("")
            .stderr("resolve: host.test: 127.0.0.1:53 answered REFUSED\n");
        assert!(refusing.iter().all(|server| server.queries().len() == 1));
        assert!(fourth.queries().is_empty());
    });
}

#[test]
fn what_is_no_address_is_passed_over() {
    within("what_is_no_address_is_passed_over", || {
        conf(
            "; a comment\nnameserver localhost\nnameserver 127.0.0.2:53\nnameserver\n\
             nameserver ::1\nnonsense 127.0.0.2\n",
        );
        let other = always("127.0.0.2", Behaviour::Answer);
        let six = always("::1", Behaviour::Answer);
        let out = resolve().args(["--json", "-t", "A", "host.test"]).run();
        assert_eq!(out.code(0).json()[0]["server"], "[::1]:53");
        assert_eq!((other.queries().len(), six.queries().len()), (0, 1));
    });
}

#[test]
fn this_machine_where_the_file_names_no_server() {
    within("this_machine_where_the_file_names_no_server", || {
        let here = always("127.0.0.1", Behaviour::Answer);
        let run = || resolve().args(["-t", "A", "host.test"]).run();
        run().code(0).stdout("192.0.2.1\n");
        conf("search test\n");
        run().code(0).stdout("192.0.2.1\n");
        assert_eq!(asked(&here), ["host.test."; 2]);
    });
}

#[test]
fn attempts_are_counted() {
    within("attempts_are_counted", || {
        conf("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n");
        let one = always("127.0.0.1", Behaviour::Drop);
        let run = || {
            let begun = Instant::now();
            let out = resolve()
                .args(["--json", "--timeout", "60s", "-t", "A", "host.test"])
                .run();
            let records = out.code(3).json();
            assert_eq!(records[0]["status"], "TIMEOUT");
            (begun.elapsed(), records[0]["tries"].clone())
        };
        let (time, tries) = run();
        assert_eq!((one.queries().len(), tries.as_u64()), (2, Some(2)));
        assert!(time >= Duration::from_secs(2), "{time:?}");
        // Two servers have theirs by turns.
        conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1 attempts:2\n");
        let two = always("127.0.0.2", Behaviour::Drop);
        let (time, tries) = run();
        let (first, second) = (&one.queries()[2..], two.queries());
        assert_eq!((first.len(), second.len(), tries.as_u64()), (2, 2, Some(4)));
        let order = [first[0].at, second[0].at, first[1].at, second[1].at];
        assert!(order.is_sorted(), "{order:?}");
        assert!(time >= Duration::from_secs(4), "{time:?}");
        // Between them a second each, whatever else the machine does.
        let gaps = order.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(order[3] - order[0] >= Duration::from_secs(2), "{gaps:?}");
        // The lookup's own time is the shorter one, and divided among them.
        let out = resolve()
            .args(["--timeout", "300ms", "-t", "A", "host.test"])
            .run();
        out.code(3);
        wait_until("a query to each server", || {
            (one.queries().len(), two.queries().len()) == (5, 3)
        });
    });
}

#[test]
fn an_attempt_lasts_as_long_as_the_file_says() {
    within("an_attempt_lasts_as_long_as_the_file_says", || {
        // The round trips of the others say that it should have come long ago.
        conf("nameserver 127.0.0.1\noptions timeout:4 attempts:2\n");
        let slow = Duration::from_millis(1500);
        let server = server("127.0.0.1", move |query, _| {
            if query.name.starts_with("host") {
                Behaviour::Delay(slow)
            } else {
                Behaviour::Answer
            }
        });
        host_and_others();
        let asked = asked(&server);
        let hosts = asked.iter().filter(|name| *name == "host.test.").count();
        assert!(hosts <= 2, "{hosts}");
    });
}

#[test]
fn what_is_lost_is_asked_again_as_the_round_trips_say() {
    within("what_is_lost_is_asked_again_as_the_round_trips_say", || {
        // Not after the half minute that the file allows.
        conf("nameserver 127.0.0.1\noptions timeout:30\n");
        let lost = AtomicBool::new(false);
        let server = server("127.0.0.1", move |query, _| {
            if query.name.starts_with("host") && !lost.swap(true, Ordering::SeqCst) {
                return Behaviour::Drop;
            }
            Behaviour::Answer
        });
        host_and_others();
        let queries = server.queries();
        let of_host = queries.iter().filter(|q| q.query.name == "host.test.");
        let times: Vec<Instant> = of_host.map(|q| q.at).collect();
        assert!(times.len() >= 2);
        // After 200 ms, in which the answers to others have come, less the time
        // for which the server may have been held up before it read the first.
        assert!(times[1] - times[0] >= Duration::from_millis(100));
    });
}

#[test]
fn the_search_list() {
    within("the_search_list", || {
        let server = Arc::new(always("127.0.0.1", Behaviour::Answer));
        let before = |args: &[&str], names: &[&str]| {
            let already = server.queries().len();
            let out = resolve().args(["-t", "A"]).args(args).run();
            assert_eq!(asked(&server)[already..], *names, "{args:?}");
            out
        };
        let end = "nameserver 127.0.0.1\n";
        conf(&format!("search one.example test\n{end}"));
        // Only where it is asked for.
        before(&["host"], &["host."]).code(1).stdout("");
        // Without a dot the list comes first, and ends with what is found.
        before(&["--search", "host"], &["host.one.example.", "host.test."])
            .code(0)
            .stdout("192.0.2.1\n");
        before(
            &["-v", "--search", "host"],
            &["host.one.example.", "host.test."],
        )
        .stderr_contains("resolve: host: asked as host.test.\n");
        // Also if it is the first one; not if it is the name itself.
        conf(&format!("search test one.example\noptions ndots:5\n{end}"));
        before(&["-v", "--search", "host"], &["host.test."])
            .stderr_contains("resolve: host: asked as host.test.\n");
        let out = before(
            &["-v", "--search", "host.test"],
            &["host.test.test.", "host.test.one.example.", "host.test."],
        );
        assert!(!out.code(0).stderr_str().contains("asked as"));
        conf(&format!("search one.example test\n{end}"));
        // With one it comes last.
        before(&["--search", "host.test"], &["host.test."])
            .code(0)
            .stdout("192.0.2.1\n");
        before(
            &["--search", "no.host"],
            &["no.host.", "no.host.one.example.", "no.host.test."],
        )
        .code(1);
        // A dot at the end says that this is all of it.
        before(&["--search", "host."], &["host."]).code(1);
        // Addresses are what they are.
        before(&["--search", "192.0.2.1"], &["1.2.0.192.in-addr.arpa."])
            .code(0)
            .stdout("host.test.\n");
        conf(&format!(
            "search one.example\ndomain test\noptions ndots:3\n{end}"
        ));
        before(&["--search", "a.b.c"], &["a.b.c.test.", "a.b.c."]).code(1);
        before(&["--search", "a.b.c.d"], &["a.b.c.d.", "a.b.c.d.test."]).code(1);
        conf(&format!("search test\noptions ndots:0\n{end}"));
        before(&["--search", "host"], &["host.", "host.test."])
            .code(0)
            .stdout("192.0.2.1\n");
        // A server that is named has the list too.
        let named = format!("@{}", server.addr());
        before(&["--search", &named, "host"], &["host.", "host.test."]).code(0);
    });
}

#[test]
fn rotate_spreads_the_queries() {
    within("rotate_spreads_the_queries", || {
        conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\n");
        let one = always("127.0.0.1", Behaviour::Answer);
        let two = always("127.0.0.2", Behaviour::Answer);
        let counts = || (one.queries().len(), two.queries().len());
        resolve()
            .args(["-t", "A"])
            .args(["host.test"; 10])
            .run()
            .code(0);
        assert_eq!(counts(), (10, 0));
        conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions rotate\n");
        // Many at once.
        resolve()
            .args(["-t", "A"])
            .args(["host.test"; 10])
            .run()
            .code(0);
        assert_eq!(counts(), (15, 5));
        // One after the other.
        let mut running = resolve().args(["-t", "A", "-"]).piped_stdin().spawn();
        for _ in 0..10 {
            running.write_stdin(b"host.test\n");
            running.read_line(Duration::from_secs(10));
        }
        running.close_stdin();
        running.wait().code(0);
        assert_eq!(counts(), (20, 10));
        // One a process: it does not always begin with the same.
        for _ in 0..40 {
            resolve().args(["-t", "A", "host.test"]).run().code(0);
        }
        let (first, second) = counts();
        assert!(first > 20 && second > 10, "{first} {second}");
        assert_eq!(first + second, 70);
    });
}

#[test]
fn use_vc_is_tcp() {
    within("use_vc_is_tcp", || {
        conf("nameserver 127.0.0.1\noptions use-vc\n");
        let server = always("127.0.0.1", Behaviour::Answer);
        let out = resolve().args(["--json", "-t", "A", "host.test"]).run();
        assert_eq!(out.code(0).json()[0]["protocol"], "tcp");
        let queries = server.queries();
        assert!(queries.iter().all(|q| q.transport == Transport::Tcp));
    });
}

#[test]
fn a_server_that_is_named_is_the_only_one() {
    within("a_server_that_is_named_is_the_only_one", || {
        conf("nameserver 127.0.0.1\noptions timeout:1 attempts:1 rotate use-vc\n");
        let system = always("127.0.0.1", Behaviour::Answer);
        let other = DnsServer::start(Zone::new().a("host.test", "192.0.2.7"));
        resolve()
            .arg(format!("@{}", other.addr()))
            .args(["-t", "A", "host.test"])
            .run()
            .code(0)
            .stdout("192.0.2.7\n");
        let queries = other.queries();
        assert_eq!(queries[0].transport, Transport::Udp);
        assert!(system.queries().is_empty());
    });
}

/// A link-local server: the zone is an interface's name or number, and one that
/// cannot be is told and never replaced by this machine's own server.
#[test]
fn zones() {
    within("zones", || {
        let here = Command::new("ip")
            .args(["address", "add", "fe80::5/64", "dev", "lo", "nodad"])
            .status();
        assert!(here.expect("run ip").success());
        let own = always("127.0.0.1", Behaviour::Answer);
        let address = SocketAddrV6::new("fe80::5".parse().expect("an address"), 53, 0, 1);
        let server = DnsServer::at(address.into(), zone(), |_, _| Behaviour::Answer);
        let ask = |args: &[&str]| {
            let more = ["--json", "--timeout", "60s", "-t", "A", "host.test"];
            let args = [args, &more].concat();
            resolve().args(args).run()
        };
        for zone in ["lo", "1"] {
            let shown = format!("[fe80::5%{zone}]:53");
            conf(&format!("nameserver fe80::5%{zone}\n"));
            let out = ask(&[]);
            assert_eq!(out.code(0).stderr("").json()[0]["server"], shown);
            for form in [
                format!("@fe80::5%{zone}"),
                format!("@[fe80::5%{zone}]:53"),
                format!("@udp://[fe80::5%25{zone}]"),
                format!("@tcp://fe80::5%{zone}"),
            ] {
                let out = ask(&[&form]);
                assert_eq!(out.code(0).stderr("").json()[0]["server"], shown, "{form}");
            }
        }
        let asked = server.queries().len();
        assert!(asked >= 10, "{asked}");
        conf("nameserver fe80::5%none\n");
        ask(&[]).code(2).stderr(
            "resolve: /etc/resolv.conf: nameserver fe80::5%none: no network interface none here\n",
        );
        // The search list serves without the servers.
        conf("nameserver fe80::5%none\nsearch test\n");
        resolve()
            .args(["@fe80::5%lo", "--search", "-t", "A", "host"])
            .run()
            .code(0)
            .stderr("");
        conf("nameserver 127.1\nnameserver fe80::5%lo\n");
        ask(&[])
            .code(0)
            .stderr("resolve: /etc/resolv.conf: nameserver 127.1: not an address\n");
        ask(&["@fe80::5%none"])
            .code(2)
            .stderr_contains("fe80::5%none: no network interface none here");
        assert!(own.queries().is_empty());
        // Bytes that are not UTF-8 are no reason to refuse the rest.
        std::fs::write(FILE, b"# \xff\xfe\nnameserver 127.0.0.1\n").expect("write it");
        ask(&[]).code(0);
        assert!(!own.queries().is_empty());
    });
}

/// Of the names of a search list, one that exists without data says more than a
/// later failure, and more than one that does not exist.
#[test]
fn a_candidate_without_data() {
    within("a_candidate_without_data", || {
        let _server = server("127.0.0.1", |query, _| match query.name.as_str() {
            "nas.lan.test." => Behaviour::Respond(query.response()),
            "nas.no.test." => Behaviour::Rcode(3),
            _ => Behaviour::Rcode(5),
        });
        for search in ["lan.test corp.test", "lan.test no.test", "no.test lan.test"] {
            conf(&format!("search {search}\nnameserver 127.0.0.1\n"));
            let args = ["-t", "AAAA", "--search", "--json", "nas"];
            let record = resolve().args(args).run().code(1).json().remove(0);
            assert_eq!(record["status"], "NODATA", "{record}");
            assert_eq!(record["query_name"], "nas.lan.test.");
        }
        conf("search no.test corp.test\nnameserver 127.0.0.1\n");
        let out = resolve().args(["-t", "AAAA", "--search", "nas"]).run();
        out.code(3)
            .stderr("resolve: nas: 127.0.0.1:53 answered REFUSED\n");
    });
}

/// The name of an address, from libc, with bytes that no host has: printed as
/// `\DDD`, and not taken for a fault.
#[test]
fn names_of_addresses_from_libc() {
    within("names_of_addresses_from_libc", || {
        let names = [
            ("1.2.0.192.in-addr.arpa", "caf\\233.test"),
            ("2.2.0.192.in-addr.arpa", "a\\009b.test"),
            ("3.2.0.192.in-addr.arpa", "plain.test"),
        ];
        let zone = names
            .iter()
            .fold(Zone::new(), |zone, (at, name)| zone.ptr(at, name));
        let _server = DnsServer::at(([127, 0, 0, 1], 53).into(), zone, |_, _| Behaviour::Answer);
        conf("nameserver 127.0.0.1\n");
        let ask = |address: &str| resolve().args(["--json", address]).run().json().remove(0);
        assert_eq!(ask("192.0.2.3")["records"][0]["data"], "plain.test");
        for address in ["192.0.2.1", "192.0.2.2"] {
            let record = ask(address);
            assert_eq!(record["source"], "system");
            // Some versions of libc refuse such names.
            if record["status"] == "NOERROR" {
                let data = record["records"][0]["data"].as_str().expect("a name");
                assert!(data.contains(".test"), "{data}");
                assert!(data.bytes().all(|b| (0x21..0x7f).contains(&b)), "{data}");
                assert!(data.contains("\\233") || data.contains("\\009"), "{data}");
            } else {
                assert_ne!(record["status"], "SYSTEM", "{record}");
            }
        }
    });
}
