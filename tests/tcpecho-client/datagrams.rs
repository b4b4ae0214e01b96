//! `-c` and `-i` over UDP, with peers that lose, repeat, reorder and refuse
//! datagrams: the summary agrees with the peer's counts.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use testkit::udp::UdpPeer;

use crate::consistency::{check_echoes, count, number};
use crate::{TEST_TIMEOUT, client};

/// The counts of a peer.
#[derive(Debug, Default, PartialEq, Eq)]
struct PeerCounts {
    received: u64,
    echoed: u64,
}

/// An echo server that sends each echo after `lag` further datagrams have
/// arrived, so that several are in flight. `disturb` is called with the number
/// of each datagram when it has arrived.
struct Peer {
    addr: SocketAddr,
    thread: JoinHandle<PeerCounts>,
}

impl Peer {
    fn start(
        count: u64,
        lag: usize,
        disturb: impl Fn(u64, &mut UdpSocket, SocketAddr) + Send + 'static,
    ) -> Self {
        let mut socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut queue = VecDeque::new();
            let mut counts = PeerCounts::default();
            let mut buffer = [0; 2000];
            let timeout = Duration::from_secs(1);
            while counts.received < count {
                socket.set_read_timeout(Some(timeout)).unwrap();
                // The last datagrams may be refused.
                let Ok((n, from)) = socket.recv_from(&mut buffer) else {
                    break;
                };
                counts.received += 1;
                queue.push_back((buffer[..n].to_vec(), from));
                disturb(counts.received, &mut socket, from);
                while queue.len() > lag
                    && let Some((datagram, to)) = queue.pop_front()
                {
                    counts.echoed += 1;
                    socket.send_to(&datagram, to).unwrap();
                }
            }
            for (datagram, to) in queue {
                counts.echoed += 1;
                socket.send_to(&datagram, to).unwrap();
            }
            counts
        });
        Self { addr, thread }
    }

    fn counts(self) -> PeerCounts {
        self.thread.join().unwrap()
    }
}

fn run(addr: SocketAddr, args: &[&str], code: i32) -> Vec<Value> {
    let tool = client().args(["-j", "-u", &addr.to_string()]).args(args);
    let out = tool.timeout(TEST_TIMEOUT * 2).run();
    out.code(code);
    out.json()
}

#[test]
fn an_icmp_error_loses_a_single_datagram() {
    let peer = Peer::start(100, 5, |number, socket, _| {
        if number == 30 {
            // The port is closed while echoes are in flight, and for long
            // enough that a busy machine sends a datagram to it.
            let addr = socket.local_addr().unwrap();
            *socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            std::thread::sleep(Duration::from_millis(300));
            *socket = UdpSocket::bind(addr).unwrap();
        }
    });
    let args = ["-c", "100", "-i", "20ms", "--timeout", "5s"];
    let records = run(peer.addr, &args, 1);
    let summary = check_echoes(&records);
    let counts = peer.counts();
    assert_eq!(count(summary, "received"), counts.echoed, "{summary}");
    assert_eq!(count(summary, "lost"), 100 - counts.received, "{summary}");
    assert_eq!(
        (count(summary, "corrupt"), count(summary, "strays")),
        (0, 0)
    );
    // A refused datagram has a record with the reason. One that waited in the
    // socket when it was closed is lost without a record.
    let refused: Vec<&Value> = records.iter().filter(|r| r["type"] == "error").collect();
    assert!(refused.len() as u64 <= 100 - counts.received, "{summary}");
    for record in refused {
        assert_eq!(record["kind"], "refused", "{record}");
        assert!(record["seq"].is_u64() && record["address"].is_string());
    }
    // Every echo waits for five further datagrams.
    assert!(number(summary, "min_ms") > 50.0, "{summary}");
}

#[test]
fn a_stray_datagram_does_not_affect_the_others() {
    let peer = Peer::start(60, 5, |number, socket, from| {
        if number == 20 {
            socket.send_to(b"hello, one datagram more", from).unwrap();
        }
    });
    let records = run(peer.addr, &["-c", "60", "-i", "5ms", "--timeout", "5s"], 0);
    let summary = check_echoes(&records);
    assert_eq!(
        (count(summary, "received"), count(summary, "corrupt")),
        (60, 0)
    );
    assert_eq!(count(summary, "strays"), 1);
    assert_eq!(peer.counts().echoed, 60);
}

/// The peer drops every third datagram, repeats every fourth, and sends every
/// fifth after the next one.
fn lossy_peer() -> UdpPeer {
    let held = std::sync::Mutex::new(None);
    UdpPeer::start(move |number, datagram| {
        let number = number + 1;
        let mut held = held.lock().unwrap();
        let mut out = Vec::new();
        if number % 5 == 0 && number % 3 != 0 && number % 4 != 0 {
            *held = Some(datagram.to_vec());
            return out;
        }
        if number % 3 != 0 {
            out.push(datagram.to_vec());
        }
        if number % 4 == 0 && number % 3 != 0 {
            out.push(datagram.to_vec());
        }
        out.extend(held.take());
        out
    })
}

