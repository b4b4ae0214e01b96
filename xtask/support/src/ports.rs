//! Ports on loopback for servers that other programs provide.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use crate::TaskResult;

/// Returns a port of 127.0.0.1 that is currently free for TCP and UDP, for programs
/// that cannot select one themselves.
pub fn free_port() -> TaskResult<u16> {
    for _ in 0..100 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let addr = listener.as_ref().ok().and_then(|l| l.local_addr().ok());
        if let Some(addr) = addr
            && UdpSocket::bind(addr).is_ok()
        {
            return Ok(addr.port());
        }
    }
    Err("no free port on 127.0.0.1".to_owned())
}

/// Whether the port accepts connections.
pub fn accepts(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
