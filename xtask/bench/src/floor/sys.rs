// Declarations of the system calls of the minimal programs, which include this file
// and are compiled with rustc alone, without any crate.

pub type Fd = i32;

#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(packed))]
#[derive(Clone, Copy)]
pub struct EpollEvent {
    pub events: u32,
    pub data: u64,
}

#[repr(C)]
pub struct SockAddrIn {
    pub family: u16,
    pub port: [u8; 2],
    pub addr: [u8; 4],
    pub zero: [u8; 8],
}

#[repr(C)]
pub struct Rlimit {
    pub current: u64,
    pub maximum: u64,
}

pub const EPOLLIN: u32 = 1;
pub const EPOLLOUT: u32 = 4;
pub const ADD: i32 = 1;
pub const MOD: i32 = 3;
pub const AF_INET: i32 = 2;
pub const STREAM_NONBLOCK: i32 = 1 | 0o4000;
pub const NONBLOCK: i32 = 0o4000;
pub const NOSIGNAL: i32 = 0x4000;
pub const IPPROTO_IP: i32 = 0;
pub const IPPROTO_TCP: i32 = 6;
pub const TCP_NODELAY: i32 = 1;
pub const SOL_SOCKET: i32 = 1;
pub const SO_REUSEADDR: i32 = 2;
pub const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
pub const RLIMIT_NOFILE: i32 = 7;

unsafe extern "C" {
    pub fn socket(family: i32, kind: i32, protocol: i32) -> Fd;
    pub fn bind(fd: Fd, addr: *const SockAddrIn, len: u32) -> i32;
    pub fn listen(fd: Fd, backlog: i32) -> i32;
    pub fn connect(fd: Fd, addr: *const SockAddrIn, len: u32) -> i32;
    pub fn accept4(fd: Fd, addr: *mut u8, len: *mut u32, flags: i32) -> Fd;
    pub fn getsockname(fd: Fd, addr: *mut SockAddrIn, len: *mut u32) -> i32;
    pub fn setsockopt(fd: Fd, level: i32, name: i32, value: *const i32, len: u32) -> i32;
    pub fn recv(fd: Fd, buffer: *mut u8, len: usize, flags: i32) -> isize;
    pub fn send(fd: Fd, buffer: *const u8, len: usize, flags: i32) -> isize;
    pub fn close(fd: Fd) -> i32;
    pub fn epoll_create1(flags: i32) -> Fd;
    pub fn epoll_ctl(epoll: Fd, op: i32, fd: Fd, event: *mut EpollEvent) -> i32;
    pub fn epoll_wait(epoll: Fd, events: *mut EpollEvent, most: i32, timeout: i32) -> i32;
    pub fn getrlimit(resource: i32, limit: *mut Rlimit) -> i32;
    pub fn setrlimit(resource: i32, limit: *const Rlimit) -> i32;
}

pub fn address(addr: [u8; 4], port: u16) -> SockAddrIn {
    SockAddrIn {
        family: AF_INET as u16,
        port: port.to_be_bytes(),
        addr,
        zero: [0; 8],
    }
}

pub fn watch(epoll: Fd, op: i32, fd: Fd, events: u32, data: u64) {
    let mut event = EpollEvent { events, data };
    let done = unsafe { epoll_ctl(epoll, op, fd, &mut event) };
    assert!(done == 0, "epoll_ctl: {}", std::io::Error::last_os_error());
}

pub fn set(fd: Fd, level: i32, name: i32) {
    unsafe { setsockopt(fd, level, name, &1, 4) };
}

pub fn all_descriptors() {
    let mut limit = Rlimit {
        current: 0,
        maximum: 0,
    };
    unsafe {
        getrlimit(RLIMIT_NOFILE, &mut limit);
        limit.current = limit.maximum;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}
