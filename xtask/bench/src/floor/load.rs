//! A minimal load generator with one thread and epoll, for comparison with the echo
//! client. It verifies every received byte and prints one line of numbers.
//!
//! load rr ADDR CONNECTIONS MS SIZE DEPTH    MESSAGES SECONDS P50_US P99_US
//! load crr ADDR PARALLEL MS SIZE            CONNECTIONS SECONDS
//! load bulk ADDR CONNECTIONS MIB            BYTES SECONDS
//! load idle ADDR CONNECTIONS                `ready`, then waits until it is killed

include!("sys.rs");

use std::time::{Duration, Instant};

fn main() {
    all_descriptors();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args[i].parse::<usize>().expect("pass a number");
    let port = args[1].rsplit(':').next().and_then(|p| p.parse().ok());
    let port = port.expect("pass 127.0.0.1:PORT");
    match args[0].as_str() {
        "rr" => rr(port, number(2), number(3), number(4), number(5)),
        "crr" => crr(port, number(2), number(3), number(4)),
        "bulk" => bulk(port, number(2), number(3) << 20),
        "idle" => idle(port, number(2)),
        other => panic!("unknown mode {other}"),
    }
}

/// Returns bytes that do not repeat within a short period.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n / 7) ^ (n >> 8)) as u8).collect()
}

/// Connects a socket and waits until it is connected.
fn dial(port: u16) -> Fd {
    let fd = dial_from([127, 0, 0, 1], port);
    let mut event = [EpollEvent { events: 0, data: 0 }];
    unsafe {
        let epoll = epoll_create1(0);
        watch(epoll, ADD, fd, EPOLLOUT, 0);
        assert!(
            epoll_wait(epoll, event.as_mut_ptr(), 1, 10_000) == 1,
            "connect timed out"
        );
        close(epoll);
    }
    fd
}

/// Starts to connect a socket without waiting for it.
fn dial_from(source: [u8; 4], port: u16) -> Fd {
    unsafe {
        let fd = socket(AF_INET, STREAM_NONBLOCK, 0);
        assert!(fd >= 0, "socket: {}", std::io::Error::last_os_error());
        set(fd, IPPROTO_TCP, TCP_NODELAY);
        if source != [127, 0, 0, 1] {
            set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
            assert!(bind(fd, &address(source, 0), 16) == 0);
        }
        connect(fd, &address([127, 0, 0, 1], port), 16);
        fd
    }
}

struct Conn {
    fd: Fd,
    /// The number of bytes of the repeated pattern sent and received.
    sent: usize,
    received: usize,
    since: Instant,
}

fn send_some(conn: &mut Conn, data: &[u8], upto: usize) {
    while conn.sent < upto {
        let at = conn.sent % data.len();
        let n = (data.len() - at).min(upto - conn.sent);
        let sent = unsafe { send(conn.fd, data[at..].as_ptr(), n, NOSIGNAL) };
        if sent <= 0 {
            let again = std::io::Error::last_os_error();
            assert!(
                again.kind() == std::io::ErrorKind::WouldBlock,
                "send: {again}"
            );
            return;
        }
        conn.sent += sent as usize;
    }
}

/// Reads once and compares the bytes with the pattern.
fn receive_some(conn: &mut Conn, data: &[u8], scratch: &mut [u8]) {
    let got = unsafe { recv(conn.fd, scratch.as_mut_ptr(), scratch.len(), 0) };
    assert!(got != 0, "the server closed");
    let mut got = &scratch[..got.max(0) as usize];
    while !got.is_empty() {
        let at = conn.received % data.len();
        let n = got.len().min(data.len() - at);
        assert!(got[..n] == data[at..at + n], "the echo differs");
        conn.received += n;
        got = &got[n..];
    }
}

fn connect_all(port: u16, count: usize, epoll: Fd, events: u32) -> Vec<Conn> {
    let now = Instant::now();
    let conns: Vec<Conn> = (0..count)
        .map(|_| Conn {
            fd: dial(port),
            sent: 0,
            received: 0,
            since: now,
        })
        .collect();
    for (i, conn) in conns.iter().enumerate() {
        watch(epoll, ADD, conn.fd, events, i as u64);
    }
    conns
}

