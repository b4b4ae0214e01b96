//! A minimal load generator: one thread with epoll, without statistics and
//! verification. `generator PORT CONNECTIONS DEPTH MS` prints the number of
//! 64-byte messages per second that 127.0.0.1:PORT echoes.
//!
//! `generator PORT RATE MS` is a closed loop over one connection that sends at
//! most RATE evenly spaced messages per second. It prints the median time from a
//! send to its echo in milliseconds.
//!
//! `cargo xtask bench` compiles this file; it belongs to no crate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const SIZE: usize = 64;
const EPOLL_CTL_ADD: i32 = 1;
const EPOLLIN: u32 = 1;

/// The kernel's `struct epoll_event`, which is packed on x86-64 only.
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
#[derive(Clone, Copy)]
struct Event {
    events: u32,
    data: u64,
}

unsafe extern "C" {
    fn epoll_create1(flags: i32) -> i32;
    fn epoll_ctl(epoll: i32, op: i32, fd: i32, event: *mut Event) -> i32;
    fn epoll_wait(epoll: i32, events: *mut Event, max: i32, timeout: i32) -> i32;
}

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .map(|arg| arg.parse().expect("a number"))
        .collect();
    match numbers[..] {
        [port, connections, depth, ms] => load(port, connections, depth, ms),
        [port, rate, ms] => paced(port, rate, ms),
        _ => panic!("generator PORT CONNECTIONS DEPTH MS, or PORT RATE MS"),
    }
}

fn connect(port: u64) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port as u16)).expect("connect");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_nonblocking(true).expect("non-blocking");
    stream
}

fn paced(port: u64, rate: u64, ms: u64) {
    let mut stream = connect(port);
    let mut buffer = [0u8; SIZE];
    let mut times = Vec::new();
    let start = Instant::now();
    let end = start + Duration::from_millis(ms);
    let mut due = start;
    while due < end {
        while Instant::now() < due {}
        let sent = Instant::now();
        stream.write_all(&buffer).expect("send");
        let mut received = 0;
        while received < SIZE {
            match stream.read(&mut buffer[received..]) {
                Ok(0) => panic!("the server closed"),
                Ok(n) => received += n,
                Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        times.push(sent.elapsed());
        // A late echo delays the next send, as in any closed loop.
        due = (due + Duration::from_secs(1) / rate as u32).max(Instant::now());
    }
    times.sort_unstable();
    println!("{}", times[times.len() / 2].as_secs_f64() * 1e3);
}

fn load(port: u64, connections: u64, depth: u64, ms: u64) {
    let epoll = unsafe { epoll_create1(0) };
    let mut buffer = vec![0u8; 64 * 1024];
    let mut streams = Vec::new();
    for index in 0..connections {
        let stream = connect(port);
        let mut event = Event {
            events: EPOLLIN,
            data: index,
        };
        let added = unsafe { epoll_ctl(epoll, EPOLL_CTL_ADD, stream.as_raw_fd(), &mut event) };
        assert_eq!(added, 0);
        streams.push(stream);
    }
    let start = Instant::now();
    for mut stream in &streams {
        stream
            .write_all(&buffer[..SIZE * depth as usize])
            .expect("send");
    }
    let mut events = vec![Event { events: 0, data: 0 }; 1024];
    let mut bytes = 0usize;
    let end = start + Duration::from_millis(ms);
    while Instant::now() < end {
        let ready = unsafe { epoll_wait(epoll, events.as_mut_ptr(), 1024, 100) };
        for event in &events[..ready.max(0) as usize] {
            let mut stream = &streams[event.data as usize];
            let n = stream.read(&mut buffer).expect("receive");
            assert!(n > 0, "the server closed");
            bytes += n;
            stream.write_all(&buffer[..n]).expect("send");
        }
    }
    let rate = (bytes / SIZE) as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0}");
}
