//! Connections over TCP and TLS that are slow, bursty or silent.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::dns::{Behaviour, DnsServer, Query, Transport, Zone};

use super::resolve;

/// A server and the arguments that select it.
pub(super) struct Fixture {
    pub(super) server: DnsServer,
    pub(super) args: Vec<String>,
}

pub(super) fn hosts(count: usize) -> Zone {
    (0..count).fold(Zone::new().soa("test"), |zone, n| {
        zone.a(
            &format!("h{n}.test"),
            &format!("10.0.{}.{}", n / 256, n % 256),
        )
    })
}

pub(super) fn over_tcp<F>(zone: Zone, choose: F) -> Fixture
where
    F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
{
    let server = DnsServer::with_behaviour(zone, choose);
    let args = vec![format!("@tcp://{}", server.addr())];
    Fixture { server, args }
}

#[cfg(feature = "tls")]
pub(super) fn over_tls<F>(zone: Zone, choose: F) -> Fixture
where
    F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
{
    let tls = testkit::tls::Authority::new().server();
    let server = DnsServer::with_tls(zone, tls, choose);
    let args = vec![
        format!("@tls://{}", server.tls_addr()),
        "--cacert".to_owned(),
        server.ca_file().display().to_string(),
    ];
    Fixture { server, args }
}

/// Returns the first `count` names and the expected output for them.
pub(super) fn names(count: usize) -> (Vec<String>, String) {
    let names = (0..count).map(|n| format!("h{n}.test")).collect();
    let expected = (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "h{n}.test\tA\t10.0.{}.{}", n / 256, n % 256);
        text
    });
    (names, expected)
}

/// Asks for a list of `count` names, all of which exist.
pub(super) fn ask_for_list(fixture: &Fixture, count: usize) {
    let (names, expected) = names(count);
    resolve()
        .args(&fixture.args)
        .args(["--timeout", "60s", "--ordered", "-t", "A", "-"])
        .stdin(names.join("\n"))
        .timeout(Duration::from_secs(60))
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

/// Asks for `count` names on the command line, with this timeout for each.
pub(super) fn ask_within(fixture: &Fixture, count: usize, time: &str) {
    let (names, expected) = names(count);
    resolve()
        .args(&fixture.args)
        .args(["--timeout", time, "--long", "-t", "A"])
        .args(names)
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

/// Returns the number of connections with a query.
pub(super) fn connections(server: &DnsServer) -> usize {
    let mut peers: Vec<_> = server.queries().iter().map(|q| q.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    peers.len()
}

/// Returns the framed answer to a query for one of [`names`].
pub(super) fn answer(query: &[u8]) -> Vec<u8> {
    let label = &query[13..13 + usize::from(query[12])];
    let n: u16 = std::str::from_utf8(&label[1..])
        .expect("ASCII")
        .parse()
        .expect("a number");
    let end = 13 + label.len() + 6 + 4;
    let mut out = [&query[..2], &[0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]].concat();
    out.extend_from_slice(&query[12..end]);
    out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0]);
    out.extend_from_slice(&n.to_be_bytes());
    let length = (out.len() as u16).to_be_bytes();
    [&length[..], &out].concat()
}

#[test]
fn messages_may_arrive_byte_by_byte() {
    let fixture = over_tcp(hosts(40), |_, _| Behaviour::Trickle);
    ask_for_list(&fixture, 40);
}

#[cfg(feature = "tls")]
#[test]
fn messages_may_arrive_byte_by_byte_over_tls() {
    let fixture = over_tls(hosts(40), |_, _| Behaviour::Trickle);
    ask_for_list(&fixture, 40);
}

/// The number of names with large answers: together they exceed 64 KiB, and all of
/// them are sent after the last query.
const LARGE: usize = 70;

fn large_zone() -> Zone {
    let text = vec![b'x'; 250];
    let strings = [&text[..], &text, &text, &text];
    (0..LARGE).fold(Zone::new(), |zone, n| {
        zone.txt(&format!("h{n}.test"), &strings)
    })
}

fn burst() -> impl Fn(&Query, Transport) -> Behaviour + Send + Sync {
    let count = AtomicUsize::new(0);
    move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        n if n < LARGE - 1 => Behaviour::Hold,
        _ => Behaviour::Answer,
    }
}

fn ask_for_large(fixture: &Fixture) {
    let names: Vec<String> = (0..LARGE).map(|n| format!("h{n}.test")).collect();
    let out = resolve()
        .args(&fixture.args)
        .args(["--timeout", "15s", "-t", "TXT"])
        .args(&names)
        .run();
    let lines = out.code(0).stderr("").lines();
    assert_eq!(lines.len(), LARGE);
    assert!(lines.iter().all(|line| line.len() > 1000));
    assert_eq!(connections(&fixture.server), 1);
}

