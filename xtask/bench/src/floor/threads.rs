//! A minimal resolver: eight threads call getaddrinfo for IPv4, which is the
//! question of `resolve -4`, for the names on standard input.
//!
//! `cargo xtask bench` compiles this file; it belongs to no crate.

use std::ffi::{CString, c_char, c_int};
use std::io::{BufRead, Write};
use std::sync::Mutex;
#[repr(C)]
struct Info {
    flags: c_int, family: c_int, kind: c_int, protocol: c_int, length: u32,
    address: *const u8, name: *const c_char, next: *mut Info,
}
unsafe extern "C" {
    fn getaddrinfo(host: *const c_char, service: *const c_char,
        hints: *const Info, found: *mut *mut Info) -> c_int;
    fn freeaddrinfo(found: *mut Info);
}
fn address(name: &str) -> std::net::Ipv4Addr {
    let name = CString::new(name).unwrap();
    unsafe {
        let mut hints: Info = std::mem::zeroed();
        (hints.family, hints.kind) = (2, 1);
        let mut found = std::ptr::null_mut();
        assert_eq!(getaddrinfo(name.as_ptr(), std::ptr::null(), &hints, &mut found), 0);
        let bytes = *((*found).address.add(4) as *const [u8; 4]);
        freeaddrinfo(found);
        bytes.into()
    }
}
fn main() {
    let lines = Mutex::new(std::io::BufReader::new(std::io::stdin()).lines());
    let out = Mutex::new(std::io::BufWriter::new(std::io::stdout()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| loop {
                let next = lines.lock().unwrap().next();
                let Some(Ok(name)) = next else { return };
                let address = address(&name);
                writeln!(out.lock().unwrap(), "{name}\tA\t{address}").unwrap();
            });
        }
    });
}
