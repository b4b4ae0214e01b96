//! Tests of all limits, just below and above them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::Tool;

use crate::harness::{
    BIN, Client, SIGCONT, SIGSTOP, SIGUSR1, Server, TIMEOUT, pattern, round_trip,
};

#[test]
fn clients_above_max_connections_wait() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--max-connections", "2", "--workers", workers]);
        let mut first = server.connect();
        first.echo(b"one");
        let mut second = server.connect();
        second.echo(b"two");
        let mut third = server.connect();
        third.send(b"three");
        server.running.signal(SIGUSR1);
        let line = server.running.read_stderr_line(TIMEOUT);
        assert!(
            line.starts_with("tcpecho-server: 2 connections, "),
            "{line}"
        );
        second.echo(b"still two");
        drop(first);
        third.expect(b"three");
        drop((second, third));
        server
            .terminate()
            .code(0)
            .stderr_contains("3 connections, 0 ref");
    }
}

#[test]
fn clients_above_max_per_ip_are_refused() {
    let server = Server::start(&["--max-per-ip", "2"]);
    let mut first = server.connect();
    first.echo(b"one");
    let mut second = server.connect();
    second.echo(b"two");
    let mut refused = server.connect();
    // The connection is closed immediately, by an end of file or a reset.
    assert!(matches!(refused.0.read(&mut [0; 1]), Ok(0) | Err(_)));
    for _ in 0..2 {
        assert_eq!(server.next_event()[0], "connected");
    }
    drop(first);
    assert_eq!(server.next_event()[0], "closed");
    let mut third = server.connect();
    third.echo(b"three");
    drop((second, third));
    server
        .terminate()
        .code(0)
        .stderr_contains("3 connections, 1 refused");
}

#[test]
fn exactly_max_bytes_are_echoed() {
    // The client sends less than the limit, exactly the limit, and far more.
    for (limit, sent) in [
        ("1", 1),
        ("10", 10),
        ("10", 11),
        ("64k", 4 << 20),
        ("1M", 1 << 20),
    ] {
        let server = Server::start(&["--once", "--max-bytes", limit]);
        let sent = pattern(sent);
        let mut client = server.connect();
        let echoed = match limit {
            "64k" => 64 << 10,
            "1M" => 1 << 20,
            n => n.parse().unwrap(),
        };
        assert!(round_trip(&mut client, &sent) == sent[..echoed]);
        drop(client);
        let out = server.running.wait();
        let lines = out.code(0).lines();
        let fields: Vec<&str> = lines[2].split('\t').collect();
        let echoed = echoed.to_string();
        assert_eq!((fields[2], fields[3]), (&echoed[..], &echoed[..]));
        assert_eq!(fields[5], "max-bytes");
    }
}

#[test]
fn the_last_byte_is_followed_by_an_end_of_file() {
    let server = Server::start(&["--max-bytes", "3"]);
    let mut client = server.connect();
    client.echo(b"ab");
    client.send(b"cdef");
    // The client does not need to end its side.
    assert_eq!(client.read_to_eof(), b"c");
    // It may even continue to send: the bytes are discarded, without a reset.
    for _ in 0..100 {
        client.send(&pattern(10_000));
    }
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");
    let mut other = server.connect();
    other.echo(b"x");
    drop((client, other));
    let _ = server.terminate().code(0);
}

#[test]
fn idle_connections_are_closed() {
    let server = Server::start(&["--idle-timeout", "100ms"]);
    // The server is stopped until the connection and its bytes have arrived, so
    // a slow client cannot be too late.
    server.running.signal(SIGSTOP);
    let mut client = server.connect();
    client.send(b"hello");
    server.running.signal(SIGCONT);
    client.expect(b"hello");
    assert_eq!(client.read_to_eof(), b"");
    assert_eq!(server.next_event()[0], "connected");
    let closed = server.next_event();
    assert_eq!((&closed[2][..], &closed[5][..]), ("5", "idle"));

    // A client that does not read is idle, too.
    let client = server.connect();
    client.0.set_nonblocking(true).unwrap();
    while (&client.0).write(&pattern(65_536)).is_ok() {}
    assert_eq!(server.next_event()[0], "connected");
    assert_eq!(server.next_event()[5], "idle");
}

#[test]
fn an_idle_timeout_of_zero_is_no_timeout() {
    let server = Server::start(&["--idle-timeout", "0", "--once"]);
    let mut client = server.connect();
    assert_eq!(server.next_event()[0], "connected");
    client.echo(b"hello");
    client.half_close();
    assert_eq!(client.read_to_eof(), b"");
    assert_eq!(server.next_event()[5], "eof");
}

