//! Tests of the end of a run: by count, time and signal, and its summary.

use crate::harness::{SIGCONT, SIGINT, SIGSTOP, SIGTERM, SIGUSR1, Server, TIMEOUT, pattern, tool};

#[test]
fn a_server_without_connections_ends_immediately() {
    for signal in [SIGTERM, SIGINT] {
        let server = Server::start(&["--drain", "1h"]);
        server.running.signal(signal);
        let out = server.running.wait();
        out.code(0);
        assert!(
            out.stderr_str().starts_with(
                "tcpecho-server: 0 connections, 0 refused, 0 bytes in, 0 bytes out, 0 cut off, \
                 0 events dropped, "
            ),
            "{}",
            out.report()
        );
    }
}

#[test]
fn open_connections_are_served_until_their_peers_end() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "1h", "--workers", workers]);
        let mut client = server.connect();
        client.echo(b"before");
        server.running.signal(SIGTERM);
        // The listener is closed once another client is refused.
        while std::net::TcpStream::connect(server.addr).is_ok() {
            std::thread::yield_now();
        }
        client.echo(&pattern(50_000));
        client.half_close();
        assert_eq!(client.read_to_eof(), b"");
        let out = server.running.wait();
        out.code(0).stderr_contains(" 0 cut off, ");
    }
}

#[test]
fn queued_connections_are_still_accepted() {
    let server = Server::start(&["--drain", "1h"]);
    // The stopped server cannot accept; the kernel completes the handshakes.
    server.running.signal(SIGSTOP);
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"queued");
        client.half_close();
    }
    server.running.signal(SIGTERM);
    server.running.signal(SIGCONT);
    for client in &mut clients {
        assert_eq!(client.read_to_eof(), b"queued");
    }
    server
        .running
        .wait()
        .code(0)
        .stderr_contains("50 connections");
}

#[test]
fn remaining_connections_are_cut_off_with_an_end_of_file() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "100ms", "--workers", workers]);
        let mut client = server.connect();
        client.echo(b"hello");
        server.running.signal(SIGTERM);
        assert_eq!(client.read_to_eof(), b"");
        drop(client);
        let out = server.running.wait();
        out.code(1).stderr_contains("1 cut");
        assert!(out.lines()[2].ends_with("\tdrain"), "{}", out.report());
    }
}

#[test]
fn clients_that_read_are_served_until_the_drain_expires() {
    use std::io::{Read, Write};
    let drain = std::time::Duration::from_secs(1);
    for args in [&[][..], &["--delay", "30ms"]] {
        let server = Server::start(&[&["--drain", "1s"], args].concat());
        let mut client = server.connect();
        client.echo(b"hello");
        let before = std::time::Instant::now();
        server.running.signal(SIGTERM);
        // Some bytes are always in flight, until the server ends the connection.
        let mut byte = [0];
        while client.0.write_all(b"x").is_ok() && matches!(client.0.read(&mut byte), Ok(1)) {
            // The kernel delays the acknowledgement for some of this time.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let served = before.elapsed();
        assert!(served >= drain, "{args:?}: {served:?}");
        drop(client);
        let _ = server.running.wait().code(1);
    }
}

#[test]
fn a_second_signal_ends_the_server_immediately() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "1h", "--workers", workers]);
        let mut client = server.connect();
        client.echo(b"hello");
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
        // The loop above may have made connections, too.
        assert!(
            cut.contains(&format!("{} 5 5", client.address())),
            "{cut:?}"
        );
        out.stderr_contains(&format!(" {} cut off, ", cut.len()));
    }
}

#[test]
fn a_count_ends_the_server_after_that_many_connections() {
    let server = Server::start(&["--count", "2"]);
    let mut first = server.connect();
    first.echo(b"one");
    let mut second = server.connect();
    second.echo(b"two");
    // The listener is closed; both connections are still served.
    assert!(std::net::TcpStream::connect(server.addr).is_err());
    first.echo(b"one more");
    drop(first);
    second.echo(b"two more");
    drop(second);
    server
        .running
        .wait()
        .code(0)
        .stderr_contains("2 connections");
}

#[test]
fn a_lifetime_ends_the_server() {
    let out = tool().args(["--for", "50ms", "127.0.0.1:0"]).run();
    out.code(0).stderr_contains("0 connections");
}

#[test]
fn a_signal_prints_the_summary() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.echo(b"12345");
    server.running.signal(SIGUSR1);
    let line = server.running.read_stderr_line(TIMEOUT);
    assert!(
        line.starts_with("tcpecho-server: 1 connection, 0 refused, 5 bytes in, 5 bytes out"),
        "{line}"
    );
    client.echo(b"still served");
    drop(client);
    let _ = server.terminate().code(0);
}

#[test]
fn every_received_byte_is_echoed_before_a_cut_off() {
    use std::io::{Read, Write};
    for workers in ["1", "2"] {
        // The last fifth of the drain is long enough even on a busy machine.
        let server = Server::start(&["--drain", "4s", "--workers", workers]);
        let mut client = server.connect();
        let name = client.address();
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
            let offset = received % chunk.len();
            assert!(
                buffer[..n] == stream[offset..offset + n],
                "other bytes were echoed"
            );
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
fn a_client_that_does_not_read_cannot_delay_the_end() {
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

/// Returns the number of bytes that the server has read, from its summary.
fn bytes_received(server: &Server) -> u64 {
    server.running.signal(SIGUSR1);
    let line = server.running.read_stderr_line(TIMEOUT);
    let count = line
        .split_once(" refused, ")
        .and_then(|(_, rest)| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).expect(&line)
}

/// Closing a socket with unread bytes would send a reset, and the client would
/// lose the bytes that its kernel and the server's still hold.
#[test]
fn bytes_in_flight_arrive_after_the_server_has_ended() {
    use std::io::{Read, Write};
    for workers in ["1", "2"] {
        let server = Server::start(&["--drain", "500ms", "--workers", workers]);
        let mut client = server.connect();
        client.0.set_nonblocking(true).unwrap();
        // The client writes until both directions are full and the server has
        // stopped reading.
        let chunk = pattern(64 * 1024);
        let (mut sent, mut read, mut rounds) = (0, 0, 0);
        while rounds < 10 {
            rounds += 1;
            while let Ok(n) = client.0.write(&chunk[sent % chunk.len()..]) {
                sent += n;
                rounds = 0;
            }
            let before = read;
            read = bytes_received(&server);
            if read != before {
                rounds = 0;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        server.running.signal(SIGTERM);
        let out = server.running.wait();
        out.code(1).stderr_contains("1 cut");
        let closed: Vec<String> = out.lines()[2].split('\t').map(str::to_owned).collect();
        // Only now does the client read.
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
            let offset = received % chunk.len();
            assert!(
                buffer[..n] == stream[offset..offset + n],
                "other bytes were echoed"
            );
            received += n;
        }
        assert_eq!(closed[3], received.to_string());
        assert!(received < sent);
    }
}
