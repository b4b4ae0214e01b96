//! Many clients, and clients of ill will.

use crate::kit::{Client, Server, pattern};

/// As many as asked for, or as many as this process may have.
fn crowd(server: &Server, wanted: u64) -> Vec<Client> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let count = wanted.min(allowed.unwrap_or(wanted).saturating_sub(200));
    assert!(count > 100, "too few descriptors for a crowd");
    (0..count).map(|_| server.connect()).collect()
}

#[test]
fn a_flood() {
    let server = Server::start(&[]);
    let mut clients = crowd(&server, 5000);
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&n.to_be_bytes());
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.expect(&n.to_be_bytes());
    }
    let count = clients.len();
    drop(clients);
    server
        .end()
        .code(0)
        .stderr_contains(&format!("{count} connections, 0 refused"))
        .stderr_contains(" 0 cut, 0 events dropped");
}

#[test]
fn slowloris() {
    let server = Server::start(&[]);
    let mut slow = crowd(&server, 500);
    let mut client = server.connect();
    for byte in 0..5_u8 {
        for client in &mut slow {
            client.send(&[byte]);
        }
        client.ask(b"served at once");
        for client in &mut slow {
            client.expect(&[byte]);
        }
    }
}

#[test]
fn a_burst_while_it_is_stopped() {
    let server = Server::start(&[]);
    server.running.signal(19);
    let mut clients = crowd(&server, 500);
    for client in &mut clients {
        client.send(b"hello");
        client.half_close();
    }
    server.running.signal(18);
    for client in &mut clients {
        assert_eq!(client.rest(), b"hello");
    }
}

#[test]
fn clients_that_are_gone_before_they_are_accepted() {
    let server = Server::start(&[]);
    server.running.signal(19);
    for client in crowd(&server, 200) {
        client.reset();
    }
    server.running.signal(18);
    let mut client = server.connect();
    client.ask(b"hello");
    drop(client);
    let _ = server.end().code(0);
}

#[test]
fn urgent_data_is_data() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--workers", workers]);
        let mut client = server.connect();
        let twin = client.0.try_clone().unwrap();
        let socket = socket2::SockRef::from(&twin);
        for _ in 0..3 {
            socket.send(b"abc").unwrap();
            socket.send_out_of_band(b"!").unwrap();
            socket.send(b"def").unwrap();
            client.expect(b"abc!def");
        }
        // The mark is the last byte.
        socket.send_out_of_band(b"?").unwrap();
        client.expect(b"?");
        client.ask(b"and on");
        client.half_close();
        assert_eq!(client.rest(), b"");
        let _ = server.end().code(0);
    }
}

/// What the system counts as this process's own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn anonymous_kib(server: &Server) -> u64 {
    let status = format!("/proc/{}/status", server.running.pid());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

/// Waits until it holds as much, or as little, as `enough` says.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[track_caller]
fn until(server: &Server, enough: impl Fn(u64) -> bool) {
    let deadline = std::time::Instant::now() + crate::kit::SOON;
    loop {
        let kib = anonymous_kib(server);
        if enough(kib) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{kib} KiB");
        std::thread::yield_now();
    }
}

/// Also the memory that lies beneath what the one holds who stays.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_memory_of_a_crowd_that_has_gone_is_given_back() {
    for workers in ["1", "2"] {
        // Answers are held back, so all that was sent is kept.
        let server = Server::start(&["--delay", "1h", "--workers", workers]);
        let mut clients = crowd(&server, 300);
        for client in &mut clients {
            client.send(&pattern(60_000));
        }
        until(&server, |kib| kib > 16_000);
        let last = clients.pop();
        clients.into_iter().for_each(Client::reset);
        until(&server, |kib| kib < 3_000);
        drop(last);
    }
}
