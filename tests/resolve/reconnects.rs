//! Connections over TCP and TLS that the server closes early, refuses or ignores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Query, Transport};

#[cfg(feature = "tls")]
use super::streams::over_tls;
use super::streams::{
    Fixture, answer, ask_for_list, ask_within, connections, hosts, names, over_tcp,
};
use super::{resolve, zone};

/// Chooses `last` for every `n`th query, counted over all connections.
fn every(n: usize, last: Behaviour) -> impl Fn(&Query, Transport) -> Behaviour + Send + Sync {
    let count = Arc::new(AtomicUsize::new(0));
    move |_, _| match count.fetch_add(1, Ordering::SeqCst) % n {
        k if k == n - 1 => last.clone(),
        _ => Behaviour::Answer,
    }
}

/// The server closes each connection after some answers, while other queries on it
/// are outstanding.
#[test]
fn connections_may_be_closed_after_a_few_answers() {
    for (after, count) in [(1, 300), (2, 300), (7, 1000), (64, 3000)] {
        for end in [Behaviour::AnswerThenClose, Behaviour::AnswerThenReset] {
            let fixture = over_tcp(hosts(count), every(after, end));
            ask_for_list(&fixture, count);
            // Few queries are sent in vain.
            let read = fixture.server.queries().len();
            assert!(read <= 2 * count, "{read} for {count} by {after}");
            assert!(connections(&fixture.server) >= count / after / 2);
        }
    }
}

#[cfg(feature = "tls")]
#[test]
fn connections_may_be_closed_after_a_few_answers_over_tls() {
    for (after, count) in [(1, 150), (20, 1000), (64, 3000)] {
        for end in [
            Behaviour::AnswerThenClose,
            Behaviour::AnswerThenReset,
            Behaviour::AnswerThenNotify,
        ] {
            let fixture = over_tls(hosts(count), every(after, end));
            ask_for_list(&fixture, count);
        }
    }
}

/// All answers over UDP are truncated, and each TCP connection has one answer.
#[test]
fn connections_after_truncation_may_have_one_answer_each() {
    const COUNT: usize = 300;
    let server = DnsServer::with_behaviour(hosts(COUNT), |_, transport| match transport {
        Transport::Udp => Behaviour::Truncate,
        _ => Behaviour::AnswerThenClose,
    });
    let args = vec![format!("@{}", server.addr())];
    ask_for_list(&Fixture { server, args }, COUNT);
}

/// A barrier that holds queries back until several connections have one.
#[derive(Default)]
struct Barrier {
    waiting: Mutex<usize>,
    arrived: Condvar,
}

impl Barrier {
    const CONNECTIONS: usize = 4;

    /// Waits until [`Self::CONNECTIONS`] queries have arrived, for 30 s at most.
    fn wait(&self) {
        let mut waiting = self.waiting.lock().expect("no panic");
        *waiting += 1;
        self.arrived.notify_all();
        let is_closed = |waiting: &mut usize| *waiting < Self::CONNECTIONS;
        let limit = Duration::from_secs(30);
        let result = self.arrived.wait_timeout_while(waiting, limit, is_closed);
        drop(result.expect("no panic"));
    }

    fn was_opened(&self) -> bool {
        *self.waiting.lock().expect("no panic") >= Self::CONNECTIONS
    }
}

/// Each connection has one answer. After the first one the tool opens several at a
/// time, since a single one at a time would take too long.
#[test]
fn several_connections_are_opened_if_each_has_one_answer() {
    for is_tcp in [true, false] {
        let barrier = Arc::new(Barrier::default());
        let (shared, count) = (Arc::clone(&barrier), AtomicUsize::new(0));
        let choose = move |_: &Query, transport: Transport| {
            if transport == Transport::Udp {
                return Behaviour::Truncate;
            }
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                shared.wait();
            }
            Behaviour::AnswerThenClose
        };
        let mut fixture = over_tcp(hosts(100), choose);
        if !is_tcp {
            fixture.args = vec![format!("@{}", fixture.server.addr())];
        }
        ask_within(&fixture, 100, "20s");
        assert!(barrier.was_opened());
    }
}

/// Only the first connection is closed early, after one of many answers. The limit of
/// the following ones grows, so that no name waits in the queue until its timeout.
#[test]
fn a_single_early_close_does_not_limit_later_connections() {
    use std::io::{Read, Write};
    const DELAY: Duration = Duration::from_millis(300);
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
                    // All queries of this read are answered after one delay.
                    std::thread::sleep(DELAY);
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

/// The server closes connections after one answer and serves two at a time. It closes
/// others immediately if `closes_others`, else it never answers them.
fn ask_server_of_two_connections(closes_others: bool) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let served = Arc::new(AtomicUsize::new(0));
        let mut waiting = Vec::new();
        for mut conn in listener.incoming().flatten() {
            if served.load(Ordering::SeqCst) == 2 {
                if !closes_others {
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
fn surplus_connections_may_be_closed() {
    ask_server_of_two_connections(true);
}

#[test]
fn surplus_connections_may_be_silent() {
    ask_server_of_two_connections(false);
}

/// The only server may close a few connections without any answer.
#[test]
fn connections_may_be_closed_without_an_answer() {
    let count = AtomicUsize::new(0);
    let fixture = over_tcp(hosts(100), move |_, _| {
        match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Behaviour::Close,
            _ => Behaviour::Answer,
        }
    });
    ask_for_list(&fixture, 100);
    assert_eq!(connections(&fixture.server), 3);
    let fixture = over_tcp(zone(), |_, _| Behaviour::Close);
    let out = resolve()
        .args(&fixture.args)
        .args(["--json", "--timeout", "60s", "-t", "A", "host.test"])
        .run();
    let record = &out.code(3).json()[0];
    assert_eq!(record["status"], "MALFORMED");
    assert_eq!(record["tries"], 3);
}

/// The second server is asked immediately, and not after a timeout.
#[test]
fn the_next_server_is_asked_after_a_refused_connection() {
    let refused = testkit::peer::refused_addr();
    let fixture = over_tcp(zone(), |_, _| Behaviour::Answer);
    resolve()
        .arg(format!("@tcp://{}", refused.addr()))
        .args(&fixture.args)
        .args(["--timeout", "60s", "-t", "A", "host.test", "only4.test"])
        .run()
        .code(0)
        .stdout("host.test\tA\t192.0.2.1\nonly4.test\tA\t192.0.2.4\n")
        .stderr("");
}

/// The server ends after an answer, so that further connections are refused.
/// Queries that were never sent must not be tried without end.
#[test]
fn a_server_that_ends_refuses_the_remaining_lookups() {
    let server = DnsServer::with_behaviour(hosts(2), |_, _| Behaviour::AnswerThenClose);
    let mut running = resolve()
        .arg(format!("@tcp://{}", server.addr()))
        .args(["--json", "-t", "A", "-"])
        .piped_stdin()
        .spawn();
    running.write_stdin(b"h0.test\n");
    let line = running.read_line(Duration::from_secs(30));
    assert!(line.contains("NOERROR"), "{line}");
    drop(server);
    running.write_stdin(b"h1.test\n");
    running.close_stdin();
    let out = running.wait();
    let record = &out.code(3).json()[1];
    assert_eq!(record["error"]["kind"], "refused", "{record}");
}