#[test]
fn a_rate_slows_down_and_loses_no_byte() {
    let server = Server::start(&["--rate", "1M"]);
    let sent = pattern(300_000);
    let mut client = server.connect();
    assert!(round_trip(&mut client, &sent) == sent);
    // The bytes of a tenth of a second may be read immediately, the others not.
    let ms: f64 = {
        let _ = server.next_event();
        server.next_event()[4].parse().unwrap()
    };
    assert!(ms >= 180.0, "{ms} ms for 300 kB at 1 MiB/s");

    let server = Server::start(&["--rate", "1"]);
    let mut client = server.connect();
    client.echo(b"x");
}

/// Returns the processor time of all threads of a process.
fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds = tasks.map(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        stat.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[test]
fn a_shortage_of_descriptors_pauses_accepting() {
    let script = format!("ulimit -n 64; exec {BIN} --max-connections 1000 127.0.0.1:0");
    let server = Server::spawn(Tool::new("bash").args(["-c", &script]));
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    let line = server.running.read_stderr_line(TIMEOUT);
    assert_eq!(
        line,
        "tcpecho-server: cannot accept connections for now: too many open files; \
         new clients wait, open connections are still served"
    );
    // Open connections are served.
    for _ in 0..20 {
        clients[0].echo(b"served");
    }
    // The server does not spin because of the listener, which stays ready.
    let before = cpu_time(server.running.pid());
    let window = Duration::from_millis(300);
    std::thread::sleep(window);
    let spent = cpu_time(server.running.pid()).saturating_sub(before);
    assert!(spent < window / 2, "{spent:?} of {window:?}");
    // The others are accepted when connections close, and none is lost.
    for client in &mut clients {
        client.send(b"hello");
    }
    for mut client in clients {
        client.expect(b"hello");
    }
    let mut late = server.connect();
    late.echo(b"recovered");
    drop(late);
    let out = server.terminate();
    out.code(0);
    let reports = out.stderr_str().matches("cannot accept").count();
    assert_eq!(reports, 1, "{}", out.report());
    out.stderr_contains("101 connections");
}

#[test]
fn each_shortage_of_descriptors_is_reported() {
    let script = format!("ulimit -n 64; exec {BIN} --max-connections 1000 127.0.0.1:0");
    let server = Server::spawn(Tool::new("bash").args(["-c", &script]));
    for _ in 0..2 {
        let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
        let line = server.running.read_stderr_line(TIMEOUT);
        assert!(line.contains("cannot accept"), "{line}");
        for client in &mut clients {
            client.send(b"hello");
        }
        // The last clients are accepted when the first ones leave. Then the
        // backlog is empty and the shortage has ended.
        for mut client in clients {
            client.expect(b"hello");
        }
        server.connect().echo(b"recovered");
    }
}

/// The soft limit is too low for the connections, the hard limit is not.
#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let script = format!("ulimit -Sn 64; ulimit -Hn 512; exec {BIN} 127.0.0.1:0");
    let server = Server::spawn(Tool::new("bash").args(["-c", &script]));
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.echo(b"hello");
    }
    drop(clients);
    server
        .terminate()
        .code(0)
        .stderr_contains("100 connections");
}

#[test]
fn the_default_limit_prevents_a_shortage() {
    let script = format!("ulimit -n 64; exec {BIN} 127.0.0.1:0");
    let server = Server::spawn(Tool::new("bash").args(["-c", &script]));
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"hello");
    }
    for mut client in clients {
        client.expect(b"hello");
    }
    let out = server.terminate();
    out.code(0).stderr_contains("100 connections");
    assert!(
        !out.stderr_str().contains("cannot accept"),
        "{}",
        out.report()
    );
}

/// While the server is stopped, the kernel completes as many handshakes as fit
/// into the backlog.
#[cfg(target_os = "linux")]
#[test]
fn the_backlog_bounds_waiting_clients() {
    let waiting = |backlog: &str| {
        let server = Server::start(&["--backlog", backlog]);
        server.running.signal(SIGSTOP);
        let timeout = Duration::from_millis(300);
        let clients: Vec<TcpStream> = (0..10)
            .map_while(|_| TcpStream::connect_timeout(&server.addr, timeout).ok())
            .collect();
        let count = clients.len();
        server.running.signal(SIGCONT);
        for stream in clients {
            let mut client = Client(stream);
            client.0.set_read_timeout(Some(TIMEOUT)).unwrap();
            client.echo(b"hello");
        }
        let _ = server.terminate().code(0);
        count
    };
    // Linux lets one more connection wait than the backlog says.
    assert_eq!(waiting("1"), 2);
    assert_eq!(waiting("5"), 6);
    assert_eq!(waiting("4096"), 10);
}
