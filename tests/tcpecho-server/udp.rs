//! Tests of the UDP service.

use std::net::UdpSocket;

use testkit::{netns, privilege};

use crate::harness::{SIGCONT, SIGSTOP, Server, TIMEOUT, tool};

fn connect(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket.connect(server.addr).unwrap();
    socket
}

fn exchange(socket: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    socket.send(datagram).unwrap();
    let mut buffer = vec![0; 65_536];
    let n = socket.recv(&mut buffer).unwrap();
    buffer.truncate(n);
    buffer
}

#[test]
fn datagrams_are_echoed_on_the_same_port() {
    let server = Server::start(&["--udp"]);
    let socket = connect(&server);
    for datagram in [&b"x"[..], b"", &vec![7; 65_507]] {
        assert!(exchange(&socket, datagram) == datagram);
    }
    // TCP is also served.
    let mut other = server.connect();
    other.echo(b"hello");
    drop(other);
    server
        .terminate()
        .code(0)
        .stderr_contains("1 connection, 0 refused, 65513 bytes in, 65513 bytes out");
}

#[test]
fn the_reply_comes_from_the_address_the_datagram_was_sent_to() {
    let server = Server::spawn(tool().args(["--udp", "-4", ":0"]));
    let port = server.addr.port();
    for host in ["127.0.0.1", "127.0.0.2", "127.3.2.1"] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        // A connected socket receives only from that address.
        socket.connect((host, port)).unwrap();
        assert_eq!(exchange(&socket, b"hello"), b"hello");
    }
    if !privilege::has_ipv6() {
        return netns::skip("no ::1 here");
    }
    let server = Server::spawn(tool().args(["--udp", ":0"]));
    let port = server.addr.port();
    for (own, host) in [("[::1]:0", "::1"), ("127.0.0.1:0", "127.0.0.2")] {
        let socket = UdpSocket::bind(own).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket.connect((host, port)).unwrap();
        assert_eq!(exchange(&socket, b"hello"), b"hello");
    }
}

#[test]
fn a_reply_is_never_longer_than_the_datagram() {
    let server = Server::start(&["--udp", "--reply", "Hello, Client!"]);
    let socket = connect(&server);
    assert_eq!(exchange(&socket, b"abc"), b"Hel");
    assert_eq!(exchange(&socket, &[0; 100]), b"Hello, Client!");
}

#[test]
fn another_server_on_the_same_port_gets_no_reply() {
    let server = Server::start(&["--udp", "-v"]);
    // The source looks like another echo server on the same port.
    let forged = UdpSocket::bind(("127.0.0.2", server.addr.port())).unwrap();
    forged.send_to(b"ping-pong", server.addr).unwrap();
    let event = server.next_event();
    assert_eq!(event[0], "received");
    assert_eq!(event[2..], ["9", "\"ping-pong\""]);
    // Its reply would have been sent before this one.
    assert_eq!(exchange(&connect(&server), b"hello"), b"hello");
    forged.set_nonblocking(true).unwrap();
    let error = forged.recv(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn every_datagram_of_a_burst_is_echoed_in_order() {
    // Delayed replies keep their order, too.
    for delay in ["0", "2ms"] {
        let server = Server::start(&["--udp", "--delay", delay]);
        let socket = connect(&server);
        // Far fewer bytes than a socket buffer holds.
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

/// The replies have more bytes in total than may be delayed at the same time.
#[test]
fn sent_replies_make_room_for_other_delayed_replies() {
    let server = Server::start(&["--udp", "--delay", "1ms"]);
    let socket = connect(&server);
    for n in 0..100 {
        let datagram = vec![n; 60_000];
        assert!(exchange(&socket, &datagram) == datagram);
    }
}

#[test]
fn delayed_replies_are_sent_when_the_server_ends() {
    let server = Server::start(&["--udp", "--delay", "1h", "-v"]);
    let socket = connect(&server);
    socket.send(b"hello").unwrap();
    assert_eq!(server.next_event()[0], "received");
    server
        .terminate()
        .code(0)
        .stderr_contains("5 bytes in, 5 bytes out, 1 datagram in, 1 out");
    assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 5);
}

/// The datagrams are queued while the server is stopped, so it receives them at
/// the same time, when a rate of one byte per second allows one byte.
#[test]
fn the_rate_applies_to_datagrams() {
    let server = Server::start(&["--udp", "--rate", "1", "-v"]);
    let socket = connect(&server);
    server.running.signal(SIGSTOP);
    for datagram in [&b"ab"[..], b"a", b"b", b"c"] {
        socket.send(datagram).unwrap();
    }
    server.running.signal(SIGCONT);
    let mut buffer = [0; 8];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 1);
    assert_eq!(buffer[0], b'a');
    for _ in 0..4 {
        assert_eq!(server.next_event()[0], "received");
    }
    server
        .terminate()
        .code(0)
        .stderr_contains("5 bytes in, 1 byte out, 4 datagrams in, 1 out");
}

#[test]
fn faults_apply_to_datagrams() {
    let server = Server::start(&["--udp", "--drop", "1", "-v"]);
    let socket = connect(&server);
    socket.send(b"lost").unwrap();
    assert_eq!(server.next_event()[0], "received");
    server
        .terminate()
        .code(0)
        .stderr_contains("4 bytes in, 0 bytes out");

    let server = Server::start(&["--udp", "--corrupt", "1", "--delay", "5ms"]);
    let reply = exchange(&connect(&server), b"hello");
    assert_eq!(reply.len(), 5);
    assert_eq!(
        reply.iter().zip(b"hello").filter(|(a, b)| a != b).count(),
        1
    );
}

#[test]
fn a_udp_port_in_use_is_an_error() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    tool()
        .args(["--udp", &addr.to_string()])
        .run()
        .code(2)
        .stdout("")
        .stderr_contains(&format!("{addr}: address already in use; use another port"));
}

#[test]
fn datagrams_do_not_keep_a_server_with_count_running() {
    let server = Server::start(&["--udp", "--once"]);
    assert_eq!(exchange(&connect(&server), b"hello"), b"hello");
    let mut client = server.connect();
    client.echo(b"the only client");
    drop(client);
    let _ = server.running.wait().code(0);
}
