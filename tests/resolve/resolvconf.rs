//! `/etc/resolv.conf`, in a namespace in which the test can replace the file and
//! servers listen on port 53.

use std::net::{IpAddr, SocketAddrV6};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::dns::{Behaviour, DnsServer, Query, Transport, Zone};
use testkit::netns;

use super::{resolve, wait_until, zone};

const FILE: &str = "/etc/resolv.conf";

/// Runs `body` in a namespace in which the file is empty and writable.
fn within(name: &str, body: impl FnOnce()) {
    let prepare = format!(": > conf; mount --bind conf {FILE}");
    netns::within(&format!("resolvconf::{name}"), &prepare, || {
        let text = std::fs::read_to_string(FILE).expect("a resolv.conf");
        assert_eq!(text, "", "this is the system's file");
        body();
    });
}

/// Replaces the content of the file.
fn write_conf(text: &str) {
    std::fs::write(FILE, text).expect("write the file");
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

/// Returns the names that a server was asked for, in order.
fn asked(server: &DnsServer) -> Vec<String> {
    let queries = server.queries();
    queries.iter().map(|q| q.query.name.clone()).collect()
}

/// Asks for `host.test`, and thirty times for another name, from which the tool
/// learns the round-trip time.
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
fn servers_are_asked_in_order() {
    within("servers_are_asked_in_order", || {
        write_conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1\n");
        let two = always("127.0.0.2", Behaviour::Answer);
        let run = || {
            let out = resolve().args(["-t", "A", "host.test"]).run();
            out.code(0).stdout("192.0.2.1\n").stderr("");
        };
        let one = always("127.0.0.1", Behaviour::Answer);
        run();
        assert_eq!((one.queries().len(), two.queries().len()), (1, 0));
        drop(one);
        // The first server is unreachable, then it fails in several ways.
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
fn only_three_servers_are_asked() {
    within("only_three_servers_are_asked", || {
        let lines: Vec<String> = (1..5).map(|n| format!("nameserver 127.0.0.{n}")).collect();
        write_conf(&lines.join("\n"));
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
fn an_invalid_address_is_skipped() {
    within("an_invalid_address_is_skipped", || {
        write_conf(
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
fn this_machine_is_the_default_server() {
    within("this_machine_is_the_default_server", || {
        let local = always("127.0.0.1", Behaviour::Answer);
        let run = || resolve().args(["-t", "A", "host.test"]).run();
        run().code(0).stdout("192.0.2.1\n");
        write_conf("search test\n");
        run().code(0).stdout("192.0.2.1\n");
        assert_eq!(asked(&local), ["host.test."; 2]);
    });
}

#[test]
fn the_number_of_attempts_is_limited() {
    within("the_number_of_attempts_is_limited", || {
        write_conf("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n");
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
        // Two servers are asked alternately.
        write_conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1 attempts:2\n");
        let two = always("127.0.0.2", Behaviour::Drop);
        let (time, tries) = run();
        let (first, second) = (&one.queries()[2..], two.queries());
        assert_eq!((first.len(), second.len(), tries.as_u64()), (2, 2, Some(4)));
        let order = [first[0].at, second[0].at, first[1].at, second[1].at];
        assert!(order.is_sorted(), "{order:?}");
        assert!(time >= Duration::from_secs(4), "{time:?}");
        // There is a second between any two.
        let gaps = order.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(order[3] - order[0] >= Duration::from_secs(2), "{gaps:?}");
        // The timeout of the lookup is shorter and is divided among the servers.
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
fn an_attempt_has_the_timeout_of_the_file() {
    within("an_attempt_has_the_timeout_of_the_file", || {
        // The round-trip times of the other name would suggest a shorter timeout.
        write_conf("nameserver 127.0.0.1\noptions timeout:4 attempts:2\n");
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
fn a_lost_query_is_repeated_after_the_round_trip_time() {
    within("a_lost_query_is_repeated_after_the_round_trip_time", || {
        // The timeout of the file is much longer.
        write_conf("nameserver 127.0.0.1\noptions timeout:30\n");
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
        // The shortened timeout is 200 ms, less the time for which the server may have
        // been delayed before it read the first query.
        assert!(times[1] - times[0] >= Duration::from_millis(100));
    });
}

#[test]
fn the_search_list_is_used_on_request() {
    within("the_search_list_is_used_on_request", || {
        let server = Arc::new(always("127.0.0.1", Behaviour::Answer));
        let before = |args: &[&str], names: &[&str]| {
            let already = server.queries().len();
            let out = resolve().args(["-t", "A"]).args(args).run();
            assert_eq!(asked(&server)[already..], *names, "{args:?}");
            out
        };
        let end = "nameserver 127.0.0.1\n";
        write_conf(&format!("search one.example test\n{end}"));
        // Without --search the list is not used.
        before(&["host"], &["host."]).code(1).stdout("");
        // A name without a dot is tried with the list first, until one is found.
        before(&["--search", "host"], &["host.one.example.", "host.test."])
            .code(0)
            .stdout("192.0.2.1\n");
        before(
            &["-v", "--search", "host"],
            &["host.one.example.", "host.test."],
        )
        .stderr_contains("resolve: host: asked as host.test.\n");
        // The name asked is reported for the first suffix, but not for the name itself.
        write_conf(&format!("search test one.example\noptions ndots:5\n{end}"));
        before(&["-v", "--search", "host"], &["host.test."])
            .stderr_contains("resolve: host: asked as host.test.\n");
        let out = before(
            &["-v", "--search", "host.test"],
            &["host.test.test.", "host.test.one.example.", "host.test."],
        );
        assert!(!out.code(0).stderr_str().contains("asked as"));
        write_conf(&format!("search one.example test\n{end}"));
        // A name with a dot is tried without the list first.
        before(&["--search", "host.test"], &["host.test."])
            .code(0)
            .stdout("192.0.2.1\n");
        before(
            &["--search", "no.host"],
            &["no.host.", "no.host.one.example.", "no.host.test."],
        )
        .code(1);
        // A name with a final dot is complete.
        before(&["--search", "host."], &["host."]).code(1);
        // The list does not apply to addresses.
        before(&["--search", "192.0.2.1"], &["1.2.0.192.in-addr.arpa."])
            .code(0)
            .stdout("host.test.\n");
        write_conf(&format!(
            "search one.example\ndomain test\noptions ndots:3\n{end}"
        ));
        before(&["--search", "a.b.c"], &["a.b.c.test.", "a.b.c."]).code(1);
        before(&["--search", "a.b.c.d"], &["a.b.c.d.", "a.b.c.d.test."]).code(1);
        write_conf(&format!("search test\noptions ndots:0\n{end}"));
        before(&["--search", "host"], &["host.", "host.test."])
            .code(0)
            .stdout("192.0.2.1\n");
        // The list applies to servers of the command line, too.
        let named = format!("@{}", server.addr());
        before(&["--search", &named, "host"], &["host.", "host.test."]).code(0);
    });
}

#[test]
fn rotate_spreads_the_queries() {
    within("rotate_spreads_the_queries", || {
        write_conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\n");
        let one = always("127.0.0.1", Behaviour::Answer);
        let two = always("127.0.0.2", Behaviour::Answer);
        let counts = || (one.queries().len(), two.queries().len());
        resolve()
            .args(["-t", "A"])
            .args(["host.test"; 10])
            .run()
            .code(0);
        assert_eq!(counts(), (10, 0));
        write_conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions rotate\n");
        // Several names in one process.
        resolve()
            .args(["-t", "A"])
            .args(["host.test"; 10])
            .run()
            .code(0);
        assert_eq!(counts(), (15, 5));
        // Several names in one process, one after the other.
        let mut running = resolve().args(["-t", "A", "-"]).piped_stdin().spawn();
        for _ in 0..10 {
            running.write_stdin(b"host.test\n");
            running.read_line(Duration::from_secs(10));
        }
        running.close_stdin();
        running.wait().code(0);
        assert_eq!(counts(), (20, 10));
        // One name per process: the first server is random.
        for _ in 0..40 {
            resolve().args(["-t", "A", "host.test"]).run().code(0);
        }
        let (first, second) = counts();
        assert!(first > 20 && second > 10, "{first} {second}");
        assert_eq!(first + second, 70);
    });
}

#[test]
fn use_vc_selects_tcp() {
    within("use_vc_selects_tcp", || {
        write_conf("nameserver 127.0.0.1\noptions use-vc\n");
        let server = always("127.0.0.1", Behaviour::Answer);
        let out = resolve().args(["--json", "-t", "A", "host.test"]).run();
        assert_eq!(out.code(0).json()[0]["protocol"], "tcp");
        let queries = server.queries();
        assert!(queries.iter().all(|q| q.transport == Transport::Tcp));
    });
}

#[test]
fn a_server_of_the_command_line_is_the_only_one() {
    within("a_server_of_the_command_line_is_the_only_one", || {
        write_conf("nameserver 127.0.0.1\noptions timeout:1 attempts:1 rotate use-vc\n");
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

/// The zone of a link-local server is the name or number of an interface. An unknown
/// interface is reported, and this machine is not asked instead.
#[test]
fn zones_are_names_or_numbers_of_interfaces() {
    within("zones_are_names_or_numbers_of_interfaces", || {
        let status = Command::new("ip")
            .args(["address", "add", "fe80::5/64", "dev", "lo", "nodad"])
            .status();
        assert!(status.expect("run ip").success());
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
            write_conf(&format!("nameserver fe80::5%{zone}\n"));
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
        write_conf("nameserver fe80::5%none\n");
        ask(&[]).code(2).stderr(
            "resolve: /etc/resolv.conf: nameserver fe80::5%none: no network interface named none\n",
        );
        // The search list can be used without the servers.
        write_conf("nameserver fe80::5%none\nsearch test\n");
        resolve()
            .args(["@fe80::5%lo", "--search", "-t", "A", "host"])
            .run()
            .code(0)
            .stderr("");
        write_conf("nameserver 127.1\nnameserver fe80::5%lo\n");
        ask(&[])
            .code(0)
            .stderr("resolve: /etc/resolv.conf: nameserver 127.1: not an address\n");
        ask(&["@fe80::5%none"])
            .code(2)
            .stderr_contains("fe80::5%none: no network interface named none");
        assert!(own.queries().is_empty());
        // Bytes that are not UTF-8 do not invalidate the other lines.
        std::fs::write(FILE, b"# \xff\xfe\nnameserver 127.0.0.1\n").expect("write it");
        ask(&[]).code(0);
        assert!(!own.queries().is_empty());
    });
}

/// NODATA for one name of the search list is more significant than a later failure or
/// NXDOMAIN.
#[test]
fn a_candidate_without_data_is_preferred_to_a_failure() {
    within("a_candidate_without_data_is_preferred_to_a_failure", || {
        let _server = server("127.0.0.1", |query, _| match query.name.as_str() {
            "nas.lan.test." => Behaviour::Respond(query.response()),
            "nas.no.test." => Behaviour::Rcode(3),
            _ => Behaviour::Rcode(5),
        });
        for search in ["lan.test corp.test", "lan.test no.test", "no.test lan.test"] {
            write_conf(&format!("search {search}\nnameserver 127.0.0.1\n"));
            let args = ["-t", "AAAA", "--search", "--json", "nas"];
            let record = resolve().args(args).run().code(1).json().remove(0);
            assert_eq!(record["status"], "NODATA", "{record}");
            assert_eq!(record["query_name"], "nas.lan.test.");
        }
        write_conf("search no.test corp.test\nnameserver 127.0.0.1\n");
        let out = resolve().args(["-t", "AAAA", "--search", "nas"]).run();
        out.code(3)
            .stderr("resolve: nas: 127.0.0.1:53 answered REFUSED\n");
    });
}

/// libc may return bytes that are not valid in host names. They are printed as `\DDD`
/// and are not an error.
#[test]
fn names_from_libc_are_escaped() {
    within("names_from_libc_are_escaped", || {
        let names = [
            ("1.2.0.192.in-addr.arpa", "caf\\233.test"),
            ("2.2.0.192.in-addr.arpa", "a\\009b.test"),
            ("3.2.0.192.in-addr.arpa", "plain.test"),
        ];
        let zone = names
            .iter()
            .fold(Zone::new(), |zone, (at, name)| zone.ptr(at, name));
        let _server = DnsServer::at(([127, 0, 0, 1], 53).into(), zone, |_, _| Behaviour::Answer);
        write_conf("nameserver 127.0.0.1\n");
        let ask = |address: &str| resolve().args(["--json", address]).run().json().remove(0);
        assert_eq!(ask("192.0.2.3")["records"][0]["data"], "plain.test");
        for address in ["192.0.2.1", "192.0.2.2"] {
            let record = ask(address);
            assert_eq!(record["source"], "system");
            // Some versions of libc reject such names.
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
