//! A purpose-written load generator: one thread around epoll, no statistics,
//! no verification. `generator PORT CONNECTIONS DEPTH MS` prints how many
//! messages of 64 bytes a second came back from 127.0.0.1:PORT.
//!
//! It is compiled on the spot by `cargo xtask bench` and belongs to no crate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const SIZE: usize = 64;
const EPOLL_CTL_ADD: i32 = 1;
const EPOLLIN: u32 = 1;

/// As the kernel has it; packed on x86-64 only.
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
    let [port, connections, depth, ms] = numbers[..] else {
        panic!("generator PORT CONNECTIONS DEPTH MS");
    };
    let epoll = unsafe { epoll_create1(0) };
    let mut buffer = vec![0u8; 64 * 1024];
    let mut streams = Vec::new();
    for index in 0..connections {
        let stream = TcpStream::connect(("127.0.0.1", port as u16)).expect("connect");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_nonblocking(true).expect("non-blocking");
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
