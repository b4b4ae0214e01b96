//! Every limit at its edge.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::Tool;

use crate::kit::{Client, SOON, Server, pattern, round_trip};

#[test]
fn so_many_connections_and_the_others_wait() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--max-connections", "2", "--workers", workers]);
        let mut first = server.connect();
        first.ask(b"one");
        let mut second = server.connect();
        second.ask(b"two");
        let mut third = server.connect();
        third.send(b"three");
        server.running.signal(10);
        let line = server.running.read_stderr_line(SOON);
        assert!(
            line.starts_with("tcpecho-server: 2 connections, "),
            "{line}"
        );
        second.ask(b"still two");
        drop(first);
        third.expect(b"three");
        drop((second, third));
        server.end().code(0).stderr_contains("3 connections, 0 ref");
    }
}

#[test]
fn so_many_from_one_address() {
    let server = Server::start(&["--max-per-ip", "2"]);
    let mut first = server.connect();
    first.ask(b"one");
    let mut second = server.connect();
    second.ask(b"two");
    let mut refused = server.connect();
    // Closed at once; what was not read in time makes it a reset.
    assert!(matches!(refused.0.read(&mut [0; 1]), Ok(0) | Err(_)));
    for _ in 0..2 {
        assert_eq!(server.event()[0], "connected");
    }
    drop(first);
    assert_eq!(server.event()[0], "closed");
    let mut third = server.connect();
    third.ask(b"three");
    drop((second, third));
    server
        .end()
        .code(0)
        .stderr_contains("3 connections, 1 refused");
}

#[test]
fn exactly_so_many_bytes() {
    // All at once, one by one, and far more than is taken.
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
        let taken = match limit {
            "64k" => 64 << 10,
            "1M" => 1 << 20,
            n => n.parse().unwrap(),
        };
        assert!(round_trip(&mut client, &sent) == sent[..taken]);
        drop(client);
        let out = server.running.wait();
        let lines = out.code(0).lines();
        let fields: Vec<&str> = lines[2].split('\t').collect();
        let taken = taken.to_string();
        assert_eq!((fields[2], fields[3]), (&taken[..], &taken[..]));
        assert_eq!(fields[5], "max-bytes");
    }
}

#[test]
fn the_last_byte_is_followed_by_an_end_of_file() {
    let server = Server::start(&["--max-bytes", "3"]);
    let mut client = server.connect();
    client.ask(b"ab");
    client.send(b"cdef");
    // The client has not ended its side, and need not.
    assert_eq!(client.rest(), b"c");
    // It may even go on: nothing is answered, nothing is reset.
    for _ in 0..100 {
        client.send(&pattern(10_000));
    }
    client.half_close();
    assert_eq!(client.rest(), b"");
    let mut other = server.connect();
    other.ask(b"x");
    drop((client, other));
    let _ = server.end().code(0);
}

#[test]
fn silence_is_closed() {
    let server = Server::start(&["--idle-timeout", "100ms"]);
    // Stopped, the server finds the connection and its bytes together, so no
    // slow client can be too late.
    server.running.signal(19);
    let mut client = server.connect();
    client.send(b"hello");
    server.running.signal(18);
    client.expect(b"hello");
    assert_eq!(client.rest(), b"");
    assert_eq!(server.event()[0], "connected");
    let closed = server.event();
    assert_eq!((&closed[2][..], &closed[5][..]), ("5", "idle"));

    // One who takes nothing is silent, too.
    let client = server.connect();
    client.0.set_nonblocking(true).unwrap();
    while (&client.0).write(&pattern(65_536)).is_ok() {}
    assert_eq!(server.event()[0], "connected");
    assert_eq!(server.event()[5], "idle");
}

#[test]
fn an_idle_timeout_of_zero_disables_it() {
    let server = Server::start(&["--idle-timeout", "0", "--once"]);
    let mut client = server.connect();
    assert_eq!(server.event()[0], "connected");
    client.ask(b"hello");
    client.half_close();
    assert_eq!(client.rest(), b"");
    assert_eq!(server.event()[5], "eof");
}

