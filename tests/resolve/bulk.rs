//! Long lists of names.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Transport, Zone};

use super::{at, resolve, zone};

const COUNT: usize = 2000;

/// Of three names, one has an address, one is an alias and one does not exist.
fn hosts() -> Zone {
    (0..COUNT).fold(Zone::new().soa("test"), |zone, n| match n % 3 {
        0 => zone.a(
            &format!("h{n}.test"),
            &format!("10.0.{}.{}", n / 256, n % 256),
        ),
        1 => zone.cname(&format!("h{n}.test"), &format!("h{}.test", n - 1)),
        _ => zone,
    })
}

fn names() -> String {
    (0..COUNT).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "h{n}.test");
        text
    })
}

fn expected() -> String {
    (0..COUNT).fold(String::new(), |mut text, n| {
        let end = n - n % 3;
        let value = match n % 3 {
            2 => "-\tNXDOMAIN".to_owned(),
            _ => format!("10.0.{}.{}", end / 256, end % 256),
        };
        let _ = writeln!(text, "h{n}.test\tA\t{value}");
        text
    })
}

#[test]
fn every_name_is_printed_once_and_in_order() {
    let server = DnsServer::start(hosts());
    resolve()
        .arg(at(&server))
        .args(["--timeout", "60s", "--ordered", "-t", "A", "-"])
        .stdin(names())
        .run()
        .code(1)
        .stdout(&expected())
        .stderr("");
}

#[test]
fn every_name_is_printed_once_despite_loss_truncation_and_forgery() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = DnsServer::with_behaviour(hosts(), move |_, transport| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        match (transport, n % 12) {
            (Transport::Udp, 0) => Behaviour::Drop,
            (Transport::Udp, 3) => Behaviour::Truncate,
            (Transport::Udp, 5) => Behaviour::UnrelatedFirst,
            (Transport::Udp, 7) => Behaviour::Twice,
            (Transport::Udp, 9) => Behaviour::WrongId,
            _ => Behaviour::Answer,
        }
    });
    let out = resolve()
        .arg(at(&server))
        .args(["--timeout", "60s", "-t", "A", "-"])
        .stdin(names())
        .timeout(Duration::from_secs(120))
        .run();
    let mut lines = out.code(1).stderr("").lines();
    let expected = expected();
    let mut wanted: Vec<&str> = expected.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[test]
fn a_list_over_tcp_uses_one_connection() {
    let server = DnsServer::start(hosts());
    resolve()
        .arg(format!("@tcp://{}", server.addr()))
        .args(["--timeout", "60s", "--ordered", "-t", "A", "-"])
        .stdin(names())
        .run()
        .code(1)
        .stdout(&expected());
    let queries = server.queries();
    assert_eq!(queries.len(), COUNT);
    assert!(queries.iter().all(|q| q.peer == queries[0].peer));
}

#[test]
fn every_name_and_type_has_one_json_record() {
    let server = DnsServer::start(zone());
    let out = resolve()
        .arg(at(&server))
        .args([
            "--json",
            "--ordered",
            "--rate",
            "1000000",
            "-t",
            "A,MX,TXT",
            "-",
        ])
        .stdin("host.test\nbad..name\nno.test\n127.1\n")
        .run();
    let records = out.code(2).json();
    let shown: Vec<(&str, &str)> = records
        .iter()
        .map(|r| {
            let name = r["name"].as_str().or(r["target"].as_str());
            let what = r["status"].as_str().or(r["kind"].as_str());
            (name.unwrap(), what.unwrap())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("host.test", "NOERROR"),
            ("host.test", "NOERROR"),
            ("host.test", "NOERROR"),
            ("bad..name", "input"),
            ("no.test", "NXDOMAIN"),
            ("no.test", "NXDOMAIN"),
            ("no.test", "NXDOMAIN"),
            ("127.1", "input"),
        ]
    );
}

#[test]
fn a_list_is_resolved_by_the_system() {
    let names = "localhost\n127.0.0.1\n".repeat(50);
    let out = resolve().args(["-4", "--long", "-"]).stdin(names).run();
    let lines = out.stderr("").lines();
    assert_eq!(lines.len(), 100, "{}", out.report());
    let forward = lines.iter().filter(|l| **l == "localhost\tA\t127.0.0.1");
    assert_eq!(forward.count(), 50);
}

#[test]
fn a_closed_stdout_ends_the_run() {
    let server = DnsServer::start(hosts());
    resolve()
        .arg(at(&server))
        .args(["-t", "A", "-"])
        .stdin(names())
        .run_closing_stdout_after(100)
        .code(0)
        .stderr("");
}

#[test]
fn an_unreachable_server_fails_without_waiting() {
    let refused = testkit::peer::refused_addr();
    let out = resolve()
        .arg(format!("@{}", refused.addr()))
        .args(["--timeout", "60s", "-t", "A", "-"])
        .stdin("a.test\nb.test\nc.test\n")
        .run();
    let lines = out.code(3).lines();
    assert_eq!(lines.len(), 3, "{}", out.report());
    assert!(lines.iter().all(|l| l.ends_with("\tA\t-\tUNREACHABLE")));
}

