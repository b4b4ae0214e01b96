//! What goes in comes out: sizes, half-close, peers that do not read, and
//! fixed answers.

use std::io::{Read, Write};

use crate::kit::{Client, SOON, Server, pattern, round_trip};

#[test]
fn bytes_come_back() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask(b"x");
    client.ask(b"Hello, Server!\r\n\0\xff");
    client.0.write_all(b"").unwrap();
    client.ask(&pattern(100_000)[..60_000]);
    client.half_close();
    assert_eq!(client.rest(), b"");
    let _ = server.end().code(0);
}

#[test]
fn half_close_gives_everything_back() {
    for workers in ["1", "3"] {
        let server = Server::start(&["--workers", workers]);
        let sent = pattern(4 << 20);
        let mut client = server.connect();
        assert!(round_trip(&mut client, &sent) == sent);
        // All sent and half-closed before the first byte is read.
        let sent = pattern(100_000);
        let mut client = server.connect();
        client.send(&sent);
        client.half_close();
        assert!(client.rest() == sent);
        let _ = server.end().code(0);
    }
}

#[test]
fn an_end_of_file_at_once() {
    let server = Server::start(&["--once"]);
    let mut client = server.connect();
    client.half_close();
    assert_eq!(client.rest(), b"");
    let out = server.running.wait();
    out.code(0);
    let lines = out.lines();
    let fields: Vec<&str> = lines[2].split('\t').collect();
    assert_eq!(fields[..2], ["closed", &client.name()]);
    assert_eq!((fields[2], fields[3], fields[5]), ("0", "0", "eof"));
}

/// A client that sends until nothing more is taken, and reads nothing.
fn never_reader(server: &Server) -> Client {
    let client = server.connect();
    client.0.set_nonblocking(true).unwrap();
    let chunk = pattern(64 * 1024);
    let mut refusals = 0;
    while refusals < 20 {
        if let Ok(1..) = (&client.0).write(&chunk) {
            refusals = 0;
        } else {
            // Until the server's side has taken what it takes.
            refusals += 1;
            std::thread::yield_now();
        }
    }
    client
}

#[test]
fn those_who_do_not_read_hold_up_nobody() {
    let server = Server::start(&["--workers", "1"]);
    let stuck: Vec<Client> = (0..8).map(|_| never_reader(&server)).collect();
    let mut client = server.connect();
    for _ in 0..100 {
        client.ask(b"still there?");
    }
    // They get what they are owed once they read.
    for mut client in stuck {
        client.0.set_nonblocking(false).unwrap();
        client.0.set_read_timeout(Some(SOON)).unwrap();
        let mut first = vec![0; 1 << 16];
        client.0.read_exact(&mut first).unwrap();
        assert!(first == pattern(64 * 1024));
    }
    let _ = client;
}

#[test]
fn a_reset_in_the_middle_is_that_clients_affair() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    other.ask(b"before");
    let _ = server.event();
    let mut client = server.connect();
    client.ask(b"hello");
    let name = client.name();
    assert_eq!(server.event(), ["connected", &name]);
    client.reset();
    let closed = server.event();
    assert_eq!((&closed[1], &closed[5]), (&name, &"reset".to_owned()));
    other.ask(b"after");
    drop(other);
    let _ = server.end().code(0);
}

#[test]
fn fixed_answers() {
    let server = Server::start(&["--reply", "Hello, Client!"]);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(b"anything");
        client.expect(b"Hello, Client!");
    }
    client.half_close();
    assert_eq!(client.rest(), b"");

    let server = Server::start(&["--greeting", "220 ready\n", "--reply=-\n"]);
    let mut client = server.connect();
    client.expect(b"220 ready\n");
    client.send(b"x");
    client.expect(b"-\n");

    let server = Server::start(&["--greeting", "hi "]);
    let mut client = server.connect();
    client.send(b"there");
    client.half_close();
    assert_eq!(client.rest(), b"hi there");

    // An empty answer discards (RFC 863).
    let server = Server::start(&["--reply", ""]);
    let mut client = server.connect();
    assert_eq!(round_trip(&mut client, &pattern(1 << 20)), b"");
}

#[test]
fn many_at_once() {
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
        let _ = server.end().code(0);
    }
}
