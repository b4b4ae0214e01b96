//! Tests of the echo: all sizes, half-close, peers that do not read, and fixed
//! replies.

use std::io::{Read, Write};

use crate::harness::{Client, Server, TIMEOUT, pattern, round_trip};

#[test]
fn bytes_are_echoed() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.echo(b"x");
    client.echo(b"Hello, Server!\r\n\0\xff");
    client.0.write_all(b"").unwrap();
    client.echo(&pattern(100_000)[..60_000]);
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");
    let _ = server.terminate().code(0);
}

#[test]
fn after_a_half_close_every_byte_is_echoed() {
    for workers in ["1", "3"] {
        let server = Server::start(&["--workers", workers]);
        let sent = pattern(4 << 20);
        let mut client = server.connect();
        assert!(round_trip(&mut client, &sent) == sent);
        // The client sends everything and half-closes before it reads.
        let sent = pattern(100_000);
        let mut client = server.connect();
        client.send(&sent);
        client.half_close();
        assert!(client.read_to_eof() == sent);
        let _ = server.terminate().code(0);
    }
}

#[test]
fn an_immediate_end_of_file_is_answered() {
    let server = Server::start(&["--once"]);
    let mut client = server.connect();
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");
    let out = server.running.wait();
    out.code(0);
    let lines = out.lines();
    let fields: Vec<&str> = lines[2].split('\t').collect();
    assert_eq!(fields[..2], ["closed", &client.address()]);
    assert_eq!((fields[2], fields[3], fields[5]), ("0", "0", "eof"));
}

/// Returns a client that has sent until the server accepts nothing more, and has
/// read nothing.
fn connect_without_reading(server: &Server) -> Client {
    let client = server.connect();
    client.0.set_nonblocking(true).unwrap();
    let chunk = pattern(64 * 1024);
    let mut refusals = 0;
    while refusals < 20 {
        if let Ok(1..) = (&client.0).write(&chunk) {
            refusals = 0;
        } else {
            // The server may be about to read more.
            refusals += 1;
            std::thread::yield_now();
        }
    }
    client
}

#[test]
fn clients_that_do_not_read_do_not_delay_others() {
    let server = Server::start(&["--workers", "1"]);
    let stuck: Vec<Client> = (0..8).map(|_| connect_without_reading(&server)).collect();
    let mut client = server.connect();
    for _ in 0..100 {
        client.echo(b"not delayed");
    }
    // They get their bytes once they read.
    for mut client in stuck {
        client.0.set_nonblocking(false).unwrap();
        client.0.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut first = vec![0; 1 << 16];
        client.0.read_exact(&mut first).unwrap();
        assert!(first == pattern(64 * 1024));
    }
    let _ = client;
}

#[test]
fn a_reset_affects_only_its_connection() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    other.echo(b"before");
    let _ = server.next_event();
    let mut client = server.connect();
    client.echo(b"hello");
    let name = client.address();
    assert_eq!(server.next_event(), ["connected", &name]);
    client.reset();
    let closed = server.next_event();
    assert_eq!((&closed[1], &closed[5]), (&name, &"reset".to_owned()));
    other.echo(b"after");
    drop(other);
    let _ = server.terminate().code(0);
}

/// The buffer is full of delayed replies, so the server waits for neither input
/// nor output.
#[test]
fn a_reset_is_noticed_while_nothing_is_read_or_sent() {
    let server = Server::start(&["-v", "--delay", "1h"]);
    let mut client = server.connect();
    assert_eq!(server.next_event()[0], "connected");
    client.send(&pattern(64 * 1024));
    let mut received = 0;
    while received < 64 * 1024 {
        let event = server.next_event();
        assert_eq!(event[0], "received");
        received += event[2].parse::<usize>().unwrap();
    }
    client.reset();
    let closed = server.next_event();
    assert_eq!((&closed[0][..], &closed[5][..]), ("closed", "reset"));
}

#[test]
fn replies_and_greetings_are_sent_as_given() {
    let server = Server::start(&["--reply", "Hello, Client!"]);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(b"anything");
        client.expect(b"Hello, Client!");
    }
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");

    let server = Server::start(&["--greeting", "220 ready\n", "--reply=-\n"]);
    let mut client = server.connect();
    client.expect(b"220 ready\n");
    client.send(b"x");
    client.expect(b"-\n");

    let server = Server::start(&["--greeting", "hi "]);
    let mut client = server.connect();
    client.send(b"there");
    client.half_close();
    assert_eq!(client.read_to_eof(), b"hi there");

    // With an empty reply, this is a discard server (RFC 863).
    let server = Server::start(&["--reply", ""]);
    let mut client = server.connect();
    assert_eq!(round_trip(&mut client, &pattern(1 << 20)), b"");
}

#[test]
fn many_connections_are_served_in_parallel() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--workers", workers]);
        let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
        for round in 0..3_u8 {
            for client in &mut clients {
                client.send(&[round; 64]);
            }
            for client in &mut clients {
                client.expect(&[round; 64]);
            }
        }
        drop(clients);
        let _ = server.terminate().code(0);
    }
}
