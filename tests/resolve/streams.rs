//! Connections that end early, trickle or burst, over TCP and TLS.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use testkit::dns::{Behaviour, DnsServer, Query, Transport, Zone};

use super::{resolve, zone};

/// A server and how it is reached.
struct Reached {
    server: DnsServer,
    args: Vec<String>,
}

fn hosts(count: usize) -> Zone {
    (0..count).fold(Zone::new().soa("test"), |zone, n| {
        zone.a(
            &format!("h{n}.test"),
            &format!("10.0.{}.{}", n / 256, n % 256),
        )
    })
}

fn over_tcp<F>(zone: Zone, choose: F) -> Reached
where
    F: Fn(&Query, Transport) -> Behaviour + Send + Sync + 'static,
{
    let server = DnsServer::with_behaviour(zone, choose);
    let args = vec![format!("@tcp://{}", server.addr())];
    Reached { server, args }
}

#[cfg(feature = "tls")]
fn over_tls<F>(zone: Zone, choose: F) -> Reached
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
    Reached { server, args }
}

/// The first `count` names, and what is printed of them.
pub(super) fn names(count: usize) -> (Vec<String>, String) {
    let names = (0..count).map(|n| format!("h{n}.test")).collect();
    let expected = (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "h{n}.test\tA\t10.0.{}.{}", n / 256, n % 256);
        text
    });
    (names, expected)
}