#[test]
fn loss_duplicates_and_reordering_are_counted() {
    let args = ["-c", "60", "-i", "2ms", "--timeout", "3s"];
    for sizes in [
        &[][..],
        &["--size", "4"],
        &["--size", "8"],
        &["--size", "4:100"],
    ] {
        let peer = lossy_peer();
        let records = run(peer.addr(), &[&args[..], sizes].concat(), 1);
        let summary = check_echoes(&records);
        let numbers = || 1..=60;
        let lost = numbers().filter(|n| n % 3 == 0).count() as u64;
        let twice = numbers().filter(|n| n % 4 == 0 && n % 3 != 0).count() as u64;
        // Reordered if the next datagram is echoed.
        let behind = numbers()
            .filter(|n| n % 5 == 0 && n % 3 != 0 && n % 4 != 0 && (n + 1) % 3 != 0)
            .count() as u64;
        assert_eq!(count(summary, "lost"), lost, "{sizes:?} {summary}");
        assert_eq!(count(summary, "received"), 60 - lost, "{sizes:?} {summary}");
        assert_eq!(count(summary, "duplicates"), twice, "{sizes:?} {summary}");
        assert_eq!(count(summary, "reordered"), behind, "{sizes:?} {summary}");
        assert_eq!(
            (count(summary, "corrupt"), count(summary, "strays")),
            (0, 0)
        );
    }
}

#[test]
fn the_line_of_counts_agrees_with_the_peer() {
    let peer = lossy_peer();
    let args = ["-u", "-q", "-c", "60", "-i", "2ms", "--timeout", "3s"];
    let tool = client().arg(peer.addr().to_string()).args(args);
    tool.timeout(TEST_TIMEOUT * 2)
        .run()
        .code(1)
        .stdout_contains("\n60 sent, 40 received, 33.3333% loss, 10 duplicate, 3 reordered, time ");
}

#[test]
fn corrupt_and_truncated_echoes_belong_to_their_message() {
    let peer = UdpPeer::start(|number, datagram| {
        let mut datagram = datagram.to_vec();
        match (number + 1) % 4 {
            0 => datagram[14] ^= 1,
            1 => datagram[40] ^= 1,
            2 => datagram.truncate(30),
            _ => {}
        }
        vec![datagram]
    });
    let records = run(
        peer.addr(),
        &["-c", "20", "-i", "2ms", "--timeout", "3s"],
        1,
    );
    let summary = check_echoes(&records);
    assert_eq!(
        (count(summary, "received"), count(summary, "corrupt")),
        (5, 15)
    );
    assert_eq!((count(summary, "lost"), count(summary, "strays")), (0, 0));
    for (record, offset) in records.iter().zip([Some(40), Some(30), None, Some(14)]) {
        assert_eq!(record["offset"].as_u64(), offset, "{record}");
        assert_eq!(record["corrupt"], offset.is_some());
    }
}

#[test]
fn late_echoes_are_matched_with_their_messages() {
    let peer = Peer::start(1500, 1500, |_, _, _| {});
    let args = ["-c", "1500", "-i", "1ms", "--timeout", "300ms"];
    let tool = client().args(["-j", "-u", &peer.addr.to_string()]);
    let out = tool.args(args).timeout(TEST_TIMEOUT * 2).run();
    let records = out.code(1).json();
    let summary = check_echoes(&records);
    assert_eq!(peer.counts().echoed, 1500);
    let late = records.iter().filter(|r| r["type"] == "late");
    let late: Vec<&Value> = late.collect();
    assert!(late.iter().all(|r| r["corrupt"] == false), "{summary}");
    assert_eq!(
        (count(summary, "corrupt"), count(summary, "strays")),
        (0, 0)
    );
    assert_eq!(count(summary, "received") + count(summary, "lost"), 1500);
    assert!(late.len() as u64 <= count(summary, "lost"));
}

#[test]
fn a_lost_message_does_not_shift_equal_ones_after_it() {
    for payload in [&["ping"][..], &["--size", "2"]] {
        let peer = UdpPeer::start(|number, datagram| match number + 1 {
            2 | 4 => Vec::new(),
            _ => vec![datagram.to_vec()],
        });
        let args = ["-c", "8", "-i", "300ms", "--timeout", "3s"];
        let records = run(peer.addr(), &[payload, &args[..]].concat(), 1);
        let summary = check_echoes(&records);
        assert_eq!((count(summary, "received"), count(summary, "lost")), (6, 2));
        let seqs: Vec<u64> = records
            .iter()
            .filter(|r| r["type"] == "reply")
            .map(|r| count(r, "seq"))
            .collect();
        assert_eq!(seqs, [1, 3, 5, 6, 7, 8]);
        assert!(summary["duplicates"].is_null() && summary["strays"].is_null());
    }
}

