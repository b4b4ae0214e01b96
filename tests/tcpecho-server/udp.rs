//! Datagrams.

use std::net::UdpSocket;

use testkit::{netns, privilege};

use crate::kit::{SOON, Server, tool};

fn client(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.connect(server.addr).unwrap();
    socket
}

fn ask(socket: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    socket.send(datagram).unwrap();
    let mut buffer = vec![0; 65_536];
    let n = socket.recv(&mut buffer).unwrap();
    buffer.truncate(n);
    buffer
}

#[test]
fn datagrams_come_back_at_the_same_port() {
    let server = Server::start(&["--udp"]);
    let socket = client(&server);
    for datagram in [&b"x"[..], b"", &vec![7; 65_507]] {
        assert!(ask(&socket, datagram) == datagram);
    }
    // TCP is served beside it.
    let mut other = server.connect();
    other.ask(b"hello");
    drop(other);
    server
        .end()
        .code(0)
        .stderr_contains("1 connection, 0 refused, 65513 bytes in, 65513 bytes out");
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let server = Server::of(tool().args(["--udp", "-4", ":0"]));
    let port = server.addr.port();
    for host in ["127.0.0.1", "127.0.0.2", "127.3.2.1"] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        // Connected, it takes answers from that address only.
        socket.connect((host, port)).unwrap();
        assert_eq!(ask(&socket, b"hello"), b"hello");
    }
    if !privilege::has_ipv6() {
        return netns::skip("no ::1 here");
    }
    let server = Server::of(tool().args(["--udp", ":0"]));
    let port = server.addr.port();
    for (own, host) in [("[::1]:0", "::1"), ("127.0.0.1:0", "127.0.0.2")] {
        let socket = UdpSocket::bind(own).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.connect((host, port)).unwrap();
        assert_eq!(ask(&socket, b"hello"), b"hello");
    }
}

#[test]
fn never_more_out_than_in() {
    let server = Server::start(&["--udp", "--reply", "Hello, Client!"]);
    let socket = client(&server);
    assert_eq!(ask(&socket, b"abc"), b"Hel");
    assert_eq!(ask(&socket, &[0; 100]), b"Hello, Client!");
}

#[test]
fn no_loop_with_another_of_its_kind() {
    let server = Server::start(&["--udp", "-v"]);
    // A forged sender: another echo server on the same port.
    let forged = UdpSocket::bind(("127.0.0.2", server.addr.port())).unwrap();
    forged.send_to(b"ping-pong", server.addr).unwrap();
    let event = server.event();
    assert_eq!(event[0], "received");
    assert_eq!(event[2..], ["9", "\"ping-pong\""]);
    // An answer would have been sent before this one.
    assert_eq!(ask(&client(&server), b"hello"), b"hello");
    forged.set_nonblocking(true).unwrap();
    let error = forged.recv(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_burst_is_answered_whole() {
    // Held back, answers keep their order, too.
    for delay in ["0", "2ms"] {
        let server = Server::start(&["--udp", "--delay", delay]);
        let socket = client(&server);
        // Far below any socket buffer.
        for round in 0..20_u8 {
            for n in 0..40_u8 {
                socket.send(&[round, n]).unwrap();
            }
            for n in 0..40_u8 {
                let mut buffer = [0; 8];
                assert_eq!(socket.recv(&mut buffer).unwrap(), 2);
                assert_eq!(buffer[..2], [round, n]);
            }
        }
    }
}

/// More bytes in all than may be held back at one time.
#[test]
fn delayed_answers_make_room_for_others() {
    let server = Server::start(&["--udp", "--delay", "1ms"]);
    let socket = client(&server);
    for n in 0..100 {
        let datagram = vec![n; 60_000];
        assert!(ask(&socket, &datagram) == datagram);
    }
}

#[test]
fn delayed_answers_are_sent_at_the_end() {
    let server = Server::start(&["--udp", "--delay", "1h", "-v"]);
    let socket = client(&server);
    socket.send(b"hello").unwrap();
    assert_eq!(server.event()[0], "received");
    server
        .end()
        .code(0)
        .stderr_contains("5 bytes in, 5 bytes out, 1 datagram in, 1 out");
    assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 5);
}

/// While the server is stopped all datagrams queue up, so it takes them at one
/// moment, at which one byte a second allows one byte.
#[test]
fn the_rate_holds_for_datagrams() {
    let server = Server::start(&["--udp", "--rate", "1", "-v"]);
    let socket = client(&server);
    server.running.signal(19);
    for datagram in [&b"ab"[..], b"a", b"b", b"c"] {
        socket.send(datagram).unwrap();
    }
    server.running.signal(18);
    let mut buffer = [0; 8];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 1);
    assert_eq!(buffer[0], b'a');
    for _ in 0..4 {
        assert_eq!(server.event()[0], "received");
    }
    server
        .end()
        .code(0)
        .stderr_contains("5 bytes in, 1 byte out, 4 datagrams in, 1 out");
}

#[test]
fn faults_meet_datagrams_too() {
    let server = Server::start(&["--udp", "--drop", "1", "-v"]);
    let socket = client(&server);
    socket.send(b"lost").unwrap();
    assert_eq!(server.event()[0], "received");
    server
        .end()
        .code(0)
        .stderr_contains("4 bytes in, 0 bytes out");

    let server = Server::start(&["--udp", "--corrupt", "1", "--delay", "5ms"]);
    let back = ask(&client(&server), b"hello");
    assert_eq!(back.len(), 5);
    assert_eq!(back.iter().zip(b"hello").filter(|(a, b)| a != b).count(), 1);
}

#[test]
fn a_taken_udp_port_is_told() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    tool()
        .args(["--udp", &addr.to_string()])
        .run()
        .code(2)
        .stdout("")
        .stderr_contains(&format!("port {} is taken", addr.port()));
}

#[test]
fn datagrams_do_not_keep_a_counted_server_up() {
    let server = Server::start(&["--udp", "--once"]);
    assert_eq!(ask(&client(&server), b"hello"), b"hello");
    let mut one = server.connect();
    one.ask(b"the one");
    drop(one);
    let _ = server.running.wait().code(0);
}