fn rr(port: u16, count: usize, ms: usize, size: usize, depth: usize) {
    let data = pattern(size * depth);
    let epoll = unsafe { epoll_create1(0) };
    let mut conns = connect_all(port, count, epoll, EPOLLIN);
    let mut latencies: Vec<u32> = Vec::with_capacity(4_000_000);
    let mut events = vec![EpollEvent { events: 0, data: 0 }; 1024];
    let mut scratch = vec![0; 65_536];
    let start = Instant::now();
    let end = start + Duration::from_millis(ms as u64);
    for conn in &mut conns {
        conn.since = Instant::now();
        send_some(conn, &data, size * depth);
    }
    loop {
        let n = unsafe { epoll_wait(epoll, events.as_mut_ptr(), 1024, 10_000) };
        assert!(n > 0, "no echo within ten seconds");
        let now = Instant::now();
        if now >= end {
            break;
        }
        for event in &events[..n as usize] {
            let conn = &mut conns[event.data as usize];
            receive_some(conn, &data, &mut scratch);
            if conn.received == conn.sent {
                let now = Instant::now();
                latencies.push(now.duration_since(conn.since).as_nanos() as u32);
                conn.since = now;
                let upto = conn.sent + size * depth;
                send_some(conn, &data, upto);
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let messages: usize = conns.iter().map(|c| c.received / size).sum();
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        f64::from(latencies[index.min(latencies.len() - 1)]) / 1e3
    };
    println!("{messages} {seconds} {} {}", at(0.5), at(0.99));
}

fn crr(port: u16, parallel: usize, ms: usize, size: usize) {
    let data = pattern(size);
    let epoll = unsafe { epoll_create1(0) };
    let mut events = vec![EpollEvent { events: 0, data: 0 }; 1024];
    let mut scratch = vec![0; 65_536];
    let start = Instant::now();
    let end = start + Duration::from_millis(ms as u64);
    // From many source addresses, since one has too few ports.
    let mut turn = 0_usize;
    let mut fresh = || {
        turn += 1;
        let fd = dial_from(
            [127, 0, 1 + (turn / 200 % 8) as u8, 1 + (turn % 200) as u8],
            port,
        );
        Conn {
            fd,
            sent: 0,
            received: 0,
            since: start,
        }
    };
    let mut conns: Vec<Conn> = (0..parallel).map(|_| fresh()).collect();
    for (i, conn) in conns.iter().enumerate() {
        watch(epoll, ADD, conn.fd, EPOLLOUT, i as u64);
    }
    let mut done = 0_usize;
    while Instant::now() < end {
        let n = unsafe { epoll_wait(epoll, events.as_mut_ptr(), 1024, 10_000) };
        assert!(n > 0, "no echo within ten seconds");
        for event in &events[..n as usize] {
            let i = event.data as usize;
            let conn = &mut conns[i];
            if conn.sent == 0 {
                send_some(conn, &data, size);
                watch(epoll, MOD, conn.fd, EPOLLIN, i as u64);
                continue;
            }
            receive_some(conn, &data, &mut scratch);
            if conn.received == size {
                done += 1;
                unsafe { close(conn.fd) };
                *conn = fresh();
                watch(epoll, ADD, conn.fd, EPOLLOUT, i as u64);
            }
        }
    }
    println!("{done} {}", start.elapsed().as_secs_f64());
}

fn bulk(port: u16, count: usize, bytes: usize) {
    let data = pattern(1 << 20);
    let epoll = unsafe { epoll_create1(0) };
    let mut conns = connect_all(port, count, epoll, EPOLLIN | EPOLLOUT);
    let mut events = vec![EpollEvent { events: 0, data: 0 }; 64];
    let mut scratch = vec![0; 65_536];
    let start = Instant::now();
    let share = bytes / count;
    let mut open = count;
    while open > 0 {
        let n = unsafe { epoll_wait(epoll, events.as_mut_ptr(), 64, 10_000) };
        assert!(n > 0, "no byte within ten seconds");
        for event in &events[..n as usize] {
            let conn = &mut conns[event.data as usize];
            if event.events & EPOLLOUT != 0 && conn.sent < share {
                // Only one chunk, so that the receive buffers do not fill up.
                let upto = share.min(conn.sent + 65_536);
                send_some(conn, &data, upto);
                if conn.sent == share {
                    watch(epoll, MOD, conn.fd, EPOLLIN, event.data);
                }
            }
            if event.events & EPOLLIN != 0 && conn.received < share {
                receive_some(conn, &data, &mut scratch);
                open -= usize::from(conn.received == share);
            }
        }
    }
    println!("{} {}", share * count, start.elapsed().as_secs_f64());
}

fn idle(port: u16, count: usize) {
    let conns: Vec<Fd> = (0..count).map(|_| dial(port)).collect();
    // Wait until the server has served each of them once.
    for fd in &conns {
        let mut conn = Conn {
            fd: *fd,
            sent: 0,
            received: 0,
            since: Instant::now(),
        };
        send_some(&mut conn, b"x", 1);
    }
    let mut byte = [0];
    for fd in &conns {
        while unsafe { recv(*fd, byte.as_mut_ptr(), 1, 0) } != 1 {
            std::thread::yield_now();
        }
    }
    println!("ready");
    loop {
        std::thread::park();
    }
}