#[test]
fn many_answers_may_arrive_together() {
    ask_for_large(&over_tcp(large_zone(), burst()));
}

#[cfg(feature = "tls")]
#[test]
fn many_answers_may_arrive_together_over_tls() {
    ask_for_large(&over_tls(large_zone(), burst()));
}

/// Each lookup has a duration of its own, although the answers arrive together.
#[test]
fn durations_are_measured_per_lookup() {
    let fixture = over_tcp(large_zone(), burst());
    let names: Vec<String> = (0..LARGE).map(|n| format!("h{n}.test")).collect();
    let out = resolve()
        .args(&fixture.args)
        .args(["--json", "--timeout", "15s", "-t", "TXT"])
        .args(&names)
        .run();
    let records = out.code(0).json();
    let mut times: Vec<String> = records
        .iter()
        .map(|record| record["duration_ms"].to_string())
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > LARGE / 2, "{times:?}");
}

/// The server drops one query of many and answers the others.
#[test]
fn a_dropped_query_is_repeated_on_the_same_connection() {
    let count = AtomicUsize::new(0);
    let fixture = over_tcp(hosts(100), move |_, _| {
        match count.fetch_add(1, Ordering::SeqCst) {
            50 => Behaviour::Drop,
            _ => Behaviour::Answer,
        }
    });
    ask_within(&fixture, 100, "9s");
    assert_eq!(connections(&fixture.server), 1);
    // A query is repeated after a third of the timeout, less the time for which a busy
    // machine delayed the server before it read the first one.
    let mut times: HashMap<String, Vec<Instant>> = HashMap::new();
    for logged in fixture.server.queries() {
        times.entry(logged.query.name).or_default().push(logged.at);
    }
    let waits = times.values().flat_map(|times| times.windows(2));
    let waits: Vec<Duration> = waits.map(|pair| pair[1] - pair[0]).collect();
    assert!(!waits.is_empty());
    let least = Duration::from_secs(1);
    assert!(waits.iter().all(|wait| *wait >= least), "{waits:?}");
}

/// A connection falls silent: repeating queries on it does not help, but a new
/// connection does.
#[test]
fn a_silent_connection_is_replaced() {
    use std::io::{Read, Write};
    let count = AtomicUsize::new(0);
    let peer = testkit::peer::TcpPeer::start(move |mut conn| -> std::io::Result<()> {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        for number in 0.. {
            let mut length = [0; 2];
            conn.read_exact(&mut length)?;
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            conn.read_exact(&mut query)?;
            if !is_first || number < 10 {
                conn.write_all(&answer(&query))?;
            }
        }
        Ok(())
    });
    let (names, expected) = names(100);
    resolve()
        .arg(format!("@tcp://{}", peer.addr()))
        .args(["--timeout", "9s", "--long", "-t", "A"])
        .args(names)
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
    assert_eq!(peer.accepted(), 2);
}

/// A server that is slow for all queries is not asked again.
#[test]
fn a_slow_connection_is_kept() {
    // The delay exceeds a third of the timeout, after which a query is repeated.
    let delay = Duration::from_millis(2500);
    let fixture = over_tcp(hosts(1), move |_, _| Behaviour::Delay(delay));
    ask_within(&fixture, 1, "6s");
    assert_eq!(fixture.server.queries().len(), 1);
}

/// Some servers read one query per TLS record and ignore the others in it.
#[cfg(feature = "tls")]
#[test]
fn each_query_has_a_tls_record_of_its_own() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    let mut fixture = over_tls(hosts(50), |_, _| Behaviour::Answer);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let here = listener.local_addr().expect("its address");
    let there = fixture.server.tls_addr();
    let relay = thread::spawn(move || -> std::io::Result<usize> {
        let (mut near, _) = listener.accept()?;
        let mut far = TcpStream::connect(there)?;
        let (mut back, mut to) = (far.try_clone()?, near.try_clone()?);
        thread::spawn(move || std::io::copy(&mut back, &mut to));
        // Each record starts with its type, a version and a length.
        let (mut head, mut count) = ([0; 5], 0);
        // The tool may end without closing the connection properly.
        while near.read_exact(&mut head).is_ok() {
            let mut record = head.to_vec();
            let body = u64::from(u16::from_be_bytes([head[3], head[4]]));
            (&mut near).take(body).read_to_end(&mut record)?;
            far.write_all(&record)?;
            count += usize::from(head[0] == 23);
        }
        Ok(count)
    });
    fixture.args[0] = format!("@tls://{here}");
    ask_for_list(&fixture, 50);
    let records = relay.join().expect("a relay").expect("both ends");
    // The last record of the handshake has the same type.
    assert_eq!(records, 51);
}