/// The source port is half of what an off-path attacker has to guess.
#[test]
fn the_source_port_changes() {
    const NAMES: usize = 5000;
    let server = DnsServer::start(zone());
    let out = resolve()
        .arg(at(&server))
        .args(["--timeout", "60s", "-t", "A", "-"])
        .stdin("host.test\n".repeat(NAMES))
        .timeout(Duration::from_secs(60))
        .run();
    assert_eq!(out.code(0).lines().len(), NAMES);
    let mut ports: HashMap<u16, usize> = HashMap::new();
    for query in server.queries() {
        *ports.entry(query.peer.port()).or_default() += 1;
    }
    let most = ports.values().max().copied().unwrap_or_default();
    assert!(most <= 512, "{most} queries from one port");
    assert!(ports.len() >= NAMES / 512, "{} ports", ports.len());
}

/// Asks a server that rate-limits UDP, as nsd does: it drops half of the queries and
/// truncates the answers to the others. Over TCP it behaves as given.
fn ask_rate_limited(over_tcp: Behaviour) -> (DnsServer, testkit::Output) {
    let count = AtomicUsize::new(0);
    let server = DnsServer::with_behaviour(hosts(), move |_, transport| match transport {
        Transport::Udp => match count.fetch_add(1, Ordering::SeqCst) {
            ..100 => Behaviour::Answer,
            n if n.is_multiple_of(2) => Behaviour::Truncate,
            _ => Behaviour::Drop,
        },
        _ => over_tcp.clone(),
    });
    let out = resolve()
        .arg(at(&server))
        .args(["--timeout", "20s", "--ordered", "-t", "A", "-"])
        .stdin(names())
        .timeout(Duration::from_secs(100))
        .run();
    (server, out)
}

#[test]
fn a_server_that_truncates_is_asked_over_tcp() {
    let (server, out) = ask_rate_limited(Behaviour::Answer);
    out.code(1).stdout(&expected()).stderr("");
    let queries = server.queries();
    let udp = queries.iter().filter(|q| q.transport == Transport::Udp);
    let udp = udp.count();
    assert!(udp < COUNT * 3 / 4, "{udp} over UDP");
}

#[test]
fn a_server_without_tcp_is_asked_over_udp() {
    let (server, out) = ask_rate_limited(Behaviour::Close);
    assert_eq!(out.code(3).lines().len(), COUNT);
    let queries = server.queries();
    let udp = queries.iter().filter(|q| q.transport == Transport::Udp);
    assert!(udp.count() >= COUNT);
}

/// A server may send the next answer only after the next query, for example because
/// the query acknowledges the previous answer (Nagle's algorithm). So every answer
/// must be followed by a query immediately.
#[test]
fn every_answer_is_followed_by_a_query() {
    use std::collections::VecDeque;
    use std::io::{Read, Write};
    const COUNT: usize = 1000;
    let peer = testkit::peer::TcpPeer::start(|mut conn| -> std::io::Result<()> {
        let mut waiting = VecDeque::new();
        for number in 1..=COUNT {
            let mut length = [0; 2];
            conn.read_exact(&mut length)?;
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            conn.read_exact(&mut query)?;
            waiting.push_back(query);
            // Without a further query there are too few to send an answer.
            while waiting.len() > if number == COUNT { 0 } else { 120 } {
                let query = waiting.pop_front().unwrap_or_default();
                conn.write_all(&super::streams::answer(&query))?;
            }
        }
        conn.read_to_end(&mut Vec::new()).map(drop)
    });
    let (names, expected) = super::streams::names(COUNT);
    let out = resolve()
        .arg(format!("@tcp://{}", peer.addr()))
        .args(["-v", "--timeout", "60s", "--ordered", "-t", "A", "-"])
        .stdin(names.join("\n"))
        .timeout(Duration::from_secs(120))
        .run();
    out.code(0).stdout(&expected);
    // No query had to be repeated.
    out.stderr(
        "resolve: 1000 operands, 1000 queries, 0 of them repeated, ignored 0 unrelated packets\n",
    );
    assert_eq!(peer.accepted(), 1);
}

/// A full pipe blocks the tool, which does not count towards any timeout.
#[test]
fn a_slow_reader_causes_no_timeout() {
    const NAMES: usize = 3_000;
    let server = DnsServer::start(zone());
    let (mut reader, writer) = std::io::pipe().expect("make a pipe");
    let running = resolve()
        .arg(at(&server))
        .args(["-t", "A", "--timeout", "2", "--json", "-"])
        .stdin("host.test\n".repeat(NAMES))
        .stdout_to(std::fs::File::from(std::os::fd::OwnedFd::from(writer)))
        .timeout(Duration::from_secs(60))
        .spawn();
    // This exceeds the timeout.
    std::thread::sleep(Duration::from_secs(3));
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while text.split(|byte| *byte == b'\n').count() <= NAMES {
        let n = std::io::Read::read(&mut reader, &mut chunk).expect("read the pipe");
        text.extend_from_slice(&chunk[..n]);
    }
    let out = running.wait();
    out.code(0).stderr("");
    assert!(!String::from_utf8_lossy(&text).contains("TIMEOUT"));
}
