//! A minimal echo server with one thread and epoll, to measure the cost of the
//! kernel alone. It has no limits, no log and no error handling.

include!("sys.rs");

fn main() {
    all_descriptors();
    unsafe {
        let listener = socket(AF_INET, STREAM_NONBLOCK, 0);
        set(listener, SOL_SOCKET, SO_REUSEADDR);
        set(listener, IPPROTO_TCP, TCP_NODELAY);
        let mut addr = address([127, 0, 0, 1], 0);
        let mut len = 16;
        assert!(bind(listener, &addr, 16) == 0 && listen(listener, 4096) == 0);
        getsockname(listener, &mut addr, &mut len);
        println!("listening\t127.0.0.1:{}", u16::from_be_bytes(addr.port));
        serve(listener);
    }
}

unsafe fn serve(listener: Fd) -> ! {
    unsafe {
        let epoll = epoll_create1(0);
        watch(epoll, ADD, listener, EPOLLIN, listener as u64);
        let mut events = [EpollEvent { events: 0, data: 0 }; 1024];
        let mut scratch = vec![0_u8; 65_536];
        // The unsent bytes, by descriptor.
        let mut tails: Vec<Vec<u8>> = Vec::new();
        loop {
            let n = epoll_wait(epoll, events.as_mut_ptr(), 1024, -1);
            for event in &events[..n.max(0) as usize] {
                let fd = event.data as Fd;
                if fd == listener {
                    for _ in 0..64 {
                        let new = accept4(
                            listener,
                            std::ptr::null_mut(),
                            std::ptr::null_mut(),
                            NONBLOCK,
                        );
                        if new < 0 {
                            break;
                        }
                        if tails.len() <= new as usize {
                            tails.resize_with(new as usize + 1, Vec::new);
                        }
                        watch(epoll, ADD, new, EPOLLIN, new as u64);
                    }
                    continue;
                }
                let tail = &mut tails[fd as usize];
                if !tail.is_empty() {
                    let sent = send(fd, tail.as_ptr(), tail.len(), NOSIGNAL);
                    if sent > 0 {
                        tail.drain(..sent as usize);
                    }
                    if tail.is_empty() {
                        *tail = Vec::new();
                        watch(epoll, MOD, fd, EPOLLIN, fd as u64);
                    }
                    continue;
                }
                let got = recv(fd, scratch.as_mut_ptr(), scratch.len(), 0);
                if got <= 0 {
                    let again =
                        std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock;
                    if got == 0 || !again {
                        close(fd);
                    }
                    continue;
                }
                let sent = send(fd, scratch.as_ptr(), got as usize, NOSIGNAL).max(0);
                if sent < got {
                    tail.extend_from_slice(&scratch[sent as usize..got as usize]);
                    watch(epoll, MOD, fd, EPOLLOUT, fd as u64);
                }
            }
        }
    }
}