/// Asks for `count` names, all of which are there.
fn all_found(reached: &Reached, count: usize) {
    let (names, expected) = names(count);
    resolve()
        .args(&reached.args)
        .args(["--timeout", "60s", "--ordered", "-t", "A", "-"])
        .stdin(names.join("\n"))
        .timeout(Duration::from_secs(60))
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

/// The same in this time, all asked before the first answer can come.
fn found_within(reached: &Reached, count: usize, time: &str) {
    let (names, expected) = names(count);
    resolve()
        .args(&reached.args)
        .args(["--timeout", time, "--long", "-t", "A"])
        .args(names)
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

/// `end` for every `n`th query, counted over all connections.
fn every(n: usize, end: Behaviour) -> impl Fn(&Query, Transport) -> Behaviour + Send + Sync {
    let count = Arc::new(AtomicUsize::new(0));
    move |_, _| match count.fetch_add(1, Ordering::SeqCst) % n {
        k if k == n - 1 => end.clone(),
        _ => Behaviour::Answer,
    }
}

/// How many connections there were.
fn connections(server: &DnsServer) -> usize {
    let mut peers: Vec<_> = server.queries().iter().map(|q| q.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    peers.len()
}

/// The server ends each connection after some answers, others of the same
/// connection being on their way.
#[test]
fn connections_of_a_few_answers() {
    for (after, count) in [(1, 300), (2, 300), (7, 1000), (64, 3000)] {
        for end in [Behaviour::AnswerThenClose, Behaviour::AnswerThenReset] {
            let reached = over_tcp(hosts(count), every(after, end));
            all_found(&reached, count);
            // What the server read and answered is not much more than that.
            let read = reached.server.queries().len();
            assert!(read <= 2 * count, "{read} for {count} by {after}");
            assert!(connections(&reached.server) >= count / after / 2);
        }
    }
}

#[cfg(feature = "tls")]
#[test]
fn connections_of_a_few_answers_over_tls() {
    for (after, count) in [(1, 150), (20, 1000), (64, 3000)] {
        for end in [
            Behaviour::AnswerThenClose,
            Behaviour::AnswerThenReset,
            Behaviour::AnswerThenNotify,
        ] {
            let reached = over_tls(hosts(count), every(after, end));
            all_found(&reached, count);
        }
    }
}

/// Truncation sends every name to TCP, where a connection has one answer.
#[test]
fn one_answer_for_each_connection_behind_truncation() {
    const COUNT: usize = 300;
    let server = DnsServer::with_behaviour(hosts(COUNT), |_, transport| match transport {
        Transport::Udp => Behaviour::Truncate,
        _ => Behaviour::AnswerThenClose,
    });
    let args = vec![format!("@{}", server.addr())];
    all_found(&Reached { server, args }, COUNT);
}

/// Holds queries back until several of them wait on connections of their own.
#[derive(Default)]
struct Meeting {
    waiting: Mutex<usize>,
    met: Condvar,
}

impl Meeting {
    const PARTIES: usize = 4;

    /// Returns when [`Self::PARTIES`] queries have arrived, or after 30 s.
    fn join(&self) {
        let mut waiting = self.waiting.lock().expect("no panic");
        *waiting += 1;
        self.met.notify_all();
        let short = |waiting: &mut usize| *waiting < Self::PARTIES;
        let limit = Duration::from_secs(30);
        let met = self.met.wait_timeout_while(waiting, limit, short);
        drop(met.expect("no panic"));
    }

    fn has_happened(&self) -> bool {
        *self.waiting.lock().expect("no panic") >= Self::PARTIES
    }
}

/// Each connection has one answer: after the first of them the tool opens several
/// at a time, since one after the other would take too long.
#[test]
fn slow_answers_one_for_each_connection() {
    for is_tcp in [true, false] {
        let meeting = Arc::new(Meeting::default());
        let (shared, count) = (Arc::clone(&meeting), AtomicUsize::new(0));
        let slow = move |_: &Query, transport: Transport| {
            if transport == Transport::Udp {
                return Behaviour::Truncate;
            }
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                shared.join();
            }
            Behaviour::AnswerThenClose
        };
        let mut reached = over_tcp(hosts(100), slow);
        if !is_tcp {
            reached.args = vec![format!("@{}", reached.server.addr())];
        }
        found_within(&reached, 100, "20s");
        assert!(meeting.has_happened());
    }
}

/// The answer to one of [`names`] in a message.
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

/// Only the first connection ends early, behind one answer of many; those after
/// it take what they get. No name waits longer for its turn than it has time.
#[test]
fn one_early_end_is_no_rule() {
    use std::io::{Read, Write};
    const TRIP: Duration = Duration::from_millis(300);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let args = format!("@tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (n, conn) in listener.incoming().enumerate() {
            let mut conn = conn.unwrap();
            std::thread::spawn(move || -> std::io::Result<()> {
                let (mut read, mut buffer) = (Vec::new(), [0; 8192]);
                loop {
                    let length = conn.read(&mut buffer)?;
                    if length == 0 {
                        return Ok(());
                    }
                    read.extend_from_slice(&buffer[..length]);
                    // What came meanwhile is answered a trip after this.
                    std::thread::sleep(TRIP);
                    while let Some((length, rest)) = read.split_first_chunk::<2>() {
                        let length = usize::from(u16::from_be_bytes(*length));
                        let Some(query) = rest.get(..length) else {
                            break;
                        };
                        conn.write_all(&answer(query))?;
                        if n == 0 {
                            return Ok(());
                        }
                        read.drain(..length + 2);
                    }
                }
            });
        }
    });
    let (names, expected) = names(300);
    resolve()
        .arg(args)
        .args(["--timeout", "9s", "--long", "-t", "A"])
        .args(names)
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

/// It ends connections behind one answer and serves two at a time; others it
/// ends at once, or lets wait for ever. No name is lost for that.
fn two_connections_at_a_time(ends: bool) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let served = Arc::new(AtomicUsize::new(0));
        let mut waiting = Vec::new();
        for mut conn in listener.incoming().flatten() {
            if served.load(Ordering::SeqCst) == 2 {
                if !ends {
                    waiting.push(conn);
                }
                continue;
            }
            served.fetch_add(1, Ordering::SeqCst);
            let served = Arc::clone(&served);
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut query = vec![0; 512];
                let read = conn.read(&mut query)?;
                std::thread::sleep(Duration::from_millis(20));
                served.fetch_sub(1, Ordering::SeqCst);
                conn.write_all(&answer(query.get(2..read).unwrap_or_default()))
            });
        }
    });
    let (names, expected) = names(100);
    resolve()
        .arg(format!("@tcp://{address}"))
        .args(["--timeout", "20s", "--long", "-t", "A"])
        .args(names)
        .timeout(Duration::from_secs(120))
        .run()
        .code(0)
        .stdout(&expected)
        .stderr("");
}

#[test]
fn connections_beyond_what_it_serves_end() {
    two_connections_at_a_time(true);
}

#[test]
fn connections_beyond_what_it_serves_wait() {
    two_connections_at_a_time(false);
}

#[test]
fn byte_by_byte() {
    let reached = over_tcp(hosts(40), |_, _| Behaviour::Trickle);
    all_found(&reached, 40);
}

#[cfg(feature = "tls")]
#[test]
fn byte_by_byte_over_tls() {
    let reached = over_tls(hosts(40), |_, _| Behaviour::Trickle);
    all_found(&reached, 40);
}

/// Names whose answers are more than sixteen times four thousand bytes, all
/// of which come in one piece when the last was asked.
const LARGE: usize = 70;

