//! Tests with many clients, and with clients that behave badly.

use crate::harness::{Client, SIGCONT, SIGSTOP, Server, pattern};

/// Opens `wanted` connections, or as many as the descriptor limit allows.
fn connect_many(server: &Server, wanted: u64) -> Vec<Client> {
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
    assert!(count > 100, "the descriptor limit is too low for this test");
    (0..count).map(|_| server.connect()).collect()
}

#[test]
fn thousands_of_clients_are_served() {
    let server = Server::start(&[]);
    let mut clients = connect_many(&server, 5000);
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&n.to_be_bytes());
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.expect(&n.to_be_bytes());
    }
    let count = clients.len();
    drop(clients);
    server
        .terminate()
        .code(0)
        .stderr_contains(&format!("{count} connections, 0 refused"))
        .stderr_contains(" 0 cut off, 0 events dropped");
}

#[test]
fn slow_clients_do_not_delay_others() {
    let server = Server::start(&[]);
    let mut slow = connect_many(&server, 500);
    let mut client = server.connect();
    for byte in 0..5_u8 {
        for client in &mut slow {
            client.send(&[byte]);
        }
        client.echo(b"not delayed");
        for client in &mut slow {
            client.expect(&[byte]);
        }
    }
}

#[test]
fn connections_made_while_the_server_is_stopped_are_served() {
    let server = Server::start(&[]);
    server.running.signal(SIGSTOP);
    let mut clients = connect_many(&server, 500);
    for client in &mut clients {
        client.send(b"hello");
        client.half_close();
    }
    server.running.signal(SIGCONT);
    for client in &mut clients {
        assert_eq!(client.read_to_eof(), b"hello");
    }
}

#[test]
fn clients_that_leave_before_they_are_accepted_do_no_harm() {
    let server = Server::start(&[]);
    server.running.signal(SIGSTOP);
    for client in connect_many(&server, 200) {
        client.reset();
    }
    server.running.signal(SIGCONT);
    let mut client = server.connect();
    client.echo(b"hello");
    drop(client);
    let _ = server.terminate().code(0);
}

#[test]
fn urgent_data_is_echoed_like_any_other() {
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
        // The urgent byte is the last one.
        socket.send_out_of_band(b"?").unwrap();
        client.expect(b"?");
        client.echo(b"more");
        client.half_close();
        assert_eq!(client.read_to_eof(), b"");
        let _ = server.terminate().code(0);
    }
}

/// Returns the anonymous memory of the server, in KiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn anonymous_kib(server: &Server) -> u64 {
    let status = format!("/proc/{}/status", server.running.pid());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

/// Waits until the memory of the server, in KiB, satisfies `condition`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[track_caller]
fn wait_for_memory(server: &Server, condition: impl Fn(u64) -> bool) {
    let deadline = std::time::Instant::now() + crate::harness::TIMEOUT;
    loop {
        let kib = anonymous_kib(server);
        if condition(kib) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{kib} KiB");
        std::thread::yield_now();
    }
}

/// This includes memory at lower addresses than the memory of a connection that
/// stays open.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_memory_of_closed_connections_is_returned_to_the_system() {
    for workers in ["1", "2"] {
        // Replies are delayed, so the server keeps everything it received.
        let server = Server::start(&["--delay", "1h", "--workers", workers]);
        let mut clients = connect_many(&server, 300);
        for client in &mut clients {
            client.send(&pattern(60_000));
        }
        wait_for_memory(&server, |kib| kib > 16_000);
        let last = clients.pop();
        clients.into_iter().for_each(Client::reset);
        wait_for_memory(&server, |kib| kib < 3_000);
        drop(last);
    }
}