#[test]
fn every_datagram_to_a_closed_port_is_refused() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    drop(socket);
    let records = run(addr, &["-c", "4", "-i", "20ms", "--timeout", "10s"], 1);
    let summary = check_echoes(&records);
    assert_eq!((count(summary, "sent"), count(summary, "lost")), (4, 4));
    for (record, seq) in records.iter().zip(1..=4) {
        assert_eq!(
            (&record["type"], &record["seq"]),
            (&"error".into(), &seq.into())
        );
        assert_eq!(record["kind"], "refused");
    }
}

#[test]
fn young_messages_are_in_flight_after_a_signal() {
    let (sender, came) = mpsc::channel();
    let peer = UdpPeer::start(move |number, datagram| {
        let _ = sender.send(number);
        vec![datagram.to_vec(); usize::from(number < 3)]
    });
    let addr = peer.addr().to_string();
    let args = ["-j", "-u", "-i", "20ms", &addr];
    let running = client().args(args).spawn();
    for _ in 0..100 {
        came.recv_timeout(TEST_TIMEOUT).unwrap();
    }
    running.signal(2);
    let out = running.wait();
    let records = out.code(1).json();
    let summary = check_echoes(&records);
    assert_eq!(count(summary, "received"), 3);
    // The signal may arrive two intervals later.
    let young = (2.0 * number(summary, "max_ms") / 20.0).ceil() as u64 + 2;
    assert!(
        count(summary, "lost") >= 97_u64.saturating_sub(young),
        "{summary}"
    );
    assert!(count(summary, "in_flight") <= young, "{summary}");
    // If a timeout is given, it decides.
    let (sender, came) = mpsc::channel();
    let peer = UdpPeer::start(move |number, datagram| {
        let _ = sender.send(number);
        vec![datagram.to_vec(); usize::from(number < 3)]
    });
    let addr = peer.addr().to_string();
    let args = ["-j", "-u", "-i", "50ms", "--timeout", "1h", &addr];
    let running = client().args(args).spawn();
    for _ in 0..8 {
        came.recv_timeout(TEST_TIMEOUT).unwrap();
    }
    running.signal(15);
    let records = running.wait().code(0).json();
    let summary = check_echoes(&records);
    assert_eq!((count(summary, "received"), count(summary, "lost")), (3, 0));
    assert!(count(summary, "in_flight") >= 5, "{summary}");
}

/// The peer echoes the first five datagrams and counts all of them.
#[test]
fn messages_in_flight_are_those_that_the_peer_did_not_echo() {
    let (sender, came) = mpsc::channel();
    let peer = UdpPeer::start(move |number, datagram| {
        let _ = sender.send(number);
        vec![datagram.to_vec(); usize::from(number < 5)]
    });
    let addr = peer.addr().to_string();
    let args = ["-j", "-u", "-i", "20ms", "--timeout", "1h", &addr];
    let running = client().args(args).spawn();
    for _ in 0..12 {
        came.recv_timeout(TEST_TIMEOUT).unwrap();
    }
    running.signal(2);
    let records = running.wait().code(0).json();
    let summary = check_echoes(&records);
    // The datagram that ends the peer is after all others.
    drop(peer);
    let received = 12 + came.iter().count() as u64;
    assert_eq!(count(summary, "sent"), received, "{summary}");
    assert_eq!(count(summary, "in_flight"), received - 5, "{summary}");
    assert_eq!((count(summary, "received"), count(summary, "lost")), (5, 0));
    assert_eq!(summary["loss_percent"], 0.0);
}

/// The address has the form of IPv6, but the datagrams are sent over IPv4.
#[test]
fn a_datagram_that_is_too_long_is_lost_and_ends_no_run() {
    let peer = UdpPeer::echo();
    let addr = format!("[::ffff:127.0.0.1]:{}", peer.addr().port());
    let message = "x".repeat(65_520);
    for payload in [&["--size", "65520"][..], &[&message]] {
        let args = ["-j", "-u", "-c", "2", "-i", "10ms", "--timeout", "5s"];
        let tool = client().arg(&addr).args(args).args(payload);
        let records = tool.run().code(1).json();
        let summary = check_echoes(&records);
        assert_eq!((count(summary, "sent"), count(summary, "lost")), (2, 2));
        for (record, seq) in records[..2].iter().zip(1..) {
            assert_eq!(count(record, "seq"), seq, "{record}");
            assert_eq!(record["message"], "message too long", "{record}");
        }
    }
}
