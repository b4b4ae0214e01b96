//! How a run ends: by count, by time, by signal, and what it says then.

use crate::kit::{SOON, Server, pattern, tool};

const SIGINT: i32 = 2;
const SIGUSR1: i32 = 10;
const SIGTERM: i32 = 15;

#[test]
fn idle_it_ends_at_once() {
    for signal in [SIGTERM, SIGINT] {
        let server = Server::start(&["--drain", "1h"]);
        server.running.signal(signal);
        let out = server.running.wait();
        out.code(0);
        assert!(
            out.stderr_str().starts_with(
                "tcpecho-server: 0 connections, 0 refused, 0 bytes in, 0 bytes out, 0 cut, \
                 0 events dropped, "
            ),
            "{}",
            out.story()
        );
    }
}

#[test]
fn open_connections_are_served_to_their_end() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "1h", "--workers", workers]);
        let mut client = server.connect();
        client.ask(b"before");
        server.running.signal(SIGTERM);
        // The listener is closed when a further client is refused.
        while std::net::TcpStream::connect(server.addr).is_ok() {
            std::thread::yield_now();
        }
        client.ask(&pattern(50_000));
        client.half_close();
        assert_eq!(client.rest(), b"");
        let out = server.running.wait();
        out.code(0).stderr_contains(" 0 cut, ");
    }
}

#[test]
fn what_is_queued_is_still_accepted() {
    let server = Server::start(&["--drain", "1h"]);
    // Stopped, it cannot accept; the kernel completes the handshakes.
    server.running.signal(19);
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"queued");
        client.half_close();
    }
    server.running.signal(SIGTERM);
    server.running.signal(18);
    for client in &mut clients {
        assert_eq!(client.rest(), b"queued");
    }
    server
        .running
        .wait()
        .code(0)
        .stderr_contains("50 connections");
}

#[test]
fn those_that_stay_are_cut_off_with_an_end_of_file() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "100ms", "--workers", workers]);
        let mut client = server.connect();
        client.ask(b"hello");
        server.running.signal(SIGTERM);
        assert_eq!(client.rest(), b"");
        drop(client);
        let out = server.running.wait();
        out.code(1).stderr_contains("1 cut");
        assert!(out.lines()[2].ends_with("\tdrain"), "{}", out.story());
    }
}

#[test]
fn those_that_keep_up_are_served_to_the_end_of_the_drain() {
    use std::io::{Read, Write};
    let drain = std::time::Duration::from_secs(1);
    for args in [&[][..], &["--delay", "30ms"]] {
        let server = Server::start(&[&["--drain", "1s"], args].concat());
        let mut client = server.connect();
        client.ask(b"hello");
        let before = std::time::Instant::now();
        server.running.signal(SIGTERM);
        // Always with something on its way, until the server ends it.
        let mut byte = [0];
        while client.0.write_all(b"x").is_ok() && matches!(client.0.read(&mut byte), Ok(1)) {
            // Meanwhile the acknowledgement is put off.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let served = before.elapsed();
        assert!(served >= drain, "{args:?}: {served:?}");
        drop(client);
        let _ = server.running.wait().code(1);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "1h", "--workers", workers]);
        let mut client = server.connect();
        client.ask(b"hello");
        server.running.signal(SIGTERM);
        while std::net::TcpStream::connect(server.addr).is_ok() {
            std::thread::yield_now();
        }
        server.running.signal(SIGTERM);
        let out = server.running.wait();
        let lines = out.code(1).lines();
        let mut cut = Vec::new();
        for line in lines {
            let fields: Vec<&str> = line.split('\t').collect();
            if fields[0] == "closed" && fields[5] == "drain" {
                cut.push(fields[1..4].join(" "));
            }
        }
        // The last of those above that were let in may not have been served.
        assert!(cut.contains(&format!("{} 5 5", client.name())), "{cut:?}");
        out.stderr_contains(&format!(" {} cut, ", cut.len()));
    }
}

#[test]
fn after_so_many_connections() {
    let server = Server::start(&["--count", "2"]);
    let mut first = server.connect();
    first.ask(b"one");
    let mut second = server.connect();
    second.ask(b"two");
    // The listener is closed; the two go on.
    assert!(std::net::TcpStream::connect(server.addr).is_err());
    first.ask(b"one more");
    drop(first);
    second.ask(b"two more");
    drop(second);
    server
        .running
        .wait()
        .code(0)
        .stderr_contains("2 connections");
}