fn large() -> Zone {
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

fn all_large(reached: &Reached) {
    let names: Vec<String> = (0..LARGE).map(|n| format!("h{n}.test")).collect();
    let out = resolve()
        .args(&reached.args)
        .args(["--timeout", "15s", "-t", "TXT"])
        .args(&names)
        .run();
    let lines = out.code(0).stderr("").lines();
    assert_eq!(lines.len(), LARGE);
    assert!(lines.iter().all(|line| line.len() > 1000));
    assert_eq!(connections(&reached.server), 1);
}

#[test]
fn many_answers_in_one_piece() {
    all_large(&over_tcp(large(), burst()));
}

#[cfg(feature = "tls")]
#[test]
fn many_answers_in_one_piece_over_tls() {
    all_large(&over_tls(large(), burst()));
}

/// A time of its own for each of them, though they come at the same moment.
#[test]
fn times_are_those_of_each_lookup() {
    let reached = over_tcp(large(), burst());
    let names: Vec<String> = (0..LARGE).map(|n| format!("h{n}.test")).collect();
    let out = resolve()
        .args(&reached.args)
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

/// Without an answer, too: there is nobody else to ask.
#[test]
fn connections_without_an_answer() {
    let count = AtomicUsize::new(0);
    let reached = over_tcp(hosts(100), move |_, _| {
        match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Behaviour::Close,
            _ => Behaviour::Answer,
        }
    });
    all_found(&reached, 100);
    assert_eq!(connections(&reached.server), 3);
    let reached = over_tcp(zone(), |_, _| Behaviour::Close);
    let out = resolve()
        .args(&reached.args)
        .args(["--json", "--timeout", "60s", "-t", "A", "host.test"])
        .run();
    let record = &out.code(3).json()[0];
    assert_eq!(record["status"], "MALFORMED");
    assert_eq!(record["tries"], 3);
}

/// One query of many is dropped on a connection that goes on.
#[test]
fn a_query_that_was_dropped() {
    let count = AtomicUsize::new(0);
    let reached = over_tcp(hosts(100), move |_, _| {
        match count.fetch_add(1, Ordering::SeqCst) {
            50 => Behaviour::Drop,
            _ => Behaviour::Answer,
        }
    });
    found_within(&reached, 100, "9s");
    assert_eq!(connections(&reached.server), 1);
    // Every repeat has waited for a third of the time, less the time for which a
    // busy machine held up the server before it read the first query.
    let mut times: HashMap<String, Vec<Instant>> = HashMap::new();
    for logged in reached.server.queries() {
        times.entry(logged.query.name).or_default().push(logged.at);
    }
    let waits = times.values().flat_map(|times| times.windows(2));
    let waits: Vec<Duration> = waits.map(|pair| pair[1] - pair[0]).collect();
    assert!(!waits.is_empty());
    let least = Duration::from_secs(1);
    assert!(waits.iter().all(|wait| *wait >= least), "{waits:?}");
}

/// A connection falls silent in the middle: asking once more over it does not
/// help, a new one does.
#[test]
fn a_connection_that_falls_silent() {
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

/// Slow as a whole is not silent.
#[test]
fn a_slow_connection() {
    // Longer than a third of the time, after which a query is asked again.
    let delay = Duration::from_millis(2500);
    let reached = over_tcp(hosts(1), move |_, _| Behaviour::Delay(delay));
    found_within(&reached, 1, "6s");
    assert_eq!(reached.server.queries().len(), 1);
}

/// A server that reads one query of a record may forget the others in it.
#[cfg(feature = "tls")]
#[test]
fn a_tls_record_for_each_query() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    let mut reached = over_tls(hosts(50), |_, _| Behaviour::Answer);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let here = listener.local_addr().expect("its address");
    let there = reached.server.tls_addr();
    let relay = thread::spawn(move || -> std::io::Result<usize> {
        let (mut near, _) = listener.accept()?;
        let mut far = TcpStream::connect(there)?;
        let (mut back, mut to) = (far.try_clone()?, near.try_clone()?);
        thread::spawn(move || std::io::copy(&mut back, &mut to));
        // Each record begins with its type, a version and a length.
        let (mut head, mut count) = ([0; 5], 0);
        // Until the tool ends, which need not be in order.
        while near.read_exact(&mut head).is_ok() {
            let mut record = head.to_vec();
            let body = u64::from(u16::from_be_bytes([head[3], head[4]]));
            (&mut near).take(body).read_to_end(&mut record)?;
            far.write_all(&record)?;
            count += usize::from(head[0] == 23);
        }
        Ok(count)
    });
    reached.args[0] = format!("@tls://{here}");
    all_found(&reached, 50);
    let records = relay.join().expect("a relay").expect("both ends");
    // The last of the handshake looks like one.
    assert_eq!(records, 51);
}

/// Nobody is at the first server: the second one's turn is at once, not when
/// the time is over.
#[test]
fn a_refused_connection_is_the_next_servers_turn() {
    let gone = testkit::peer::refused_addr();
    let reached = over_tcp(zone(), |_, _| Behaviour::Answer);
    resolve()
        .arg(format!("@tcp://{}", gone.addr()))
        .args(&reached.args)
        .args(["--timeout", "60s", "-t", "A", "host.test", "only4.test"])
        .run()
        .code(0)
        .stdout("host.test\tA\t192.0.2.1\nonly4.test\tA\t192.0.2.4\n")
        .stderr("");
}