#[test]
fn a_rate_holds_back_and_loses_nothing() {
    let server = Server::start(&["--rate", "1M"]);
    let sent = pattern(300_000);
    let mut client = server.connect();
    assert!(round_trip(&mut client, &sent) == sent);
    // A tenth of a second's worth may come at once, the rest may not.
    let ms: f64 = {
        let _ = server.event();
        server.event()[4].parse().unwrap()
    };
    assert!(ms >= 180.0, "{ms} ms for 300 kB at 1 MiB/s");

    let server = Server::start(&["--rate", "1"]);
    let mut client = server.connect();
    client.ask(b"x");
}

/// What all threads of a process have had of the processors.
fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds = tasks.map(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        stat.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[test]
fn out_of_descriptors() {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    let script = format!("ulimit -n 64; exec {bin} --max-connections 1000 127.0.0.1:0");
    let server = Server::of(Tool::new("bash").args(["-c", &script]));
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    let line = server.running.read_stderr_line(SOON);
    assert_eq!(
        line,
        "tcpecho-server: accepting pauses: too many open files; \
         connections go on, further clients wait"
    );
    // Those who are in are served.
    for _ in 0..20 {
        clients[0].ask(b"go on");
    }
    // Waiting costs nothing: it does not spin at a listener that stays ready.
    let before = cpu_time(server.running.pid());
    let window = Duration::from_millis(300);
    std::thread::sleep(window);
    let spent = cpu_time(server.running.pid()).saturating_sub(before);
    assert!(spent < window / 2, "{spent:?} of {window:?}");
    // The others come in as places become free, and nobody is lost.
    for client in &mut clients {
        client.send(b"hello");
    }
    for mut client in clients {
        client.expect(b"hello");
    }
    let mut late = server.connect();
    late.ask(b"recovered");
    drop(late);
    let out = server.end();
    out.code(0);
    let pauses = out.stderr_str().matches("accepting pauses").count();
    assert_eq!(pauses, 1, "{}", out.story());
    out.stderr_contains("101 connections");
}

#[test]
fn each_episode_without_descriptors_is_reported() {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    let script = format!("ulimit -n 64; exec {bin} --max-connections 1000 127.0.0.1:0");
    let server = Server::of(Tool::new("bash").args(["-c", &script]));
    for _ in 0..2 {
        let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
        let line = server.running.read_stderr_line(SOON);
        assert!(line.contains("accepting pauses"), "{line}");
        for client in &mut clients {
            client.send(b"hello");
        }
        // The last of them is accepted once the first ones have left, and the
        // backlog is empty then.
        for mut client in clients {
            client.expect(b"hello");
        }
        server.connect().ask(b"recovered");
    }
}

/// The hard limit allows what the soft limit does not.
#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    let script = format!("ulimit -Sn 64; ulimit -Hn 512; exec {bin} 127.0.0.1:0");
    let server = Server::of(Tool::new("bash").args(["-c", &script]));
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask(b"hello");
    }
    drop(clients);
    server.end().code(0).stderr_contains("100 connections");
}

#[test]
fn the_default_limit_leaves_room() {
    let bin = env!("CARGO_BIN_EXE_tcpecho-server");
    let script = format!("ulimit -n 64; exec {bin} 127.0.0.1:0");
    let server = Server::of(Tool::new("bash").args(["-c", &script]));
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"hello");
    }
    for mut client in clients {
        client.expect(b"hello");
    }
    let out = server.end();
    out.code(0).stderr_contains("100 connections");
    assert!(!out.stderr_str().contains("pauses"), "{}", out.story());
}

/// While it is stopped the system accepts for it: as many as the backlog holds,
/// and no more.
#[cfg(target_os = "linux")]
#[test]
fn a_backlog_of_one() {
    let waiting = |backlog: &str| {
        let server = Server::start(&["--backlog", backlog]);
        server.running.signal(19);
        let patience = Duration::from_millis(300);
        let clients: Vec<TcpStream> = (0..10)
            .map_while(|_| TcpStream::connect_timeout(&server.addr, patience).ok())
            .collect();
        let count = clients.len();
        server.running.signal(18);
        for stream in clients {
            let mut client = Client(stream);
            client.0.set_read_timeout(Some(SOON)).unwrap();
            client.ask(b"hello");
        }
        let _ = server.end().code(0);
        count
    };
    // Linux lets one more wait than the number says.
    assert_eq!(waiting("1"), 2);
    assert_eq!(waiting("5"), 6);
    assert_eq!(waiting("4096"), 10);
}