#[test]
fn after_so_long() {
    let out = tool().args(["--for", "50ms", "127.0.0.1:0"]).run();
    out.code(0).stderr_contains("0 connections");
}

#[test]
fn a_summary_on_request() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask(b"12345");
    server.running.signal(SIGUSR1);
    let line = server.running.read_stderr_line(SOON);
    assert!(
        line.starts_with("tcpecho-server: 1 connection, 0 refused, 5 bytes in, 5 bytes out"),
        "{line}"
    );
    client.ask(b"and on it goes");
    drop(client);
    let _ = server.end().code(0);
}

#[test]
fn under_load_every_byte_taken_is_given_back() {
    use std::io::{Read, Write};
    for workers in ["1", "2"] {
        // The last fifth is for what is on its way: enough for a busy machine.
        let server = Server::start(&["--drain", "4s", "--workers", workers]);
        let mut client = server.connect();
        let name = client.name();
        let stream = client.0.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let chunk = pattern(64 * 1024);
            // Until the server ends the connection.
            while (&stream).write_all(&chunk).is_ok() {}
        });
        let mut first = vec![0; 64 * 1024];
        client.0.read_exact(&mut first).unwrap();
        server.running.signal(SIGTERM);
        let mut received = first.len();
        let chunk = pattern(64 * 1024);
        let stream = [&chunk[..], &chunk[..]].concat();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = client.0.read(&mut buffer).unwrap();
            if n == 0 {
                break;
            }
            let at = received % chunk.len();
            assert!(buffer[..n] == stream[at..at + n], "other bytes came back");
            received += n;
        }
        drop(client);
        let out = server.running.wait();
        out.code(1);
        let lines = out.lines();
        let closed: Vec<&str> = lines[2].split('\t').collect();
        let expected = received.to_string();
        assert_eq!(closed[1..4], [&name, &expected, &expected]);
        assert_eq!(closed[5], "drain");
        sender.join().unwrap();
    }
}

#[test]
fn the_drain_bounds_a_peer_that_does_not_read() {
    use std::io::Write;
    let server = Server::start(&["--drain", "50ms"]);
    let client = server.connect();
    client.0.set_nonblocking(true).unwrap();
    let chunk = pattern(64 * 1024);
    while (&client.0).write(&chunk).is_ok() {}
    server.running.signal(SIGTERM);
    let out = server.running.wait();
    out.code(1).stderr_contains("1 cut");
}

/// The bytes that the server has taken so far, as its summary says.
fn bytes_in(server: &Server) -> u64 {
    server.running.signal(SIGUSR1);
    let line = server.running.read_stderr_line(SOON);
    let count = line
        .split_once(" refused, ")
        .and_then(|(_, rest)| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).expect(&line)
}

/// Closed with the client's bytes unread it would send a reset, and nothing of
/// what the system still holds for the client would arrive.
#[test]
fn what_is_on_its_way_outlives_the_server() {
    use std::io::{Read, Write};
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "500ms", "--workers", workers]);
        let mut client = server.connect();
        client.0.set_nonblocking(true).unwrap();
        // Until nothing moves any more: both ways are full, and the server
        // has stopped reading.
        let chunk = pattern(64 * 1024);
        let (mut sent, mut taken, mut rounds) = (0, 0, 0);
        while rounds < 10 {
            rounds += 1;
            while let Ok(n) = client.0.write(&chunk[sent % chunk.len()..]) {
                sent += n;
                rounds = 0;
            }
            let before = taken;
            taken = bytes_in(&server);
            if taken != before {
                rounds = 0;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        server.running.signal(SIGTERM);
        let out = server.running.wait();
        out.code(1).stderr_contains("1 cut");
        let closed: Vec<String> = out.lines()[2].split('\t').map(str::to_owned).collect();
        // Only now it reads.
        client.0.set_nonblocking(false).unwrap();
        let (mut received, mut buffer) = (0, vec![0; 64 * 1024]);
        let stream = [&chunk[..], &chunk[..]].concat();
        loop {
            let n = client
                .0
                .read(&mut buffer)
                .expect("an end of file, not a reset");
            if n == 0 {
                break;
            }
            let at = received % chunk.len();
            assert!(buffer[..n] == stream[at..at + n], "other bytes came back");
            received += n;
        }
        assert_eq!(closed[3], received.to_string());
        assert!(received < sent);
    }
}
